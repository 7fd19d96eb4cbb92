"""``lemon batch``: many prompts in one folder. `lemon_ext.batch` does the work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._words import count

from ._batch import CODES, RESENDS, run_options, shown, work
from ._billed import say_default_model
from ._contract import ApiCommand, api_fields, api_options, table
from ._errors import ENDED
from ._options import (
    check_stdin,
    fan_out_option,
    together,
)
from ._screen import screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


#: What `read_rows` is told of the columns.
_COLUMNS: Final = (
    "prompt_column",
    "id_column",
    "carry",
    "strict_columns",
    "header_row",
    "sheet",
    "skip_hidden",
    "comments",
    "encoding",
)


def _read_encoding(_ctx: click.Context, _param: click.Parameter, given: str | None) -> str | None:
    from lemon_ext.batch.source import known_encoding

    try:
        return None if given is None else known_encoding(given)
    except ValueError as exc:
        raise click.BadParameter(f"{str(exc)[0].upper()}{str(exc)[1:]}.") from None


def _read_grid(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, list[Any]]:
    from lemon_ext.batch import cell_value

    grid: dict[str, list[Any]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        found = [value.strip() for value in values.split(",")]
        if not equals or not all(found):
            raise click.BadParameter(f"{text!r} is not of the form NAME=A,B.")
        if name not in table().PARAMETERS or name == "prompt":
            raise click.BadParameter(f"{name!r} is no parameter that a grid can vary.")
        if name in grid or len(set(found)) < len(found):
            raise click.BadParameter(f"{name!r} has a value twice.")
        try:
            grid[name] = [cell_value(name, value) for value in found]
        except ValueError as exc:
            raise click.BadParameter(f"{name} {exc}.") from None
    return grid


#: The options that say which column is what.
column_options: Final = together(
    click.option(
        "--format",
        "file_format",
        type=click.Choice(["jsonl", "json", "csv", "tsv", "txt", "xlsx", "ods", "parquet"]),
        help="The format of FILE. [default: taken from its name or its first line]",
    ),
    click.option("--prompt-column", metavar="NAME", help="The column of the prompts. [default: prompt]"),
    click.option(
        "--id-column",
        metavar="NAME",
        help="The column of the ids, which begin the file names and stand in the results. All have to be "
        "different. [default: id, if it is there]",
    ),
    click.option(
        "--carry",
        metavar="NAME",
        multiple=True,
        help="Carry a column along into the results and do not send it, though it is a parameter or almost "
        "called like one. Repeatable.",
    ),
    click.option(
        "--strict-columns",
        is_flag=True,
        help="Refuse columns that are no parameters. Without it they are carried along and never sent.",
    ),
    click.option(
        "--header-row",
        metavar="N",
        type=click.IntRange(min=1),
        help="The line, or the row of the sheet, that names the columns. What stands above it, such as a title, is not "
        "read. [default: the first that holds anything]",
    ),
    click.option("--sheet", metavar="NAME", help="The sheet of a spreadsheet with several."),
    click.option(
        "--skip-hidden",
        is_flag=True,
        help="Leave out the rows of a sheet that are hidden, by a filter or by hand. Without it they are refused.",
    ),
    click.option(
        "--encoding",
        metavar="NAME",
        callback=_read_encoding,
        help="The encoding of a text file that is not UTF-8, such as cp1252, in which Excel saves CSV in many "
        "countries.",
    ),
    click.option("--comments", is_flag=True, help="In a .txt file, skip lines that begin with #."),
    click.option(
        "--grid",
        metavar="NAME=A,B",
        multiple=True,
        callback=_read_grid,
        help="Send each row with each of these values of a parameter. Repeatable: each row is sent with each "
        "combination.",
    ),
    fan_out_option,
)


@click.command(cls=ApiCommand, epilog=CODES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@api_options
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="The folder of the batch, which is created if it is missing, or the address of an object store, such as "
    "s3://BUCKET/PREFIX (pip install 'lemon-ext[cloud]').",
)
@column_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check all rows, count the images, and say what they cost. Nothing is sent. Exit code 8 if --budget or "
    "--max-images does not cover them.",
)
@click.option(
    "--validation",
    type=click.Choice(["strict", "warn", "off"]),
    default="strict",
    help="For rows that break the contract's rules: strict sends no row at all, warn sends them with a warning, off "
    "does not check. [default: strict]",
)
@run_options
def batch(file: str, output: str | None, dry_run: bool, **options: Any) -> int:
    """Generate images for every row of a file. A batch can be stopped and resumed at any time.

    FILE is a table (CSV, TSV, XLSX, ODS, Parquet) or JSON (one object a line, or a list) with the API's parameter names
    as columns, or text with one prompt per line. `-` is stdin. Other columns are carried along into the results and
    never sent. The parameters below apply to rows that do not set them. All rows are checked before the first is sent.
    Run the same command again to continue a batch, however the last run ended: no row is paid twice.
    """
    from lemon_ext.rows import read_rows

    if file == "-":
        check_stdin()
    rows: Iterable[Mapping[str, Any]] = read_rows(
        file, format=options["file_format"], **{name: options[name] for name in _COLUMNS if options[name] is not None}
    )
    rows = _saying_what_is_carried(rows)
    settings = {"defaults": api_fields(options), **{name: options[name] for name in ("grid", "fan_out", "validation")}}
    if dry_run:
        return _plan(rows, settings, output, options)
    if output is None:
        raise click.UsageError("Give the folder of the batch with -o DIR, or --dry-run to only check it.")
    if options["grid"] or options["fan_out"]:
        rows = _counted(rows, settings)
    if "model" not in {**settings["defaults"], **settings["grid"]} and table().DEFAULT_MODEL is not None:
        rows = _saying_the_default(rows)
    return work(rows, output, {**options, **settings})


def _saying_what_is_carried(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Hand rows on, and say at the end, before the first is sent, which columns are not: a size in a column `Groesse`
    is a wrong picture, paid for.
    """
    sent: dict[str, None] = {}
    carried: dict[str, None] = {}
    with_ids = False
    for row in rows:
        sent |= dict.fromkeys(row)
        carried |= dict.fromkeys(getattr(row, "extra", ()))
        with_ids = with_ids or getattr(row, "id", None) is not None
        yield row
    if carried:
        ids = "" if with_ids else " No column holds ids: see --id-column."
        screen.note(f"Columns that are sent: {', '.join(sent)}; carried along and not sent: {', '.join(carried)}.{ids}")


