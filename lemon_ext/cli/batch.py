"""``lemon batch``, ``resume`` and ``status``: many prompts in one folder. `lemon_ext.batch` does the work."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._duration import ROW
from lemon_ext._words import count

from ._billed import say_default_model
from ._contract import ApiCommand, api_fields, api_options, table
from ._errors import ENDED
from ._options import (
    LATER,
    Place,
    base_url_option,
    budget_option,
    check_stdin,
    connection,
    deadline_option,
    debug_option,
    emulator_option,
    fan_out_option,
    give_up_option,
    journal_address_option,
    journal_option,
    json_option,
    placed,
    poll_interval_option,
    private_images_option,
    prompt_metadata_option,
    quiet_option,
    title_option,
    together,
    unknown_price_option,
    user_ledger,
)
from ._screen import screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lemon_ext.batch.last_run import LastRun

#: The counts of a `Progress`, in the order in which a row goes through them.
COUNTS: Final = ("unsent", "submitting", "waiting", "unfetched", "saved", "failed", "refused", "uncertain")
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
#: What lets rows be sent again.
_RESENDS: Final = ("resend_refused", "resend_uncertain", "resend_failed")
#: What `lemon resume` keeps to without the folder of a batch.
_CALL_OPTIONS: Final = ("deadline", "poll_interval", "base_url", "allow_private_images", "prompt_metadata")
_CODES: Final = (
    "Exit codes: 0 all rows saved, 2 nothing was sent, 3 the key was refused, 6 a row may be billed (lemon reconcile "
    "DIR), 7 the same command goes on, 8 ended with failed or refused rows, or at a limit, 130 interrupted.\n\n"
    "All of them: lemon docs command-line"
)


def _read_forms(_ctx: click.Context, _param: click.Parameter, given: str | None) -> tuple[str, ...]:
    if given is None:
        return ()
    from lemon_ext.batch import as_kinds

    try:
        return as_kinds([form.strip() for form in given.split(",")])
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None


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


#: The options that `batch` and `resume` share.
run_options: Final = together(
    click.option(
        "--max-images",
        metavar="N",
        type=click.IntRange(min=0),
        help="Request at most N images for this batch, in all runs together.",
    ),
    budget_option,
    unknown_price_option,
    click.option(
        "--concurrency",
        metavar="N",
        type=click.IntRange(min=1),
        default=64,
        help="Submissions in flight at the same time. [default: 64]",
    ),
    click.option(
        "--rpm",
        metavar="N",
        type=click.FloatRange(min=0, min_open=True),
        default=1000.0,
        help="The rate limit: requests per minute, submissions and polls together. [default: 1000]",
    ),
    deadline_option(
        ROW,
        "How long the task of each row is waited for, such as 90s, 30m or 8h. It is not for the batch as a "
        f"whole. A task {LATER}",
    ),
    poll_interval_option,
    give_up_option,
    click.option(
        "--resend-refused",
        is_flag=True,
        help="Send rows again that the API refused. They were never billed.",
    ),
    click.option(
        "--resend-uncertain",
        is_flag=True,
        help="Send rows again whose answer was lost. They may be billed twice: look at your account first.",
    ),
    click.option(
        "--resend-failed",
        is_flag=True,
        help="Send rows again whose task failed. A failed task may have been billed, so they may be billed twice.",
    ),
    click.option(
        "--drop-unknown",
        is_flag=True,
        help="Give up rows that are paid for and whose tasks the API does not know: they become failed. "
        "Without it every run asks for them again.",
    ),
    click.option(
        "--also",
        metavar="FORMS",
        callback=_read_forms,
        help="Write the results in these forms, too: csv (results.csv), parquet (results.parquet), imagefolder "
        "(metadata.jsonl, which makes the folder a data set). Commas between them.",
    ),
    title_option,
    journal_option,
    prompt_metadata_option,
    json_option("Print one JSON object per row when it ends, as in results.jsonl."),
    emulator_option,
    base_url_option,
    private_images_option,
    quiet_option,
    debug_option,
)


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


@click.command(cls=ApiCommand, epilog=_CODES)
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
    return _work(rows, output, {**options, **settings})


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
    each = f", each {times:,} times:" if settings["grid"] else " of the file:"
    screen.note(f"{count(len(held), 'row')}{each} {count(plan.rows, 'row')} for {count(plan.images, 'image')}.")
    screen.note(_prices.lines(plan.cost, ())[0])
    return held


@click.command(epilog=_CODES)
@click.argument("folder", metavar="[DIR]", required=False, type=Place(file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),  # for the completion
    help="Without DIR: the folder to save in, or a file name for a single image. [default: the current folder]",
)
@run_options
@click.pass_context
def resume(ctx: click.Context, /, folder: Path | str | None, **options: Any) -> int:
    """Continue a batch: poll its tasks, fetch their images, send the rest.

    Without DIR: wait for the tasks of single requests that were sent from here (`lemon tasks`), and save their images
    in the current folder, or where -o says. That makes no new images.
    """
    if folder is None:
        _refuse_batch_options(ctx)
        return _resume_calls(ctx, options)
    if options["output"] is not None:
        raise click.UsageError("-o goes without DIR: a batch saves in its own folder.")
    from lemon_ext.batch import batch_status, export_results
    from lemon_ext.errors import JournalError, SaveError
    from lemon_ext.gallery import write_gallery

    from ._watch import Watch

    journal = options["journal"]
    known = batch_status(folder, journal=journal)  # no batch there is said before a missing key
    nothing_to_send = known.total and not known.open and not known.working
    if nothing_to_send and not any(options[name] for name in (*_RESENDS, "emulator")):  # nothing needs a key
        watch = Watch(folder, partial(_resume_command, folder, options), journal)
        try:
            export_results(folder, also=options["also"], journal=journal)
            write_gallery(folder, title=options["title"], journal=journal)
        except SaveError as exc:
            watch.failed(exc)
        except (OSError, JournalError) as exc:
            screen.warn(f"Some of the results could not be written: {str(exc).rstrip('.')}.")
        return watch.conclude()
    return _work(None, folder, {**options, "defaults": {}, "grid": {}, "fan_out": False, "validation": "strict"})


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=Place(file_okay=False, path_type=Path))
@click.option(
    "--failed",
    is_flag=True,
    help="Print the rows that failed, were refused, or whose tasks the API does not know instead, to be edited.",
)
@click.option(
    "--format",
    "rows_format",
    type=click.Choice(["csv", "jsonl"]),
    help="The format of these rows. [default: csv; with --json, jsonl]",
)
@journal_address_option
@json_option("Print JSON.")
def status(folder: Path | str | None, failed: bool, rows_format: str | None, journal: str | None) -> int:
    """Show the progress of a batch. The batch may be running.

    Where the journal is in a database, its address will do in the place of DIR, or alone with --journal.

    `lemon status DIR --failed --format csv > again.csv` writes what failed as the input of a new batch.
    """
    from attrs import asdict

    from lemon_ext.batch import batch_needs, batch_status

    from ._watch import advise, say_where, tell_limit

    folder, journal = (journal, None) if folder is None else (folder, journal)
    if folder is None:
        raise click.UsageError("Give the folder of the batch, or the address of its journal.")
    if failed:
        return _write_rows(folder, journal, rows_format or ("jsonl" if screen.as_json else "csv"))
    if rows_format is not None:
        raise click.UsageError("--format goes with --failed.")
    progress = batch_status(folder, journal=journal)
    resume = partial(_resume_command, folder, {"journal": journal}, last=progress.last_run)
    goes_on = progress.open - progress.unknown - (progress.unsent if progress.limited else 0)
    following = resume() if goes_on and not progress.working else None
    if not progress.total:
        screen.note(f"The batch in {_shown(folder)} had not begun: nothing was sent. The same `lemon batch` begins it.")
    say_where(folder, journal)
    if screen.as_json:
        # What only a running batch knows of itself is left out.
        known = {**asdict(progress), "next": following}
        names = ("total", *COUNTS, "unknown", "images", "working", "workers", "limited", "per_minute", "left_seconds")
        screen.json({name: known[name] for name in (*names, "next")})
        return 0
    for name in ("total", *COUNTS, *(["unknown"] if progress.unknown else []), "images"):
        screen.out(f"{name:<10}  {getattr(progress, name):>9,}")
    if progress.billed:
        billed = count(progress.billed, "of them is", "of them are")
        screen.note(f"Uncertain: {billed} billed, as the account says.")
    if following:
        screen.next(following)
    if progress.limited and not progress.working:
        tell_limit(progress, batch_needs(folder, journal=journal), resume)
    advise(progress, placed(folder, journal), resume, partial(batch_needs, folder, journal=journal))
    return 0


def _write_rows(folder: Path | str, journal: str | None, form: str) -> int:
    """Print rows that failed as a table with all their columns, or as JSON."""
    from lemon_ext.batch import rows_to_edit
    from lemon_ext.batch.also import safe_cell
    from lemon_ext.batch.columns import OURS

    rows = list(rows_to_edit(folder, journal=journal))
    if form == "jsonl":
        for row in rows:
            screen.json(row)
        return 0
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*(name for name in names if name not in OURS), *OURS], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        told = {name: safe_cell(row[name]) for name in OURS}
        writer.writerow({name: _cell(value) for name, value in {**row, **told}.items()})
    mark = "\ufeff" if screen.in_file else ""  # without it, Excel takes UTF-8 for something else
    screen.out(f"{mark}{text.getvalue().removesuffix(chr(10))}")
    return 0


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def _plan(
    rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any], output: str | None, options: Mapping[str, Any]
) -> int:
    from lemon_ext.batch import plan_batch
    from lemon_ext.money import Budget

    from . import _prices

    budget = Budget.of(options["budget"], options["allow_unknown_price"])
    journal = options["journal"]
    plan = plan_batch(rows, folder=output, journal=journal, **settings, **{name: options[name] for name in _RESENDS})
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
        where = _shown(output if output is not None else journal)
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


def _work(rows: Iterable[Mapping[str, Any]] | None, folder: Path | str, options: Mapping[str, Any]) -> int:
    """Run a batch and return its exit code."""
    from lemon_ext.batch import run_batch
    from lemon_ext.client import AsyncLemon

    from ._watch import Watch

    watch = Watch(folder, partial(_resume_command, folder, options), options["journal"])
    private = options["allow_private_images"]
    with connection(options["base_url"], emulator=options["emulator"], private_images=private) as address:
        try:
            client = AsyncLemon(
                **address,
                requests_per_minute=options["rpm"],
                validation=options["validation"],
                prompt_metadata=options["prompt_metadata"],
            )
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
        outcomes: Any = run_batch(
            rows,
            folder,
            client=client,
            defaults=options["defaults"],
            grid=options["grid"],
            fan_out=options["fan_out"],
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            concurrency=options["concurrency"],
            max_images=options["max_images"],
            budget=options["budget"],
            allow_unknown_price=options["allow_unknown_price"],
            resend_refused=options["resend_refused"],
            resend_uncertain=options["resend_uncertain"],
            resend_failed=options["resend_failed"],
            drop_unknown=options["drop_unknown"],
            give_up_after=options["give_up_after"],
            also=options["also"],
            gallery=True if options["title"] is None else options["title"],
            journal=options["journal"],
            on_progress=watch.update,
        )  # typed as an iterator, in truth a generator to be closed
        with watch, closing(outcomes):
            for outcome in outcomes:
                watch.ended(outcome)
    return watch.conclude()


def _refuse_batch_options(ctx: click.Context) -> None:
    """Raise UsageError for what only a batch keeps to: nobody's budget is ignored."""
    for param in ctx.command.params:
        given = param.name and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE
        if given and param.name not in ("json", "output", *_CALL_OPTIONS):
            raise click.UsageError(f"{param.opts[0]} goes with the folder of a batch: lemon resume DIR.")


