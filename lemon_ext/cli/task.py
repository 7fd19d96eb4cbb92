"""``lemon task``: poll tasks by their ids, and save their images."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lemon_ext._amount import as_json
from lemon_ext._duration import CALL

from ._options import (
    base_url_option,
    connection,
    deadline_option,
    debug_option,
    json_option,
    output_option,
    overwrite_option,
    poll_interval_option,
    private_images_option,
    prompt_metadata_option,
    quiet_option,
    read_stdin,
    user_ledger,
)
from ._output import Output
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.ledger import Call

    from ._job import Job


@click.command()
@click.argument("tasks", metavar="ID_OR_JSON...", nargs=-1)
@click.option("--last", is_flag=True, help="Take the task that was submitted last from here. See `lemon tasks`.")
@click.option("--wait", is_flag=True, help="Poll until the tasks are done. Without it, poll once.")
@click.option("--cancel", is_flag=True, help="Cancel the tasks, where the API can: while they are queued.")
@output_option
@overwrite_option
@prompt_metadata_option
@deadline_option(CALL)
@poll_interval_option
@json_option("Print one JSON object per task.")
@base_url_option
@private_images_option
@quiet_option
@debug_option
@click.pass_context
def task(ctx: click.Context, /, tasks: tuple[str, ...], last: bool, **options: Any) -> int:
    """Poll or cancel tasks, and save the images of those that are done. Polling and cancelling are free.

    Give a task's id, or the JSON handle that `lemon generate --no-wait --json` prints. `-` reads ids or handles from
    stdin, one per line. Put `--` before an id that begins with a dash. Without --wait, the state of a running task is
    printed, and the exit code is 5. Images that are saved already are not saved again, unless -o names another place.
    """
    if bool(tasks) == last:
        raise click.UsageError("Give task ids, or --last.")
    calls = list(_calls(options["base_url"], needed=last))
    handles = _last(calls) if last else [handle for given in tasks for handle in _handles(given)]
    if not handles:
        raise click.UsageError("There is no task on stdin.")
    known = _known(calls, {handle["id"] for handle in handles if handle.get("id") is not None})
    # What the ledger knows of a task whose id alone is given: the prompt, which names the file, and more.
    handles = [{**known[id_].handle, **one} if (id_ := one.get("id")) in known else one for one in handles]
    if options["cancel"]:
        if options["wait"]:
            raise click.UsageError("--cancel and --wait exclude each other.")
        return _cancel(handles, options, known)
    output = Output(options["output"], overwrite=options["overwrite"])
    asked = ctx.get_parameter_source("output") is click.core.ParameterSource.COMMANDLINE
    here = {id_: call for id_, call in known.items() if not output.overwrite and _is_here(call, output, asked)}
    for call in here.values():
        _tell_saved(call)
    if left := [handle for handle in handles if handle.get("id") not in here]:
        output.check(sum(handle.get("n", 1) for handle in left))
        return _run(left, output, options)
    return 0


def _calls(base_url: str | None, *, needed: bool) -> Iterator[Call]:
    """Yield what the ledger knows of this address, the latest first. Unless it is ``needed``, it may be unreadable."""
    from lemon_ext._core import address_of
    from lemon_ext.errors import LemonError

    if (ledger := user_ledger()) is None:
        return
    try:
        yield from ledger.calls(base_url=address_of(base_url))
    except LemonError:
        if needed:
            raise


def _last(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return the handle of the task that was submitted last."""
    if (found := next((call for call in calls if call.handle), None)) is None:
        raise click.UsageError("No task was submitted from here. `lemon tasks` lists what was.")
    return [dict(found.handle)]


def _known(calls: Iterable[Call], ids: Container[str]) -> dict[str, Call]:
    return {call.task_id: call for call in calls if call.task_id is not None and call.task_id in ids}


def _is_here(call: Call, output: Output, asked: bool) -> bool:
    """Tell whether the images of a task are saved, and nobody ``asked`` for them in another place."""
    paths = [Path(path) for path in call.paths]
    if call.status != "saved" or not paths or not all(path.is_file() for path in paths):
        return False
    return not asked or (not output.is_file and {path.parent for path in paths} == {output.path.absolute()})


