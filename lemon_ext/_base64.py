"""Pictures inside an answer, decoded from Base64 while it arrives: an answer of 22 MB is never held as text.

A `PictureScan` is fed an answer piece by piece. It takes the text of every ``"b64_json": "..."`` out, leaves a mark in
its place, and keeps the decoded bytes on a `Spool`: in memory if they are few, else in a temporary file that has no
name and is gone with the last picture on it. Whatever is odd stays in the answer as it came; `decoded` reads it later,
more tolerantly.
"""

from __future__ import annotations

import binascii
import os
import re
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO, FileIO
from threading import Lock
from typing import IO, Any, Final
from urllib.parse import unquote_to_bytes
from weakref import WeakSet

#: Bytes of pictures that an answer may keep in memory.
IN_MEMORY: Final = 256 * 1024
#: Answers spooled to disk at once. Each holds a file open, and a process may have few: more stay in memory.
MAX_FILES: Final = 64
#: Keys looked for in one answer; what comes after them stays in it. No request asks for as many.
MAX_PICTURES: Final = 256
CHUNK: Final = 64 * 1024

# A quote that opens a key is never escaped, and one inside a string always is.
_KEY: Final = re.compile(rb'(?<!\\)"b64_json"[ \t\r\n]*:[ \t\r\n]*"')
#: A key with more blanks around its colon may be missed, and stays in the answer.
_LONGEST_KEY: Final = 64

_on_disk: WeakSet[Spool] = WeakSet()


