"""What became of requests whose answers were lost, by the account's own books: `reconcile`.

It reads what the key was charged for at the time, and matches that with what was sent (`_matching`, which never
guesses). Asking is free, and nothing is sent again here: a request that was certainly not billed may be sent once more
by whoever sends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, Protocol

from attrs import define, field, frozen

from . import _clock
from ._amount import as_json, dollars
from ._core import Core
from ._duration import SETTLE, TOLERANCE
from ._flow import Flow, Work
from ._key import ACCOUNT_VARIABLE, LETTERS, ApiKey
from ._matching import Bill, Finding, Known, Matched, Rules, Sent, Verdict, match
from ._usage import Charge, api_keys, check_token, fitting, usage
from ._warn import warn
from .batch import journal as journals
from .batch.destination import Destination
from .batch.folder import mark
from .batch.gallery import write_page
from .batch.journal import Journal, Statement
from .batch.output import PAGE, export
from .batch.stores import open_journal, read_journal
from .client import AsyncLemon, Lemon
from .errors import ConfigurationError
from .ledger import Ledger
from .money import quote

__all__ = ("Reconciliation", "Verdict", "areconcile", "reconcile")


class Book(Protocol):
    """Where requests are written down."""

    @property
    def addresses(self) -> set[str]: ...
    @property
    def owned(self) -> frozenset[str]: ...
    @property
    def keys(self) -> set[str]: ...
    def sent(self, mark: str | None) -> list[Sent]: ...
    def apply(self, lost: dict[int, Sent], matched: Matched, *, release: bool) -> tuple[int, int]: ...


@define
class Reconciliation:
    """What the account says of the requests of a batch, or of the ledger.

    ``findings``: one for each request whose answer was lost: ``key`` (its row, or its line in the ledger), ``verdict``,
    ``why``, ``usd``, ``charges``. ``possible`` are charges that may be of one of these, ``strange`` those that no
    request explains, ``odd`` requests that cost something else than the published price. ``usd``: what all charges of
    the time cost, None if some are not in US dollars. ``released`` and ``marked``: how many requests were changed.
    """

    key_id: str | None
    since: float | None
    until: float | None
    lost: dict[int, Sent]
    matched: Matched
    _book: Book = field(repr=False)
    steady: bool = True
    released: int = 0
    marked: int = 0

    @property
    def findings(self) -> Sequence[Finding]:
        return self.matched.findings

    @property
    def possible(self) -> Sequence[Charge]:
        return self.matched.possible

    @property
    def strange(self) -> Sequence[Charge]:
        return self.matched.strange

    @property
    def odd(self) -> Sequence[Bill]:
        return [one for one in self.matched.bills if one.price is not None]

    @property
    def usd(self) -> Decimal | None:
        return None if self.matched.unsummed else self.matched.usd

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with a verdict."""
        return self.matched.of(verdict)

    def apply(self, *, release: bool = True) -> None:
        """Write amounts and ids down, and with ``release`` let requests be sent again that were not billed.

        Each is changed only if it is still as it was read. Raises JournalError if another process works there.
        """
        released, marked = self._book.apply(self.lost, self.matched, release=release)
        self.released, self.marked = self.released + released, self.marked + marked

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        return {
            "key_id": self.key_id,
            "since": self.since,
            "until": self.until,
            "steady": self.steady,
            "requests": [self._told(one) for one in self.findings],
            "possible": [_charge(one) for one in self.possible],
            "strange": [_charge(one) for one in self.strange],
            "odd": [
                {
                    "row": one.key,
                    "cost": as_json(one.usd),
                    "published": as_json(one.price),
                    "billing_id": one.billing_id,
                }
                for one in self.odd
            ],
            "charges": self.matched.charges,
            "usd": as_json(self.usd),
            "currencies": sorted(self.matched.currencies),
            "ask_again_at": self.matched.ready,
            "released": self.released,
            "marked": self.marked,
        }

    def _told(self, one: Finding) -> dict[str, Any]:
        sent = self.lost[one.key]
        return {
            "row": one.key,
            "model": sent.model,
            "submitted_at": sent.at,
            "verdict": one.verdict.value,
            "why": one.why.value,
            "cost": as_json(one.usd),
            **_ids(one),
        }


