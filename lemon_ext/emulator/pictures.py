"""Placeholder pictures: real ones that say what they are. The same prompt and seed look the same.

Everything is drawn in shades of grey and coloured by a palette at the end: one byte per pixel makes it fast.
"""

from __future__ import annotations

import hashlib
import math
import random
from colorsys import hls_to_rgb
from io import BytesIO
from itertools import pairwise
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFont, UnidentifiedImageError

from lemon_ext._font import lettered, wrapped
from lemon_ext._words import cut

#: Shades: the sky from dark to light, the hills, and what is written.
_DARK, _LIGHT, _INK = 60, 185, 255
#: Of a prompt, what is tried to be written.
LONGEST: Final = 240


def draw(prompt: str, *, model: str, size: tuple[int, int], seed: int = 0, index: int = 0, kind: str = "png") -> bytes:
    """Return a picture as a file of this kind: png, jpeg or webp."""
    width, height = size
    dice = random.Random(hashlib.blake2b(f"{seed}/{index}/{prompt}".encode("utf-8", "replace")).digest())
    image = Image.linear_gradient("L").resize(size).point([_DARK + v * (_LIGHT - _DARK) // 255 for v in range(256)])
    _landscape(image, dice)
    _label(image, prompt, f"lemon emulator · {model} · {width}x{height}")
    image.putpalette(_palette(dice))
    file = BytesIO()
    if kind == "png":
        image.save(file, "PNG", compress_level=1)
    else:  # these have no palette
        image.convert("RGB").save(file, kind.upper())
    return file.getvalue()


def kind_of(data: bytes) -> str | None:
    """Return the kind of a whole picture, None for anything else."""
    try:
        with Image.open(BytesIO(data)) as image:
            image.load()
            return (image.format or "").lower()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return None


def size_of(data: bytes) -> tuple[int, int]:
    """Return the width and the height of a picture."""
    with Image.open(BytesIO(data)) as image:
        return image.size


def change(
    data: bytes, prompt: str, *, mask: bytes | None, model: str, size: tuple[int, int], dice: str, kind: str
) -> bytes:
    """Return a picture that was changed, so that one sees where: in the transparent part of the mask, else everywhere.

    There, its colours are those of the same picture in a mirror of hues; the prompt is written on it.
    """
    with Image.open(BytesIO(data)) as source:
        image = source.convert("RGB").resize(size)
    turn = random.Random(hashlib.blake2b(dice.encode("utf-8", "replace")).digest()).randrange(48, 208)
    hue, saturation, value = image.convert("HSV").split()
    turned = Image.merge("HSV", (hue.point([(v + turn) % 256 for v in range(256)]), saturation, value)).convert("RGB")
    where = Image.new("L", size, 255)
    if mask is not None:
        with Image.open(BytesIO(mask)) as given:
            where = ImageChops.invert(given.convert("RGBA").resize(size).getchannel("A"))
    image.paste(turned, (0, 0), where)
    plain = Image.new("L", size)
    _label(plain, prompt, f"lemon emulator · {model} · edited · {size[0]}x{size[1]}")
    for top, bottom in ((0, size[1] // 5), (size[1] * 9 // 10, size[1])):  # dark, for whatever is written there
        band = image.crop((0, top, size[0], bottom))
        image.paste(Image.blend(band, Image.new("RGB", band.size), 0.8), (0, top))
    image.paste((255, 255, 255), (0, 0), plain)
    file = BytesIO()
    image.save(file, kind.upper())
    return file.getvalue()


def _landscape(image: Image.Image, dice: random.Random) -> None:
    """A sun with its glow, and hills before it."""
    width, height = image.size
    span = max(min(width, height) * 3 // 5, 2)
    glow = Image.radial_gradient("L").resize((span, span)).point([max(0, 210 - v * 2) for v in range(256)])
    disc = Image.new("L", (2 * span, 2 * span))  # twice as large, so that its edge gets smooth
    ImageDraw.Draw(disc).ellipse((span * 2 // 3, span * 2 // 3, span * 4 // 3, span * 4 // 3), fill=255)
    corner = (int(dice.uniform(0.2, 0.8) * width) - span // 2, int(dice.uniform(0.45, 0.6) * height) - span // 2)
    image.paste(200, corner, glow)
    image.paste(235, corner, disc.resize((span, span)))
    canvas = ImageDraw.Draw(image)
    for base, shade in ((0.66, 120), (0.76, 85), (0.86, 45)):
        waves = [(dice.uniform(0.5, 3.5), dice.uniform(0, math.tau), dice.uniform(0.01, 0.05)) for _ in range(3)]
        step = max(width // 128, 1)
        ridge = [
            (x, height * (base + sum(a * math.sin(f * math.tau * x / width + p) for f, p, a in waves)))
            for x in range(-step, width + 2 * step, step)
        ]
        canvas.polygon([*ridge, (width + step, height), (-step, height)], fill=shade)


def _label(image: Image.Image, prompt: str, footer: str) -> None:
    """Write the prompt, as much as fits, and what this picture is."""
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    margin, small = max(min(width, height) // 20, 2), max(min(width // 40, height // 20), 8)
    canvas.text((margin, height - margin), footer, fill=_INK, font=ImageFont.load_default(small), anchor="ls")
    words = " ".join("".join(c if c.isprintable() else " " for c in cut(prompt, LONGEST)).split())
    words = words.encode("utf-8", "replace").decode()
    big = max(min(width // 16, height // 10) - len(words) // 12, small)
    words, font = lettered(words, big)
    fitting = max(int(height * 0.5) // int(big * 1.3), 1)
    for number, line in enumerate(wrapped(words, font, width - 2 * margin, fitting)):
        canvas.text((margin, margin + number * int(big * 1.3)), line, fill=_INK, font=font, anchor="la")


def _palette(dice: random.Random) -> list[int]:
    """Return the colours of the 256 shades: from a deep colour over a neighbouring one to white."""
    hue = dice.random()
    turn = dice.choice((-0.12, 0.12))
    stops = [
        (0, hue, 0.05),
        (_DARK, hue, 0.24),
        (_LIGHT, hue + turn, 0.66),
        (235, hue + 1.5 * turn, 0.88),
        (255, hue, 1.0),
    ]
    colours: list[int] = []
    for (low, hue_a, light_a), (high, hue_b, light_b) in pairwise(stops):
        for shade in range(low, high):
            part = (shade - low) / (high - low)
            rgb = hls_to_rgb((hue_a + (hue_b - hue_a) * part) % 1, light_a + (light_b - light_a) * part, 0.55)
            colours += [round(value * 255) for value in rgb]
    return [*colours, 255, 255, 255]
