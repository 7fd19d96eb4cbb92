"""Text for what is drawn with Pillow: a font that has its letters, and lines that fit."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final, TypeAlias
from unicodedata import combining, normalize

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def lettered(text: str, size: int) -> tuple[str, Font]:
    """Return the text as it can be drawn, and the font.

    That is Pillow's own, which has little beyond ASCII, or one of the system that has more of the letters. Letters that
    no font here has are drawn without their accents (``Ö`` as ``O``), where that helps.
    """
    letters = {letter for letter in text if not letter.isspace()}
    name = min(_fonts(), key=lambda name: sum(_lacks(name, letter) for letter in letters))
    plain = {ord(letter): _plain(name, letter) for letter in letters if _lacks(name, letter)}
    return text.translate(plain), _loaded(name, size)


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
def _fonts() -> tuple[str | None, ...]:
    found: list[str | None] = [None]
    for name in _NAMES:
        with suppress(OSError):
            _loaded(name, _TRIED)
            found.append(name)
    return tuple(found)


@cache
def _lacks(name: str | None, letter: str) -> bool:
    """Tell whether a font draws a letter as it draws what is no letter of any font."""
    font = _loaded(name, _TRIED)
    return bytes(font.getmask(letter)) == bytes(font.getmask("\uffff"))


def _plain(name: str | None, letter: str) -> str:
    """Return a letter without its accent, or as it is if that does not help."""
    bare = "".join(part for part in normalize("NFKD", letter.replace("ß", "ss")) if not combining(part))
    return letter if any(_lacks(name, part) for part in bare) else bare


#: At this size it is tried whether a font has a letter.
_TRIED: Final = 20
#: What systems have for Korean, Chinese and Japanese, the best first; the last ones are for other alphabets.
_NAMES: Final = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.otf",
    "AppleSDGothicNeo.ttc",
    "malgun.ttf",
    "NanumGothic.ttf",
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "NotoSans-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
)
