"""What a picture's bytes say: its kind, its size in pixels, and whether it is whole.

PNG, JPEG, WebP, GIF, AVIF, BMP and SVG are walked from the first byte to the end they declare. No pixel is decoded, and
only small pieces are in memory. Bytes behind that end are no fault. Of another kind nothing is claimed, unless it is
plain text: an error page or message in the place of a picture.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

#: Bytes from which a kind is told. An SVG may begin with a long comment.
HEAD: Final = 64 * 1024
SUFFIXES: Final = MappingProxyType({
    "png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif", "avif": ".avif", "bmp": ".bmp", "svg": ".svg",
})  # fmt: skip
_BLOCK: Final = 64 * 1024
#: No picture needs more; a file of empty parts would take minutes.
_MOST_PARTS: Final = 200_000
#: No picture of any kind is shorter.
_SHORTEST: Final = 18

_MAGIC: Final = MappingProxyType({
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
    # The brand, or one of those it is compatible with.
    "avif": re.compile(rb".{4}ftyp(?:avi[fs]|.{4}.{4}(?:.{4}){0,16}?avi[fs])", re.DOTALL),
    # Two letters are too few: the size of the second header tells it from a text.
    "bmp": re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "svg": re.compile(
        rb"(?:\xef\xbb\xbf)?(?>\s+|<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*(?:\[.*?\]\s*)?>)*+<svg\b", re.DOTALL
    ),
})  # fmt: skip
#: Bytes that text does not hold.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


#: What a changed file is made of: new bytes, and from where to where they are those of the old one.
Pieces: TypeAlias = list[bytes | tuple[int, int]]


class Part(NamedTuple):
    """A chunk or a segment: its name, and where it starts and ends with all that belongs to it."""

    name: bytes
    start: int
    end: int


class Examined(NamedTuple):
    """What was found. ``fault`` says why this is no whole picture; None: it is one, or of a kind that is not known."""

    kind: str | None
    fault: str | None = None
    size: tuple[int, int] | None = None
    #: Where the picture ends, how many bytes follow, and its parts: of a JPEG, those before the pixels.
    end: int = 0
    rest: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def suffix(self) -> str | None:
        """The suffix of a file of this kind."""
        return None if self.kind is None else SUFFIXES[self.kind]


def kind_of(head: bytes) -> str | None:
    """Return the kind of a picture that begins with these bytes, or None if it is not known."""
    return next((kind for kind, magic in _MAGIC.items() if magic.match(head)), None)


def is_text(head: bytes) -> bool:
    """Tell whether what begins with these bytes is text."""
    return head[:2] in _BYTE_ORDER_MARKS or not _BINARY.search(head[:1024])


def examine(file: BinaryIO | bytes) -> Examined:
    """Look at a picture. A file is read from its beginning, and has to be buffered."""
    reader = _Reader(BytesIO(file) if isinstance(file, bytes) else file)
    head = reader.head
    kind = kind_of(head)
    if kind is None:
        if reader.length < _SHORTEST:
            return Examined(None, "it is too short to be a picture")
        return Examined(None, "it is text, not a picture" if is_text(head) else None)
    try:
        size, parts = _WALKS[kind](reader)
    except (_FaultError, struct.error, IndexError) as exc:
        return Examined(kind, str(exc) if isinstance(exc, _FaultError) else _SHORT)
    return Examined(kind, None, size, reader.at, reader.length - reader.at, tuple(parts))


_SHORT: Final = "it ends too soon"
_Found: TypeAlias = tuple[tuple[int, int] | None, list[Part]]


class _FaultError(Exception):
    """This is no whole picture, and why."""


def _need(condition: object, why: str = _SHORT) -> None:
    if not condition:
        raise _FaultError(why)


class _Reader:
    """Reads forward through a file and knows how long it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.length = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.head = file.read(HEAD)
        self.go(0)

    def go(self, at: int) -> None:
        """Go to a place, which has to be there."""
        _need(at <= self.length)
        self.at = self._file.seek(at)

    def skip(self, count: int) -> None:
        """Pass over some bytes."""
        if count < _BLOCK:  # within what is buffered, reading is cheaper than seeking
            self.take(count)
        else:
            self.go(self.at + count)

    def take(self, count: int) -> bytes:
        """Read some bytes, which have to be there."""
        data = self._file.read(count)
        self.at += len(data)
        _need(len(data) == count)
        return data

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """Read some numbers."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def crc(self, count: int, start: bytes) -> int:
        """Return the checksum of some bytes behind ``start``, and pass over them."""
        crc = zlib.crc32(start)
        while count:
            data = self.take(min(count, _BLOCK))
            crc, count = zlib.crc32(data, crc), count - len(data)
        return crc

    def find(self, pattern: re.Pattern[bytes], why: str) -> tuple[int, bytes]:
        """Go behind the next match of a pattern, two bytes long or more; return where it starts, and the match."""
        held = b""
        for count in chain((64,), repeat(_BLOCK)):
            data = self._file.read(count)
            _need(data, why)
            data, start = held + data, self.at - len(held)
            self.at = start + len(data)
            if found := pattern.search(data):
                self.go(start + found.end())
                return start + found.start(), found[0]
            held = data[-1:]
        raise AssertionError


def _png(reader: _Reader) -> _Found:
    reader.go(8)
    parts: list[Part] = []
    size = None
    for _ in range(_MOST_PARTS):
        start = reader.at
        length, name = reader.unpack(">I4s")
        _need(reader.at + length + 4 <= reader.length, "it ends before its IEND")
        if not parts:
            _need((name, length) == (b"IHDR", 13), "it does not begin with IHDR")
            size = struct.unpack_from(">II", reader.head, 16)
        if name == b"IDAT":  # the pixels have a checksum of their own, and are much
            reader.go(reader.at + length + 4)
        else:
            crc = reader.crc(length, name)
            _need(reader.unpack(">I") == (crc,), "the checksum of a part is wrong")
        if not parts or name != b"IDAT" or parts[-1].name != name:
            parts.append(Part(name, start, reader.at))
        if name == b"IEND":
            _need(any(part.name == b"IDAT" for part in parts), "it holds no pixels")
            return size, parts
        _need(reader.at < reader.length, "it ends before its IEND")
    raise _FaultError("it has too many parts")


#: Not a marker: a byte 0xFF of the pixels (with 00 behind it) and what separates them (D0 to D7).
_MARKER: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")


def _jpeg(reader: _Reader) -> _Found:
    reader.go(2)
    parts: list[Part] = []
    size, pixels = None, False
    for _ in range(_MOST_PARTS):
        start, found = reader.find(_MARKER, "it ends before its end mark (EOI)")
        marker = found[-1]
        if marker == 0xD9:
            _need(size and pixels, "it holds no pixels")
            return size, parts
        if marker in (0x01, 0xD8):
            continue
        (length,) = reader.unpack(">H")
        _need(length >= 2, "a part of it is damaged")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _, height, width = reader.unpack(">BHH")
            size, length = (width, height), length - 5
        _need(reader.at + length - 2 <= reader.length)
        reader.go(reader.at + length - 2)
        if not pixels:
            parts.append(Part(bytes([marker]), start, reader.at))
        pixels = pixels or marker == 0xDA
    raise _FaultError("it has too many parts")


def _webp(reader: _Reader) -> _Found:
    (length,) = struct.unpack_from("<I", reader.head, 4)
    # Some leave out the byte that fills the last chunk up.
    end = min(length + 8, reader.length)
    _need(length + 8 <= reader.length + 1, "it is shorter than it says")
    reader.go(12)
    parts: list[Part] = []
    size, pixels = None, False
    while reader.at + 8 <= end:
        _need(len(parts) < _MOST_PARTS, "it has too many parts")
        start = reader.at
        name, count = reader.unpack("<4sI")
        _need(reader.at + count <= end, "it is shorter than it says")
        if name in (b"VP8X", b"VP8L", b"VP8 "):
            size = size or _webp_size(name, reader.take(min(count, 10)))
        pixels = pixels or name in (b"VP8L", b"VP8 ", b"ANMF")
        reader.go(min(start + 8 + count + count % 2, end))
        parts.append(Part(name, start, reader.at))
    _need(pixels, "it holds no pixels")
    return size, parts


def _webp_size(name: bytes, head: bytes) -> tuple[int, int]:
    if name == b"VP8X":
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 1)
        _need(head[0] == 0x2F, "its pixels are damaged")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 6)
    _need(head[3:6] == b"\x9d\x01\x2a", "its pixels are damaged")
    return width & 0x3FFF, height & 0x3FFF


def _gif(reader: _Reader) -> _Found:
    reader.go(6)
    width, height, flags = reader.unpack("<HHBxx")
    reader.skip(_colours(flags))
    frames = 0
    left = _MOST_PARTS + reader.length // 128  # a block holds up to 255 bytes
    while (block := reader.take(1)) != b"\x3b":
        if block == b"\x21":
            reader.skip(1)
        elif block == b"\x2c":
            _, flags = reader.unpack("<QB")
            reader.skip(_colours(flags) + 1)
            frames += 1
        else:
            raise _FaultError("a part of it is damaged")
        length = 1
        while length:
            left -= 1
            _need(left, "it has too many parts")
            (length,) = reader.take(1)
            reader.skip(length)
    _need(frames, "it holds no pixels")
    return (width, height), []


def _colours(flags: int) -> int:
    """Return the length of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