class Spool:
    """Bytes that are written once and then read, from any thread: in memory, or on disk if they are many.

    Not a `tempfile.SpooledTemporaryFile`: that one loses what it held when the disk is full.
    """

    def __init__(self) -> None:
        self.size = 0
        self._file: IO[bytes] = BytesIO()
        self._lock = Lock()

    def __del__(self) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append. A full disk is no loss: the bytes are kept in memory then."""
        with self._lock:
            if isinstance(self._file, BytesIO) and self.size < IN_MEMORY <= self.size + len(data):
                self._to_disk()
            try:
                _write_at(self._file, self.size, data)
            except OSError:
                self._move(BytesIO())
                _write_at(self._file, self.size, data)
            self.size += len(data)

    def _to_disk(self) -> None:
        from tempfile import TemporaryFile  # few answers need one

        if len(_on_disk) >= MAX_FILES:
            return
        with suppress(OSError):
            file = TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the last picture on it
            try:
                self._move(file)
            except OSError:
                file.close()
            else:
                _on_disk.add(self)

    def _move(self, file: IO[bytes]) -> None:
        self._file.seek(0)
        _write_at(file, 0, self._file.read(self.size))
        self._file.close()
        self._file = file

    def read(self, start: int, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        if isinstance(self._file, FileIO):  # a child process shares the place in the file, and may read at any moment
            return os.pread(self._file.fileno(), size, start)
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)

    def cut(self, start: int) -> bytes:
        """Take off the end, and return it."""
        data = b"".join(Picture(self, start, self.size - start))
        self.size = start
        return data


def _write_at(file: IO[bytes], at: int, data: bytes) -> None:
    file.seek(at)
    rest = memoryview(data)
    while rest:  # an unbuffered file may take only a part
        rest = rest[file.write(rest) :]


class Picture:
    """One decoded picture: a part of a spool. Iterating gives its bytes in pieces."""

    __slots__ = ("_spool", "_start", "size")

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool = spool
        self._start = start
        self.size = size

    @classmethod
    def of(cls, data: bytes) -> Picture:
        """Make one of its bytes."""
        spool = Spool()
        spool.write(data)
        return cls(spool, 0, len(data))

    def __iter__(self) -> Iterator[bytes]:
        at, end = self._start, self._start + self.size
        while at < end:
            piece = self._spool.read(at, min(CHUNK, end - at))
            if not piece:
                raise OSError("The temporary file of an image has been cut short.")
            at += len(piece)
            yield piece

    def base64(self) -> str:
        """Return the text it came as."""
        return b64encode(b"".join(self)).decode("ascii")

    def __reduce__(self) -> Any:
        return Picture.of, (b"".join(self),)


class PictureScan:
    """Takes pictures out of a JSON answer as it arrives; pieces may end anywhere."""

    def __init__(self) -> None:
        self.pictures: dict[str, Picture] = {}
        self._text = bytearray()
        self._searched = 0
        self._keys = 0
        self._spool = Spool()
        #: Where on the spool the present picture begins; None between pictures.
        self._start: int | None = None
        #: Up to four characters that cannot be decoded yet.
        self._held = b""
        self._padded = False
        #: Nobody who writes an answer can know it.
        self._mark = f"picture-{secrets.token_hex(8)}"

    @property
    def size(self) -> int:
        """Bytes of the answer that are kept as text: all but its pictures."""
        return len(self._text)

    def feed(self, chunk: bytes) -> None:
        """Take in the next piece."""
        for at in range(0, len(chunk), CHUNK):
            piece = chunk[at : at + CHUNK]
            while piece:
                piece = self._between(piece) if self._start is None else self._inside(self._start, piece)

    def finish(self) -> bytes:
        """Return the answer with a mark for each of ``pictures``."""
        if self._start is not None:
            self._put_back(self._start, self._held)
        return bytes(self._text)

    def _between(self, chunk: bytes) -> bytes:
        """Keep text up to where a picture begins, and return the rest."""
        self._text += chunk
        key = _KEY.search(self._text, self._searched) if self._keys < MAX_PICTURES else None
        if key is None:
            self._searched = max(self._searched, len(self._text) - _LONGEST_KEY)
            return b""
        rest = bytes(self._text[key.end() :])
        del self._text[key.end() :]
        self._keys += 1
        self._start, self._held, self._padded = self._spool.size, b"", False
        self._searched = len(self._text)
        return rest

    def _inside(self, start: int, chunk: bytes) -> bytes:
        """Decode up to the closing quote, and return the rest."""
        end = chunk.find(b'"')
        data = self._held + (chunk if end < 0 else chunk[:end])
        if b"\\" in data and b"\\\\" not in data:
            data = data.replace(b"\\/", b"/")
        held = 0
        if end < 0:
            held = (len(data) - 1) % 4 + 1 if data.endswith(b"\\") else len(data) % 4
        whole, self._held = data[: len(data) - held], data[len(data) - held :]
        decoded = None if whole and self._padded else _exactly(whole)
        if decoded is None:
            self._put_back(start, data)
            return b"" if end < 0 else chunk[end:]
        self._padded = self._padded or whole.endswith(b"=")
        self._spool.write(decoded)
        if end < 0:
            return b""
        if size := self._spool.size - start:
            mark = f"{self._mark}-{len(self.pictures)}"
            self.pictures[mark] = Picture(self._spool, start, size)
            self._text += mark.encode()
        self._start, self._searched = None, len(self._text)
        return chunk[end:]

    def _put_back(self, start: int, undecoded: bytes) -> None:
        # What was decoded until here was whole groups of four, so encoding gives the same text again.
        self._text += b64encode(self._spool.cut(start)) + undecoded
        self._start, self._searched = None, len(self._text)


def _exactly(text: bytes) -> bytes | None:
    """Decode what encodes to the same text again. None for anything else."""
    if len(text) % 4:
        return None
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    return None if text.endswith(b"=") and b64encode(data[-(len(data) % 3) :]) != text[-4:] else data


def placed(value: Any, pictures: Mapping[str, Picture]) -> Any:
    """Return parsed JSON with the pictures in the place of their marks."""
    if not pictures:
        return value
    if isinstance(value, dict):
        return {name: placed(item, pictures) for name, item in value.items()}
    if isinstance(value, list):
        return [placed(item, pictures) for item in value]
    return pictures.get(value, value) if isinstance(value, str) else value


def as_text(value: Any) -> Any:
    """Return parsed JSON with the text of its pictures again, so that it can be written as JSON."""
    if isinstance(value, Picture):
        return value.base64()
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value


def without_pictures(value: Any) -> Any:
    """Return parsed JSON without the data of its pictures. Their addresses stay."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != "b64_json" and not _is_data(item)}
        return {name: without_pictures(item) for name, item in kept.items()}
    if isinstance(value, list):
        return [without_pictures(item) for item in value]
    return value


def _is_data(value: object) -> bool:
    return isinstance(value, Picture) or (isinstance(value, str) and is_data_url(value))


def is_data_url(text: str) -> bool:
    """Tell whether an address holds its data itself."""
    return text[:64].lstrip()[:5].lower() == "data:"


def plain(text: str) -> str:
    """Return plain Base64, however it came: in lines, in the alphabet of addresses, without its padding, cut off, or
    with blanks for its plus signs, as forms write them.
    """
    text = (text.partition(",")[2] if is_data_url(text) else text).strip()
    if "+" not in text and "-" not in text and not re.search(r"[\t\r\n]", text):
        text = text.replace(" ", "+")
    text = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    whole = text[:-1] if len(text) % 4 == 1 and "=" not in text else text
    return whole + "=" * (-len(whole) % 4)


def decoded(text: str) -> bytes:
    """Return the bytes of Base64 or of a ``data:`` URL; none where it is neither."""
    head, _, payload = text.partition(",")
    if is_data_url(text) and not head.rstrip().lower().endswith(";base64"):
        return unquote_to_bytes(payload.strip())
    try:
        return binascii.a2b_base64(plain(text), strict_mode=True)
    except ValueError:
        return b""
