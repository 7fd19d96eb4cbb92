"""``lemon models``: what the contract says of models, and what the API says of them now where somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._words import marks, relation, words

from . import _prices as _words
from ._contract import current_models, table
from ._options import json_option
from ._reading import asking, asking_options, show, tell_origin
from ._screen import screen
from ._table import print_table, wrapped

if TYPE_CHECKING:
    from lemon_ext.capabilities import ModelCapabilities
    from lemon_ext.client import Lemon

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
        rows = [(each.id, _now(each), _summary(each) if each.listed else "") for each in every]
        print_table(rows, ("MODEL", "NOW", "WHAT FOR"))
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
        known = [(name, _words.told(price), _words.origin(price), _words.where(price)) for price in prices(name)]
        rows += known or [(name, "unknown", "", "")]
    print_table(rows, ("MODEL", "US DOLLARS", "SOURCE", "FOR"))
    codes = {price.source for name in names for price in prices(name)}
    _print_legend({code: text for code, text in table().SOURCES.items() if code in codes})
    return 0


def _list(every: Sequence[ModelCapabilities]) -> None:
    current = [each for each in every if each.retired is None]
    rows = [(each.id, REPLIES[each.reply], each.source, each.summary, _taken(each)) for each in current]
    print_table(rows, ("MODEL", "ANSWERS", "SOURCE", "WHAT FOR", "TAKES"))
    if gone := [(each.id, each.retired) for each in every if each.retired is not None]:
        screen.out("")
        retired = [(name, one["since"], one["source"], one.get("instead", "")) for name, one in gone]
        print_table(retired, ("RETIRED", "SINCE", "SOURCE", "USE INSTEAD"))


def _describe(model: ModelCapabilities) -> None:
    summary = _summary(model) if model.listed else "not in the contract's table; this is what holds for any model"
    screen.title(model.id, f"  {summary}" + (f"; one of {model.family}" if model.family else ""))
    unit = f"; price: {model.unit}" if model.unit else ""
    screen.out(f"answers {REPLIES[model.reply]}; source: {model.source}{unit}")
    screen.out("")
    rows = []
    for name, rule in model.parameters.items():
        if name != "model" and rule is not False:
            told = f"{words(rule)}. {marks(rule)}" if marks(rule) else words(rule)
            rows.append((name, str(rule.get("default", "")), told))
    print_table(rows, ("PARAMETER", "SERVER'S DEFAULT", "TAKES"))
    if without := [name for name, rule in model.parameters.items() if rule is False]:
        screen.out("")
        screen.out(wrapped(f"not taken: {', '.join(without)}"))
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
        print_table(codes.items(), ("SOURCE", "STANDS FOR"))


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
