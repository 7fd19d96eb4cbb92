"""What the commands that make pictures share: their options, and the work on requests that were checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ._contract import table
from ._errors import DONE, Resume
from ._options import (
    base_url_option,
    connection,
    deadline_option,
    emulator_option,
    json_option,
    output_option,
    overwrite_option,
    poll_interval_option,
    private_images_option,
    read_stdin,
)
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext._core import Request
    from lemon_ext.client import AsyncImageTask, AsyncLemon

    from ._job import Job
    from ._output import Output

F = TypeVar("F", bound=Callable[..., Any])

EPILOG: Final = (
    "Exit codes: 0 done, 2 nothing was sent, 3 rejected by the API, 4 the task failed, 5 paid for and not fetched yet "
    "(run the command after `next:`), 6 may be billed (look at your account).\n\nAll of them: lemon docs command-line"
)
_OPTIONS: Final = (
    output_option,
    overwrite_option,
    click.option(
        "--wait/--no-wait", default=True, help="Wait for the images. With --no-wait, print the task ids and exit."
    ),
    deadline_option(300.0),
    poll_interval_option,
    click.option(
        "--validation",
        type=click.Choice(["strict", "warn", "off"]),
        default="strict",
        help="For requests that break the contract's rules: strict sends nothing, warn sends them with a warning, off "
        "does not check. [default: strict]",
    ),
    click.option(
        "--extra", metavar="KEY=JSON", multiple=True, help="Send a field that is not in the contract. Repeatable."
    ),
    json_option("Print one JSON object per result or error."),
    emulator_option,
    base_url_option,
    private_images_option,
)


def billed_options(function: F) -> F:
    """Give a command the options besides those of the API."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def run(requests: Sequence[Request], output: Output, options: Mapping[str, Any]) -> int:
    """Send requests, wait, save the images, and return the exit code."""
    from lemon_ext._generate import submitted
    from lemon_ext.client import AsyncImageTask, AsyncLemon

    from ._job import Job
    from ._jobs import Runner

    async def start(lemon: AsyncLemon, request: Request) -> AsyncImageTask:
        core = lemon._core
        return await core.arun(*submitted(core, AsyncImageTask, request, core.limit(None)))

    def keep_on(task: AsyncImageTask) -> bool:
        # As JSON, a handle that is done already carries its images: `lemon task -` saves them like any other.
        return bool(options["wait"]) or (task.done and not screen.as_json)

    def tell_left(job: Job) -> None:
        if job.task is not None:
            screen.json(job.task.to_dict()) if screen.as_json else screen.out(str(job.id))

    jobs = [
        Job(" ".join((one.prompt or "variation").split()), partial(start, request=one), one.model, one.prompt or "")
        for one in requests
    ]
    private = options["allow_private_images"]
    with connection(options["base_url"], emulator=options["emulator"], private_images=private) as address:
        return Runner(
            client=partial(AsyncLemon, **address, deadline=options["deadline"]),
            save=output.save,
            keep=output.keep,
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            keep_on=keep_on,
            tell_left=tell_left,
            left_code=DONE,
            resume=Resume(output.path, options["base_url"], not options["emulator"], private),
        ).run(jobs)


def prompt_of(text: str) -> str:
    """Return a prompt; ``-`` stands for stdin."""
    return read_stdin().strip() if text == "-" else text


def extra_fields(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the fields of --extra; a value that is not JSON is taken as text."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--extra takes KEY=JSON, not {pair!r}.")
        if name in table().PARAMETERS:
            raise click.UsageError(f"The contract knows {name!r}; it has an option of its own.")
        try:
            fields[name] = json.loads(text)
        except ValueError:
            fields[name] = text
    return fields
