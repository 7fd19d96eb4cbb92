"""`lemon inspect`, and what every way to save a picture writes into it: the mark, and the prompt if that is wanted."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import anyio
import pytest

from lemon_ext import AsyncLemon, Lemon, capabilities
from lemon_ext._inspect import inspected
from lemon_ext.cli._batch import resume_command
from tests import made_up
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.conftest import awaited
from tests.pictures import GIF, JPEG, PNG, SVG, WEBP, picture
from tests.test_metadata import described, with_chunk, with_webp_chunk

GENERATED, EDITED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
LANGUAGES = '<rdf:li xml:lang="x-default">one</rdf:li><rdf:li xml:lang="de">zwei</rdf:li>'
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def look(folder: Path, data: bytes) -> Any:
    (folder / "picture").write_bytes(data)
    return inspected(folder / "picture")


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP])
def test_what_is_written_is_read(tmp_path: Path, data: bytes) -> None:
    about = {"prompt": 'a <white> "cat"\n猫', "model": "midjourney", "revised_prompt": "revised", "task_id": "img_1"}
    after = described(data, **about, edited=True)
    assert after is not None
    found = look(tmp_path, after)
    assert (found.size, found.bytes, found.fault) == ((37, 23), len(after), None)
    assert {name: getattr(found, name) for name in about} == about
    assert (found.digital_source_type, found.marked, found.signed) == (EDITED, True, False)


@pytest.mark.parametrize(
    ("inner", "wanted"),
    [
        # as Adobe's programs write it: in attributes, as an address, in several languages
        (f' Iptc4xmpExt:DigitalSourceType="{SOURCE}{GENERATED}">', {"digital_source_type": GENERATED}),
        (
            f'><Iptc4xmpExt:DigitalSourceType rdf:resource="{SOURCE}digitalCapture"/>',
            {"digital_source_type": "digitalCapture"},
        ),
        ("><dc:identifier>x</dc:identifier><dc:description>a</dc:description>", {"task_id": "x", "prompt": "a"}),
        (f"><dc:description><rdf:Alt>{LANGUAGES}</rdf:Alt></dc:description>", {"prompt": "one"}),
        (">", {}),
        ("><broken", {}),
        ("><dc:description>&bomb;</dc:description>", {}),
    ],
)  # fmt: skip
def test_what_others_wrote_is_read(tmp_path: Path, inner: str, wanted: dict[str, str]) -> None:
    xmp = (PACKET % inner).encode()
    chunk = with_chunk(PNG, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    packed = with_chunk(PNG, b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0\0" + zlib.compress(xmp))
    for data in (chunk, packed, picture("JPEG", xmp=xmp), picture("WEBP", xmp=xmp)):
        found = look(tmp_path, data)
        for name in ("prompt", "revised_prompt", "model", "task_id", "digital_source_type"):
            assert getattr(found, name) == wanted.get(name)
        assert found.marked == (GENERATED in wanted.values())


def test_a_packet_with_entities_of_its_own_is_not_read(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY bomb "&a;&a;">]>' + PACKET % ">"
    text = bomb.replace('about=""', 'about="" dc:identifier="&bomb;"').encode()
    assert look(tmp_path, picture("JPEG", xmp=text)).task_id is None


SIGNED_JPEG = (
    JPEG[:2] + b"\xff\xeb" + struct.pack(">H", 60) + b"JP\0\1\0\0\0\1\0\0\0\x36jumb".ljust(40) + b"c2pa" + bytes(14)
)


@pytest.mark.parametrize(
    ("data", "kind", "signed"),
    [
        (PNG, "png", False),
        (with_chunk(PNG, b"caBX"), "png", True),
        (JPEG, "jpeg", False),
        (SIGNED_JPEG + JPEG[2:], "jpeg", True),
        (JPEG[:2] + b"\xff\xeb\0\4xx" + JPEG[2:], "jpeg", False),
        (with_webp_chunk(WEBP, b"C2PA"), "webp", True),
        (GIF, "gif", None),
        (picture("AVIF"), "avif", None),
        (SVG, "svg", None),
    ],
)
def test_signed_files_are_told_and_stay_as_they_are(
    tmp_path: Path, data: bytes, kind: str, signed: bool | None
) -> None:
    found = look(tmp_path, data)
    assert (found.kind, found.size, found.signed, found.digital_source_type) == (kind, (37, 23), signed, None)
    assert signed is False or described(data, prompt="a cat") is None


def test_files_are_shown_for_people_and_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(described(PNG, prompt="a cat\n\x1b[31m", model="flux-pro", task_id="img_1") or b"")
    Path("dog.gif").write_bytes(GIF)
    result = lemon("inspect", "cat.png", "dog.gif")
    size = Path("cat.png").stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"cat.png\npicture         png, 37x23, {size:,} bytes\nsource type     trainedAlgorithmicMedia\n"
        "model           flux-pro\ntask            img_1\nprompt          a cat �[31m\ncredentials     none\n\n"
        f"dog.gif\npicture         gif, 37x23, {len(GIF):,} bytes\n"
        "metadata        not read: only of PNG, JPEG and WebP\n"
    )
    assert json.loads(lemon("inspect", "cat.png", "--json").stdout) == {
        "path": "cat.png", "format": "png", "width": 37, "height": 23, "bytes": size, "fault": None,
        "digital_source_type": GENERATED, "model": "flux-pro", "task_id": "img_1", "prompt": "a cat\n\ufffd[31m",
        "revised_prompt": None, "c2pa": False,
    }  # fmt: skip


def test_what_is_no_picture_is_told_and_the_others_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(PNG)
    Path("page.png").write_text("<html>this is an error page of a proxy</html>")
    result = lemon("inspect", "none.png", "page.png", ".", "cat.png")
    assert result.exit_code == 2
    assert result.stderr == "lemon: none.png: No such file or directory.\nlemon: .: Is a directory.\n"
    assert "of no known kind, 45 bytes\nno picture      it is text, not a picture\n" in result.stdout
    assert result.stdout.endswith(
        "cat.png\npicture         png, 37x23, " + f"{len(PNG):,} bytes\nsource type     none\ncredentials     none\n"
    )
    told = [json.loads(line) for line in lemon("inspect", "none.png", "page.png", "--json").stdout.splitlines()]
    assert (told[0]["path"], told[0]["exit_code"]) == ("none.png", 2)
    assert told[1]["fault"] == "it is text, not a picture"


# ---- every way to save ----


def only(folder: Path | str = ".") -> Any:
    (path,) = (path for path in Path(folder).rglob("*.png") if path.stem != "given")
    return inspected(path)


@pytest.fixture
def given(emulator: Any) -> str:
    Path("given.png").write_bytes(picture("PNG", "RGBA"))
    return "given.png"


@pytest.mark.parametrize(
    ("command", "mark", "prompt"),
    [
        (["generate", "a cat", "-m", "flux-pro"], GENERATED, "a cat"),
        (["edit", "make it night", "--image", "given.png"], EDITED, "make it night"),
        (["vary", "--image", "given.png", "-m", "dall-e-2"], GENERATED, None),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_the_command_line_marks_what_it_saves(
    given: str, command: list[str], mark: str, prompt: str | None, told: bool
) -> None:
    result = lemon(*command, "--poll-interval", "0.02", *([] if told else ["--no-prompt-metadata"]))
    assert result.exit_code == 0
    found = only()
    assert (found.digital_source_type, found.prompt) == (mark, prompt if told else None)
    assert found.model in ("flux-pro", "dall-e-2", "dall-e-3", "gpt-image-2")
    data = b"".join(path.read_bytes() for path in Path().glob("*.png") if path.stem != "given")
    assert told or (prompt or "variation").encode() not in data


def test_the_command_to_go_on_with_leaves_the_prompt_out_too(emulator: Any) -> None:
    emulator.task_seconds = 60.0
    task_id = lemon("generate", "a cat", "-m", "flux-pro", "--no-wait").stdout.strip()
    result = lemon("task", task_id, "--no-prompt-metadata")
    assert result.exit_code == 5
    assert f"  next: lemon task --wait --no-prompt-metadata -- {task_id}\n" in result.stderr


def test_a_batch_that_is_resumed_leaves_the_prompt_out_too() -> None:
    assert resume_command(Path("out"), {"prompt_metadata": False}) == "lemon resume --no-prompt-metadata -- out"
    assert resume_command(Path("out"), {"prompt_metadata": True}) == "lemon resume -- out"


@pytest.mark.parametrize("told", [True, False])
def test_a_batch_marks_what_it_saves(given: str, told: bool) -> None:
    rows = [{"prompt": "a cat", "model": "flux-pro"}, {"prompt": "make it night", "image": given}]
    options = [] if told else ["--no-prompt-metadata"]
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert lemon("batch", "rows.jsonl", "-o", "out", "--poll-interval", "0.02", *options).exit_code == 0
    found = [inspected(path) for path in sorted(Path("out").glob("*.png"))]
    assert [one.digital_source_type for one in found] == [GENERATED, EDITED]
    assert [one.prompt for one in found] == (["a cat", "make it night"] if told else [None, None])
    assert None not in [one.model for one in found]


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_python_marks_what_it_saves(given: str, kind: Any) -> None:
    async def main() -> None:
        client = kind(prompt_metadata=False)
        twin = client.with_options(deadline=10)
        try:
            result = await awaited(twin.images.edit(given, "make it night", response_format="b64_json"))
            await awaited(result.save("one") if kind is Lemon else result.asave("one"))
            pickle.loads(pickle.dumps(result[0])).save("two/")
        finally:
            await awaited(client.close() if kind is Lemon else client.aclose())

    anyio.run(main)
    for folder in ("one", "two"):
        assert (only(folder).digital_source_type, only(folder).prompt, only(folder).revised_prompt) == (
            EDITED,
            None,
            None,
        )


def test_a_handle_still_knows_that_it_is_an_edit(given: str) -> None:
    with Lemon(prompt_metadata=False) as client:
        tasks: list[Any] = []
        client.images.edit(given, "make it night", model="flux-pro", poll_interval=0.02, on_update=tasks.append)
        kept = json.dumps({name: told for name, told in tasks[0].to_dict().items() if name != "answer"})
    with Lemon() as client:
        result = client.images.task_from_dict(json.loads(kept)).result(poll_interval=0.02)
        result[0].save("kept")
    assert (inspected("kept.png").digital_source_type, inspected("kept.png").prompt) == (EDITED, "make it night")


@pytest.mark.regen
def test_a_generation_that_changes_a_given_picture_is_an_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {"type": "array", "items": {"type": "string"}, "x-lemon-asks": "edited"}
    made_up.use(monkeypatch, made_up.contract(parameters={"image_urls": pictures}))
    given = {"model": "flux-pro", "prompt": "make it night", "image_urls": ["https://img.example.net/a.png?signed=1"]}
    monkeypatch.setitem(capabilities.MODELS["flux-pro"], "parameters", {})
    assert capabilities.asked(given) == {"edited": True}
