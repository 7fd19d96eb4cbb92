"""The account's usage records: which keys there are, and what one of them was charged for. Reading them is free.

Records come in pages, and more may come while pages are read. So a reading counts only if each page tells of as many
records as came in all, and no record came on two pages; else everything is read again, and what was ever seen is kept
(`Usage.steady` is false then). An answer without a list of records is an error, and never taken for "no charges".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any, Final, overload

from attrs import field, frozen
from lemon_client.task_table import FIELDS
from lemon_client.usage_table import USAGE, Paths

from . import _clock
from ._amount import amount
from ._api import Question, Record, Session, ask, get_api_key_usage, list_api_keys
from ._flow import Flow
from ._key import ACCOUNT_VARIABLE
from ._response import sentence, text_of, value_of, words
from ._retry import Deadline
from .errors import AuthenticationError, ConfigurationError, PermissionDeniedError, ResponseError

__all__ = ("ApiKeyInfo", "Charge", "Usage")

#: How often all pages are read, where they change while they are read.
READINGS: Final = 4
#: Stands for how many records there are where the number of the page is not heeded: nobody can tell.
UNHEEDED: Final = -1
#: Pages of one list. More is no list, but a server that turns in circles.
MOST_PAGES: Final = 100_000


@frozen
class ApiKeyInfo:
    """A key, as the account lists it: never the whole of it. ``fields`` is all that was told."""

    id: str
    shown: str | None
    name: str | None
    fields: Mapping[str, Any] = field(repr=False)

    def fits(self, key: str) -> bool:
        """Tell whether the shortened form can be that of a key. One that shows nothing but its kind tells nothing."""
        head, tail = _ends(self.shown or "")
        kind = next((begin for begin in USAGE.keys_begin if head.startswith(begin)), "")
        return len(head) > len(kind) and len(key) > len(head) and key.startswith(head) and key.endswith(tail)


@frozen
class Charge:
    """A usage record: what a request was billed. ``at`` is in Unix seconds. None: the record does not say.

    ``models`` are the names that the record has for the model that was asked for. ``cost`` is exact, and in US dollars
    unless ``currency`` names another one.
    """

    request_id: str | None
    billing_id: str | None
    models: tuple[str, ...]
    at: float | None
    cost: Decimal | None
    currency: str | None = None
    scene: str | None = None

    @property
    def usd(self) -> Decimal | None:
        """The amount, if it is one in US dollars."""
        return self.cost if self.currency is None else None

    @property
    def for_images(self) -> bool:
        """Whether it may be for images: that is what it says, or it says nothing."""
        return self.scene is None or USAGE.scene in self.scene.lower()


@frozen(eq=False)
class Usage(Sequence[Charge]):
    """What a key was charged for. ``steady``: no record came or went while they were read. ``at``: when reading began,
    in Unix seconds.
    """

    charges: Sequence[Charge] = field(repr=False)
    steady: bool
    at: float
    #: By how many seconds the API's clock is off from ours at least, by the dates of its answers; None: they have none.
    off: float | None = None

    @overload
    def __getitem__(self, index: int) -> Charge: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Charge]: ...
    def __getitem__(self, index: int | slice) -> Charge | Sequence[Charge]:
        return self.charges[index]

    def __len__(self) -> int:
        return len(self.charges)

    @property
    def usd(self) -> Decimal | None:
        """What they cost together; None if one says no amount in US dollars, because a sum would be wrong."""
        amounts = [one.usd for one in self.charges]
        return None if None in amounts else sum(filter(None, amounts), Decimal(0))


def check_token(token: str) -> str:
    """Return a management token. Raises ConfigurationError for none, and for what is a key."""
    token = token.strip()
    if not token:
        raise ConfigurationError(f"There is no management token: set {ACCOUNT_VARIABLE}. The API key does not do here.")
    if any(token.startswith(begin) for begin in USAGE.keys_begin):
        raise ConfigurationError(
            f"{ACCOUNT_VARIABLE} holds an API key. The account's records take a management token, which begins with "
            f"{USAGE.token}. Nothing was sent."
        )
    return token


def api_keys(session: Session, deadline: Deadline) -> Flow[list[ApiKeyInfo]]:
    """Return the keys of the account."""
    found: dict[str, ApiKeyInfo] = {}

    def take(_page: Record, entries: Sequence[Mapping[str, Any]], _began: float) -> None:
        for entry in entries:
            if name := text_of(value_of(entry, USAGE.key.id)):
                shown, people = (text_of(value_of(entry, paths)) for paths in (USAGE.key.shown, USAGE.key.name))
                found[name] = ApiKeyInfo(name, shown, people, entry)

    yield from _paged(session, list_api_keys, USAGE.key.entries, deadline, take)
    return list(found.values())


def usage(
    session: Session, key_id: str, since: float | None, until: float | None, deadline: Deadline, now: float
) -> Flow[Usage]:
    """Return what a key was charged for between two moments, in Unix seconds; None is from the first, to the last."""
    ends = ((USAGE.since, since), (USAGE.until, None if until is None else math.ceil(until)))
    window = {name: moment(at) for name, at in ends if at is not None}
    seen: Counter[Charge] = Counter()
    before: Counter[Charge] | None = None
    offs: list[float] = []
    for _ in range(READINGS):
        pages, told = yield from _reading(session, key_id, window, deadline, offs)
        charges, moved = list(chain.from_iterable(pages)), _twice(pages)
        if told == {len(charges)} and not moved:
            return Usage(charges, True, now, max(offs, default=None))
        these = Counter(charges)
        if told == {None} and these == before and not moved:  # nobody says how many there are
            return Usage(charges, True, now, max(offs, default=None))
        seen |= these
        before = these
    return Usage(list(seen.elements()), False, now, max(offs, default=None))


def _reading(
    session: Session, key_id: str, window: Mapping[str, str], deadline: Deadline, offs: list[float]
) -> Flow[tuple[list[list[Charge]], set[int | None]]]:
    """Read all pages once. Returns the records of each, and how many there are in all by what each page says.

    By how much the clocks differ goes to ``offs``.
    """
    pages: list[list[Charge]] = []
    same: dict[Any, Any] = {}
    told: set[int | None] = set()

    def take(page: Record, entries: Sequence[Mapping[str, Any]], began: float) -> None:
        pages.append([_charge(entry, same) for entry in entries])
        told.add(_count(value_of(page, USAGE.total)))
        offs.extend(_off(page, began))

    def question(query: Mapping[str, str]) -> Question:
        return get_api_key_usage(key_id, {**query, **window})

    if not (yield from _paged(session, question, USAGE.entries, deadline, take)):
        told.add(UNHEEDED)
    return pages, told


def _paged(
    session: Session,
    question: Callable[[Mapping[str, str]], Question],
    paths: Paths,
    deadline: Deadline,
    take: Callable[[Record, Sequence[Mapping[str, Any]], float], None],
) -> Flow[bool]:
    """Read a list, and give ``take`` each page, its entries, and when it was asked for. Returns whether pages differ: a
    server may not heed their numbers.
    """
    before: Sequence[Mapping[str, Any]] = ()
    number, last, size = 1, 1, 0
    while number <= last:
        began = _clock.wall()
        page = yield from _asked(session, question({USAGE.page: str(number), USAGE.limit: str(USAGE.most)}), deadline)
        entries = _entries(page, paths)
        if entries and entries == before and number == last and _count(value_of(page, USAGE.last)) is None:
            return False
        take(page, entries, began)
        size = max(size, len(entries))
        number, last = number + 1, _last(page, number, entries, before, size)
        before = entries
    return True


def _asked(session: Session, question: Question, deadline: Deadline) -> Flow[Record]:
    try:
        return (yield from ask(session, question, deadline, variable=ACCOUNT_VARIABLE))
    except AuthenticationError as exc:
        exc.add_note("Usage records take a management token in the place of the API key; it may have expired.")
        raise
    except PermissionDeniedError as exc:
        exc.add_note("The management token has no right to read this.")
        raise


def _entries(page: Record, paths: Paths) -> list[Mapping[str, Any]]:
    """Return the entries of a page. One that is nothing to read is an empty one: something is there all the same.

    Raises ResponseError for an answer that is no page, because it says nothing of what there is.
    """
    found = value_of(page, paths)
    if not isinstance(found, list) or value_of(page, FIELDS.error) or page.get("success") is False:
        said = words(page.fields)
        raise ResponseError(
            f"HTTP {page.response.status_code}, but the answer holds no list of the account's records"
            + (f" and says: {sentence(said)}" if said else ".")
            + " Nothing can be told by it. Try again later; the answer is in .body.",
            response=page.response,
        )
    return [entry if isinstance(entry, dict) else {} for entry in found]


def _off(page: Record, began: float) -> Iterator[float]:
    """Yield by how many seconds the date of an answer, which has whole ones, is outside of the time it took."""
    try:
        told = parsedate_to_datetime(page.response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return
    yield max(began - 1 - told, told - page.at, 0.0)


def _last(
    page: Record, number: int, entries: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], size: int
) -> int:
    """Return the number of the last page.

    Where it is not told, it is the first one shorter than the largest, because a server may give fewer than it is asked
    for; and one that is the same as the one before, because then the number of the page was not heeded.
    """
    told = _count(value_of(page, USAGE.last))
    more = bool(entries) and len(entries) >= size and entries != before
    return min(told if told is not None else number + more, MOST_PAGES)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _twice(pages: Sequence[Sequence[Charge]]) -> bool:
    """Tell whether a record came twice: a billing id anywhere, and on two pages what is the same in all, or has the
    same request id where a billing id does not tell them apart.
    """
    every = list(chain.from_iterable(pages))
    billings = [one.billing_id for one in every if one.billing_id is not None]
    if len(set(billings)) < len(billings):
        return True
    on = Counter(chain.from_iterable({one.request_id or one for one in page} for page in pages))
    return any(on[one.request_id or one] > 1 for one in every if one.billing_id is None)


def _charge(entry: Mapping[str, Any], same: dict[Any, Any]) -> Charge:
    """Read a record. What many records have in common, such as the model and the amount, is held once."""

    def told(paths: Paths) -> str | None:
        text = text_of(value_of(entry, paths))
        return None if text is None else str(same.setdefault(text, text))

    record = USAGE.record
    models = tuple(dict.fromkeys(filter(None, (told((path,)) for path in record.model))))
    cost = amount(value_of(entry, record.cost))
    currency = told(record.currency)
    return Charge(
        text_of(value_of(entry, record.request_id)), text_of(value_of(entry, record.billing_id)),
        same.setdefault(models, models), _moment(value_of(entry, record.at)), same.setdefault((cost,), cost),
        None if currency is None or currency.strip().upper() == _USD else currency, told(record.scene),
    )  # fmt: skip


#: The currency of every amount that names none.
_USD: Final = "USD"


def moment(at: float) -> str:
    """Return a moment as a query has it, to the second below."""
    return datetime.fromtimestamp(int(at // 1), UTC).isoformat().replace("+00:00", "Z")


def _moment(value: object) -> float | None:
    """Read when a record was made. A time without a zone is taken for UTC, a number for Unix seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11:
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _ends(shown: str) -> tuple[str, str]:
    """Return what a shortened key shows of its beginning and of its end."""
    marks = [index for index, letter in enumerate(shown) if letter in ".…*•"]
    return (shown[: marks[0]], shown[marks[-1] + 1 :]) if marks else (shown, "")


def fitting(keys: Sequence[ApiKeyInfo], key: str) -> Iterator[ApiKeyInfo]:
    """Yield the keys whose shortened form can be that of a key."""
    return (one for one in keys if one.fits(key))
