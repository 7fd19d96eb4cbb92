"""``lemon status``: how far a batch is, and the rows of it that failed."""

from __future__ import annotations

import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from lemon_ext._words import count

from ._batch import COUNTS, resume_command, shown
from ._options import Place, journal_address_option, json_option, placed
from ._screen import screen


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
    resume = partial(resume_command, folder, {"journal": journal}, last=progress.last_run)
    goes_on = progress.open - progress.unknown - (progress.unsent if progress.limited else 0)
    following = resume() if goes_on and not progress.working else None
    if not progress.total:
        screen.note(f"The batch in {shown(folder)} had not begun: nothing was sent. The same `lemon batch` begins it.")
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
