"""In a notebook: pictures are in it, progress is drawn, and a `with` block that has ended keeps nobody from saving."""

from __future__ import annotations

import base64
import sys
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

import lemon_ext.results
from lemon_ext import AsyncLemon, Lemon, LemonError, run_batch
from lemon_ext import notebook as module
from lemon_ext.batch import Progress
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.notebook import progress
from tests.conftest import awaited
from tests.pictures import JPEG, PNG, SVG, picture
from tests.test_results import HOME, get, images

DATA = base64.b64encode(PNG).decode()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook's kernel. Returns what is displayed; an update takes the place of what it updates."""
    shown: list[str] = []

    def display(html: str, *, display_id: bool) -> Any:
        assert display_id
        shown.append(html)
        place = len(shown) - 1
        return SimpleNamespace(update=lambda html: shown.__setitem__(place, html))

    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))
    return shown


# ---- pictures ----


def test_a_picture_that_came_along_is_shown_with_its_prompt(colour: Any, kernel: list[str]) -> None:
    result = get(colour, images({"b64_json": DATA})({}), prompt='a "white"\n<cat> & ' + "x" * 400)
    alt = "a &quot;white&quot; &lt;cat&gt; &amp; " + "x" * 231 + "…"
    tag = f'<img src="data:image/png;base64,{DATA}" alt="{alt}" style="max-width: 100%">'
    assert result[0]._repr_mimebundle_() == {"text/html": tag, "text/plain": "<Image with data>"}
    assert result._repr_html_() == tag.replace("max-width: 100%", "display: inline-block; max-width: 24em; margin: 2px")
    assert len(colour.requests) == 1


def test_an_svg_is_shown_as_one(colour: Any, kernel: list[str]) -> None:
    image = get(colour, images({"b64_json": base64.b64encode(SVG).decode()})({}))[0]
    assert f'src="data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}"' in image._repr_mimebundle_()["text/html"]


