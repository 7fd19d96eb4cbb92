"""``lemon models``: what the contract says of models, and what the API says of them now where somebody asks for it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._words import marks, relation, words

from . import _prices as _words
from ._contract import current_models, table
from ._options import json_option
from ._reading import asking, asking_options, show, tell_origin
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext.capabilities import ModelCapabilities
    from lemon_ext.client import Lemon

#: Columns that the last column of a table needs; with less, it goes below the others.
LEAST: Final = 24
#: How a model answers, in words.
REPLIES: Final = {"inline": "at once", "task": "as a task", "either": "either way"}


@click.command()
@click.argument("model", required=False, shell_complete=lambda _ctx, _param, begun: _named(begun))
@click.option("--live", is_flag=True, help="Ask the API what there is now, and lay it over the table. Free.")
@click.option(
    "--prices", is_flag=True, help="Show what is published of prices; with --live, what the API says of MODEL's."
)
@click.option("--sources", is_flag=True, help="Say what the codes of the sources stand for, too.")
@json_option("Print JSON.")
@asking_options
def models(model: str | None, live: bool, prices: bool, sources: bool, **options: Any) -> int:
    """List the models, or show what one of them takes or costs.

    The list is the table of the contract. A model that is not in it can be used, too: the API decides. Without --live,
    no key and no network are needed.
    """
    if live:
        if prices and model is None:
            raise click.UsageError("--live --prices goes with a MODEL: the API tells what each of them costs.")
        with asking(options) as lemon:
            show(lemon.models.pricing(str(model))) if prices else _show_live(lemon, model)
        return 0
    table()  # before the module below asks for it: alone, it is loaded without the HTTP library
    from lemon_ext.capabilities import capabilities, caution, families
    from lemon_ext.capabilities import models as listed

    if prices:
        return _prices([model] if model is not None else _priced([each.id for each in (*listed(), *families())]))
    if model is not None:
        caution({"model": model})
        one = capabilities(model)
        screen.json(_to_dict(one)) if screen.as_json else _describe(one)
    elif screen.as_json:
        for each in (*listed(), *families()):
            screen.json(_to_dict(each))
    else:
        _list([*listed(), *families()])
        if sources:
            _legend()
        elif table().SOURCES:
            screen.note("`lemon models --sources` says what the codes of the sources stand for.")
    return 0


def _named(begun: str) -> list[str]:
    """Return the models that begin so. Those that are retired are shown, too, but not offered."""
    return [name for name in current_models() if name.startswith(begun)]


def _show_live(lemon: Lemon, model: str | None) -> None:
    every = lemon.models.list(live=True) if model is None else [lemon.models.get(model, live=True)]
    if screen.as_json:
        for each in every:
            screen.json({**_to_dict(each), "origin": each.origin, "asked_at": each.asked_at, "unit": each.unit})
        return
    if model is not None:
        _describe(every[0])
    else:
        rows = [(each.id, _now(each), each.unit or "", _summary(each) if each.listed else "") for each in every]
        _print_table(("MODEL", "NOW", "PRICE", "WHAT FOR"), rows)
    for each in every:
        if each.origin is not None and each.asked_at is not None:
            tell_origin(each.origin, each.asked_at)
            break


def _now(model: ModelCapabilities) -> str:
    """Say where a model is: in the table, at the API, or both."""
    if model.origin is None:
        return "not there"
    return "there" if model.listed else "there, not in the table"


def _priced(names: Sequence[str]) -> list[str]:
    """Return the models of the table that are not retired or have a price, and those that only have a price."""
    from lemon_client.money_table import PRICES

    from lemon_ext.capabilities import capabilities

    kept = [name for name in names if name in PRICES or capabilities(name).retired is None]
    return [*kept, *(name for name in PRICES if name not in names)]


def _prices(names: Sequence[str]) -> int:
    """Show what is published of each model's price."""
    from lemon_ext.money import prices

    if screen.as_json:
        for name in names:
            screen.json({"id": name, "prices": [_words.to_dict(price) for price in prices(name)]})
        return 0
    rows = []
    for name in names:
        known = [(name, _words.told(p), _words.where(p), p.source, _words.age(p)) for p in prices(name)]
        rows += known or [(name, "unknown", "", "", "")]
    _print_table(("MODEL", "US DOLLARS", "FOR", "SOURCE", "PUBLISHED"), rows)
    codes = {row[3] for row in rows}
    _print_legend({code: text for code, text in table().SOURCES.items() if code in codes})
    return 0


