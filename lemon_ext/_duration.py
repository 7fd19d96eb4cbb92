"""Durations as people write and read them."""

from __future__ import annotations

import math
import re
from typing import Final

#: What calls and commands take if nobody says otherwise, in seconds: how long a batch waits for an API that cannot be
#: reached; after what time a charge is among the account's records at the latest, and by how much clocks may differ.
GIVE_UP_AFTER: Final = 43200.0
SETTLE: Final = 3600.0
TOLERANCE: Final = 600.0
#: How long a call, and a row of a batch, waits for its task.
CALL: Final = 300.0
ROW: Final = 600.0

_UNITS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def as_seconds(value: str | float) -> float:
    """Return the seconds of a duration: a number of them, or text such as 90s, 30m, 8h or 1h30m.

    Infinity is one, too. Raises ValueError.
    """
    wrong = ValueError(f"{value!r} is not a duration: write 90s, 30m, 8h or 1h30m, or a number of seconds.")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    if not isinstance(value, str):
        if math.isnan(value) or value < 0:
            raise wrong
        return float(value)
    text, seconds, at = value.strip(), 0.0, 0
    if text.lower() == "inf":
        return math.inf
    while at < len(text) or not text:
        found = _PART.match(text, at)
        if found is None:
            raise wrong
        number, unit = found.groups()
        if unit.lower() not in _UNITS and (unit or found.end() < len(text) or at):  # a bare number stands alone
            raise wrong
        seconds += float(number) * _UNITS.get(unit.lower(), 1.0)
        at = found.end()
    return seconds


def written(seconds: float) -> str:
    """Write a duration as `as_seconds` reads it, exactly, in the largest unit that is whole: 90s, 30m, 8h."""
    if seconds == math.inf:
        return "inf"
    unit = next((unit for unit in ("h", "m") if seconds and seconds % _UNITS[unit] == 0), "s")
    return f"{seconds / _UNITS[unit]:.9f}".rstrip("0").rstrip(".") + unit


def roughly(seconds: float) -> str:
    """Say a duration without what hardly counts: no seconds beside minutes."""
    if seconds == math.inf:
        return "ever"
    minutes = max(round(seconds), 0) // 60
    if not minutes:
        return f"{max(round(seconds), 0)} s"
    hours, minutes = divmod(minutes, 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes else [])])
