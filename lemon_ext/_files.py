"""Files: what pictures are called, and how a file gets to its place whole or not at all."""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, Self

from ._picture import HEAD, SUFFIXES, Examined, Pieces, examine
from .errors import DownloadError

LONGEST_STEM: Final = 48
#: Names that Windows keeps for devices.
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "0123456789¹²³")}
)
#: Signs that ask for an emoji's colours, for example.
_VARIANTS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))
_SUFFIXES: Final = frozenset({*SUFFIXES.values(), ".jpeg"})
#: An address. A `Path` that was made of one has lost a slash. A single letter is a drive.
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(.*)", re.DOTALL)


def file_stem(prompt: str | None) -> str:
    """Return a file name without suffix, made of a prompt's words: safe on every system, and inside any folder."""
    text = unicodedata.normalize("NFC", (prompt or "").lower())
    # Signs on a letter, such as the vowels of Hindi, belong to it, and are no \w.
    signs = {one for one in text if unicodedata.category(one) in ("Mn", "Mc")} - _VARIANTS
    letter = rf"\w[{''.join(signs)}]*" if signs else r"\w"
    words = "-".join(re.findall(f"(?:{letter})+", text)).strip("-_")
    if len(words.encode()) > LONGEST_STEM:
        cut = words.encode()[: LONGEST_STEM + 1].decode(errors="ignore")  # not half a character
        whole = cut.rpartition("-")[0]  # not half a word, unless one is as long as that
        words = (whole or cut.encode()[:LONGEST_STEM].decode(errors="ignore")).strip("-_")
    return "image" if not words or is_reserved(words) else words


def is_reserved(name: str) -> bool:
    """Tell whether Windows keeps a name for a device, whatever follows after a point."""
    return name.strip().lower() in _RESERVED


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is meant as a folder: it is one, or ends like one."""
    return str(path).endswith((os.sep, "/")) or Path(path).is_dir()


def as_address(path: str | os.PathLike[str]) -> str | None:
    """Return the address that a place is given by, such as that of an object store; None for a path."""
    if (found := _ADDRESS.fullmatch(str(path))) is None:
        return None
    scheme = found[1].lower()
    return f"file:///{found[2].lstrip('/')}" if scheme == "file" else f"{scheme}://{found[2]}"


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for an address: a folder called ``s3:`` is nowhere that anybody looks."""
    if (address := as_address(path)) is not None:
        raise ValueError(
            f"{address.partition('://')[0]}://... is an address, and images are saved in files. Save in a folder and "
            "copy it there, or use run_batch, which takes an object store in the place of a folder."
        )


def state_folder() -> Path:
    """Return where this program keeps what it has to know again. Raises ImportError without platformdirs."""
    from platformdirs import user_state_path

    return Path(user_state_path("lemon-ext", appauthor=False))


def as_folder(path: str | os.PathLike[str]) -> Path:
    """Return a path that is meant as a folder. Raises ValueError for an address, or what looks like a picture's."""
    refuse_address(path)
    folder = Path(path)
    if folder.suffix.lower() in _SUFFIXES and not folder.is_dir():
        raise ValueError(
            f"{folder} looks like a file, and a result is saved in a folder: it may hold several images. For one file: "
            f"result[0].save({str(folder)!r})."
        )
    return folder


