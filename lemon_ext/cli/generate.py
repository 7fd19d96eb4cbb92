"""``lemon generate``: prompts in, pictures out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ._contract import ApiCommand, api_fields, api_options, table
from ._options import (
    base_url_option,
    connection,
    deadline_option,
    emulator_option,
    json_option,
    output_option,
    overwrite_option,
    poll_interval_option,
    read_stdin,
)
from ._output import Output
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext.client import AsyncImageTask, AsyncLemon

    from ._jobs import Job


@click.command(
    cls=ApiCommand,
    epilog="Exit codes: 0 done, 2 nothing was sent, 3 refused, 4 the task failed, 5 still running (resume it), "
    "6 possibly billed (look first).\n\nMore: lemon docs command-line",
)
@click.argument("prompts", metavar="PROMPT...", nargs=-1, required=True)
@api_options
@output_option
@overwrite_option
@click.option(
    "--wait/--no-wait", default=True, help="With --no-wait: print the ids of the tasks and leave them running."
)
@deadline_option(300.0)
@poll_interval_option
@click.option(
    "--validation",
    type=click.Choice(["strict", "warn", "off"]),
    default="strict",
    help="What to do with a request that the contract's table speaks against: not send it, warn, or nothing.",
)
@click.option("--extra", metavar="KEY=JSON", multiple=True, help="Send a field that the contract does not know yet.")
@json_option("Print one JSON object per result.")
@emulator_option
@base_url_option
def generate(prompts: tuple[str, ...], **options: Any) -> int:
    """Generate images, wait for them and save them.

    Prints the paths. Several PROMPTs are all checked before the first is sent, and then go on at the same time. A `-`
    reads a prompt from stdin.
    """
    texts = [_read(prompt) for prompt in prompts]
    fields = api_fields(options)
    extra = _extra(options["extra"])
    if options["validation"] == "strict":
        _check(texts, fields)
    _ask_about_words(texts)
    output = Output(options["output"], overwrite=options["overwrite"])
    output.check(len(texts) * fields.get("n", 1))
    return _run(texts, fields, extra, output, options)


def _run(
    texts: Sequence[str],
    fields: Mapping[str, Any],
    extra: Mapping[str, Any],
    output: Output,
    options: Mapping[str, Any],
) -> int:
    from lemon_ext.client import AsyncLemon

    from ._errors import DONE, Resume
    from ._jobs import Job, Runner

    async def start(lemon: AsyncLemon, text: str) -> AsyncImageTask:
        return await lemon.images.submit(text, extra_body=extra, **fields)

    def keep_on(task: AsyncImageTask) -> bool:
        # As JSON, a handle that is done already carries its images: `lemon task -` saves them like any other.
        return bool(options["wait"]) or (task.done and not screen.as_json)

    def leave(job: Job) -> int:
        if job.task is not None:
            screen.json(job.task.to_dict()) if screen.as_json else screen.out(str(job.id))
        return DONE

    model = fields.get("model", table().PARAMETERS["model"].get("default"))
    jobs = [Job(" ".join(text.split()), partial(start, text=text), model=model, prompt=text) for text in texts]
    with connection(options["base_url"], emulator=options["emulator"]) as address:
        return Runner(
            client=partial(AsyncLemon, **address, deadline=options["deadline"], validation=options["validation"]),
            save=output.save,
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            keep_on=keep_on,
            leave=leave,
            resume=Resume(output.path, options["base_url"], alive=not options["emulator"]),
        ).run(jobs)


def _check(texts: Sequence[str], fields: Mapping[str, Any]) -> None:
    """Raise CapabilityError with all that is wrong with any of the requests."""
    from attrs import evolve

    from lemon_ext.capabilities import describe, violations, warn_of_near_miss
    from lemon_ext.errors import CapabilityError

    found = []
    for number, text in enumerate(texts, 1):
        for one in violations({**fields, "prompt": text}):
            if one.parameter == "prompt" and len(texts) > 1:
                found.append(evolve(one, parameter=f"prompt {number}"))
            elif one not in found:
                found.append(one)
    if found:
        warn_of_near_miss(fields.get("model"))
        raise CapabilityError(describe(found), violations=found)


def _ask_about_words(texts: Sequence[str]) -> None:
    """Make sure that `lemon generate a white cat` is not three pictures by mistake. Scripts are not asked."""
    if len(texts) > 2 and all(len(text.split()) == 1 for text in texts) and sys.stdin.isatty():
        question = (
            f"{len(texts)} prompts of one word each, so {len(texts)} requests. Send them (or are quotes missing)?"
        )
        click.confirm(question, abort=True, err=True)


def _read(prompt: str) -> str:
    return read_stdin().strip() if prompt == "-" else prompt


def _extra(pairs: Sequence[str]) -> dict[str, Any]:
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
