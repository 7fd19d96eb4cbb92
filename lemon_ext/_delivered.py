"""Whether a picture is what was asked for, by its own header: its size in pixels, its shape and its format."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from ._picture import SUFFIXES, Examined

#: How far a shape may be off. Models round the sides to multiples of 8 to 64 pixels, which moves a ratio by up to 2.9 %
#: (896x1152 for 4:5); the next ratio that can be asked for (3:4 for that picture) is 3.6 % away and more.
SHAPE_TOLERANCE: Final = 0.03


def differences(asked: Mapping[str, Any], found: Examined) -> list[str]:
    """Say in what a picture differs from what was asked for: ``capabilities.asked`` of its request.

    What cannot be read of a picture, and a word such as ``auto`` in the place of numbers, is not compared.
    """
    if found.kind is None or found.fault is not None:
        return []
    said = []
    name = asked.get("format")
    if isinstance(name, str) and name.lower() != found.kind and f".{name.lower()}" != SUFFIXES[found.kind]:
        said.append(f"{name} was asked for and {found.kind} came")
    pixels, shape = _pair(asked.get("pixels"), "x"), _pair(asked.get("shape"), "[:x]")
    if found.size is None or 0 in found.size:
        return said
    came = f"{found.size[0]}x{found.size[1]}"
    if pixels is not None and found.kind == "svg":  # it has no pixels
        pixels, shape = None, shape or pixels
    if pixels is not None and pixels != found.size:
        said.append(f"{pixels[0]:.0f}x{pixels[1]:.0f} pixels were asked for and {came} came")
    elif shape is not None and _apart(shape, found.size) > SHAPE_TOLERANCE:
        said.append(f"the shape {asked.get('shape') or asked['pixels']} was asked for and {came} pixels came")
    return said


def _pair(value: object, between: str) -> tuple[float, float] | None:
    number = r"(\d{1,6}(?:\.\d{1,6})?)"
    found = re.fullmatch(rf"\s*{number}\s*{between}\s*{number}\s*", value) if isinstance(value, str) else None
    pair = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    return pair if all(pair) else None


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(math.log(one[0] * other[1] / (one[1] * other[0])))
