"""``lemon tasks``: what was sent from here, as the ledger knows it. Nothing is asked of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from lemon_ext._amount import as_json
from lemon_ext._words import cut

from ._options import json_option, user_ledger
from ._screen import screen
from ._table import print_table
from ._words import moment

if TYPE_CHECKING:
    from lemon_ext.ledger import Call

#: Characters of a prompt that are shown.
PROMPT: Final = 40


@click.command()
@click.option(
    "-n",
    "--number",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    help="How many, the latest first. [default: 20]",
)
@json_option("Print one JSON object per request.")
def tasks(number: int) -> int:
    """List the requests that were sent from here: their ids, states and costs.

    The latest first, each with the number that `lemon reconcile` calls it by. Single requests alone; `lemon status DIR`
    shows a batch. `uncertain` means that the answer was lost: it may be billed. See `lemon docs money`.
    """
    ledger = user_ledger()
    if ledger is None:
        screen.note("LEMONDATA_LEDGER is off, so nothing is written down.")
        return 0
    calls = list(ledger.calls(number))
    if not calls:
        screen.note(f"Nothing was sent from here yet, or nothing is written down in {ledger.path}.")
    if not screen.as_json:
        print_table(map(_cells, calls))
        return 0
    for call in calls:
        screen.json(_to_dict(call))
    return 0


def _cells(call: Call) -> tuple[str, ...]:
    from lemon_ext._amount import dollars

    cost = "" if call.cost is None else dollars(call.cost)
    prompt = " ".join((call.prompt or "(no prompt)").split())  # of a variation, or LEMONDATA_LEDGER=no-prompts
    known = f"{call.id:>4}", call.status, call.task_id or "-", call.model or "-", f"{cost:>8}" if cost else ""
    return (moment(call.at), *known, cut(prompt, PROMPT))


def _to_dict(call: Call) -> dict[str, Any]:
    return {
        "number": call.id,
        "at": call.at,
        "status": call.status,
        "task_id": call.task_id,
        "model": call.model,
        "prompt": call.prompt,
        "cost": as_json(call.cost),
        "request_id": call.request_id,
        "billing_id": call.billing_id,
        "error": call.error,
        "paths": list(call.paths),
        "base_url": call.base_url,
    }