def _tell_saved(call: Call) -> None:
    """Say where the images of a task are. Relative to the current folder, as when they were saved."""
    paths = [Path(path) for path in call.paths]
    here = Path.cwd()
    shown = [path.relative_to(here) if path.is_relative_to(here) else path for path in paths]
    if screen.as_json:
        screen.json(
            {
                **({} if call.prompt is None else {"prompt": call.prompt}),
                "model": call.model,
                "task_id": call.task_id,
                "paths": [str(path) for path in shown],
                "note": "already saved",
                "request_id": call.request_id,
                "billing_id": call.billing_id,
                "cost": as_json(call.cost),
            }
        )
        return
    more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    screen.note(f"{call.task_id}: already saved as {shown[0]}{more}. To save it again, name another place with -o.")
    for path in shown:
        screen.path(path)


def _run(handles: list[dict[str, Any]], output: Output, options: Mapping[str, Any]) -> int:
    from lemon_ext.client import AsyncLemon

    from ._errors import RUNNING, Resume
    from ._job import Job
    from ._jobs import Runner

    private, prompts = options["allow_private_images"], options["prompt_metadata"]
    resume = Resume.of(options, output.path)
    client = {"deadline": options["deadline"], "ledger": user_ledger(), "prompt_metadata": prompts}

    async def start(lemon: AsyncLemon, handle: Mapping[str, Any]) -> AsyncImageTask:
        return lemon.images.task_from_dict(handle)

    def tell_left(job: Job) -> None:
        assert job.task is not None  # noqa: S101 - `start` made it
        status, progress = job.task.status, job.task.progress
        following = resume.task([job.task])
        if screen.as_json:
            screen.json({**job.head(), "status": status, "progress": progress, "next": following})
        else:
            screen.out(
                "  ".join([str(job.id), status or "unknown", *([] if progress is None else [f"{progress:.0f} %"])])
            )
            screen.next(following or "")

    with connection(options["base_url"], private_images=private) as address:
        return Runner(
            client=partial(AsyncLemon, **address, **client),
            save=output.save,
            keep=output.keep,
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            keep_on=lambda task: bool(options["wait"]) or task.done,
            tell_left=tell_left,
            left_code=RUNNING,
            resume=resume,
            refresh=not options["wait"],
        ).run([Job(str(handle.get("id", "task")), partial(start, handle=handle)) for handle in handles])


def _cancel(handles: Iterable[Mapping[str, Any]], options: Mapping[str, Any], of: Mapping[str, Call]) -> int:
    """Cancel each task and say what became of it. What is not cancelled runs on, and can be fetched."""
    from lemon_ext.client import Lemon
    from lemon_ext.errors import BadRequestError, ConflictError, LemonError

    from ._errors import DONE, REJECTED, Failure, Resume, explain

    handles = list(handles)
    if any(handle.get("id") is None for handle in handles):
        raise click.UsageError("A request that was answered at once has no task to cancel.")
    resume, worst = Resume.of(options), DONE
    with (
        connection(options["base_url"]) as address,
        Lemon(**address, deadline=options["deadline"], ledger=user_ledger()) as lemon,
    ):
        for handle in handles:
            head = {"task_id": handle["id"]}
            try:
                task = lemon.tasks.cancel(str(handle["id"]))
            except LemonError as exc:
                known, exc.task = exc.task, None
                failure = explain(exc) or Failure(str(exc), REJECTED, error=exc)
                saved = (call := of.get(handle["id"])) is not None and call.status == "saved"
                runs_on = not saved and known is not None and isinstance(exc, BadRequestError | ConflictError)
                failure.next = resume.task([known]) if runs_on else None
                screen.fail(failure, head)
                worst = max(worst, failure.exit_code)
                continue
            if screen.as_json:
                screen.json({**head, "status": task.status, "cancelled": True})
            else:
                screen.out(f"{task.id}  cancelled")
    return worst


def _handles(given: str) -> Iterator[dict[str, Any]]:
    """Yield the handles that an argument stands for."""
    from lemon_ext.tasks import Task, restore

    if given == "-":
        for line in read_stdin().splitlines():
            if line.strip():
                yield from _handles(line.strip())
        return
    try:
        handle = json.loads(given) if given.startswith("{") else {"id": given}
        restore(Task, handle)
    except ValueError as exc:
        what = "the JSON of a handle" if given.startswith("{") else "a task id"
        raise click.UsageError(f"{given[:60]!r} is not {what}: {exc}") from None
    yield handle