def _list(every: Sequence[ModelCapabilities]) -> None:
    current = [each for each in every if each.retired is None]
    rows = [(each.id, REPLIES[each.reply], each.source, each.summary, _taken(each)) for each in current]
    _print_table(("MODEL", "ANSWERS", "SOURCE", "WHAT FOR", "TAKES"), rows)
    if gone := [(each.id, each.retired) for each in every if each.retired is not None]:
        screen.out("")
        retired = [(name, one["since"], one["source"], one.get("instead", "")) for name, one in gone]
        _print_table(("RETIRED", "SINCE", "SOURCE", "USE INSTEAD"), retired)


def _describe(model: ModelCapabilities) -> None:
    summary = _summary(model) if model.listed else "not in the contract's table; this is what holds for any model"
    screen.title(model.id, f"  {summary}" + (f"; one of {model.family}" if model.family else ""))
    screen.out(f"answers {REPLIES[model.reply]}; source: {model.source}")
    screen.out("")
    rows = []
    for name, rule in model.parameters.items():
        if name != "model" and rule is not False:
            told = f"{words(rule)}. {marks(rule)}" if marks(rule) else words(rule)
            rows.append((name, str(rule.get("default", "")), told))
    _print_table(("PARAMETER", "SERVER'S DEFAULT", "TAKES"), rows)
    if without := [name for name, rule in model.parameters.items() if rule is False]:
        screen.out("")
        screen.out(_wrapped(f"not taken: {', '.join(without)}"))
    for one in table().RELATIONS:
        name, says = relation(one)
        if model.takes(name):
            screen.out(f"{name}: {says}")
    _legend(model)


def _summary(model: ModelCapabilities) -> str:
    if (gone := model.retired) is None:
        return model.summary
    instead = f", use {gone['instead']}" if "instead" in gone else ""
    return f"RETIRED on {gone['since']}{instead}. {model.summary}"


def _taken(model: ModelCapabilities) -> str:
    """Name the parameters a model takes, or those it does not: whichever are fewer."""
    own = [name for name in model.parameters if name not in ("model", "prompt")]
    without = [name for name in own if not model.takes(name)]
    if len(without) > len(own) // 2:
        return ", ".join(name for name in own if model.takes(name)) or "the prompt alone"
    return f"all but {', '.join(without)}" if without else "all"


def _legend(model: ModelCapabilities | None = None) -> None:
    """Say what the codes of the sources stand for."""
    codes = table().SOURCES
    if model is not None:
        gone = model.retired["source"] if model.retired else ""
        codes = {code: text for code, text in codes.items() if code in (*model.source.split(", "), gone)}
    _print_legend(codes)


def _print_legend(codes: Mapping[str, str]) -> None:
    if codes:
        screen.out("")
        _print_table(("SOURCE", "STANDS FOR"), codes.items())


def _to_dict(model: ModelCapabilities) -> dict[str, Any]:
    return {
        "id": model.id,
        "listed": model.listed,
        "family": model.family,
        "reply": model.reply,
        "summary": model.summary,
        "source": model.source,
        "retired": model.retired,
        "parameters": dict(model.parameters),
    }


def _print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns. On a terminal, the last two share what room there is, wrapped, and the last one goes below
    the others where there is little of it; elsewhere, lines stay whole.
    """
    rows, room = list(rows), _room()
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    left = room - sum(widths[:-2]) - 2 * (len(widths) - 1)  # for the last two columns
    below = False
    if room and len(widths) > 1 and sum(widths[-2:]) > left:
        if len(widths) > 2 and left >= 2 * LEAST:
            widths[-2] = min(widths[-2], max(left - widths[-1], left // 2))
        below = left - widths[-2] < LEAST
        if below and len(widths) > 2:
            widths[-2] = min(widths[-2], max(left + 2, LEAST))
    indent = 4 if below else sum(widths[:-1]) + 2 * (len(widths) - 1)
    for number, row in enumerate([titles, *rows]):
        last = _lines(row[-1], room - indent if room else 0)
        before = _lines(row[-2], widths[-2]) if room and len(widths) > 2 else [row[-2]]
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row[:-2], widths, strict=False))
        leads = [start, *[" " * len(start)] * (len(before) - 1)]
        lines = [f"{lead}{text:<{widths[-2]}}" for lead, text in zip(leads, before, strict=True)]
        if below:
            lines += [f"    {text}" for text in last]
        else:
            lines = [f"{line:<{indent - 2}}  {text}" for line, text in zip_longest(lines, last, fillvalue="")]
        text = "\n".join(line.rstrip() for line in lines if line.strip())
        screen.title(text) if number == 0 else screen.out(text)


def _wrapped(text: str) -> str:
    return "\n".join(_lines(text, _room()))


def _lines(text: str, width: int) -> list[str]:
    """Return a text in lines of a width; 0: in one."""
    return textwrap.wrap(text, max(width, 8)) or [""] if width else [text]


def _room() -> int:
    """Return how many columns a terminal has; 0 for anything else."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
