"""Tables: aligned columns, which on a terminal are wrapped or put below each other until they fit."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

from ._screen import screen

#: Columns of the terminal that a column of the table needs to be wrapped in its place; with less, it goes below.
LEAST: Final = 24
_GAP: Final = 2


def print_table(rows: Iterable[Sequence[str]], titles: Sequence[str] | None = None) -> None:
    """Print rows of cells under titles. A column in which nothing stands is left out.

    On a terminal the last two columns share what room there is, wrapped. What does not fit so goes below the columns
    that do, each cell on lines of its own. Elsewhere, lines stay whole.
    """
    rows = [list(row) for row in rows]
    kept = [column for column, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    rows = [[row[column] for column in kept] for row in rows]
    heads = [[titles[column] for column in kept]] if titles is not None else []
    widths, beside = _layout([max(map(len, cells)) for cells in zip(*heads, *rows, strict=True)], room())
    for row in (*heads, *rows):
        below = ["  ".join(row[beside:])] if row in heads else row[beside:]
        text = "\n".join([*_columns(row[:beside], widths), *_indented(below)])
        screen.title(text) if row in heads else screen.out(text)


def wrapped(text: str, lead: str = "") -> str:
    """Return a text behind a lead, in lines that fit the terminal, each below the text's beginning."""
    first, *more = _lines(text, max(room() - len(lead), LEAST) if room() else 0)
    return "\n".join([f"{lead}{first}", *(f"{' ' * len(lead)}{line}" for line in more)])


def room() -> int:
    """Return how many columns a terminal has; 0 for anything else."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _layout(widths: list[int], room: int) -> tuple[list[int], int]:
    """Return how wide the columns are, and how many of them stand beside each other."""

    def taken(number: int) -> int:
        return sum(widths[:number]) + _GAP * (number - 1)

    if not room or taken(len(widths)) <= room:
        return widths, len(widths)
    left = room - taken(len(widths)) + sum(widths[-2:])  # for the last two
    first = min(widths[-2:][0], max(left - widths[-1], left // 2))
    if len(widths) > 1 and first >= min(widths[-2], LEAST) and left - first >= LEAST:
        return [*widths[:-2], first, left - first], len(widths)
    beside = max((number for number in range(2, len(widths)) if taken(number) <= room), default=1)
    return widths[:beside], beside


def _columns(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of cells that stand beside each other."""
    wrapped = [_lines(cell, width) for cell, width in zip(cells, widths, strict=True)]
    gap = " " * _GAP
    lines = [zip(line, widths, strict=True) for line in zip_longest(*wrapped, fillvalue="")]
    return [gap.join(f"{part:<{width}}" for part, width in line).rstrip() for line in lines]


def _indented(cells: Sequence[str]) -> list[str]:
    return [f"    {line}" for cell in cells if cell for line in _lines(cell, max(room() - 4, 8))]


def _lines(text: str, width: int) -> list[str]:
    """Return a text in lines of a width; 0: in one. No word is torn."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""] if width else [text]
