"""Which requests must have a charge, if every charge is some request's, each request has one at most, and a charge is
dated within a span after its request. One pure function, `certain`.

All spans are equally long. So if there is any way to give out the charges, there is one in the order of time that
covers the same requests, and the earliest and the latest of those ways bound all others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Certain(NamedTuple):
    """A request that has a charge in every way. ``first`` and ``last``: which charges it can be.

    ``charge``: the one it is in the earliest way, which no other request has there.
    """

    request: int
    charge: int
    first: int
    last: int


def certain(requests: Sequence[float], charges: Sequence[float], low: float, high: float) -> list[Certain] | None:
    """Return the requests that have a charge in every way to give them all out; None if there is no way at all.

    Both are times in order. A charge can be a request's if it is dated from ``low`` to ``high`` seconds after it.
    """
    spans = [(bisect_left(requests, at - high), bisect_right(requests, at - low) - 1) for at in charges]
    earliest = _spread(spans)
    mirrored = [(-last, -first) for first, last in reversed(spans)]
    latest = [-place for place in reversed(_spread(mirrored) or [])]
    if earliest is None or len(latest) < len(charges):
        return None
    found = []
    for charge, request in enumerate(earliest):
        # In a way without this request, the charges before this one are at earlier requests, and this one and all after
        # it at later ones.
        if latest[charge] <= request:
            first, last = bisect_left(latest, request), bisect_right(earliest, request) - 1
            found.append(Certain(request, charge, first, last))
    return found


def _spread(spans: Sequence[tuple[int, int]]) -> list[int] | None:
    """Give each the first place of its span that is free, in order. None if one finds none."""
    places: list[int] = []
    for first, last in spans:
        place = max(first, places[-1] + 1) if places else first
        if place > last:
            return None
        places.append(place)
    return places
