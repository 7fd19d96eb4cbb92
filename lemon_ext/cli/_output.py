"""Where images are saved. The place is checked before anything is sent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from attrs import evolve

from lemon_ext._files import as_address
from lemon_ext._words import count

if TYPE_CHECKING:
    from lemon_ext.results import ImageResult

PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp", ".svg"})


class Output:
    """A folder, or a file for one picture."""

    def __init__(self, path: str, *, overwrite: bool = False) -> None:
        if (address := as_address(path)) is not None:
            raise click.UsageError(
                f"-o takes a folder or a file here, and {address.partition('://')[0]}://... is an address. Save in a "
                "folder and copy it there, or use `lemon batch`, whose -o takes an object store. Nothing was sent."
            )
        self.path = Path(path)
        self.overwrite = overwrite
        #: Whether the path names a file: it has the suffix of a picture and is not a folder.
        self.is_file = (
            self.path.suffix.lower() in PICTURES and not path.endswith(("/", "\\")) and not self.path.is_dir()
        )

    @property
    def folder(self) -> Path:
        """The folder that the images are saved in."""
        return self.path.parent if self.is_file else self.path

    def check(self, images: int) -> None:
        """Raise UsageError or OSError if this number of images cannot be saved there."""
        if self.overwrite and not self.is_file:
            raise click.UsageError("--overwrite goes with -o FILE; in a folder, free names are picked.")
        if self.is_file and images > 1:
            raise click.UsageError(f"{self.path} is one file for {count(images, 'image')}. Give a folder with -o.")
        if self.is_file and self.path.exists() and not self.overwrite:
            raise click.UsageError(f"{self.path} exists. Give another name, or add --overwrite.")
        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as exc:
            raise click.UsageError(f"Nothing can be saved in {folder}: {exc.strerror}. Nothing was sent.") from exc

    def keep(self, stem: str, data: bytes) -> Path | None:
        """Keep bytes that are nowhere else in a new file: in the folder, or else where temporary files go.

        None if neither place takes them.
        """
        suffix = ".json" if data.lstrip()[:1] in (b"{", b"[") else ".txt"
        for folder in (self.folder, tempfile.gettempdir()):
            path = None
            try:
                number, name = tempfile.mkstemp(suffix, f"{stem}-", folder)
                path = Path(name)
                with os.fdopen(number, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                if path is not None:
                    path.unlink(missing_ok=True)
            else:
                return path
        return None

    async def save(self, result: ImageResult) -> list[Path]:
        """Save the images and return where they are. Raises DownloadError, ResponseError, SaveError, OSError."""
        if not self.is_file:
            return await result.asave(self.path)
        first, *more = result
        try:
            paths = [await first.asave(self.path, overwrite=self.overwrite)]
        except FileExistsError:  # the suffix changed with the bytes, or the file is new: the image is paid for
            paths = [await first.asave(f"{self.path.parent}/")]
        if more:  # more images than requested
            paths += await evolve(result, images=more).asave(self.folder)
        return paths
