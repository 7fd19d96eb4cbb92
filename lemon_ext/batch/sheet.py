"""The contact sheet of a batch: small pictures of all rows in one file, to be sent around or printed.

Nothing of a row is looked at but its pictures, its id and its prompt. What cannot be drawn gets a frame that says so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from lemon_ext._files import PartFile
from lemon_ext.errors import ConfigurationError

from .destination import Destination
from .output import outcome
from .stores import read_journal

#: Pixels between frames, of a line of text, of its letters, and around it all.
GAP: Final = 12
LINE: Final = 18
TEXT: Final = 13
#: Lines below a picture.
LINES: Final = 2
#: Pixels of a sheet's height; what is longer goes on on another one. JPEG has 65,535.
TALLEST: Final = 12_000
#: Columns at most, if nobody says how many.
MANY: Final = 10
#: What Pillow writes, by suffix.
FORMS: Final = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
_PAPER: Final = (255, 255, 255)
_INK: Final = (40, 40, 40)
_FRAME: Final = (225, 225, 225)


def write_sheet(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    size: int = 256,
    columns: int | None = None,
    overwrite: bool = False,
    journal: str | None = None,
) -> list[Path]:
    """Draw the pictures of a batch as a contact sheet, and return its files: a second one where one would be too long.

    ``path`` is a ``.jpg``, ``.png`` or ``.webp`` file, ``sheet.jpg`` in the folder if there is none, and in the current
    one for a store, whose pictures are fetched; ``size`` is the side of a frame in pixels. Raises JournalError,
    FileExistsError unless ``overwrite``, ValueError for another kind of file or numbers that make no sense or a batch
    without pictures, ConfigurationError without Pillow or for a store that cannot be read, and OSError.
    """
    place = Destination.of(folder)
    target = Path(path) if path is not None else (Path() if place.store else place.folder) / "sheet.jpg"
    if target.suffix.lower() not in FORMS:
        raise ValueError(f"A contact sheet is a file like sheet.jpg, sheet.png or sheet.webp, not {str(target)!r}.")
    if not 16 <= size <= 2048 or not (columns is None or 1 <= columns <= 100):
        raise ValueError("A frame has 16 to 2048 pixels a side, and a sheet 1 to 100 columns.")
    draw = _pen()
    with read_journal(folder, journal) as found:
        pictures = [
            (name, caption)
            for row in map(outcome, found.entries())
            for name, caption in zip(row["paths"], _captions(row), strict=False)
        ]
    if not pictures:
        raise ValueError(f"There are no pictures in {folder} yet.")
    across = columns or min(math.ceil(math.sqrt(len(pictures))), MANY)
    each = across * max((TALLEST - GAP) // (size + LINES * LINE + GAP), 1)
    parts = [pictures[start : start + each] for start in range(0, len(pictures), each)]
    names = [target.with_stem(f"{target.stem}-{number}") if number > 1 else target for number in _to(len(parts))]
    if taken := next((name for name in names if name.exists() and not overwrite), None):
        raise FileExistsError(f"{taken} exists. Give another name, or pass overwrite=True (--overwrite).")
    for name, part in zip(names, parts, strict=True):
        with PartFile(name) as file:
            file.write(draw(part, place.read, across, size, FORMS[name.suffix.lower()]))
            file.replace()
    return names


def _to(last: int) -> range:
    return range(1, last + 1)


def _captions(row: dict[str, Any]) -> Iterator[str]:
    """Yield what stands below each picture of a row: its id or number, and the prompt."""
    name = row["id"] or str(row["row"])
    for number, _ in enumerate(row["paths"], 1):
        yield f"{name}{f'.{number}' if len(row['paths']) > 1 else ''}  {' '.join(str(row['prompt'] or '').split())}"


def _pen() -> Callable[[list[tuple[str, str]], Callable[[str], Path | BytesIO], int, int, str], bytes]:
    """Return what draws a sheet. Raises ConfigurationError without Pillow."""
    try:
        from PIL import Image, ImageDraw, UnidentifiedImageError

        from lemon_ext._font import lettered, wrapped
    except ImportError:
        raise ConfigurationError("A contact sheet needs Pillow: pip install 'lemon-ext[images]'") from None

    def small(file: Path | BytesIO, size: int) -> Any:
        with Image.open(file) as image:
            image.draft("RGB", (size, size))
            image.thumbnail((size, size))
            clear = image.convert("RGBA")
        paper = Image.new("RGBA", clear.size, _PAPER)
        return Image.alpha_composite(paper, clear).convert("RGB")

    def draw(
        pictures: list[tuple[str, str]], read: Callable[[str], Path | BytesIO], columns: int, size: int, form: str
    ) -> bytes:
        columns = min(columns, len(pictures))
        width, height = size + GAP, size + LINES * LINE + GAP
        sheet = Image.new("RGB", (columns * width + GAP, math.ceil(len(pictures) / columns) * height + GAP), _PAPER)
        canvas = ImageDraw.Draw(sheet)
        for number, (name, said) in enumerate(pictures):
            caption, font = lettered(said, TEXT)
            left, top = GAP + number % columns * width, GAP + number // columns * height
            try:
                image = small(read(name), size)
                sheet.paste(image, (left + (size - image.width) // 2, top + (size - image.height) // 2))
            except ConfigurationError:
                raise
            except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
                canvas.rectangle((left, top, left + size - 1, top + size - 1), outline=_FRAME)
                canvas.text((left + 6, top + 6), f"{Path(name).suffix or name}: not drawn", fill=_INK, font=font)
            for line, text in enumerate(wrapped(caption, font, size, LINES)):
                canvas.text((left, top + size + line * LINE + 2), text, fill=_INK, font=font)
        file = BytesIO()
        sheet.save(file, form, **({} if form == "PNG" else {"quality": 88}))
        return file.getvalue()

    return draw