def reconcile(
    folder: str | os.PathLike[str] | None = None,
    *,
    client: Lemon | None = None,
    ledger: Ledger | None = None,
    journal: str | None = None,
    api_key: str | None = None,
    key_id: str | None = None,
    alone: bool = False,
    settle: float = SETTLE,
    clock_tolerance: float = TOLERANCE,
    apply: bool = False,
    deadline: float = 600.0,
) -> Reconciliation:
    """Tell what became of the rows of a batch whose answers were lost; without ``folder``, of the ledger's calls. Free.

    ``journal``: the address of the batch's journal in a database, where the folder does not know it (docs/scale.md).
    ``client``: one whose key is a management token (None makes one of LEMONDATA_MANAGEMENT_TOKEN); it has to lead where
    the requests were sent. The key that sent them is the one of the account that ``api_key`` (None:
    LEMONDATA_API_KEY) can be the whole of, or ``key_id``. ``ledger``: whose calls, None: the user's own; for a batch
    it only explains charges that are not the batch's. ``alone``: you vouch that nobody else used the key, so that
    charges can be counted. ``settle``: seconds after which a charge is there at the latest. ``clock_tolerance``:
    seconds by which clocks may differ. ``apply`` writes down what was found, as `Reconciliation.apply` does.

    Raises ConfigurationError for a token or key that cannot do (nothing was sent), JournalError, AuthenticationError,
    PermissionDeniedError, NotFoundError, APIConnectionError and APITimeoutError.
    """
    own = _client(Lemon) if client is None else client
    try:
        asked = _Asked(api_key, key_id, alone, settle, clock_tolerance, deadline)
        flow = _reconciled(own._core, _book(folder, journal, ledger, own._core), asked, apply)
        return own._core.run(flow)
    finally:
        if client is None:
            own.close()


async def areconcile(
    folder: str | os.PathLike[str] | None = None,
    *,
    client: AsyncLemon | None = None,
    ledger: Ledger | None = None,
    journal: str | None = None,
    api_key: str | None = None,
    key_id: str | None = None,
    alone: bool = False,
    settle: float = SETTLE,
    clock_tolerance: float = TOLERANCE,
    apply: bool = False,
    deadline: float = 600.0,
) -> Reconciliation:
    """Async twin of `reconcile`."""
    own = _client(AsyncLemon) if client is None else client
    try:
        asked = _Asked(api_key, key_id, alone, settle, clock_tolerance, deadline)
        flow = _reconciled(own._core, _book(folder, journal, ledger, own._core), asked, apply)
        return await own._core.arun(flow)
    finally:
        if client is None:
            await own.aclose()


@frozen
class _Asked:
    """What was asked for. The meanings are those of `reconcile`."""

    api_key: str | None = field(repr=False)
    key_id: str | None
    alone: bool
    settle: float
    tolerance: float
    deadline: float

    def mark(self, base_url: str) -> str | None:
        """Return what the books know the key by whose records are asked for. None where a name stands for it."""
        key = _given(self.api_key) if self.key_id is None else ""
        return ApiKey(key).fingerprint(base_url)[:LETTERS] if key else None

    def __attrs_post_init__(self) -> None:
        for name, seconds in (("settle", self.settle), ("clock_tolerance", self.tolerance)):
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
                raise ValueError(f"{name} is a number of seconds, zero or more, not {seconds!r}.")


def _client(kind: type[Any]) -> Any:
    return kind(check_token(os.environ.get(ACCOUNT_VARIABLE, "")))


