"""``lemon models``: what the contract says of models. Nothing is asked of the API."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ._contract import allowed, table
from ._options import json_option
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext.capabilities import ModelCapabilities

#: How a model answers, in words.
REPLIES: Final = {"inline": "at once", "task": "as a task", "either": "either way"}


@click.command()
@click.argument("model", required=False)
@json_option("Print JSON.")
def models(model: str | None) -> int:
    """List the models, or say what one of them takes.

    This is the contract's table: what is documented. The catalogue grows, and a model that is not listed can be used
    too; the API decides. Neither a key nor the network is needed.
    """
    table()  # before the module below asks for it: alone, it is loaded without the HTTP library
    from lemon_ext.capabilities import capabilities, warn_of_near_miss
    from lemon_ext.capabilities import models as listed

    if model is not None:
        warn_of_near_miss(model)
        one = capabilities(model)
        screen.json(_to_dict(one)) if screen.as_json else _describe(one)
    elif screen.as_json:
        for each in listed():
            screen.json(_to_dict(each))
    else:
        rows = [(each.id, REPLIES[each.reply], _narrower(each), each.summary) for each in listed()]
        _print_table(("MODEL", "ANSWERS", "DIFFERS IN", "WHAT FOR"), rows)
    return 0


def _describe(model: ModelCapabilities) -> None:
    summary = model.summary if model.listed else "not in the contract's table; this is what holds for any model"
    screen.title(model.id, f"  {summary}")
    screen.out(f"answers {REPLIES[model.reply]}; source: {model.source}")
    screen.out("")
    rows = []
    for name, rule in model.parameters.items():
        if name == "model":
            continue
        default = "" if rule is False else str(rule.get("default", ""))
        rows.append((name, default, allowed(rule)))
    _print_table(("PARAMETER", "SERVER'S DEFAULT", "TAKES"), rows)


def _narrower(model: ModelCapabilities) -> str:
    """Name the parameters in which a model differs from what holds for all."""
    general = table().PARAMETERS
    without = [name for name, rule in model.parameters.items() if rule is False]
    own = [name for name, rule in model.parameters.items() if rule is not False and rule != general[name]]
    return ", ".join([*own, *(f"no {name}" for name in without)])


def _to_dict(model: ModelCapabilities) -> dict[str, Any]:
    return {
        "id": model.id,
        "listed": model.listed,
        "reply": model.reply,
        "summary": model.summary,
        "source": model.source,
        "parameters": dict(model.parameters),
    }


def _print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns. On a terminal, the last one is wrapped to the width; elsewhere, lines stay whole."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else 0
    for number, row in enumerate([titles, *rows]):
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-1], widths, strict=False))
        lines = textwrap.wrap(row[-1], room) if room >= 16 else [row[-1]]
        text = f"\n{' ' * indent}".join(lines)
        screen.title(f"{start}{text}") if number == 0 else screen.out(f"{start}{text}".rstrip())
