"""What a picture's bytes say: told from Pillow's own files, and from those files cut, glued and garbled."""

from __future__ import annotations

import random
import struct
from io import BytesIO

import pytest

from lemon_ext._picture import examine, is_text, kind_of
from tests.pictures import GIF, JPEG, PNG, SIZE, SVG, WEBP, picture

THUMBNAIL = picture("JPEG", "L")
WHOLE = {
    "png": ("png", PNG),
    "png in motion": ("png", picture("PNG", "L", 3)),
    "jpeg": ("jpeg", JPEG),
    "progressive jpeg": ("jpeg", picture("JPEG", progressive=True)),
    "jpeg with restarts": ("jpeg", picture("JPEG", restart_marker_blocks=1)),
    "jpeg with a thumbnail, which has an end mark too": (
        "jpeg", JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(THUMBNAIL) + 2) + THUMBNAIL + JPEG[2:],
    ),
    "webp": ("webp", WEBP),
    "lossless webp": ("webp", picture("WEBP", "RGBA", lossless=True)),
    "webp in motion": ("webp", picture("WEBP", "RGB", 3)),
    "gif": ("gif", GIF),
    "gif in motion": ("gif", picture("GIF", "L", 3)),
    "avif": ("avif", picture("AVIF")),
    "avif in motion": ("avif", picture("AVIF", "RGB", 3)),
    "bmp": ("bmp", picture("BMP")),
    "bmp in 256 colours": ("bmp", picture("BMP", "L")),
    "svg": ("svg", SVG),
}  # fmt: skip


@pytest.mark.parametrize("what", WHOLE)
def test_a_whole_picture_is_known_with_its_size_whatever_follows_and_no_part_of_it_is_whole(what):
    kind, data = WHOLE[what]
    for behind in (b"", b"\0" * 40, b"<!-- more -->" * 9, b"\xff\xd9 \0\0\0\1more", data):
        found = examine(data + behind)
        assert (found.kind, found.fault, found.size) == (kind, None, SIZE)
        assert (found.end, found.rest) == (len(data), len(behind)) or kind in ("svg", "avif")
        with BytesIO(data + behind) as file:
            assert examine(file) == found
    for length in range(len(data)):
        found = examine(data[:length])
        assert found.fault is not None, f"the first {length} of {len(data)} bytes"
        assert found.size is None


@pytest.mark.parametrize(
    ("data", "kind", "fault"),
    [
        (PNG[:-12], "png", "it ends before its IEND"),
        (PNG[:33] + PNG[-12:], "png", "it holds no pixels"),
        (PNG[:8] + PNG[33:], "png", "it does not begin with IHDR"),
        (PNG[:20] + bytes([PNG[20] ^ 1]) + PNG[21:], "png", "the checksum of a part is wrong"),
        (PNG[:90] + PNG[150:], "png", "it ends before its IEND"),
        (JPEG[:-2], "jpeg", "it ends before its end mark (EOI)"),
        (b"\xff\xd8\xff\xd9" + b"x" * 20, "jpeg", "it holds no pixels"),
        (JPEG[:4] + b"\0\0" + JPEG[6:], "jpeg", "a part of it is damaged"),
        (WEBP[:-2], "webp", "it is shorter than it says"),
        (b"RIFF\x0e\0\0\0WEBPEXIF\2\0\0\0xx", "webp", "it holds no pixels"),
        (WEBP[:23] + b"\0\0\0" + WEBP[26:], "webp", "its pixels are damaged"),
        (GIF[:-1], "gif", "it ends too soon"),
        (GIF[:-1] + b"x;", "gif", "a part of it is damaged"),
        (SVG[:-6], "svg", "it ends before its </svg>"),
        (b"<svg><a></b></svg>", "svg", "it cannot be read as XML"),
        (b"<!doctype html><title>Sorry</title>", None, "it is text, not a picture"),
        (b'{"error": {"message": "no"}}', None, "it is text, not a picture"),
        ("하얀 고양이를 그릴 수 없습니다".encode("euc-kr"), None, "it is text, not a picture"),
        ("<html>no</html>".encode("utf-16"), None, "it is text, not a picture"),
        (b"BMW is what this text begins with", None, "it is text, not a picture"),
        (b"iVBORw0KGgoAAAANSUhEUgAAACUAAAAXCAIAAA", None, "it is text, not a picture"),
        (b"", None, "it is too short to be a picture"),
        (b"\x89PNG\r\n", None, "it is too short to be a picture"),
        (b"II*\0\x08\0\0\0" + bytes(40), None, None),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), None, None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_of_a_kind_that_is_not_known_nothing(data, kind, fault):
    assert examine(data)[:2] == (kind, fault)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff\xdb", "jpeg"), (b"RIFF1234WEBP", "webp"), (b"GIF89a", "gif"),
        (b"\0\0\0\x1cftypavif", "avif"), (b"\0\0\0\x1cftypmif1\0\0\0\0miafavif", "avif"), (b"<svg xmlns", "svg"),
        (b"hello", None), (b"", None), (b'<?xml version="1.0"?><svg xmlns="x"/>', "svg"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a > b -->\n<!DOCTYPE svg PUBLIC "x" "y">\n<svg>', "svg"),
        (b"<!--" + b"a long licence " * 200 + b"--><svg>", "svg"), (b'<?xml version="1.0"?><html><svg>', None),
        (b"<!doctype html><svg>", None), (b"<!----> " * 1000, None),
    ],
)  # fmt: skip
def test_a_kind_is_told_by_the_first_bytes(head, kind):
    assert kind_of(head) == kind


def test_no_bytes_are_an_error_and_what_is_built_of_nothing_but_parts_ends():
    dice = random.Random(5)
    for kind, data in WHOLE.values():
        for _ in range(60):
            garbled = bytearray(data)
            for _ in range(dice.randrange(1, 6)):
                garbled[dice.randrange(len(data))] = dice.randrange(256)
            assert examine(bytes(garbled)).kind in (kind, None, *{k for k, _ in WHOLE.values()})
    empty_parts = b"\0\0\0\0teXt" + struct.pack(">I", 0x8F2B8F0C)
    assert examine(PNG[:33] + empty_parts * 10).fault is not None
    assert examine(b"\xff\xd8" + b"\xff\x01" * 300_000).fault == "it has too many parts"
    for block in (b"\x21\xf9\0", b"\x21\xf9" + b"\1\0" * 9 + b"\0"):
        assert examine(b"GIF89a\1\0\1\0\0\0\0" + block * 300_000).fault == "it has too many parts"


def test_text_has_no_control_characters():
    assert is_text("tabs\tand lines\r\n, \x1b[1mcolours\x1b[0m, 고양이".encode())
    assert not is_text(PNG)