def _reconciled(core: Core, book: Book, asked: _Asked, apply: bool) -> Flow[Reconciliation]:
    sent: list[Sent] = yield Work(partial(book.sent, asked.mark(core.session.base_url)))
    lost = {one.key: one for one in sent if one.known == "lost"}
    times = [one.at for one in sent if one.at is not None]
    if not times:
        return Reconciliation(None, None, None, lost, match(sent, (), Rules(_clock.wall())), book)
    if book.addresses and core.session.base_url not in book.addresses:
        raise ConfigurationError(
            f"These requests were sent to {', '.join(sorted(book.addresses))}, and the records of "
            f"{core.session.base_url} say nothing of them. Give that address as base_url. Nothing was sent."
        )
    deadline, now = core.session.deadline(asked.deadline), _clock.wall()
    since = min(times) - 2 * asked.tolerance
    last = max(times) + asked.settle + 2 * asked.tolerance
    until = None if last >= now else last
    key_id = asked.key_id
    if key_id is None:
        key_id = _the_key(
            (yield from api_keys(core.session, deadline)), asked.api_key, book.keys, core.session.base_url
        )
    found = yield from usage(core.session, key_id, since, until, deadline, now)
    rules = Rules(
        now, since, until, asked.settle, asked.tolerance, found.steady, asked.key_id is not None, asked.alone,
        len(book.addresses) > 1 or len(book.keys) > 1, found.off,
    )  # fmt: skip
    matched = match(sent, found, rules, book.owned)
    result = Reconciliation(key_id, since, until, lost, matched, book, found.steady)
    if apply:
        yield Work(result.apply)
    return result


def _given(api_key: str | None) -> str:
    """Return the key that is given, or that of the environment."""
    return (os.environ.get("LEMONDATA_API_KEY", "") if api_key is None else api_key).strip()


def _the_key(keys: Sequence[Any], given: str | None, marks: set[str], base_url: str) -> str:
    """Return the id of the key that sent the requests. Raises ConfigurationError if that cannot be told."""
    key = _given(given)
    another = bool(key and marks) and ApiKey(key).fingerprint(base_url)[:LETTERS] not in marks
    if key and not another and len(found := list(fitting(keys, key))) == 1:
        return str(found[0].id)
    listed = "; ".join(f"{one.id} ({one.name or 'no name'}, {one.shown or 'not shown'})" for one in keys) or "none"
    why = "LEMONDATA_API_KEY is not set" if not key else "LEMONDATA_API_KEY can be none of them, or several"
    why = "LEMONDATA_API_KEY is another one" if another else why
    raise ConfigurationError(
        f"Which key sent these requests cannot be told: {why}. Name it with --key-id (key_id=...). The keys of this "
        f"account: {listed}."
    )


# ---- the books ----


def _book(folder: str | os.PathLike[str] | None, journal: str | None, ledger: Ledger | None, core: Core) -> Book:
    if folder is None and journal is None:
        return _Calls(Ledger() if ledger is None else ledger, core.session.base_url)
    return _Batch(None if folder is None else Destination.of(folder), journal, ledger)


@define
class _Batch:
    """The journal of a batch. Without a folder it is in a database, and no results are written."""

    place: Destination | None
    address: str | None
    ledger: Ledger | None
    addresses: set[str] = field(factory=set)
    keys: set[str] = field(factory=set)
    owned: frozenset[str] = frozenset()

    def sent(self, mark: str | None) -> list[Sent]:
        if self.ledger is not None:
            try:
                ids = [one for call in self.ledger.calls() for one in (call.request_id, call.billing_id)]
            except ConfigurationError as exc:
                warn(f"What single requests were charged is not known: {exc}")
                ids = []
            self.owned = frozenset(one for one in ids if one is not None)
        with read_journal(self.place or ".", self.address) as journal:
            where = (journal.meta(name) for name in ("base_url", journals.ELSEWHERE))
            self.addresses = {address for address in where if address is not None}
            self.keys = set((journal.meta(journals.KEYS) or "").split())
            running = journal.worked_on()
            same: dict[Any, Any] = {}
            return [_sent_row(one, running, same) for one in journal.billable()]

    def apply(self, lost: dict[int, Sent], matched: Matched, *, release: bool) -> tuple[int, int]:
        if not matched.bills and not matched.of(Verdict.BILLED) and not (release and matched.of(Verdict.NOT_BILLED)):
            return 0, 0
        with open_journal(self.place, self.address, create=False)[0] as journal:
            releases = list(_releases(journal, lost, matched)) if release else []
            changed = journal.commit([*releases, *_marks(journal, lost, matched)])
            if self.place is not None:
                _write_results(journal, self.place)
        return sum(changed[: len(releases)]), sum(changed[len(releases) :])


def _write_results(journal: Journal, place: Destination) -> None:
    try:
        mark(journal)
        pages = [export(journal)]
        if (place.folder / PAGE).is_file():
            pages.append(write_page(place))
        place.publish([path.name for path in pages], journal)
    except OSError as exc:  # the journal holds it all
        warn(f"Some of the results could not be written: {str(exc).rstrip('.')}.")


