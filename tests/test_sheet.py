"""The contact sheet of a batch: every picture in its frame, under its caption; nothing is replaced, nothing ends it."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import PIL.Image
import pytest

from lemon_ext import ConfigurationError, _font
from lemon_ext._font import lettered, wrapped
from lemon_ext.batch import sheet as sheets
from lemon_ext.batch.sheet import GAP, LINE, LINES, write_sheet
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.gateway import Gateway
from tests.test_batch import go

HIGH = LINES * LINE + GAP


@pytest.fixture
def batch(tmp_path):
    """A batch of five pictures in four rows: a wide red one, a tall blue one, a broken one, and two of one row."""
    folder, gateway = tmp_path / "out", Gateway()
    rows = [
        {"prompt": "a wide one", "id": "W"},
        {"prompt": "키가 큰 고양이", "id": "T"},
        {"prompt": "broken " * 40, "id": "B"},
        {"prompt": "two", "n": 2, "id": "N"},
    ]
    go(gateway, [{"model": "dall-e-3", **row} for row in rows], folder)
    names = [path for line in (folder / "results.jsonl").read_text().splitlines() for path in json.loads(line)["paths"]]
    PIL.Image.new("RGB", (400, 100), "red").save(folder / names[0])
    PIL.Image.new("RGB", (100, 400), "blue").save(folder / names[1])
    (folder / names[2]).write_bytes(b"<svg/>")
    PIL.Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(folder / names[3])
    (folder / names[4]).unlink()
    return folder


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "JPEG"])
def test_every_picture_has_a_frame_and_a_caption(batch, suffix):
    (path,) = write_sheet(batch, batch / f"sheet.{suffix}", size=100, columns=3)
    with PIL.Image.open(path) as opened:
        found = opened.convert("RGB")
    assert found.size == (3 * (100 + GAP) + GAP, 2 * (100 + HIGH) + GAP)

    def middle(column, row):
        return found.getpixel((GAP + column * (100 + GAP) + 50, GAP + row * (100 + HIGH) + 50))

    assert middle(0, 0)[0] > 200 > 60 > middle(0, 0)[2]
    assert middle(1, 0)[2] > 200 > 60 > middle(1, 0)[0]
    assert all(min(middle(*place)) > 240 for place in ((2, 0), (0, 1), (1, 1)))  # on white
    # The wide one leaves room above it, and has its caption below the frame.
    assert min(found.getpixel((GAP + 50, GAP + 10))) > 240
    caption = found.crop((GAP, GAP + 100, GAP + 100, GAP + 100 + LINE))
    assert min(low for low, _ in caption.getextrema()) < 120


def test_a_long_batch_makes_several_sheets(batch, monkeypatch):
    monkeypatch.setattr(sheets, "TALLEST", GAP + 2 * (100 + HIGH))
    paths = write_sheet(batch, size=100, columns=1)
    assert [path.name for path in paths] == ["sheet.jpg", "sheet-2.jpg", "sheet-3.jpg"]
    heights = []
    for path in paths:
        with PIL.Image.open(path) as found:
            heights.append((found.height - GAP) // (100 + HIGH))
    assert heights == [2, 2, 1]
    paths[0].unlink()
    with pytest.raises(FileExistsError, match=r"sheet-2\.jpg exists"):
        write_sheet(batch, size=100, columns=1)
    assert not paths[0].exists()
    assert write_sheet(batch, size=100, columns=1, overwrite=True) == paths


@pytest.mark.parametrize(
    ("text", "fitting", "lines"),
    [
        ("W  a wide one", 40, ["W a wide one"]),
        ("1  a very long prompt that goes on", 12, ["1 a very", "long prompt…"]),
        ("1  a very long prompt", 12, ["1 a very", "long prompt"]),
        ("x" * 15, 10, ["x" * 10, "x" * 5]),
        ("x" * 30, 10, ["x" * 10, "x" * 9 + "…"]),
        ("", 10, []),
    ],
)
def test_captions_are_cut_where_they_end(text, fitting, lines):
    font = SimpleNamespace(getlength=len)
    assert wrapped(text, font, fitting, 2) == lines


def test_what_makes_no_sense_is_said(batch, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"is a file like sheet\.jpg"):
        write_sheet(batch, "sheet.pdf")
    with pytest.raises(ValueError, match="16 to 2048"):
        write_sheet(batch, size=4)
    go(Gateway(), [{"prompt": "a"}], tmp_path / "none", max_images=0)
    with pytest.raises(ValueError, match="There are no pictures in"):
        write_sheet(tmp_path / "none")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'lemon-ext\[images\]'"):
        write_sheet(batch)


def test_the_command_prints_where_it_is(emulator):
    Path("rows.txt").write_text("a cat\na dog\n")
    lemon("batch", "rows.txt", "-o", "out", "-m", "dall-e-2")
    assert lemon("sheet", "out", "-o", "both.png").stdout == "both.png\n"
    again = lemon("sheet", "out", "-o", "both.png")
    assert (again.exit_code, "both.png exists" in again.stderr) == (2, True)
    assert lemon("sheet", "out", "-o", "both.png", "--overwrite").exit_code == 0
    assert lemon("sheet", "out", "-o", "both.gif").exit_code == 2
    assert lemon("sheet", "nowhere").exit_code == 2


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("MÖ-00001 weiße Schüssel", "MO-00001 weisse Schussel"),
        ("plain text, 100 %", "plain text, 100 %"),
        ("Čapek 日本", "Capek 日本"),  # what has no plain form stays what it is
    ],
)
def test_letters_that_no_font_has_lose_their_accents(text, drawn, monkeypatch):
    """Bug: umlauts, which Pillow's own font lacks, were boxes: below the pictures of a sheet and in the emulator's."""
    monkeypatch.setattr(_font, "_fonts", lambda: (None,))
    assert lettered(text, 14)[0] == drawn


def test_a_font_of_the_system_is_taken_for_the_letters_that_pillows_own_lacks(monkeypatch):
    lacking = {None: "äöü日", "cjk": "äöü", "latin": "日"}
    monkeypatch.setattr(_font, "_fonts", lambda: tuple(lacking))
    monkeypatch.setattr(_font, "_lacks", lambda name, letter: letter in lacking[name])
    monkeypatch.setattr(_font, "_loaded", lambda name, size: (name, size))
    assert [lettered(text, 14) for text in ("Stuhl", "Stühle", "椅子日")] == [
        ("Stuhl", (None, 14)),
        ("Stühle", ("latin", 14)),
        ("椅子日", ("cjk", 14)),
    ]
