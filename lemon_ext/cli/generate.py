"""``lemon generate``: submit prompts, wait, and save the images."""

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
    budget_option,
    connection,
    deadline_option,
    emulator_option,
    json_option,
    output_option,
    overwrite_option,
    poll_interval_option,
    private_images_option,
    read_stdin,
    unknown_price_option,
    user_ledger,
)
from ._output import Output
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext._core import Request
    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.money import Budget, Estimate

    from ._job import Job


@click.command(
    cls=ApiCommand,
    epilog="Exit codes: 0 done, 2 nothing was sent, 3 rejected by the API, 4 the task failed, 5 paid for and not "
    "fetched yet (run the command after `next:`), 6 may be billed (look at your account).\n\n"
    "All of them: lemon docs command-line",
)
@click.argument("prompts", metavar="PROMPT...", nargs=-1, required=True)
@api_options
@output_option
@overwrite_option
@click.option(
    "--wait/--no-wait", default=True, help="Wait for the images. With --no-wait, print the task ids and exit."
)
@deadline_option(300.0)
@poll_interval_option
@click.option(
    "--validation",
    type=click.Choice(["strict", "warn", "off"]),
    default="strict",
    help="For requests that break the contract's rules: strict sends nothing, warn sends them with a warning, off does "
    "not check. [default: strict]",
)
@click.option(
    "--extra", metavar="KEY=JSON", multiple=True, help="Send a field that is not in the contract. Repeatable."
)
@click.option("--dry-run", is_flag=True, help="Check the requests and say what they cost. Nothing is sent.")
@budget_option
@unknown_price_option
@json_option("Print one JSON object per result or error.")
@emulator_option
@base_url_option
@private_images_option
def generate(prompts: tuple[str, ...], **options: Any) -> int:
    """Generate images, wait until they are done, and save them.

    Prints the paths of the files. All PROMPTs are checked before the first is sent, and then processed at the same
    time. `-` reads one prompt from stdin. Put `--` before a prompt that begins with a dash.
    """
    texts = [_read(prompt) for prompt in prompts]
    requests = _checked(texts, api_fields(options), _extra(options["extra"]), options["validation"])
    if options["dry_run"]:
        return _plan(requests)
    _ask_about_words(texts)
    output = Output(options["output"], overwrite=options["overwrite"])
    output.check(sum(request.n for request in requests))
    return _run(requests, output, _budget(requests, options), options)


def _estimate(requests: Sequence[Request]) -> Estimate:
    from lemon_ext.money import Estimate

    planned = Estimate()
    for request in requests:
        planned.add(request.body, request.n)
    return planned


def _plan(requests: Sequence[Request]) -> int:
    from . import _prices

    planned, images = _estimate(requests), sum(request.n for request in requests)
    if screen.as_json:
        screen.json({"requests": len(requests), "images": images, "cost": _prices.cost(planned)})
        return 0
    many = len(requests) != 1
    screen.out(f"{len(requests)} request{'s' if many else ''} for {images} images; nothing was sent.")
    for line in _prices.lines(planned, dict.fromkeys(request.model for request in requests)):
        screen.out(line)
    return 0


def _budget(requests: Sequence[Request], options: Mapping[str, Any]) -> Budget | None:
    """Return the budget, if there is one. Raises BudgetError if it does not cover all requests together."""
    if options["budget"] is None:
        return None
    from lemon_ext.money import Budget

    budget = Budget(options["budget"], allow_unknown=options["allow_unknown_price"])
    budget.check(_estimate(requests), whole=True)
    return budget


def _run(requests: Sequence[Request], output: Output, budget: Budget | None, options: Mapping[str, Any]) -> int:
    from lemon_ext._generate import submitted
    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.errors import APIConnectionError, APIStatusError, BudgetError
    from lemon_ext.money import quote

    from ._errors import DONE, Resume
    from ._job import Job
    from ._jobs import Runner

    async def start(lemon: AsyncLemon, request: Request) -> AsyncImageTask:
        core = lemon._core
        cost = quote(request.body, request.n).usd
        if budget is not None and not budget.reserve(request, cost):
            raise BudgetError(f"Nothing was sent: {budget.refusal(cost)}.")
        try:
            task = await core.acall(submitted(core, AsyncImageTask, request, core.limit(None)))
        except (APIConnectionError, APIStatusError):  # certainly not accepted
            if budget is not None:
                budget.release(request)
            raise
        if budget is not None and task.cost is not None:
            budget.settle(request, task.cost)
        return task

    def keep_on(task: AsyncImageTask) -> bool:
        # As JSON, a handle that is done already carries its images: `lemon task -` saves them like any other.
        return bool(options["wait"]) or (task.done and not screen.as_json)

    def tell_left(job: Job) -> None:
        if job.task is not None:
            screen.json(job.task.to_dict()) if screen.as_json else screen.out(str(job.id))

    jobs = [
        Job(" ".join(one.prompt.split()), partial(start, request=one), model=one.model, prompt=one.prompt)
        for one in requests
    ]
    private = options["allow_private_images"]
    ledger = None if options["emulator"] else user_ledger()  # an emulator's tasks end with the command
    with connection(options["base_url"], emulator=options["emulator"], private_images=private) as address:
        return Runner(
            client=partial(AsyncLemon, **address, deadline=options["deadline"], ledger=ledger),
            save=output.save,
            keep=output.keep,
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            keep_on=keep_on,
            tell_left=tell_left,
            left_code=DONE,
            resume=Resume(output.path, options["base_url"], not options["emulator"], private),
        ).run(jobs)


def _checked(
    texts: Sequence[str], fields: Mapping[str, Any], extra: Mapping[str, Any], validation: Any
) -> list[Request]:
    """Return the requests, ready to send. Raises CapabilityError with all that is wrong with any of them."""
    from attrs import evolve

    from lemon_ext._core import prepare
    from lemon_ext.capabilities import describe
    from lemon_ext.errors import CapabilityError

    params = {name: value for name, value in fields.items() if name != "model"}
    requests, found = [], []
    for number, text in enumerate(texts, 1):
        try:
            requests.append(prepare(text, fields.get("model"), params, extra, validation))
        except CapabilityError as exc:
            for one in exc.violations:
                if one.parameter == "prompt" and len(texts) > 1:
                    found.append(evolve(one, parameter=f"prompt {number}"))
                elif one not in found:
                    found.append(one)
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
    if found:
        raise CapabilityError(describe(found), violations=found)
    return requests


def _ask_about_words(texts: Sequence[str]) -> None:
    """Ask before `lemon generate a white cat` becomes three pictures. Scripts are not asked."""
    asked = sys.stdin is not None and sys.stdin.isatty()
    if asked and len(texts) > 2 and all(len(text.split()) == 1 for text in texts):
        question = (
            f"{len(texts)} prompts of one word each, so {len(texts)} requests. Send them (or are quotes missing)?"
        )
        if not click.confirm(question, err=True):
            raise click.ClickException("Nothing was sent.")


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
