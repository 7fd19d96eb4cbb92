"""``lemon doctor``: what can go wrong here and on the way to the API, and what to do about it."""

from __future__ import annotations

import os
from itertools import chain

import click
from attrs import asdict

from ._options import (
    base_url_option,
    connection,
    deadline_option,
    debug_option,
    emulator_option,
    json_option,
)
from ._screen import screen
from ._table import wrapped


@click.command()
@deadline_option(10.0, "How long each step over the network may take.")
@json_option("Print a list of {check, ok, detail, remedy}.")
@emulator_option
@base_url_option
@debug_option
@click.option(
    "--journal",
    metavar="ADDRESS",
    help="Look at a database, too, that is to have the journal of batches: postgresql://USER@HOST/DATABASE?batch=NAME.",
)
def doctor(base_url: str | None, emulator: bool, deadline: float, journal: str | None) -> int:
    """Look at what can go wrong on this machine and on the way to the API, and say what to do.

    Python, versions, disk, ledger, terminal, key, address, proxy, DNS, TLS, the API's answer, the clock, and the
    balance if LEMONDATA_MANAGEMENT_TOKEN is set. With --journal the database, too: its version, a pooler, the batch,
    whether it can be written, its clock, connections, timeouts, and who works there. Only free requests are made, and
    no key or password is shown. The exit code is 0 if all is well, else 1.
    """
    from ._checks import checks

    key, token = (os.environ.get(name, "") for name in ("LEMONDATA_API_KEY", "LEMONDATA_MANAGEMENT_TOKEN"))
    made = []
    with connection(base_url, emulator=emulator) as address:
        if emulator:
            from lemon_ext.emulator import TOKEN

            key, token, base_url = address["api_key"], TOKEN, address["base_url"]
        looked_at = [checks(base_url, key, token.strip(), deadline)]
        if journal is not None:
            from ._database import journal_checks

            looked_at.append(journal_checks(journal, deadline))
        for check in chain.from_iterable(looked_at):
            made.append(check)
            if screen.as_json:
                continue
            screen.out(wrapped(check.detail, f"{'ok' if check.ok else 'FAULT':<5}  {check.check:<8}  "))
            if check.remedy:
                screen.out(wrapped(check.remedy, " " * 17))
    if screen.as_json:
        screen.json([asdict(check) for check in made])
    return 0 if all(check.ok for check in made) else 1