def _resume_calls(ctx: click.Context, options: Mapping[str, Any]) -> int:
    """Go on with the single requests that the ledger knows: those whose tasks are not in hand."""
    from lemon_ext._core import address_of

    ledger = user_ledger()
    calls = list(ledger.calls(base_url=address_of(options["base_url"]))) if ledger is not None else []
    if lost := [call for call in calls if call.status == "uncertain"]:
        screen.warn(
            f"{count(len(lost), 'request')} may be billed, because the answers were lost: `lemon tasks` lists them, "
            "and `lemon reconcile` tells what became of them."
        )
    waiting = [call for call in calls if call.handle and call.status in ("waiting", "completed")]
    if not waiting:
        screen.note("No task waits. For a batch, give its folder.")
        return 0
    assert isinstance(ctx.parent, click.Context)  # noqa: S101 - `lemon` itself
    assert isinstance(ctx.parent.command, click.Group)  # noqa: S101 - as above
    command = ctx.parent.command.get_command(ctx.parent, "task")
    assert command is not None  # noqa: S101 - it is one of ours
    handles = tuple(json.dumps(dict(call.handle)) for call in reversed(waiting))
    given = {"output": options["output"] or ".", **{name: options[name] for name in _CALL_OPTIONS}}
    return int(ctx.invoke(command, tasks=handles, last=False, wait=True, overwrite=False, **given))


