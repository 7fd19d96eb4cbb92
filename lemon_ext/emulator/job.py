"""A request that the emulator carries out, and which picture it asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from .contract import GENERATION
from .faults import Plan
from .records import Refusal, refuse

#: Pixels along a side; the emulator draws no larger, whatever the contract allows.
MAX_EDGE: Final = 8192
#: What it can draw, the usual format first.
FORMATS: Final = ("png", "jpeg", "webp")


@define
class Job:
    """A generation request: what was asked for, and how it is carried out."""

    id: str
    model: str
    prompt: str
    n: int
    size: tuple[int, int]
    format: str
    b64: bool
    request: Mapping[str, Any]
    plan: Plan
    created: int = 0
    at: float = 0.0
    cancelled: bool = False
    operation: str = GENERATION
    #: Whose request it is, and what it is called.
    key: str = field(default="", repr=False)
    request_id: str = ""
    #: For what changes a picture: the first one that came, and the mask.
    source: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)

    @property
    def billing_id(self) -> str:
        """What the account's records call its charge."""
        return f"txn_{self.id}"


def wanted_size(asked: object, ratio: object, resolution: object, usual: object) -> tuple[int, int]:
    """Return the pixels of a picture: the size that was asked for, else the shape in that resolution, else the usual.

    A word like ``auto`` says nothing. ``1k`` stands for as many pixels as a square of 1024 has.
    """
    shape = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", str(ratio))
    step = re.fullmatch(r"([1-9])k", str(resolution), re.IGNORECASE)
    if size := _pixels(asked):
        return size
    if shape or step:
        width, height = (int(shape[1]), int(shape[2])) if shape else (1, 1)
        common, edge = math.gcd(width, height), 1024 * int(step[1]) if step else 1024
        unit = max(round(edge * common / math.sqrt(width * height)), 1)
        return _drawable(width // common * unit, height // common * unit)
    return _pixels(usual) or (1024, 1024)


def as_large(sources: Sequence[bytes], usual: object) -> object:
    """Return the size of a picture that is changed, for a request that names none; else the usual one."""
    if not sources:
        return usual
    from .pictures import size_of

    return "{}x{}".format(*size_of(sources[0]))


def wanted_format(asked: object) -> str:
    """Return the format of a picture: the one that was asked for, or the usual one. Raises Refusal for another one."""
    if asked is not None and asked not in FORMATS:
        hint = f"The emulator draws {', '.join(FORMATS)}"
        raise Refusal(refuse(400, "There is no such format", code="invalid_value", param="output_format", hint=hint))
    return str(asked or FORMATS[0])


def _pixels(size: object) -> tuple[int, int] | None:
    found = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", str(size))
    # The length first: Python refuses to read very long numbers.
    return _drawable(*(int(side[:6]) for side in found.groups())) if found else None


def _drawable(width: int, height: int) -> tuple[int, int]:
    if max(width, height) > MAX_EDGE:
        hint = f"The emulator draws pictures of up to {MAX_EDGE} pixels along a side"
        raise Refusal(refuse(400, "`size` is too large", code="invalid_value", param="size", hint=hint))
    return width, height