def test_a_saved_picture_is_taken_from_its_file(colour: Any, kernel: list[str], tmp_path: Any) -> None:
    result = get(colour, images({"url": f"{HOME}/a"})({"/a": JPEG}))
    (path,) = colour.call(colour.twin(result, "save"), tmp_path)
    asked = len(colour.requests)
    saved = base64.b64encode(path.read_bytes()).decode()
    assert f'src="data:image/jpeg;base64,{saved}"' in result._repr_html_()
    path.unlink()
    assert f'src="{HOME}/a"' in result._repr_html_()  # better than nothing
    assert len(colour.requests) == asked


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_a_picture_is_fetched_once_to_be_shown_also_when_its_client_is_closed(
    kind: Any, kernel: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Emulator(task_seconds=0) as emulator:

        async def make() -> Any:
            client = kind(KEY, base_url=emulator.url)
            if kind is Lemon:
                with client:
                    return client.images.generate("a cat", model="dall-e-3")
            async with client:
                return await client.images.generate("a cat", model="dall-e-3")

        async def cells() -> None:  # the event loop of a kernel runs while an output is made
            result = await make()
            before = len(emulator.requests)
            first = result._repr_html_()
            assert first.startswith('<img src="data:image/png;base64,')
            assert result._repr_html_() == first
            assert len(emulator.requests) == before + 1

        anyio.run(cells)


def test_outside_notebooks_nothing_is_fetched_to_be_shown(colour: Any) -> None:
    result = get(colour, images({"url": f"{HOME}/a"})({"/a": PNG}), prompt="a cat")
    assert f'<img src="{HOME}/a" alt="a cat"' in result._repr_html_()
    assert f'src="{HOME}/a"' in result[0]._repr_mimebundle_()["text/html"]
    assert len(colour.requests) == 1


@pytest.mark.parametrize("reply", [httpx.Response(404), httpx.Response(200, content=b"<html>gone</html>"), picture])
def test_what_cannot_be_fetched_is_linked(
    colour: Any, kernel: list[str], reply: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one is larger than what is embedded."""
    monkeypatch.setattr(lemon_ext.results, "EMBEDDED", len(PNG) - 1)
    answer = httpx.Response(200, content=PNG) if reply is picture else reply
    result = get(colour, images({"url": f"{HOME}/a"})({"/a": answer}))
    assert result._repr_html_().startswith(f'<img src="{HOME}/a" alt="a white cat"')


def test_only_so_much_is_put_into_a_notebook(colour: Any, kernel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lemon_ext.results, "EMBEDDED", 2 * len(PNG) + 5)
    result = get(colour, images(*[{"b64_json": DATA}] * 3)({}), n=3)
    shown = result._repr_html_()
    assert shown.count(DATA) == 2
    assert shown.endswith("<p>This picture is too large to be shown here. Save it: image.save(...)</p>")


# ---- a `with` block that has ended ----


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_pictures_are_saved_after_their_client_was_closed(kind: Any, tmp_path: Any) -> None:
    async def main() -> None:
        with Emulator(task_seconds=0) as emulator:
            client = kind(KEY, base_url=emulator.url)
            if kind is Lemon:
                with client as lemon:
                    result = lemon.images.generate("a cat", model="dall-e-3", n=2)
                paths = [*result.save(tmp_path), result[0].save(tmp_path / "again.png")]
            else:
                async with client as lemon:
                    result = await lemon.images.generate("a cat", model="dall-e-3", n=2)
                paths = [*await result.asave(tmp_path), await result[0].asave(tmp_path / "again.png")]
            assert [path.name for path in paths] == ["a-cat.png", "a-cat-2.png", "again.png"]
            with pytest.raises(LemonError, match=r"closed: its `with` block has ended.*`lemon = Lemon\(\)` stays open"):
                await awaited(lemon.images.generate("another", model="dall-e-3"))
            assert emulator.charges == 1

    anyio.run(main)


# ---- progress ----


def task(status: str, per_cent: float | None = None, done: bool = False) -> Any:
    return SimpleNamespace(id="img_<1>", status=status, progress=per_cent, done=done)


def test_a_task_is_drawn_in_one_place(kernel: list[str]) -> None:
    show = progress()
    seen = []
    for update in (task("pending"), task("processing", 40.0), task("processing", 40.0), task("completed", 100.0, True)):
        show(update)
        seen.append(kernel[-1].partition("> ")[2])
    assert seen == [
        "img_&lt;1&gt;: pending", "img_&lt;1&gt;: processing, 40 %", "img_&lt;1&gt;: processing, 40 %",
        "img_&lt;1&gt;: completed",
    ]  # fmt: skip
    assert len(kernel) == 1
    assert 'value="1.0000"' in kernel[0]


def test_a_batch_is_drawn_now_and_then_and_at_its_end(kernel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    show = progress()
    told = []
    for second, counts in (
        (0.0, {"unsent": 60}), (0.1, {"unsent": 59, "saved": 1}),
        (0.4, {"waiting": 20, "saved": 38, "failed": 2}), (0.5, {"saved": 57, "failed": 3}),
    ):  # fmt: skip
        now[0] = second
        show(Progress.of(counts, 0, ended=10, elapsed=5.0))
        told.append(kernel[-1].partition("> ")[2])
    assert told == [
        "0 of 60 rows done, 60 not sent, 120 a minute, about 30 s left",
        "0 of 60 rows done, 60 not sent, 120 a minute, about 30 s left",
        "40 of 60 rows done, 38 saved, 2 failed, 20 waiting, 120 a minute, about 10 s left",
        "60 of 60 rows done, 57 saved, 3 failed, 120 a minute",
    ]
    show(Progress.of({"unsent": 60}, 0, stopped="interrupted"))
    assert kernel[0].endswith("0 of 60 rows done, 60 not sent, stopped: interrupted")


def test_elsewhere_there_are_lines(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    with Emulator(task_seconds=0) as emulator, Lemon(KEY, base_url=emulator.url) as lemon:
        lemon.images.generate("a cat", model="flux-pro", poll_interval=0.01, on_update=progress())
        rows = [{"prompt": f"cat {n}", "model": "dall-e-3"} for n in range(3)]
        list(run_batch(rows, tmp_path / "out", client=lemon, on_progress=progress()))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("img_")
    assert lines[-1].startswith("3 of 3 rows done, 3 saved, ")
