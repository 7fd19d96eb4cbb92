"""``lemon batch``, ``resume`` and ``status``: many prompts in one folder. `lemon_ext.batch` does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ._contract import ApiCommand, api_fields, api_options
from ._options import (
    SECONDS,
    base_url_option,
    budget_option,
    check_stdin,
    connection,
    deadline_option,
    emulator_option,
    json_option,
    poll_interval_option,
    private_images_option,
    unknown_price_option,
)
from ._screen import screen

if TYPE_CHECKING:
    from collections.abc import Iterable

F = TypeVar("F", bound=Callable[..., Any])

#: The counts of a `Progress`, in the order in which a row goes through them.
COUNTS: Final = ("unsent", "submitting", "waiting", "saved", "failed", "refused", "uncertain")
_CODES: Final = (
    "Exit codes: 0 all rows saved, 2 nothing was sent, 7 partly done, 130 interrupted.\n\n"
    "All of them: lemon docs command-line"
)


def run_options(function: F) -> F:
    """Give a command the options that `batch` and `resume` share."""
    for option in reversed(
        (
            click.option(
                "--max-images",
                metavar="N",
                type=click.IntRange(min=0),
                help="Request at most N images for this folder, in all runs together.",
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
                type=SECONDS,
                default=1000.0,
                help="The rate limit: requests per minute, submissions and polls together. [default: 1000]",
            ),
            deadline_option(600.0),
            poll_interval_option,
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
                "--drop-unknown",
                is_flag=True,
                help="Give up tasks that the API does not know. Without it they are polled again in every run.",
            ),
            json_option("Print one JSON object per row when it ends, as in results.jsonl."),
            emulator_option,
            base_url_option,
            private_images_option,
        )
    ):
        function = option(function)
    return function


@click.command(cls=ApiCommand, epilog=_CODES)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@api_options
@click.option("-o", "--output", metavar="DIR", help="The folder of the batch. It is created if it is missing.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["jsonl", "csv", "txt"]),
    help="The format of FILE. [default: taken from its name or its first line]",
)
@click.option(
    "--dry-run", is_flag=True, help="Check all rows, count the images, and say what they cost. Nothing is sent."
)
@click.option(
    "--validation",
    type=click.Choice(["strict", "warn", "off"]),
    default="strict",
    help="For rows that break the contract's rules: strict sends no row at all, warn sends them with a warning, off "
    "does not check. [default: strict]",
)
@run_options
def batch(file: str, output: str | None, file_format: Any, dry_run: bool, validation: Any, **options: Any) -> int:
    """Generate images for every row of a file. A batch can be stopped and resumed at any time.

    FILE is JSONL or CSV with the API's parameter names as fields, or text with one prompt per line. `-` is stdin. The
    parameters below apply to rows that do not set them. All rows are checked before the first is sent. Run the same
    command again to continue a batch, however the last run ended: no row is paid twice.
    """
    from lemon_ext.rows import read_rows

    if file == "-":
        check_stdin()
    rows = read_rows(file, format=file_format)
    defaults = api_fields(options)
    if dry_run:
        return _plan(rows, defaults, validation)
    if output is None:
        raise click.UsageError("Give the folder of the batch with -o DIR, or --dry-run to only check it.")
    return _work(rows, Path(output), {**options, "defaults": defaults, "validation": validation})


@click.command(epilog=_CODES)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@run_options
def resume(folder: Path, **options: Any) -> int:
    """Continue a batch: poll its tasks, fetch their images, send the rest."""
    return _work(None, folder, {**options, "defaults": {}, "validation": "strict"})


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option("Print JSON.")
def status(folder: Path) -> int:
    """Show the progress of a batch. The batch may be running."""
    from attrs import asdict

    from lemon_ext.batch import batch_status

    progress = batch_status(folder)
    if not progress.total:
        screen.note(f"The batch in {folder} had not begun: nothing was sent. The same `lemon batch` begins it.")
    if screen.as_json:
        # What only a running batch knows of itself is left out.
        known = {**asdict(progress), "next": _resume_command(folder, {}) if progress.open else None}
        screen.json({name: known[name] for name in ("total", *COUNTS, "images", "next")})
        return 0
    for name in ("total", *COUNTS, "images"):
        screen.out(f"{name:<10}  {getattr(progress, name):>9,}")
    if progress.open:
        screen.next(_resume_command(folder, {}))
    return 0


def _plan(rows: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any], validation: Any) -> int:
    from lemon_ext.batch import plan_batch

    from . import _prices

    plan = plan_batch(rows, defaults=defaults, validation=validation)
    if screen.as_json:
        known = {"rows": plan.rows, "images": plan.images, "models": dict(plan.models)}
        screen.json({**known, "cost": _prices.cost(plan.cost)})
        return 0
    screen.out(f"{plan.rows:,} rows for {plan.images:,} images; all of them can be sent. Nothing was sent.")
    width = max(map(len, plan.models))
    for model, count in plan.models.items():
        screen.out(f"{model:<{width}}  {count:,}")
    for line in _prices.lines(plan.cost, plan.models):
        screen.out(line)
    return 0


def _work(rows: Iterable[Mapping[str, Any]] | None, folder: Path, options: Mapping[str, Any]) -> int:
    """Run a batch and return its exit code."""
    from lemon_ext.batch import run_batch
    from lemon_ext.client import AsyncLemon

    from ._watch import Watch

    watch = Watch(folder, partial(_resume_command, folder, options))
    private = options["allow_private_images"]
    with connection(options["base_url"], emulator=options["emulator"], private_images=private) as address:
        try:
            client = AsyncLemon(**address, requests_per_minute=options["rpm"], validation=options["validation"])
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
        outcomes: Any = run_batch(
            rows,
            folder,
            client=client,
            defaults=options["defaults"],
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            concurrency=options["concurrency"],
            max_images=options["max_images"],
            budget=options["budget"],
            allow_unknown_price=options["allow_unknown_price"],
            resend_refused=options["resend_refused"],
            resend_uncertain=options["resend_uncertain"],
            drop_unknown=options["drop_unknown"],
            on_progress=watch.update,
        )  # typed as an iterator, in truth a generator to be closed
        with watch, closing(outcomes):
            for outcome in outcomes:
                watch.ended(outcome)
    return watch.conclude()


def _resume_command(folder: Path, options: Mapping[str, Any], *more: str) -> str:
    from ._errors import address, command

    where = address(options.get("base_url"), options.get("allow_private_images", False))
    budget = ["--budget", options["budget"]] if options.get("budget") is not None else []
    unknown = ["--allow-unknown-price"] if options.get("allow_unknown_price") else []
    return command("resume", [*more, *budget, *unknown, *where], [str(folder)])
