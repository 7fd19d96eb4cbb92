"""What a picture is, written into it: so that it still says so when it has left its folder.

An XMP packet is spliced into PNG, JPEG and WebP files; the coded pixels stay as they are, byte for byte. The fields
are standard ones: ``Iptc4xmpExt:DigitalSourceType`` (the machine-readable mark of generated pictures),
``dc:description`` (the prompt), ``Iptc4xmpExt:AIPromptInformation`` (the prompt that was really used),
``Iptc4xmpExt:AISystemUsed`` (the model) and ``dc:identifier`` (the task). A PNG gets a ``Description`` too.

A picture is worth more than its metadata. One of another kind, one that is not whole, and one that holds an XMP packet
or signed content credentials (C2PA; a changed file no longer fits its signature) stays as it is.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import dropwhile
from types import MappingProxyType
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

from ._picture import Examined, Part, Pieces

PNG_XMP: Final = b"XML:com.adobe.xmp"
#: Where ImageMagick keeps a packet.
PNG_RAW_XMP: Final = b"Raw profile type xmp"
JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST_SEGMENT: Final = 65533
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10
#: The IPTC's words for pictures of a model, and for pictures in which a model has changed something.
SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED: Final = "trainedAlgorithmicMedia"
EDITED: Final = "compositeWithTrainedAlgorithmicMedia"

_PACKET: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" \
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
{fields}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
_DEFAULT: Final = '<rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt>'


def described(
    file: BinaryIO,
    found: Examined,
    *,
    prompt: str | None = None,
    model: str | None = None,
    revised_prompt: str | None = None,
    task_id: str | None = None,
    edited: bool = False,
) -> Pieces | None:
    """Return what a picture's file is made of with what is known of it, or None if it has to stay as it is.

    ``edited``: it is a given picture that was changed.
    """
    splice = _SPLICERS.get(found.kind or "")
    if splice is None or found.fault is not None:
        return None
    mark = {
        "Iptc4xmpExt:DigitalSourceType": f"{SOURCE_TYPES}{EDITED if edited else GENERATED}",
        "Iptc4xmpExt:AISystemUsed": _xml(model or ""),
        "dc:identifier": _xml(task_id or ""),
    }
    prompts = {
        "dc:description": _DEFAULT.format(_xml(prompt)) if prompt else "",
        "Iptc4xmpExt:AIPromptInformation": _xml(revised_prompt or prompt or ""),
    }
    # Where there is no room for the prompts, the mark goes in alone.
    packets = [_packet({**mark, **prompts}), _packet(mark)]
    return splice(file, found, packets, _clean(prompt or ""))


def _packet(fields: Mapping[str, str]) -> bytes:
    lines = [f"<{name}>{text}</{name}>" for name, text in fields.items() if text]
    return _PACKET.replace("{fields}", "\n".join(lines)).encode()


def _xml(text: str) -> str:
    # A bare carriage return would come back as a line feed.
    return escape(_clean(text), {"\r": "&#13;"})


def _clean(text: str) -> str:
    """Leave out what XML cannot hold: control characters and halves of characters."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _png(file: BinaryIO, found: Examined, packets: Sequence[bytes], prompt: str) -> Pieces | None:
    texts = {_read(file, part).partition(b"\0")[0] for part in found.parts if part.name in (b"tEXt", b"zTXt", b"iTXt")}
    if found.rest or texts & {PNG_XMP, PNG_RAW_XMP} or any(part.name == b"caBX" for part in found.parts):
        return None
    added = _itxt(PNG_XMP, packets[0])
    if prompt and b"Description" not in texts:
        added = _itxt(b"Description", prompt.encode()) + added
    # Before the pixels: some programs read no further.
    at = next(part.start for part in found.parts if part.name == b"IDAT")
    return [(0, at), added, (at, found.end)]


def _itxt(keyword: bytes, text: bytes) -> bytes:
    body = b"iTXt" + keyword + b"\0\0\0\0\0" + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _jpeg(file: BinaryIO, found: Examined, packets: Sequence[bytes], prompt: str) -> Pieces | None:
    # 0xEB is where signed credentials (JUMBF) are kept.
    signed = any(part.name == b"\xeb" or _read(file, part, 4).startswith(JPEG_XMP) for part in found.parts)
    body = next((body for packet in packets if len(body := JPEG_XMP + packet) <= _LONGEST_SEGMENT), None)
    if signed or body is None:
        return None
    # Behind the JFIF and EXIF segments, which have to come first.
    at = next(part.start for part in dropwhile(lambda part: part.name in (b"\xe0", b"\xe1"), found.parts))
    return [(0, at), b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body, (at, found.end + found.rest)]


def _webp(file: BinaryIO, found: Examined, packets: Sequence[bytes], prompt: str) -> Pieces | None:
    packet = packets[0]
    names = [part.name for part in found.parts]
    if found.rest or found.size is None or b"XMP " in names or b"C2PA" in names:
        return None
    body: Pieces
    if names[0] == b"VP8X":
        flags = _read(file, found.parts[0])[0]
        body = [(12, 20), bytes([flags | _XMP_FLAG]), (21, found.end)]
    elif b"VP8X" in names:
        return None
    else:
        flags = _XMP_FLAG
        if b"VP8L" in names and _read(file, found.parts[names.index(b"VP8L")])[4] & 0x10:
            flags |= _ALPHA_FLAG
        canvas = b"".join(struct.pack("<I", side - 1)[:3] for side in found.size)
        # The header that a plain file lacks, and that has to announce metadata.
        body = [b"VP8X" + struct.pack("<IB3x", 10, flags) + canvas, (12, found.end)]
    body += [b"\0" * (found.end % 2), b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)]
    length = 4 + sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in body)
    return [b"RIFF" + struct.pack("<I", length) + b"WEBP", *body]


def _read(file: BinaryIO, part: Part, head: int = 8) -> bytes:
    """Return how the body of a part begins."""
    file.seek(part.start + head)
    return file.read(min(part.end - part.start - head, 80))


_SPLICERS: Final[Mapping[str, Callable[[BinaryIO, Examined, Sequence[bytes], str], Pieces | None]]] = MappingProxyType(
    {"png": _png, "jpeg": _jpeg, "webp": _webp}
)