class Target:
    """Takes a picture's bytes in, within a limit. A context manager."""

    _file: BinaryIO

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take in the next piece. Raises DownloadError past the limit, OSError when the disk is full."""
        self.size += len(chunk)
        if self.size > self.max_bytes:
            raise DownloadError(f"The image is larger than {self.max_bytes:,} bytes. Raise max_bytes to have it.")
        self._file.write(chunk)

    def examine(self) -> Examined:
        """Look at what was written."""
        return examine(self._file)

    def head(self) -> bytes:
        """Return how it begins."""
        self._file.seek(0)
        return self._file.read(HEAD)

    def reset(self) -> None:
        """Forget everything, for another try."""
        self.size = 0
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

    def __init__(self, path: str | os.PathLike[str], max_bytes: float = math.inf) -> None:
        super().__init__(max_bytes)
        self._path = Path(path)
        self._folder = self._path if is_folder(path) else self._path.parent
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, "a file, and no folder", str(self._folder)) from None
        self._process = os.getpid()
        #: Whatever may be on disk; an interrupt can come while a file is opened.
        self._parts: list[Path] = []

    def __enter__(self) -> Self:
        try:
            self._part, self._file = self._new()
        except BaseException:
            self._remove()
            raise
        return self

    def _new(self) -> tuple[Path, BinaryIO]:
        part = self._folder / f".{secrets.token_hex(8)}.part"
        self._parts.append(part)
        file = part.open("x+b")
        _lock(file)
        return part, file

    def change(self, pieces: Callable[[BinaryIO], Pieces | None]) -> None:
        """Put the file together anew, of bytes and of pieces of itself. It stays as it is if there is no space."""
        found = pieces(self._file)
        if found is None:
            return
        with suppress(OSError):
            part, file = self._new()
            try:
                for piece in found:
                    _copy(self._file, file, piece)
                file.flush()
            except BaseException:
                with suppress(OSError):
                    file.close()
                raise
            super().__exit__()
            self._part.unlink()
            self._parts.remove(self._part)
            self._part, self._file = part, file

    def place(
        self, stem: str, suffix: str | None, *, overwrite: bool = False, remark: str = "", free: bool = False
    ) -> Path:
        """Give the file its name, with the suffix its bytes call for, and return it.

        In a folder, ``stem`` and the next free number make the name. A ``remark`` goes before the suffix, and a free
        name is picked then, too. Raises FileExistsError for a name that is taken; ``free``: picks a free one. What
        ``overwrite`` replaces is a file of the very name that was given: where the bytes call for another suffix than
        it has, a free name is picked.
        """
        self._sync()
        path = self._path
        if self._folder == path:
            return self._place_free(f"{stem}{remark}", suffix or ".bin")
        if suffix is None:
            path = path if path.suffix else Path(f"{path}.bin")
        elif not _fits(path.suffix, suffix):
            corrected = path.suffix.lower() in _SUFFIXES
            path = path.with_suffix(suffix) if corrected else Path(f"{path}{suffix}")
            free = free or (corrected and overwrite)
        if (remark and not overwrite) or free:
            return self._place_free(f"{path.stem}{remark}", path.suffix)
        if remark:
            path = path.with_name(f"{path.stem}{remark}{path.suffix}")
        if overwrite:
            self._part.replace(path)
        else:
            self._claim(path)
        return path

    def replace(self) -> None:
        """Give the file its very name, in the place of whatever has it. A link is replaced and never followed."""
        self._sync()
        self._part.replace(self._path)

    def _sync(self) -> None:
        if self._file.closed:  # another name was tried before
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        if os.name == "nt":  # an open file cannot be renamed there
            self._file.close()

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self._remove()

    def __del__(self) -> None:
        # An interrupt can come before the first instruction of `__exit__`, too. In a fork, it is the parent's.
        if getattr(self, "_parts", None) and self._process == os.getpid():
            self._remove()

    def _remove(self) -> None:
        while self._parts:
            self._parts[-1].unlink(missing_ok=True)
            self._parts.pop()

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


def write_whole(path: Path, content: str | Iterable[str | bytes]) -> None:
    """Write a file whole or not at all, in the place of whatever has its name. A link is never followed."""
    with PartFile(path) as part:
        for text in [content] if isinstance(content, str) else content:
            part.write(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        part.replace()


def put_aside(pieces: Iterable[bytes], stem: str, suffix: str) -> Path | None:
    """Save the only copy of something where it can be saved at all: in a folder of its own among the system's
    temporary ones, at home, or here. None if it cannot be saved anywhere.
    """
    import tempfile  # for this alone

    for place in (None, Path.home, Path.cwd):
        with suppress(OSError, RuntimeError):  # no home
            folder = tempfile.mkdtemp(prefix="lemon-", dir=place and place())
            try:
                with PartFile(f"{folder}/") as part:
                    for piece in pieces:
                        part.write(piece)
                    return part.place(stem, suffix)
            except BaseException:
                Path(folder).rmdir()
                raise
    return None


def _copy(source: BinaryIO, target: BinaryIO, piece: bytes | tuple[int, int]) -> None:
    if isinstance(piece, bytes):
        target.write(piece)
        return
    source.seek(piece[0])
    left = piece[1] - piece[0]
    while left:
        data = source.read(min(left, 256 * 1024))
        target.write(data)
        left -= len(data)


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