def _saying_the_default(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Hand rows on, and say once which model it is for those that name none."""
    said = False
    for row in rows:
        if not said and row.get("model") is None:
            said = True
            say_default_model()
        yield row


def _counted(rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Say how many rows --grid and --fan-out make and what they cost, and hand the rows on."""
    from lemon_ext.batch import plan_batch

    from . import _prices

    held = list(rows)
    plan = plan_batch(held, **{**settings, "validation": "off"})  # they are checked in a moment
    times = math.prod(map(len, settings["grid"].values()))
    each = f", each {count(times, 'time')}:" if settings["grid"] else " of the file:"
    screen.note(f"{count(len(held), 'row')}{each} {count(plan.rows, 'row')} for {count(plan.images, 'image')}.")
    screen.note(_prices.lines(plan.cost, ())[0])
    return held


def _plan(
    rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any], output: str | None, options: Mapping[str, Any]
) -> int:
    from lemon_ext.batch import plan_batch
    from lemon_ext.money import Budget

    from . import _prices

    budget = Budget.of(options["budget"], options["allow_unknown_price"])
    journal = options["journal"]
    plan = plan_batch(rows, folder=output, journal=journal, **settings, **{name: options[name] for name in RESENDS})
    if budget is not None:
        budget.check(plan.cost)
        budget.commit("before", plan.spent)
    most = options["max_images"]
    over = 0 if most is None else min(max(plan.images_sent + plan.images - most, 0), plan.images)
    covers = ENDED if over or not _prices.is_covered(budget, plan.cost) else 0
    if screen.as_json:
        known = {"rows": plan.rows, "images": plan.images, "models": dict(plan.models), "others": plan.others}
        screen.json({**known, "cost": _prices.cost(plan.cost), **_prices.cover(budget, plan.cost)})
        return covers
    size = f"{count(plan.rows, 'row')} for {count(plan.images, 'image')}"
    if plan.others:
        where = shown(output if output is not None else journal)
        screen.out(f"{size} left to send. {plan.others:,} more in {where} are done or under way. Nothing was sent.")
    else:
        screen.out(f"{size}; all of them can be sent. Nothing was sent.")
    if not plan.rows:
        return 0
    width = max(map(len, plan.models))
    for model, number in plan.models.items():
        screen.out(f"{model:<{width}}  {number:,}")
    for line in _prices.lines(plan.cost, plan.models):
        screen.out(line)
    if budget is not None:
        screen.out(_prices.covered(budget, plan.cost))
    if over:
        screen.out(f"--max-images {most} does not cover it: {count(over, 'image')} would not be sent.")
    return covers
