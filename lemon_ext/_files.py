"""Pictures on disk: what they are called, what they are, and how they get there whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, Self

from .errors import DownloadError

LONGEST_STEM: Final = 48
#: Names that Windows keeps for devices.
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "0123456789¹²³")}
)
_MAGIC: Final = (
    (0, b"\x89PNG\r\n\x1a\n", ".png"),
    (0, b"\xff\xd8\xff", ".jpg"),
    (8, b"WEBP", ".webp"),
    (0, b"GIF8", ".gif"),
    (4, b"ftypavif", ".avif"),
    (0, b"BM", ".bmp"),
)
#: What may stand before the first tag of an SVG.
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>\s+|<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*(?:\[.*?\]\s*)?>)*+<svg\b", re.DOTALL
)
#: Bytes that tell what a picture is.
HEAD: Final = 1024
_SUFFIXES: Final = frozenset({suffix for _, _, suffix in _MAGIC} | {".jpeg", ".svg"})


def suffix_of(head: bytes) -> str | None:
    """Return the suffix for a picture that begins with these bytes, or None if it is not a known kind."""
    found = next((suffix for at, magic, suffix in _MAGIC if head[at : at + len(magic)] == magic), None)
    return ".svg" if found is None and _SVG.match(head) else found


def file_stem(prompt: str | None) -> str:
    """Return a file name without suffix, made of a prompt's words: safe on every system, and inside any folder."""
    words = re.sub(r"[^\w]+", "-", (prompt or "").lower()).strip("-_")
    words = words.encode()[:LONGEST_STEM].decode(errors="ignore").strip("-_")  # not half a character
    return "image" if not words or words in _RESERVED else words


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is meant as a folder: it is one, or ends like one."""
    return str(path).endswith((os.sep, "/")) or Path(path).is_dir()


def as_folder(path: str | os.PathLike[str]) -> Path:
    """Return a path that is meant as a folder. Raises ValueError for one that looks like a picture's."""
    folder = Path(path)
    if folder.suffix.lower() in _SUFFIXES and not folder.is_dir():
        raise ValueError(
            f"{folder} looks like a file, and a result is saved in a folder: it may hold several images. For one file: "
            f"result[0].save({str(folder)!r})."
        )
    return folder


class Target:
    """Takes a picture's bytes in, within a limit, and remembers how they begin. A context manager."""

    _file: BinaryIO

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self.head = b""

    def write(self, chunk: bytes) -> None:
        """Take in the next piece. Raises DownloadError past the limit, OSError when the disk is full."""
        self.size += len(chunk)
        if self.size > self.max_bytes:
            raise DownloadError(f"The image is larger than {self.max_bytes:,} bytes. Raise max_bytes to fetch it.")
        if len(self.head) < HEAD:
            self.head += chunk[:HEAD]
        self._file.write(chunk)

    def reset(self) -> None:
        """Forget everything, for another try."""
        self.size, self.head = 0, b""
        self._file.seek(0)
        self._file.truncate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):  # a full disk fails once more here
            self._file.close()


class Buffer(Target):
    """A target in memory."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._file = self._bytes = BytesIO()

    def value(self) -> bytes:
        """Return what was written."""
        return self._bytes.getvalue()


class PartFile(Target):
    """A target on disk: a hidden file beside the final one. `place` gives it its name; without that it disappears."""

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._path = Path(path)
        self._folder = self._path if is_folder(path) else self._path.parent
        self._folder.mkdir(parents=True, exist_ok=True)
        self._part = self._folder / f".{secrets.token_hex(8)}.part"
        self._file = self._part.open("xb")
        _lock(self._file)

    def place(self, stem: str, *, overwrite: bool = False, finish: Callable[[Path], object] | None = None) -> Path:
        """Give the file its name, with the suffix its bytes call for, and return it.

        In a folder, ``stem`` and the next free number make the name. ``finish`` is called with the path of the whole
        file just before, and may change it. Raises FileExistsError for a name that is taken.
        """
        suffix = suffix_of(self.head)
        self._file.flush()
        if os.name == "nt":  # an open file cannot be renamed there
            self._file.close()
        if finish is not None:
            finish(self._part)
        with self._part.open("r+b") as whole:
            os.fsync(whole.fileno())
        if self._folder == self._path:
            return self._place_free(stem, suffix or ".bin")
        path = self._path
        if suffix is None:
            path = path if path.suffix else Path(f"{path}.bin")
        elif not _fits(path.suffix, suffix):
            path = path.with_suffix(suffix) if path.suffix.lower() in _SUFFIXES else Path(f"{path}{suffix}")
        if overwrite:
            self._part.replace(path)
        else:
            self._claim(path)
        return path

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self._part.unlink(missing_ok=True)

    def _place_free(self, stem: str, suffix: str) -> Path:
        number = 1
        while True:
            path = self._folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
            try:
                self._claim(path)
            except FileExistsError:
                number += 1
            else:
                return path

    def _claim(self, path: Path) -> None:
        # A hard link fails if the name is taken, in one step; a rename would replace what is there.
        try:
            os.link(self._part, path)
        except FileExistsError:
            raise FileExistsError(f"{path} exists. Give another name, or pass overwrite=True.") from None
        except OSError:  # a file system without hard links
            with path.open("xb"):
                pass
            try:
                self._part.replace(path)
            except BaseException:
                path.unlink()
                raise


def write_whole(path: Path, data: bytes | str | Iterable[str]) -> None:
    """Write a file under a fixed name, whole or not at all. An earlier one is replaced; no link is followed."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    pieces = [data] if isinstance(data, bytes | str) else data
    try:
        with part.open("xb") as file:
            for piece in pieces:
                file.write(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_stale_parts(folder: Path) -> None:
    """Remove the part files that a process left in a folder when it died, and none that is being written."""
    for part in folder.glob(f".{'[0-9a-f]' * 16}.part"):
        with suppress(OSError):  # Windows refuses by itself while the file is open
            with part.open("r+b") as file:
                stale = _lock(file)
            if stale:
                part.unlink()


def _lock(file: BinaryIO) -> bool:
    """Mark a file as being written until it is closed. False if another process has done so."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass
    return True


def _fits(suffix: str, wanted: str) -> bool:
    return {".jpeg": ".jpg"}.get(suffix.lower(), suffix.lower()) == wanted
