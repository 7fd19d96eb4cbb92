"""Text for what is drawn with Pillow: a font that has its letters, and lines that fit."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final, TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_for(text: str, size: int) -> Font:
    """Return Pillow's own font, which is Latin only, or a system font with more letters if the text needs them."""
    return _loaded(_system_font() if max(text, default="") > "\u024f" else None, size)


def wrapped(text: str, font: Font, width: float, most: int) -> list[str]:
    """Break a text into lines of this width, at blanks, and inside a word that is too long for a line of its own.

    Of more than ``most`` lines the last one that is kept ends in an ellipsis.
    """

    def fits(line: str) -> bool:
        return font.getlength(line) <= width

    lines = [""]
    for word in text.split():
        if fits(longer := f"{lines[-1]} {word}".strip()):
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    lines = [line for line in lines if line]
    if len(lines) > most:
        lines = lines[:most]
        while lines[-1] and not fits(f"{lines[-1]}…"):
            lines[-1] = lines[-1][:-1]
        lines[-1] += "…"
    return lines


@cache
def _loaded(name: str | None, size: int) -> Font:
    return ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)


@cache
def _system_font() -> str | None:
    for name in _FONTS:
        with suppress(OSError):
            ImageFont.truetype(name, 10)
            return name
    return None


#: What systems have for Korean, Chinese and Japanese, the best first; the last one is for other alphabets.
_FONTS: Final = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.otf",
    "AppleSDGothicNeo.ttc",
    "malgun.ttf",
    "NanumGothic.ttf",
    "DejaVuSans.ttf",
)
