"""What the commands of a batch share: the options of a run, the run itself, and the command to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._duration import ROW

from ._options import (
    LATER,
    base_url_option,
    budget_option,
    connection,
    deadline_option,
    debug_option,
    emulator_option,
    give_up_option,
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
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lemon_ext.batch.last_run import LastRun

#: The counts of a `Progress`, in the order in which a row goes through them.
COUNTS: Final = ("unsent", "submitting", "waiting", "unfetched", "saved", "failed", "refused", "uncertain")
#: What lets rows be sent again.
RESENDS: Final = ("resend_refused", "resend_uncertain", "resend_failed")
CODES: Final = (
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


def work(rows: Iterable[Mapping[str, Any]] | None, folder: Path | str, options: Mapping[str, Any]) -> int:
    """Run a batch and return its exit code."""
    from lemon_ext.batch import run_batch
    from lemon_ext.client import AsyncLemon

    from ._watch import Watch

    watch = Watch(folder, partial(resume_command, folder, options), options["journal"])
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


def shown(place: Path | str) -> str:
    """Return a folder, or an address without its password, as it is printed."""
    from lemon_ext.batch import address_shown
    from lemon_ext.batch.address import is_address
    from lemon_ext.batch.destination import Destination

    return address_shown(str(place)) if is_address(place) else str(Destination.of(place))


def resume_command(
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