#: What the state of a row, or of a call, says of its charge. There may be one in any other that was sent.
_KNOWN: Final[Mapping[str, Known]] = {"uncertain": "lost", "saved": "paid", "completed": "paid"}


def _sent_row(one: journals.Billable, running: bool, same: dict[Any, Any]) -> Sent:
    """Return a row as a request. What many rows have in common is held once in ``same``."""
    known = _KNOWN.get(one.status, "open")
    if one.status == "submitting" and not running:  # the process that sent it has died
        known = "lost"
    model = one.request.get("model")
    price = quote(one.request, one.images)
    about = price.price is not None and price.price.about
    name = same.setdefault(model, model) if isinstance(model, str) else None
    usd = same.setdefault((price.usd,), price.usd)
    return Sent(one.row, known, name, one.at, one.request_id, one.billing_id, usd, about)


def _releases(journal: Journal, lost: dict[int, Sent], matched: Matched) -> Iterator[Statement]:
    for one in matched.of(Verdict.NOT_BILLED):
        yield journal.settle(one.key, lost[one.key].at)


def _marks(journal: Journal, lost: dict[int, Sent], matched: Matched) -> Iterator[Statement]:
    for one in matched.of(Verdict.BILLED):
        yield journal.settle(one.key, lost[one.key].at, _said(one), cost=as_json(one.usd), **_ids(one))
    for bill in matched.bills:
        yield journals.costs(bill.key, bill.at, as_json(bill.usd), bill.billing_id)


@define
class _Calls:
    """The ledger: its calls to one address, from some time before the first one whose answer was lost."""

    ledger: Ledger
    address: str
    owned: frozenset[str] = frozenset()
    keys: set[str] = field(factory=set)

    @property
    def addresses(self) -> set[str]:
        return {self.address}

    def sent(self, mark: str | None) -> list[Sent]:
        """Return the calls. With ``mark``, all but those of its key may be elsewhere; without, a key was named: then
        they may be if they are of several.
        """
        calls = list(self.ledger.calls(base_url=self.address))
        first = min((call.at for call in calls if call.status == "uncertain"), default=None)
        if first is None:
            return []
        some = [
            call for call in reversed(calls) if call.at >= first - EARLIER and call.status not in ("unsent", "refused")
        ]
        several = mark is None and len({call.key for call in some} - {None}) > 1
        return [
            Sent(
                call.id, _KNOWN.get(call.status, "open"), call.model, call.at, call.request_id, call.billing_id,
                elsewhere=several or (mark is not None and call.key != mark),
            )
            for call in some
        ]  # fmt: skip

    def apply(self, lost: dict[int, Sent], matched: Matched, *, release: bool) -> tuple[int, int]:
        released = marked = 0
        for one in matched.of(Verdict.NOT_BILLED) if release else ():
            released += self.ledger.settle(one.key, status="unsent", error="It was not billed, as the account says.")
        for one in matched.of(Verdict.BILLED):
            marked += self.ledger.settle(one.key, status="uncertain", cost=one.usd, error=_said(one), **_ids(one))
        for bill in matched.bills:
            self.ledger.complete(bill.key, cost=bill.usd, billing_id=bill.billing_id)
        return released, marked + len(matched.bills)


#: Seconds before the first lost answer from which on other calls are looked at: they show whose records these are.
EARLIER: Final = 86400.0


def _said(one: Finding) -> str:
    """Say of a request that it was billed."""
    what = "an amount that is not known" if one.usd is None else dollars(one.usd)
    ids = ", ".join(name for name in _ids(one).values() if name is not None)
    return f"The account was billed {what} for it{f' ({ids})' if ids else ''}; its answer was lost."


def _ids(one: Finding) -> dict[str, str | None]:
    def first(name: str) -> str | None:
        return next((value for charge in one.charges if (value := getattr(charge, name)) is not None), None)

    return {"request_id": first("request_id"), "billing_id": first("billing_id")}


def _charge(one: Charge) -> dict[str, Any]:
    return {
        "at": one.at,
        "model": next(iter(one.models), None),
        "cost": as_json(one.cost),
        "currency": one.currency or "USD",
        "request_id": one.request_id,
        "billing_id": one.billing_id,
    }
