"""What the commands that make pictures share: their options, and the work on requests that were checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._duration import CALL
from lemon_ext._inputs import told
from lemon_ext._words import NO_MODEL, count

from ._contract import api_fields, table
from ._errors import DONE, Resume
from ._options import (
    base_url_option,
    budget_option,
    connection,
    deadline_option,
    debug_option,
    emulator_option,
    json_option,
    open_option,
    output_option,
    overwrite_option,
    poll_interval_option,
    preview_option,
    private_images_option,
    prompt_metadata_option,
    quiet_option,
    read_stdin,
    together,
    unknown_price_option,
    user_ledger,
)
from ._output import Output
from ._screen import screen

if TYPE_CHECKING:
    from pathlib import Path

    from lemon_ext._request import Request
    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.money import Budget, Estimate

    from ._job import Job

EPILOG: Final = (
    "Exit codes: 0 done, 2 nothing was sent, 3 rejected by the API, 4 the task failed, 5 paid for and not fetched yet "
    "(run the command after `next:`), 6 may be billed (lemon reconcile).\n\nAll of them: lemon docs command-line"
)
#: The options of a command that is billed, besides those of the API.
billed_options: Final = together(
    output_option,
    overwrite_option,
    open_option,
    preview_option,
    prompt_metadata_option,
    click.option(
        "--wait/--no-wait", default=True, help="Wait for the images. With --no-wait, print the task ids and exit."
    ),
    deadline_option(CALL),
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
    click.option("--dry-run", is_flag=True, help="Check the requests and say what they cost. Nothing is sent."),
    budget_option,
    unknown_price_option,
    json_option("Print one JSON object per result or error."),
    emulator_option,
    base_url_option,
    private_images_option,
    quiet_option,
    debug_option,
)


def plan(requests: Sequence[Request], options: Mapping[str, Any]) -> int:
    """Say what requests would cost. Returns the exit code. Raises BudgetError where nothing would be sent."""
    from . import _prices

    planned, images, budget = _estimate(requests), sum(request.n for request in requests), _budget(requests, options)
    if screen.as_json:
        known = {"requests": len(requests), "images": images, "cost": _prices.cost(planned)}
        screen.json({**known, **_prices.cover(budget, planned)})
        return 0
    screen.out(f"{count(len(requests), 'request')} for {count(images, 'image')}; nothing was sent.")
    for line in _prices.lines(planned, dict.fromkeys(request.model for request in requests)):
        screen.out(line)
    if budget is not None:
        screen.out(_prices.covered(budget, planned))
    return 0


def _estimate(requests: Sequence[Request]) -> Estimate:
    from lemon_ext.money import Estimate

    planned = Estimate()
    for request in requests:
        planned.add(told(request.body), request.n)
    return planned


def _budget(requests: Sequence[Request], options: Mapping[str, Any]) -> Budget | None:
    """Return the budget, if there is one. Raises BudgetError if it does not cover all requests together."""
    if options["budget"] is None:
        return None
    from lemon_ext.money import Budget

    budget = Budget(options["budget"], allow_unknown=options["allow_unknown_price"])
    budget.check(_estimate(requests), whole=True)
    return budget


def run(requests: Sequence[Request], options: Mapping[str, Any]) -> int:
    """Send requests, wait, save the images, and return the exit code."""
    from lemon_ext._generate import submitted
    from lemon_ext.client import AsyncImageTask, AsyncLemon
    from lemon_ext.errors import APIConnectionError, APIStatusError, BudgetError
    from lemon_ext.money import quote

    from ._job import Job
    from ._jobs import Runner

    output = Output(options["output"], overwrite=options["overwrite"])
    output.check(sum(request.n for request in requests))
    budget = _budget(requests, options)

    async def start(lemon: AsyncLemon, request: Request) -> AsyncImageTask:
        core = lemon._core
        cost = quote(told(request.body), request.n).usd
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
        Job(
            " ".join((one.prompt or "variation").split()),
            partial(start, request=one),
            model=one.model,
            prompt=one.prompt or "",
        )
        for one in requests
    ]
    private, prompts = options["allow_private_images"], options["prompt_metadata"]
    ledger = None if options["emulator"] else user_ledger()  # an emulator's tasks end with the command
    with connection(options["base_url"], emulator=options["emulator"], private_images=private) as address:
        client = partial(AsyncLemon, **address, deadline=options["deadline"], ledger=ledger, prompt_metadata=prompts)
        code = Runner(
            client=client if "model" in api_fields(options) else partial(_with_the_default_model, client),
            save=output.save,
            keep=output.keep,
            deadline=options["deadline"],
            poll_interval=options["poll_interval"],
            keep_on=keep_on,
            tell_left=tell_left,
            left_code=DONE,
            resume=Resume.of(options, output.path),
        ).run(jobs)
    _show([path for job in jobs for path in job.paths], options)
    return code


def _show(paths: Sequence[Path], options: Mapping[str, Any]) -> None:
    """Show what was saved, where that is wanted."""
    from ._preview import preview
    from ._viewer import view

    if options["preview"]:
        preview(paths)
    if options["opened"]:
        view(paths)


def prompt_of(text: str) -> str:
    """Return a prompt; ``-`` stands for stdin."""
    return read_stdin().strip() if text == "-" else text


def billed_fields(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters that were given, and the fields beside the contract. Asks for a model where the API has no
    default.
    """
    fields = api_fields(options)
    if "model" not in fields and table().DEFAULT_MODEL is None:
        raise click.UsageError(NO_MODEL)
    return fields, _extra_fields(options["extra"])


def _with_the_default_model(client: Callable[[], AsyncLemon]) -> AsyncLemon:
    """Make a client, and say which model it sends: not before what can be wrong with the client."""
    lemon = client()
    say_default_model()
    return lemon


def say_default_model() -> None:
    """Say which model a request takes that names none."""
    screen.note(f"No model was named, so it is {table().DEFAULT_MODEL}.")


def _extra_fields(pairs: Sequence[str]) -> dict[str, Any]:
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