#: Boxes on the outermost level. Whatever else stands there lies behind the picture.
_BOXES: Final = frozenset(
    {b"ftyp", b"meta", b"moov", b"mdat", b"free", b"skip", b"uuid", b"moof", b"mfra", b"sidx", b"pdin", b"idat"}
)


def _avif(reader: _Reader) -> _Found:
    seen: set[bytes] = set()
    size = None
    end = 0
    for _ in range(_MOST_PARTS):
        if end + 8 > reader.length:
            break
        reader.go(end)
        start = reader.at
        length, name = reader.unpack(">I4s")
        if name not in _BOXES:
            break
        if length == 1:
            (length,) = reader.unpack(">Q")
        end = start + length if length else reader.length
        _need(reader.at <= end <= reader.length, "it is shorter than it says")
        if name == b"meta":
            # Pictures are put together of tiles, and may carry a small one: the largest is the whole.
            properties = reader.take(min(end - reader.at, 1 << 20))
            sizes = [struct.unpack_from(">II", properties, m.end()) for m in re.finditer(rb"ispe\0{4}", properties)]
            size = max(sizes, key=lambda one: one[0] * one[1], default=None)
            seen.update({b"idat"} if b"idat" in properties else ())
        seen.add(name)
    _need(b"meta" in seen or b"moov" in seen, "it ends before its description")
    _need(seen & {b"mdat", b"idat"}, "it ends before its pixels")
    reader.go(end)
    return size, []


