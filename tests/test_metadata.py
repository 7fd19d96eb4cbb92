"""Metadata in pictures: it can be read back, the pixels stay byte for byte, and no picture is ever worse off."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, PngImagePlugin

from lemon_ext import _metadata
from lemon_ext._picture import examine
from tests.pictures import picture

DC = "{http://purl.org/dc/elements/1.1/}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
PROMPT = 'a <white> cat & "dog"\n猫 😀'


def described(data: bytes, **about: Any) -> bytes | None:
    """Return a picture with what is known of it, put together of its pieces. None: it has to stay as it is."""
    with io.BytesIO(data) as file:
        pieces = _metadata.described(file, examine(file), **about)
    if pieces is None:
        return None
    return b"".join(piece if isinstance(piece, bytes) else data[slice(*piece)] for piece in pieces)


def exif(text: str) -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = text
    return found


def fields(data: bytes) -> dict[str, str | None]:
    """Read the XMP packet with Pillow, and its fields with a parser that knows nothing of ours."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        root = ET.fromstring(image.info["xmp"])
    found = {node.tag: node.text for node in root.iter() if node.tag.startswith((DC, IPTC))}
    found[f"{DC}description"] = root.findtext(f".//{DC}description/{RDF}Alt/{RDF}li")
    return found


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.mode, image.size, image.tobytes()


