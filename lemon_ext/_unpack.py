"""Unpacks a compressed answer while it arrives, in small pieces: nothing explodes between two looks at its size.

What is not compressed although a header says so (a proxy unpacked it and left the header) is passed on as it came: it
may be the only copy of a paid answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

#: Bytes of a piece, unpacked.
PIECE: Final = 64 * 1024
#: How zlib reads a coding; "deflate" comes with zlib's own frame and without it.
_READINGS: Final = MappingProxyType({"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)})
CODINGS: Final = tuple(_READINGS)
_GZIP: Final = b"\x1f\x8b"


class Unpacker:
    """Unpacks one answer."""

    def __init__(self, coding: str) -> None:
        self._readings = list(_READINGS[coding])
        self._coding = coding
        #: How the answer begins, until its first bytes are unpacked.
        self._begin: bytes | None = b""
        self._inner: Any = zlib.decompressobj(self._readings.pop(0))
        self._is_over = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give what the next piece of an answer unpacks to. Raises zlib.error for what is damaged in its midst."""
        if self._inner is None:
            yield chunk
            return
        while chunk and not self._is_over:
            if self._begin is not None:
                self._begin += chunk
            try:
                piece = self._inner.decompress(chunk, PIECE)
            except zlib.error:
                if self._begin is None:
                    raise
                chunk, self._begin = self._begin, b""
                if not self._readings:
                    self._inner = None
                    yield chunk
                    return
                self._inner = zlib.decompressobj(self._readings.pop(0))
                continue
            chunk = self._inner.unconsumed_tail
            if piece:
                self._begin = None
                yield piece
            if self._inner.eof:
                chunk, rest = b"", self._inner.unused_data
                if self._coding == "deflate" or not rest.startswith(_GZIP):
                    self._is_over = True  # what follows is no part of it
                else:  # gzip may consist of several parts
                    chunk, self._inner = rest, zlib.decompressobj(31)
