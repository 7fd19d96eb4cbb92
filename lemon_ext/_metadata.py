"""The prompt and the model, written into a picture: so that it still says what it is when it has left its folder.

An XMP packet is spliced into PNG, JPEG and WebP files; the coded pixels stay as they are, byte for byte. The fields
are standard ones: ``dc:description`` (the prompt), ``Iptc4xmpExt:AIPromptInformation`` (the prompt that was really
used), ``Iptc4xmpExt:AISystemUsed`` (the model) and ``dc:identifier`` (the task). A PNG gets a ``Description`` too.

A picture is worth more than its metadata. One of another kind, one that looks damaged, and one that holds an XMP packet
or signed content credentials (C2PA; a changed file no longer fits its signature) stays as it is.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

__all__ = ("describe", "described")

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_XMP: Final = b"XML:com.adobe.xmp"
_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_LONGEST_SEGMENT: Final = 65533
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10

_PACKET: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" \
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
{fields}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def describe(
    path: Path, *, prompt: str, model: str | None = None, revised_prompt: str | None = None, task_id: str | None = None
) -> bool:
    """Write what is known of a picture into its file, in place. False if the file stays as it was.

    Raises OSError if the file cannot be read, or if it could not be made what it was before.
    """
    picture = path.read_bytes()
    changed = described(picture, prompt=prompt, model=model, revised_prompt=revised_prompt, task_id=task_id)
    if changed is None:
        return False
    # In place: the file may be open and locked by its owner, which a new file under the same name would not be.
    with path.open("r+b", buffering=0) as file:
        try:
            _overwrite(file.fileno(), changed)
        except OSError:  # no space left, most likely; for what was there before there is some
            _overwrite(file.fileno(), picture)
            file.truncate(len(picture))
            return False
    return True


def described(
    picture: bytes,
    *,
    prompt: str,
    model: str | None = None,
    revised_prompt: str | None = None,
    task_id: str | None = None,
) -> bytes | None:
    """Return a picture with what is known of it written into it, or None if it has to stay as it is."""
    packet = _packet(prompt, model, revised_prompt, task_id)
    for magic, splice in _SPLICERS.items():
        if re.match(magic, picture, re.DOTALL):
            try:
                return splice(picture, packet, _clean(prompt))
            except (_LeaveError, struct.error, IndexError):
                return None
    return None


class _LeaveError(Exception):
    """The picture is damaged, or of a kind that must not be changed."""


def _need(condition: bool) -> None:
    if not condition:
        raise _LeaveError


def _packet(prompt: str, model: str | None, revised_prompt: str | None, task_id: str | None) -> bytes:
    fields = [
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{_xml(prompt)}</rdf:li></rdf:Alt></dc:description>',
        f"<Iptc4xmpExt:AIPromptInformation>{_xml(revised_prompt or prompt)}</Iptc4xmpExt:AIPromptInformation>",
    ]
    if model:
        fields.append(f"<Iptc4xmpExt:AISystemUsed>{_xml(model)}</Iptc4xmpExt:AISystemUsed>")
    if task_id:
        fields.append(f"<dc:identifier>{_xml(task_id)}</dc:identifier>")
    return _PACKET.replace("{fields}", "\n".join(fields)).encode()


def _xml(text: str) -> str:
    # A bare carriage return would come back as a line feed.
    return escape(_clean(text), {"\r": "&#13;"})


def _clean(text: str) -> str:
    """Leave out what XML cannot hold: control characters and halves of characters."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _png(picture: bytes, packet: bytes, prompt: str) -> bytes:
    at = len(_PNG)
    first_data = 0
    names, texts = [], set()
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        name, end = picture[at + 4 : at + 8], at + 12 + length
        _need(
            end <= len(picture) and struct.pack(">I", zlib.crc32(picture[at + 4 : end - 4])) == picture[end - 4 : end]
        )
        if name in (b"tEXt", b"zTXt", b"iTXt"):
            texts.add(picture[at + 8 : end].partition(b"\0")[0])
        if name == b"IDAT":
            first_data = first_data or at
        names.append(name)
        at = end
    _need(names[0] == b"IHDR" and names[-1] == b"IEND" and names.count(b"IEND") == 1 and first_data > 0)
    _need(b"caBX" not in names and _PNG_XMP not in texts)
    added = _itxt(_PNG_XMP, packet)
    if b"Description" not in texts:
        added = _itxt(b"Description", prompt.encode()) + added
    # Before the pixels: some programs read no further.
    return picture[:first_data] + added + picture[first_data:]


def _itxt(keyword: bytes, text: bytes) -> bytes:
    body = b"iTXt" + keyword + b"\0\0\0\0\0" + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _jpeg(picture: bytes, packet: bytes, prompt: str) -> bytes:
    body = _JPEG_XMP + packet
    _need(len(body) <= _LONGEST_SEGMENT)
    segments = list(_segments(picture))
    for marker, start, _ in segments:
        # 0xEB is where signed credentials (JUMBF) are kept.
        _need(marker != 0xEB and not picture.startswith(_JPEG_XMP, start + 4))
    _need(picture.rfind(b"\xff\xd9") > segments[-1][2])
    # Behind the JFIF and EXIF segments, which have to come first.
    at = next(start for marker, start, _ in dropwhile(lambda segment: segment[0] in (0xE0, 0xE1), segments))
    return picture[:at] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + picture[at:]


def _segments(picture: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the segments, up to the one after which the pixels begin."""
    at, marker = 2, 0
    while marker != 0xDA:
        _need(picture[at] == 0xFF and 0xC0 <= picture[at + 1] < 0xFF)
        marker = picture[at + 1]
        (length,) = struct.unpack_from(">H", picture, at + 2)
        end = at + 2 + length
        _need(length >= 2 and end < len(picture))
        yield marker, at, end
        at = end


def _webp(picture: bytes, packet: bytes, prompt: str) -> bytes:
    (size,) = struct.unpack_from("<I", picture, 4)
    _need(size + 8 == len(picture))
    chunks: dict[bytes, tuple[int, int]] = {}
    at = 12
    while at < len(picture):
        name, (length,) = picture[at : at + 4], struct.unpack_from("<I", picture, at + 4)
        chunks.setdefault(name, (at + 8, length))
        at += 8 + length + length % 2
    _need(at == len(picture) and b"XMP " not in chunks and b"C2PA" not in chunks)
    if b"VP8X" in chunks:
        flags = chunks[b"VP8X"][0]
        _need(flags == 20)
        body = picture[12:flags] + bytes([picture[flags] | _XMP_FLAG]) + picture[flags + 1 :]
    else:
        body = _vp8x(picture, chunks) + picture[12:]
    body += b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _vp8x(picture: bytes, chunks: dict[bytes, tuple[int, int]]) -> bytes:
    """Return the header that a plain WebP file lacks, and that has to announce metadata."""
    flags = _XMP_FLAG
    if b"VP8L" in chunks:
        at, _ = chunks[b"VP8L"]
        (bits,) = struct.unpack_from("<I", picture, at + 1)
        _need(picture[at] == 0x2F)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _ALPHA_FLAG if bits >> 28 & 1 else 0
    else:
        _need(b"VP8 " in chunks)
        at, _ = chunks[b"VP8 "]
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", picture, at + 6))
        _need(picture[at + 3 : at + 6] == b"\x9d\x01\x2a" and width > 0 and height > 0)
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X" + struct.pack("<IB3x", 10, flags) + canvas


_SPLICERS: Final[dict[bytes, Callable[[bytes, bytes, str], bytes]]] = {
    re.escape(_PNG): _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF.{4}WEBP": _webp,
}


def _overwrite(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