KINDS = {
    "png": picture("PNG"),
    "png with alpha": picture("PNG", "RGBA"),
    "jpeg": picture("JPEG"),
    "progressive jpeg": picture("JPEG", progressive=True, quality=90),
    "jpeg with exif": picture("JPEG", exif=exif("a camera's text"), icc_profile=b"profile" * 99),
    "grey jpeg": picture("JPEG", "L"),
    "lossy webp": picture("WEBP"),
    "lossy webp with alpha": picture("WEBP", "RGBA"),
    "lossless webp": picture("WEBP", lossless=True),
    "lossless webp with alpha": picture("WEBP", "RGBA", lossless=True),
    "webp with exif": picture("WEBP", exif=exif("a camera's text"), icc_profile=b"profile" * 99),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_can_be_read_and_the_pixels_stay(kind: str) -> None:
    after = described(KINDS[kind], prompt=PROMPT, model="midjourney", revised_prompt="a revised cat", task_id="img_1")
    assert after is not None
    assert examine(after)[:3] == examine(KINDS[kind])[:3]
    assert fields(after) == {
        f"{DC}description": PROMPT,
        f"{DC}identifier": "img_1",
        f"{IPTC}AIPromptInformation": "a revised cat",
        f"{IPTC}AISystemUsed": "midjourney",
        f"{IPTC}DigitalSourceType": GENERATED,
    }
    assert pixels(after) == pixels(KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_in_the_file_is_still_in_it(kind: str) -> None:
    after = described(KINDS[kind], prompt=PROMPT)
    assert after is not None
    with Image.open(io.BytesIO(KINDS[kind])) as old, Image.open(io.BytesIO(after)) as new:
        assert new.getexif() == old.getexif()
        for name in ("icc_profile", "jfif", "dpi", "exif"):
            assert new.info.get(name) == old.info.get(name)


def image_data(data: bytes) -> bytes:
    """Return the coded pixels."""
    if data.startswith(b"\x89PNG"):
        return data[data.index(b"IDAT") - 4 :]
    if data.startswith(b"\xff\xd8"):
        return data[data.index(b"\xff\xdb") :]
    at = next(data.index(name) for name in (b"VP8 ", b"VP8L") if name in data)
    return data[at : at + 8 + struct.unpack_from("<I", data, at + 4)[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_encoded_again(kind: str) -> None:
    after = described(KINDS[kind], prompt=PROMPT)
    assert after is not None
    assert image_data(after) == image_data(KINDS[kind])


@pytest.mark.parametrize("kind", ["png", "jpeg", "lossy webp"])
def test_a_second_description_changes_nothing(kind: str) -> None:
    once = described(KINDS[kind], prompt="first")
    assert once is not None
    assert described(once, prompt="second") is None


def test_without_a_revised_prompt_the_prompt_is_what_was_used() -> None:
    after = described(KINDS["png"], prompt="a cat")
    assert after is not None
    assert fields(after) == {
        f"{DC}description": "a cat", f"{IPTC}AIPromptInformation": "a cat", f"{IPTC}DigitalSourceType": GENERATED
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["png", "jpeg", "lossy webp"])
@pytest.mark.parametrize(("edited", "mark"), [(False, GENERATED), (True, EDITED)])
def test_the_mark_is_there_whatever_else_is_known(kind: str, edited: bool, mark: str) -> None:
    after = described(KINDS[kind], edited=edited)
    assert after is not None
    assert fields(after) == {f"{IPTC}DigitalSourceType": mark, f"{DC}description": None}
    assert b"Description\0" not in after


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not on this machine")
def test_exiftool_reads_all_of_it(tmp_path: Path) -> None:
    for number, data in enumerate(KINDS.values()):
        after = described(data, prompt=PROMPT, model="flux-pro", revised_prompt="a revised <cat>", task_id="img_1")
        (tmp_path / f"{number:02d}").write_bytes(after or b"")
    command = ["exiftool", "-json", "-n", "-validate", "-XMP:all", *sorted(map(str, tmp_path.iterdir()))]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(told) == len(KINDS)
    for found in told:
        assert found["DigitalSourceType"] == GENERATED
        assert found["Description"] == PROMPT
        assert (found["AIPromptInformation"], found["AISystemUsed"]) == ("a revised <cat>", "flux-pro")
        assert found["Identifier"] == "img_1"


def test_a_png_has_a_plain_description_too_unless_it_had_one() -> None:
    after = described(KINDS["png"], prompt=PROMPT)
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", "its own")
    info.add_text("Author", "somebody")
    kept = described(picture("PNG", pnginfo=info), prompt=PROMPT)
    assert after is not None
    assert kept is not None
    with Image.open(io.BytesIO(after)) as new, Image.open(io.BytesIO(kept)) as old:
        assert new.info["Description"] == PROMPT
        assert (old.info["Description"], old.info["Author"]) == ("its own", "somebody")
    assert fields(kept)[f"{DC}description"] == PROMPT


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("]]> <?xpacket end='w'?> <!-- &amp;", "]]> <?xpacket end='w'?> <!-- &amp;"),
        ("bell \a nul \0 half \ud83d", "bell \ufffd nul \ufffd half \ufffd"),
        ("قطة \u202e\u2028", "قطة \u202e\u2028"),
        ("{fields}\r\n\tend", "{fields}\r\n\tend"),
        ("x" * 4000, "x" * 4000),
        ("", None),
    ],
)
@pytest.mark.parametrize("kind", ["png", "jpeg", "lossy webp"])
def test_any_prompt_comes_back(kind: str, prompt: str, read: str | None) -> None:
    after = described(KINDS[kind], prompt=prompt)
    assert after is not None
    assert (fields(after)[f"{DC}description"] or None) == read


def with_chunk(png: bytes, name: bytes, body: bytes = b"x") -> bytes:
    at = png.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:at] + chunk + png[at:]


def with_webp_chunk(webp: bytes, name: bytes) -> bytes:
    body = webp[12:] + name + struct.pack("<I", 2) + b"xx"
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


PNG, JPEG, WEBP = KINDS["png"], KINDS["jpeg"], KINDS["lossy webp"]
LEFT = {
    "nothing": b"",
    "text": b"<html>not a picture</html>",
    "gif": picture("GIF", "L"),
    "bmp": picture("BMP"),
    "png, only its signature": PNG[:8],
    "png, cut short": PNG[:-20],
    "png, without its end": PNG[:-12],
    "png, something behind its end": PNG + b"more",
    "png, damaged": PNG[:20] + bytes([PNG[20] ^ 1]) + PNG[21:],
    "png, without pixels": PNG[:33] + PNG[-12:],
    "png, signed": with_chunk(PNG, b"caBX"),
    "png, with XMP": with_chunk(PNG, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
    "png, with XMP as ImageMagick writes it": with_chunk(PNG, b"tEXt", b"Raw profile type xmp\0\nxmp\n 1\n00"),
    "png, an endless chunk": PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:],
    "jpeg, cut short": JPEG[:-2],
    "jpeg, cut in its head": JPEG[:100],
    "jpeg, only its mark": JPEG[:3],
    "jpeg, a segment of length 0": JPEG[:4] + b"\0\0" + JPEG[6:],
    "jpeg, signed": JPEG[:2] + b"\xff\xeb\0\4xx" + JPEG[2:],
    "jpeg, with XMP": picture("JPEG", xmp=b"<x/>"),
    "webp, cut short": WEBP[:-2],
    "webp, only its head": WEBP[:12],
    "webp, wrong size": WEBP + b"more",
    "webp, with XMP": picture("WEBP", xmp=b"<x/>"),
    "webp, signed": with_webp_chunk(WEBP, b"C2PA"),
    "webp, without pixels": b"RIFF\x0e\0\0\0WEBPEXIF\2\0\0\0xx",
    "webp, no start code": WEBP[:23] + b"\0\0\0" + WEBP[26:],
    "lossless webp, no signature": KINDS["lossless webp"][:20] + b"\0" + KINDS["lossless webp"][21:],
}


@pytest.mark.parametrize("what", LEFT)
def test_what_is_odd_or_signed_stays_as_it_is(what: str) -> None:
    assert described(LEFT[what], prompt="a cat", model="midjourney") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_never_an_error(kind: str) -> None:
    whole = KINDS[kind]
    for length in range(0, len(whole), 7):
        assert described(whole[:length], prompt="a cat") is None


@pytest.mark.parametrize(("data", "kept"), [(JPEG, None), (PNG, "x" * 65_000), (WEBP, "x" * 65_000)])
def test_text_too_long_for_a_jpeg_is_left_out_and_the_mark_stays(data: bytes, kept: str | None) -> None:
    after = described(data, prompt="x" * 65_000, model="midjourney")
    assert after is not None
    found = fields(after)
    assert (found[f"{DC}description"], found[f"{IPTC}AISystemUsed"]) == (kept, "midjourney")
    assert found[f"{IPTC}DigitalSourceType"] == GENERATED


def test_a_task_whose_prompt_is_not_known_is_described_by_the_revised_one() -> None:
    after = described(KINDS["png"], revised_prompt="a revised cat", model="midjourney")
    assert after is not None
    assert f"{IPTC}AIPromptInformation" in fields(after)
    assert fields(after)[f"{DC}description"] is None


def test_a_webp_file_that_lacks_its_last_byte_of_padding_gets_it() -> None:
    body = WEBP[12:] + b"EXIF" + struct.pack("<I", 3) + b"xxx"
    after = described(b"RIFF" + struct.pack("<I", len(body) + 5) + b"WEBP" + body, prompt="a cat")
    assert after is not None
    assert examine(after).rest == 0
    assert fields(after)[f"{DC}description"] == "a cat"