def _shown(place: Path | str) -> str:
    """Return a folder, or an address without its password, as it is printed."""
    from lemon_ext.batch import address_shown
    from lemon_ext.batch.address import is_address
    from lemon_ext.batch.destination import Destination

    return address_shown(str(place)) if is_address(place) else str(Destination.of(place))


def _resume_command(
    folder: Path | str, options: Mapping[str, Any], *more: str, last: LastRun | None = None, **limits: Any
) -> str:
    """Return the command to go on with. ``limits`` take the place of lower ones that were given, or that the ``last``
    run kept to.
    """
    from attrs import evolve, fields

    from lemon_ext.batch.last_run import LastRun

    from ._errors import address, command

    if last is None:
        given = {field.name: options[field.name] for field in fields(LastRun) if field.name in options}
        last = LastRun.of(**given, requests_per_minute=options.get("rpm"))
    for name, limit in limits.items():
        if (kept_to := getattr(last, name)) is not None and Decimal(limit) > Decimal(kept_to):
            last = evolve(last, **{name: limit})
    where = address(options.get("base_url"), private_images=False)
    also = ["--also", ",".join(last.also)] if options.get("also") else []
    emulator = ["--emulator"] if options.get("emulator") else []  # what was free must not go on at the real API
    kept = [*emulator, *where]
    address_of_journal, place = placed(folder, options.get("journal"))
    return command("resume", [*more, *address_of_journal, *last.options(), *also, *kept], place)
