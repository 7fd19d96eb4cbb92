"""What ``lemon doctor --journal`` looks at: the database that a journal is, or will be, in. The checks are `Check`s.

Nothing is left behind there, nobody is disturbed, and the password is never shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lemon_ext._words import count
from lemon_ext.batch.address import Address
from lemon_ext.batch.stores import postgres_store
from lemon_ext.errors import ConfigurationError, JournalError

from ._checks import LARGEST_SKEW, Check

if TYPE_CHECKING:
    from lemon_ext.batch.condition import Condition

#: Connections that one worker may need: its own, and one for the pictures of a block.
CONNECTIONS: Final = 2
#: Seconds that a timeout of the database's leaves at least.
SHORTEST: Final = 10.0


def journal_checks(journal: str, seconds: float) -> Iterator[Check]:
    """Look at the database of a journal, in order. ``seconds`` is for the connection."""
    try:
        address = Address.of(journal)
        postgres_store()
        from lemon_ext.batch.condition import look

        found = look(address, seconds)
    except ConfigurationError as exc:
        yield Check("journal", False, str(exc), "Correct --journal, or install what is missing.")
        return
    except JournalError as exc:
        yield Check("journal", False, str(exc), _remedy(str(exc)))
        return
    yield Check("journal", True, f"{address.shown}, connected in {found.seconds:.2f} s, {found.tls or 'not encrypted'}")
    yield from (_server(found), _pooler(found), _batch(found, address), _write(found), _clock(found))
    yield from (_sessions(found), _timeouts(found), _workers(found))


def _remedy(said: str) -> str:
    """Return what to do about a database that cannot be reached, by what it or its driver says."""
    for words, remedy in (
        ("pg_hba.conf", "Have pg_hba.conf of the server let this user in from this machine; it may ask for TLS."),
        ("SSL", "Have the server speak TLS, or take sslmode out of the address where the network is yours."),
        ("certificate", "Name the server's authority: ?sslrootcert=FILE, and the host as its certificate does."),
        ("password", "Set PGPASSWORD or ~/.pgpass. In an address, special characters of a password are written %40."),
        ("too many clients", "End connections, raise max_connections, or put a pooler in session mode before it."),
        ("too many connections", "End connections, or raise CONNECTION LIMIT of the user or the database."),
        ("remaining connection slots", "End connections, raise max_connections, or put a pooler before it."),
        ("does not exist", "Create the database and the user, or correct their names in the address."),
    ):
        if words in said:
            return remedy
    return "Look at host, port, network and firewall, and whether the server runs and listens there (listen_addresses)."


def _server(found: Condition) -> Check:
    from lemon_ext.batch.condition import OLDEST

    told = f"PostgreSQL {found.version}, texts as {found.encoding}"
    if found.number < OLDEST:
        return Check("server", False, told, f"Use PostgreSQL {OLDEST // 10_000} or newer.")
    if found.encoding != "UTF8":
        return Check("server", False, told, "Use a database with UTF8: CREATE DATABASE ... ENCODING 'UTF8'.")
    return Check("server", True, told)


def _pooler(found: Condition) -> Check:
    if found.is_session:
        return Check("pooler", True, "none that hands the connection to others")
    return Check(
        "pooler", False, "one hands the connection to others between two transactions",
        "Give the address of the database itself, or set the pooler to session mode.",
    )  # fmt: skip


def _batch(found: Condition, address: Address) -> Check:
    if found.fault is not None:
        return Check("batch", False, found.fault, "See above; and `lemon status ADDRESS` says more of a batch.")
    if found.rows is None:
        return Check("batch", True, f"there is no {address.batch} yet: the first run makes it")
    states = ", ".join(f"{number:,} {state}" for state, number in sorted(found.rows.items()))
    told = f"{address.batch}: {count(sum(found.rows.values()), 'row')}"
    return Check("batch", True, f"{told} ({states})" if states else told)


def _write(found: Condition) -> Check:
    from lemon_ext.batch.condition import LOCKED

    if found.lacks is None:
        return Check("write", True, "what a run writes can be written, as was tried and rolled back")
    if found.lacks == LOCKED:
        return Check("write", False, found.lacks, "A run waits for that. Look at pg_locks, or try it again.")
    remedy = "Give the user CREATE in the database, or make the schemas for it (`lemon docs scale`)."
    if "read-only" in found.lacks:
        remedy = "It may be a standby: give the address of the server that takes changes."
    return Check("write", False, found.lacks, remedy)


def _clock(found: Condition) -> Check:
    off = abs(found.ahead)
    if off <= LARGEST_SKEW:
        return Check("db clock", True, f"within {max(off, 1):.0f} s of this machine's")
    side = "ahead of" if found.ahead > 0 else "behind"
    return Check(
        "db clock", False, f"this machine's clock is {off:,.0f} s {side} the database's",
        "Set the one that is wrong. No lease goes by it, but the times in results and `lemon reconcile` do.",
    )  # fmt: skip


def _sessions(found: Condition) -> Check:
    told = f"{found.left} of {found.connections} connections are left; a worker needs one, a block of an engine two"
    if found.left < CONNECTIONS:
        return Check("sessions", False, told, "End connections, or raise max_connections.")
    return Check("sessions", True, told)


def _timeouts(found: Condition) -> Check:
    told = ", ".join(f"{name} {seconds:g} s" for name, seconds in found.timeouts.items()) or "none is set"
    if any(seconds < SHORTEST for seconds in found.timeouts.values()):
        return Check("timeouts", False, told, "They end a run: ALTER ROLE ... SET statement_timeout = '5min', for one.")
    return Check("timeouts", True, told)


def _workers(found: Condition) -> Check:
    hosts = Counter(found.workers)
    told = ", ".join(host if number == 1 else f"{host} ({number})" for host, number in hosts.items())
    return Check("workers", True, f"at work: {told}" if told else "nobody is at work")