def _bmp(reader: _Reader) -> _Found:
    reader.go(2)
    length, offset, header = reader.unpack("<I4xII")
    if header == 12:
        width, height, _, bits, packed = *reader.unpack("<HHHH"), 0
    else:
        width, height, _, bits, packed = reader.unpack("<iiHHI")
    height = abs(height)
    if packed in (0, 3):
        length = max(offset + (width * bits + 31) // 32 * 4 * height, offset)
    _need(width > 0 < height, "a part of it is damaged")
    _need(length <= reader.length, "it is shorter than it says")
    reader.go(length)
    return (width, height), []


class _Root:
    """Follows the elements of an SVG to the end of the outermost one."""

    def __init__(self) -> None:
        self.depth = 0
        self.size: tuple[int, int] | None = None
        self.ended = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0:
            box = attributes.get("viewBox", "").replace(",", " ").split()
            width, height = attributes.get("width"), attributes.get("height")
            sides = [_pixels(side) for side in ((width, height) if width and height else box[2:4])]
            self.size = (sides[0], sides[1]) if len(sides) == 2 and all(sides) else None
        self.depth += 1

    def end(self, name: str) -> None:
        self.depth -= 1
        self.ended = self.ended or self.depth == 0


def _pixels(text: str) -> int:
    found = re.fullmatch(r"\s*(\d{1,6})(?:\.\d*)?(?:px)?\s*", text)
    return int(found[1]) if found else 0


def _svg(reader: _Reader) -> _Found:
    from xml.parsers import expat  # hardly any picture needs it

    root, parser = _Root(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = root.start, root.end
    try:
        while not root.ended:
            data = reader.take(min(_BLOCK, reader.length - reader.at))
            _need(data, "it ends before its </svg>")
            parser.Parse(data, False)
    except expat.ExpatError:
        _need(root.ended, "it cannot be read as XML")  # what is wrong behind the end is no fault
    return root.size, []


_WALKS: Final[MappingProxyType[str, Callable[[_Reader], _Found]]] = MappingProxyType(
    {"png": _png, "jpeg": _jpeg, "webp": _webp, "gif": _gif, "avif": _avif, "bmp": _bmp, "svg": _svg}
)
