"""What a picture's file is, and what it says of itself: the reader for what `_metadata` writes, and for others' XMP.

Nothing is changed, and no pixel is decoded. The metadata may be anybody's, so it is bounded: a packet that is too long,
or is no plain XML, is as none.
"""

from __future__ import annotations

import os
import zlib
from typing import Any, BinaryIO, Final
from xml.etree import ElementTree as ET

from attrs import frozen

from ._metadata import EDITED, GENERATED, JPEG_XMP, PNG_XMP, SOURCE_TYPES
from ._picture import Examined, Part, examine

_DC: Final = "{http://purl.org/dc/elements/1.1/}"
_IPTC: Final = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
#: Bytes of a packet that are read.
_MOST: Final = 4 * 1024 * 1024
#: Bytes from the start of a JPEG's APP11 segment, or of a manifest, in which it says that it is one of C2PA.
_CREDENTIALS: Final = 256


@frozen
class Inspected:
    """A picture. ``fault`` says why it is none that is whole; ``digital_source_type`` is the IPTC's
    word for how it was made.

    ``signed`` tells whether content credentials (C2PA) are in it, which are not checked. It is None for kinds in which
    nobody looked, as are the texts then.
    """

    kind: str | None
    size: tuple[int, int] | None
    bytes: int
    fault: str | None
    prompt: str | None = None
    revised_prompt: str | None = None
    model: str | None = None
    task_id: str | None = None
    digital_source_type: str | None = None
    signed: bool | None = None

    @property
    def marked(self) -> bool:
        """Whether it carries the mark of pictures that a model has made or changed."""
        return self.digital_source_type in (GENERATED, EDITED)


def inspected(path: str | os.PathLike[str]) -> Inspected:
    """Look at a file. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:  # noqa: PTH123 - of whatever path
        found = examine(file)
        length = file.seek(0, os.SEEK_END)
        if found.fault is not None or found.kind not in ("png", "jpeg", "webp"):
            return Inspected(found.kind, found.size, length, found.fault)
        packet, signed = _carried(file, found)
    return Inspected(found.kind, found.size, length, None, signed=signed, **_fields(packet))


def _carried(file: BinaryIO, found: Examined) -> tuple[bytes, bool]:
    """Return the XMP packet, empty if there is none, and whether there are content credentials."""
    packet, signed = b"", False
    head = 4 if found.kind == "jpeg" else 8
    for part in found.parts:
        if part.name in (b"caBX", b"C2PA"):
            signed = True
        elif part.name == b"\xeb":
            signed = signed or b"c2pa" in _body(file, part, head, _CREDENTIALS)
        elif part.name == b"iTXt":
            packet = packet or _of_png(_body(file, part, head)[:-4])
        elif part.name == b"\xe1":
            body = _body(file, part, head)
            packet = packet or (body.removeprefix(JPEG_XMP) if body.startswith(JPEG_XMP) else b"")
        elif part.name == b"XMP ":
            packet = packet or _body(file, part, head)
    return packet, signed


def _body(file: BinaryIO, part: Part, head: int, most: int = _MOST) -> bytes:
    file.seek(part.start + head)
    return file.read(min(part.end - part.start - head, most))


def _of_png(body: bytes) -> bytes:
    """Return the packet of a chunk of text, if it is one."""
    keyword, _, rest = body.partition(b"\0")
    if keyword != PNG_XMP or len(rest) < 2:
        return b""
    text = rest[2:].split(b"\0", 2)[-1]
    if not rest[0]:
        return text
    try:
        return zlib.decompressobj().decompress(text, _MOST)
    except zlib.error:
        return b""


def _fields(packet: bytes) -> dict[str, Any]:
    if b"<!DOCTYPE" in packet.upper() or b"<!ENTITY" in packet.upper():  # a packet has none; a bomb has
        return {}
    try:
        root = ET.fromstring(packet.rstrip(b"\0"))  # noqa: S314 - without entities, and bounded
    except (ET.ParseError, ValueError, LookupError):
        return {}
    prompt, revised = _text(root, f"{_DC}description"), _text(root, f"{_IPTC}AIPromptInformation")
    made = _text(root, f"{_IPTC}DigitalSourceType")
    return {
        "prompt": prompt,
        "revised_prompt": revised if revised != prompt else None,
        "model": _text(root, f"{_IPTC}AISystemUsed"),
        "task_id": _text(root, f"{_DC}identifier"),
        "digital_source_type": made.removeprefix(SOURCE_TYPES) if made is not None else None,
    }


def _text(root: ET.Element, name: str) -> str | None:
    """Return a field's text: as an element, an attribute, an address, or the first of several."""
    for node in root.iter():
        if node.tag == f"{_RDF}Description" and name in node.attrib:
            return node.attrib[name] or None
        if node.tag == name:
            inner = node.find(f".//{_RDF}li")
            return (inner if inner is not None else node).text or node.get(f"{_RDF}resource") or None
    return None
