"""A font that has the letters of a text, for what is drawn with Pillow."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Final

from PIL import ImageFont


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, which is Latin only, or a system font with more letters if the text needs them."""
    return _loaded(_system_font() if max(text, default="") > "\u024f" else None, size)


@cache
def _loaded(name: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
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
