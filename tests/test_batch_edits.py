"""Rows with a picture are edits: read and checked first, kept in the journal by their paths, read again when sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lemon_ext import AsyncLemon, CapabilityError, Lemon, read_rows, run_batch
from lemon_ext.emulator import KEY, Emulator
from tests.pictures import GIF, PNG


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(PNG)
    return tmp_path


def run(emulator, rows, *, colour=Lemon, **options):
    lemon = colour(KEY, base_url=emulator.url)
    try:
        return list(run_batch(rows, "out", client=lemon, **options))
    finally:
        if colour is Lemon:
            lemon.close()


ROWS = {
    "rows.csv": "prompt,image,model,n\nnight,a.png,dall-e-2,2\na cat,,dall-e-2,\n"
    'both,"[""a.png"", ""b.png""]",dall-e-2,\n',
    "rows.jsonl": '{"prompt": "night", "image": "a.png", "model": "dall-e-2", "n": 2}\n'
    '{"prompt": "a cat", "model": "dall-e-2"}\n{"prompt": "both", "image": ["a.png", "b.png"], "model": "dall-e-2"}\n',
}


@pytest.mark.parametrize("colour", [Lemon, AsyncLemon])
@pytest.mark.parametrize("name", ROWS)
def test_a_row_with_an_image_is_an_edit(folder, name, colour):
    Path(name).write_text(ROWS[name], encoding="utf-8")
    with Emulator(task_seconds=0) as emulator:
        found = sorted(run(emulator, read_rows(name), colour=colour), key=lambda row: row["row"])
        assert [row["status"] for row in found] == 3 * ["saved"]
        assert [len(row["paths"]) for row in found] == [2, 1, 1]
        sent = {charge.request["prompt"]: charge.request for charge in emulator.ledger}
        assert sent["night"] == {"model": "dall-e-2", "prompt": "night", "n": 2, "image": ["(a file)"]}
        assert sent["a cat"] == {"model": "dall-e-2", "prompt": "a cat"}
        assert sent["both"]["image"] == 2 * ["(a file)"]
        # The same again sends nothing; the paths hold in any folder.
        assert run(emulator, read_rows(name)) == []
        assert emulator.charges == 3
    assert found[2]["request"]["image"] == [str(folder / "a.png"), str(folder / "b.png")]


def test_rows_whose_pictures_cannot_be_sent_are_refused_before_the_first_is(folder):
    Path("c.gif").write_bytes(GIF)
    rows = [
        {"prompt": "x", "image": "a.png"},
        {"prompt": "x", "image": "no.png"},
        {"prompt": "x", "image": "c.gif"},
        {"prompt": "x", "image": PNG},
        {"prompt": "x", "mask": "a.png"},
        {"prompt": "x", "image": "a.png", "style": "vivid"},
    ]
    with Emulator() as emulator, pytest.raises(CapabilityError) as caught:
        run(emulator, rows)
    said = str(caught.value)
    for reason in (
        "row 2: a picture cannot be read: No such file",
        "row 3: image: is a gif; allowed: png, jpeg, webp",
        "row 4: the picture of a row is a path or an address, not bytes",
        "row 5: image: there are 0 pictures",
        "row 6: 'style' is not a parameter",
    ):
        assert reason in said
    assert emulator.requests == []
    assert not Path("out").exists()


def test_a_picture_that_is_gone_when_its_row_is_sent_costs_nothing(folder):
    """The rows before and after it are sent, and it can be sent once it is back."""

    def rows():
        yield from [{"prompt": "one", "image": "a.png"}, {"prompt": "two", "image": "b.png"}, {"prompt": "three"}]
        Path("b.png").unlink()

    with Emulator(task_seconds=0) as emulator:
        found = {row["prompt"]: row for row in run(emulator, rows())}
        assert {prompt: row["status"] for prompt, row in found.items()} == {
            "one": "saved",
            "two": "refused",
            "three": "saved",
        }
        assert "nothing was sent" in found["two"]["error"]["message"]
        assert emulator.charges == 2
        Path("b.png").write_bytes(PNG)
        (again,) = run(emulator, None, resend_refused=True)
        assert (again["prompt"], again["status"], emulator.charges) == ("two", "saved", 3)
    assert json.loads(json.dumps(again)) == again
