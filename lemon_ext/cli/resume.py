"""``lemon resume``: go on with a batch, or with the tasks of single requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from lemon_ext._words import count

from ._batch import CODES, RESENDS, resume_command, run_options, work
from ._options import Place, user_ledger
from ._screen import screen

#: What `lemon resume` keeps to without the folder of a batch.
_CALL_OPTIONS: Final = ("deadline", "poll_interval", "base_url", "allow_private_images", "prompt_metadata")


@click.command(epilog=CODES)
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
    if nothing_to_send and not any(options[name] for name in (*RESENDS, "emulator")):  # nothing needs a key
        watch = Watch(folder, partial(resume_command, folder, options), journal)
        try:
            export_results(folder, also=options["also"], journal=journal)
            write_gallery(folder, title=options["title"], journal=journal)
        except SaveError as exc:
            watch.failed(exc)
        except (OSError, JournalError) as exc:
            screen.warn(f"Some of the results could not be written: {str(exc).rstrip('.')}.")
        return watch.conclude()
    return work(None, folder, {**options, "defaults": {}, "grid": {}, "fan_out": False, "validation": "strict"})


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
