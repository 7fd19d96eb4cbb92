"""``lemon reconcile``: what became of requests whose answers were lost, by the account's own books."""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lemon_ext._amount import dollars
from lemon_ext._duration import SETTLE, TOLERANCE
from lemon_ext._words import count

from ._options import (
    Place,
    base_url_option,
    deadline_option,
    debug_option,
    duration_option,
    journal_address_option,
    json_option,
    placed,
    user_ledger,
)
from ._screen import screen
from ._words import moment

if TYPE_CHECKING:
    from lemon_ext._matching import Finding
    from lemon_ext._usage import Charge
    from lemon_ext.reconciliation import Reconciliation


@click.command(
    epilog="Exit codes: 0 all is told, 3 rejected by the API, 6 some cannot be told, 7 what was not billed is not "
    "released yet. What it all rests on: lemon docs money"
)
@click.argument("folder", metavar="[DIR]", required=False, type=Place(file_okay=False, path_type=Path))
@click.option(
    "--apply", is_flag=True, help="Let what was not billed be sent again, without asking. `lemon resume` sends it."
)
@click.option(
    "--key-id",
    metavar="ID",
    help="The key that sent the requests. [default: the one that LEMONDATA_API_KEY is by its first letters]",
)
@click.option(
    "--alone",
    is_flag=True,
    help="You vouch that nobody else used this key in that time, so that charges can be counted.",
)
@duration_option(
    "--settle",
    "When a charge is among the records at the latest. Younger requests cannot be told.",
    SETTLE,
    zero=True,
)
@duration_option("--clock-tolerance", "By how much the clocks here and there may differ.", TOLERANCE, zero=True)
@journal_address_option
@deadline_option(600.0, "How long to wait for the records.")
@json_option("Print JSON.")
@base_url_option
@debug_option
def reconcile(folder: Path | str | None, apply: bool, base_url: str | None, deadline: float, **options: Any) -> int:
    """Tell what became of requests whose answers were lost: billed, not billed, or cannot be told.

    Of the batch in DIR, or whose journal is at ADDRESS; without them, of the single requests of `lemon tasks`. It reads
    what the account was charged for (free) with a management token, from LEMONDATA_MANAGEMENT_TOKEN. What was not
    billed can be sent again, after a yes or with --apply. It never guesses: a request is released only if no charge can
    be its own.
    """
    from lemon_ext._key import ACCOUNT_VARIABLE
    from lemon_ext._usage import check_token
    from lemon_ext.client import Lemon
    from lemon_ext.errors import ConfigurationError
    from lemon_ext.reconciliation import reconcile as reconciled

    ledger = user_ledger()
    of_calls = folder is None and options["journal"] is None
    if of_calls and ledger is None:
        raise ConfigurationError("LEMONDATA_LEDGER is off, so nothing is written down. Give the folder of a batch.")
    what, place = "request" if of_calls else "row", placed(folder, options["journal"])
    with Lemon(check_token(os.environ.get(ACCOUNT_VARIABLE, "")), base_url=base_url, deadline=deadline) as lemon:
        found = reconciled(folder, client=lemon, ledger=ledger, deadline=deadline, **options)
    _tell(found, what)
    _write(found, release=apply or _agreed(found))
    return _conclude(found, place, base_url)


def _tell(found: Reconciliation, what: str) -> None:
    if screen.as_json:
        return
    for one in found.findings:
        screen.out(_line(one, found, what))
    if not found.findings:
        screen.note("No answer was lost.")
    for bill in found.odd:
        said = f"{_usd(bill.usd)}; the published price is {_usd(bill.price)}"
        screen.warn(f"{what.capitalize()} {bill.key} was billed {said}.")
    _tell_charges(found.strange, "of no request here: other programs use this key, or other folders")
    _tell_charges(found.possible, "perhaps of the requests that cannot be told")
    if found.matched.currencies:
        named = ", ".join(sorted(found.matched.currencies))
        screen.warn(f"Some charges are in {named}. They are not summed, and no amount is written down for them.")
    if (ready := found.matched.ready) is not None:
        screen.note(f"What is too young can be told after {moment(ready)}.")
    if not found.steady:
        screen.warn("The records changed while they were read, again and again. Try it once more.")


def _line(one: Finding, found: Reconciliation, what: str) -> str:
    sent = found.lost[one.key]
    when = "" if sent.at is None else moment(sent.at)
    ids = next((charge.billing_id or charge.request_id or "" for charge in one.charges), "")
    about = "  ".join(part for part in (_usd(one.usd) if one.usd is not None else "", ids, one.why.value) if part)
    return f"{what} {one.key:<6}  {when:<19}  {sent.model or '-':<16}  {one.verdict.value:<14}  {about}"


def _tell_charges(charges: Any, which: str) -> None:
    if charges:
        known = [one.usd for one in charges if one.usd is not None]
        total = _usd(sum(known) if len(known) == len(charges) else None)
        few: list[Charge] = list(charges[:5])
        listed = ", ".join(one.billing_id or one.request_id or "one without an id" for one in few)
        more = " and others" if len(charges) > len(few) else ""
        screen.note(f"{count(len(charges), 'charge')} ({total}) {which}: {listed}{more}.")


def _usd(exact: Decimal | int | None) -> str:
    return "an unknown amount" if exact is None else dollars(Decimal(exact))


def _agreed(found: Reconciliation) -> bool:
    """Ask on a terminal whether what was not billed may be sent again. Scripts are not asked."""
    from lemon_ext.reconciliation import Verdict

    free = len(found.of(Verdict.NOT_BILLED))
    if not free or screen.as_json or not _asks():
        return False
    return click.confirm(f"{count(free, 'request')} not billed. May they be sent again?", err=True)


def _asks() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def _write(found: Reconciliation, *, release: bool) -> None:
    """Write down what was found. Amounts alone are not worth an error: another run finds them again."""
    from lemon_ext.errors import JournalError

    try:
        found.apply(release=release)
    except JournalError as exc:
        if release:
            raise
        screen.warn(f"The amounts are not written down: {exc}")


def _conclude(found: Reconciliation, place: tuple[list[str], list[str]], base_url: str | None) -> int:
    from lemon_ext.reconciliation import Verdict

    from ._errors import DONE, PARTLY, UNCERTAIN, address, command

    billed, free, unknown = (len(found.of(verdict)) for verdict in Verdict)
    journal, names = place
    where = [*journal, *address(base_url, False)]
    if screen.as_json:
        screen.json(found.to_dict())
    elif found.findings:
        screen.note(
            f"{count(len(found.findings), 'lost answer')}: {billed:,} billed, {free:,} not billed, {unknown:,} cannot "
            f"be told. {found.released:,} can be sent again."
        )
    if found.released and names:
        screen.next(command("resume", where, names))
    elif free and not found.released:
        screen.next(command("reconcile", ["--apply", *where], names))
        return UNCERTAIN if unknown else PARTLY
    return UNCERTAIN if unknown else DONE
