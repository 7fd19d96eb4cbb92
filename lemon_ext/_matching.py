"""What became of requests whose answers were lost, by the charges of the account: one pure function, `match`.

It never guesses. A request is billed if a charge has its id. It is not billed only if no charge can be its own: none
without a known owner is of its model and of its time, it is so old that a charge would be there by now, and the charges
around it are all there, as those show that are known to exist. Everything else cannot be told, and says why.

Which charge can be whose: an id that both have decides. A different one tells nothing of a lost request, because what
answered with an error may have had an id of its own. Then the model has to be the same, or one that nothing is known
of, and the charge has to be dated from the request (less what the clocks may differ) to as long after it as a charge
may take. That span grows with what the charges of known requests show.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from ._counting import certain
from ._usage import Charge

#: "lost": its answer was lost, so that it is to be told what became of it. "paid": it brought images, so there is a
#: charge. "open": there may be one.
Known: TypeAlias = Literal["lost", "paid", "open"]


@frozen
class Sent:
    """A request that was, or may have been, accepted. ``key`` names it. ``at`` is when it was sent, in Unix seconds.

    ``price`` is what it should cost, None where that is not known; ``about``: the price is rounded.
    """

    key: int
    known: Known
    model: str | None
    at: float | None
    request_id: str | None = None
    billing_id: str | None = None
    price: Decimal | None = None
    about: bool = False
    #: Whether another key may have sent it than the one whose records are read.
    elsewhere: bool = False


class Verdict(Enum):
    """What became of a request whose answer was lost."""

    BILLED = "billed"
    NOT_BILLED = "not billed"
    UNKNOWN = "cannot be told"


class Why(Enum):
    """What a verdict rests on, in words."""

    ID = "a charge has its id"
    TOLD = "its answer had the id of a charge"
    COUNT = "nobody else used the key, and some charge of this model at this time must be its own"
    NONE = "no charge can be its own"
    YOUNG = "its charge may still come"
    FITS = "a charge of this model at this time has no known owner: it may be its own, or another program's"
    EQUAL = "there are fewer charges than requests of this model at this time"
    OTHERS = "another program used the key: there are charges that can be none of these requests'"
    MOVING = "the records changed while they were read"
    GAPS = "the records lack charges from this time that are known, so they are not complete"
    CLOCK = "the clocks differ by more than was allowed for, so records from this time were not read"
    UNTIMED = "no answer of the API tells its time, and no known charge does, so the clocks cannot be compared"
    KEY = "no charge from this time is known to be of these requests, so the key may have been another one"
    UNDATED = "it is not known when it was sent"
    ADDRESS = "requests were sent to two addresses, or with two keys or an unknown one, and these records are of one"


@frozen
class Finding:
    """What became of one request. ``charges`` are its own; ``usd`` is their sum, None where it cannot be told."""

    key: int
    verdict: Verdict
    why: Why
    charges: tuple[Charge, ...] = ()
    usd: Decimal | None = None


@frozen
class Bill:
    """What a request that was known before was billed. ``price``: what it should cost, where it cost something else."""

    key: int
    at: float | None
    usd: Decimal | None
    billing_id: str | None
    price: Decimal | None = None


@frozen
class Rules:
    """What is taken for granted.

    ``now``: when the records were read. ``since`` and ``until``: from when they are (None: from the first, to the
    last). All three in Unix seconds. ``settle``: seconds after which a charge is there at the latest. ``tolerance``:
    seconds by which the clocks may differ. ``steady``: the records did not change while they were read. ``sure``: it is
    certain that they are those of the right key. ``alone``: nobody else used it.
    """

    now: float
    since: float | None = None
    until: float | None = None
    settle: float = 3600.0
    tolerance: float = 600.0
    steady: bool = True
    sure: bool = False
    alone: bool = False
    #: Whether some of the requests may have gone to another address, or with another key.
    elsewhere: bool = False
    #: By how many seconds the clocks differ at least; None: nobody told.
    off: float | None = None

    @property
    def astray(self) -> bool:
        """Whether the clocks are known to differ by more than they may."""
        return self.off is not None and self.off > self.tolerance


@define
class Matched:
    """What came of it. ``findings``: of requests whose answers were lost, in their order. ``bills``: of the others.

    Charges without a known owner are ``possible`` where they may be one of these requests', else ``strange``.
    """

    findings: list[Finding] = field(factory=list)
    bills: list[Bill] = field(factory=list)
    possible: list[Charge] = field(factory=list)
    strange: list[Charge] = field(factory=list)
    #: How many seconds after their requests known charges are dated: the least and the most.
    spread: tuple[float, float] | None = None
    #: When the youngest requests are old enough to be told, in Unix seconds; None: all are.
    ready: float | None = None
    #: How many charges there are, and what they cost, as far as they are in US dollars.
    charges: int = 0
    usd: Decimal = Decimal(0)
    #: Charges that have no amount in US dollars, and in which currencies they are.
    unsummed: int = 0
    currencies: set[str] = field(factory=set)

    def of(self, verdict: Verdict) -> list[Finding]:
        """Return the findings with a verdict."""
        return [one for one in self.findings if one.verdict is verdict]


def match(sent: Iterable[Sent], charges: Iterable[Charge], rules: Rules, owned: Container[str] = ()) -> Matched:
    """Tell what became of requests. ``owned`` holds ids of charges that somebody else's book explains.

    Both are read once, the charges one by one: only those without a known owner are kept, and those of lost requests.
    """
    requests = list(sent)
    owners, found, own = _Owners(requests), Matched(), _Own()
    left: list[Charge] = []
    for charge in charges:
        _count(found, charge)
        place = owners.of(charge)
        if place is not None:
            own.add(place, requests[place], charge)
        elif not any(one is not None and one in owned for one in (charge.request_id, charge.billing_id)):
            left.append(charge)
    found.spread = own.spread
    found.bills = [_bill(requests[place], *bill) for place, bill in own.bills.items()]
    _Judge(requests, own, left, rules, found).tell()
    return found


@define
class _Own:
    """The charges whose owner an id tells: all of lost requests, the sum and the billing id of the others."""

    lost: dict[int, list[Charge]] = field(factory=dict)
    bills: dict[int, tuple[Decimal | None, str | None]] = field(factory=dict)
    #: The names that charges have for a model.
    names: defaultdict[str, set[str]] = field(factory=lambda: defaultdict(set))
    spread: tuple[float, float] | None = None
    #: What request ids look like that charges have, too.
    shapes: set[tuple[str, int]] = field(factory=set)

    def add(self, place: int, request: Sent, charge: Charge) -> None:
        if request.known == "lost":
            self.lost.setdefault(place, []).append(charge)
        else:
            usd, billing_id = self.bills.get(place, (Decimal(0), None))
            self.bills[place] = (
                None if usd is None or charge.usd is None else usd + charge.usd if usd else charge.usd,
                billing_id or charge.billing_id,
            )
        if charge.request_id is not None and charge.request_id == request.request_id:
            self.shapes.add(_shape(charge.request_id))
        if request.model is not None:
            self.names[request.model].update(charge.models)
        if request.at is not None and charge.at is not None:
            after = charge.at - request.at
            low, high = self.spread or (after, after)
            self.spread = (min(low, after), max(high, after))

    def knows(self, request_id: str | None) -> bool:
        """Tell whether an id is of the kind that charges have."""
        return request_id is not None and _shape(request_id) in self.shapes

    def __contains__(self, place: int) -> bool:
        return place in self.bills or place in self.lost


def _shape(name: str) -> tuple[str, int]:
    """Return what an id looks like: how it begins, and how long it is."""
    return name[: next((place for place, letter in enumerate(name) if letter in "_-:"), 0)], len(name)


class _Owners:
    """Whose an id is. One that several requests have tells nothing."""

    def __init__(self, requests: Sequence[Sent]) -> None:
        self._requests: dict[str, int] = {}
        self._billings: dict[str, int] = {}
        for place, one in enumerate(requests):
            for book, name in ((self._requests, one.request_id), (self._billings, one.billing_id)):
                if name is not None:
                    book[name] = place if name not in book else -1

    def of(self, charge: Charge) -> int | None:
        """Return the place of the request that a charge belongs to by an id, None if there is none."""
        for book, name in ((self._billings, charge.billing_id), (self._requests, charge.request_id)):
            place = -1 if name is None else book.get(name, -1)
            if place >= 0:
                return place
        return None


def _count(found: Matched, charge: Charge) -> None:
    found.charges += 1
    if charge.usd is not None:
        found.usd += charge.usd
    else:
        found.unsummed += 1
        if charge.currency is not None:
            found.currencies.add(charge.currency)


def _sum(charges: Iterable[Charge]) -> Decimal | None:
    total = Decimal(0)
    for one in charges:
        if one.usd is None:
            return None
        total += one.usd
    return total


def _bill(request: Sent, usd: Decimal | None, billing_id: str | None) -> Bill:
    odd = usd is not None and request.price is not None and not _agrees(usd, request.price, request.about)
    return Bill(request.key, request.at, usd, billing_id, request.price if odd else None)


def _agrees(usd: Decimal, price: Decimal, about: bool) -> bool:
    """Tell whether an amount is a price, or rounds to it where the price is rounded: by half of its last digit."""
    if not about:
        return usd == price
    exponent = price.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - prices are finite
    return abs(usd - price) <= Decimal(5).scaleb(exponent - 1)


def _span(rules: Rules, spread: tuple[float, float] | None) -> tuple[float, float]:
    """Return how long after a request its charge can be dated, at least and at most; beyond the rules if known charges
    are.
    """
    low, high = -rules.tolerance, rules.settle + rules.tolerance
    if spread is not None and spread[0] < low:
        low = spread[0] - rules.tolerance
    if spread is not None and spread[1] > high:
        high = spread[1] + rules.tolerance
    return low, high


#: What stands for the name of a model where a charge has none, where a request has none, and where a charge has one
#: that nothing is known of: it may be another name of any model, also of one whose charges have another one elsewhere.
_NONE, _EVERY, _STRANGE = "", "*", "?"
#: Which model, and whether a request has an id of each kind.
_Kind: TypeAlias = tuple[str, bool, bool]


class _Names:
    """Under which names the charge of a request can stand."""

    def __init__(self, requests: Sequence[Sent], own: _Own) -> None:
        self._seen = own.names
        self._known = {one.model for one in requests}.union(*own.names.values())

    def of_request(self, request: Sent) -> tuple[str, ...]:
        if request.model is None:
            return (_EVERY,)
        return (*{request.model, _NONE, _STRANGE, *self._seen.get(request.model, ())},)

    def of_charge(self, charge: Charge) -> tuple[str, ...]:
        """Return the names that a charge stands under."""
        known = self._known.isdisjoint(charge.models)
        strange = (_STRANGE,) if charge.models and known and charge.for_images else ()
        return (*(charge.models or (_NONE,)), *strange, _EVERY)

    def kinds(self, charge: Charge) -> Iterator[_Kind]:
        """Yield the requests that a charge can belong to. One with an id that the charge has too is another one."""
        for name in self.of_charge(charge):
            for request in (False, True) if charge.request_id is None else (False,):
                for billing in (False, True) if charge.billing_id is None else (False,):
                    yield name, request, billing


class _Free:
    """The charges without a known owner: how many of them can be a request's."""

    def __init__(self, charges: Sequence[Charge], own: _Own, names: _Names, span: tuple[float, float]) -> None:
        self._own, self._names, (self._low, self._high) = own, names, span
        dated: defaultdict[_Kind, list[float]] = defaultdict(list)
        undated: defaultdict[_Kind, int] = defaultdict(int)
        for one in charges:
            for kind in names.kinds(one):
                if one.at is None:
                    undated[kind] += 1
                else:
                    dated[kind].append(one.at)
        for times in dated.values():
            times.sort()
        self._dated, self._undated = dict(dated), dict(undated)

    def any(self, request: Sent, at: float) -> bool:
        """Tell whether a charge can be a request's own."""
        for name in self._names.of_request(request):
            kind = (name, False, False)  # an id of its own tells nothing: its answer was no success
            times = self._dated.get(kind, ())
            place = bisect_left(times, at + self._low)
            if self._undated.get(kind) or (place < len(times) and times[place] <= at + self._high):
                return True
        return False


@define
class _Judge:
    """Tells what became of each request, once all charges are read."""

    requests: Sequence[Sent]
    own: _Own
    left: Sequence[Charge]
    rules: Rules
    found: Matched
    span: tuple[float, float] = field(init=False)
    _names: _Names = field(init=False)
    _seen: list[float] = field(factory=list)
    _gaps: list[float] = field(factory=list)
    _counted: dict[int, Finding] = field(factory=dict)
    _taken: set[int] = field(factory=set)
    #: Whether there are more charges than these requests can have.
    _crowded: bool = False

    def __attrs_post_init__(self) -> None:
        self.span = _span(self.rules, self.own.spread)
        self._names = _Names(self.requests, self.own)

    def tell(self) -> None:
        """Fill in what was found."""
        free = _Free(self.left, self.own, self._names, self.span)
        told = (self.requests[place].at for place in (*self.own.bills, *self.own.lost))
        self._seen = sorted(at for at in told if at is not None)
        self._gaps = sorted(self._missing())
        self._sort_left()
        if self.rules.alone and self.rules.steady and not self.rules.astray and not self.found.strange:
            self._count_out()
            self.found.possible = [one for one in self.found.possible if id(one) not in self._taken]
        for place, request in enumerate(self.requests):
            if request.known == "lost":
                self.found.findings.append(self._finding(place, request, free))

    def _finding(self, place: int, request: Sent, free: _Free) -> Finding:
        if (own := self.own.lost.get(place)) is not None:
            return Finding(request.key, Verdict.BILLED, Why.ID, tuple(own), _sum(own))
        if request.billing_id is not None:
            return Finding(request.key, Verdict.BILLED, Why.TOLD)
        if (counted := self._counted.get(place)) is not None:
            return counted
        why = self._doubt(request, free)
        return Finding(request.key, Verdict.NOT_BILLED if why is Why.NONE else Verdict.UNKNOWN, why)

    def _doubt(self, request: Sent, free: _Free) -> Why:
        """Return why a request without a charge of its own is not told, or `Why.NONE`."""
        rules, at = self.rules, request.at
        if at is None:
            return Why.UNDATED
        if at + self.span[1] > rules.now:
            self.found.ready = max(at + self.span[1], self.found.ready or 0.0)
            return Why.YOUNG
        if free.any(request, at):
            others = self.found.strange or self._crowded
            return Why.FITS if not rules.alone else Why.OTHERS if others else Why.EQUAL
        if not rules.steady:
            return Why.MOVING
        if rules.elsewhere or request.elsewhere:
            return Why.ADDRESS
        if rules.astray:
            return Why.CLOCK
        if _outside(at + self.span[0], rules.since, None) or _outside(at + self.span[1], None, rules.until):
            return Why.CLOCK
        if self._near(self._gaps, at):
            return Why.GAPS
        if self._near(self._seen, at):
            return Why.NONE
        # Who vouches for the key does not vouch for the clocks, and no known charge shows them here.
        return (Why.UNTIMED if rules.off is None else Why.NONE) if rules.sure else Why.KEY

    def _near(self, times: Sequence[float], at: float) -> bool:
        """Tell whether one of these times is as near as a charge can be to its request."""
        reach = self.span[1] - self.span[0]
        place = bisect_left(times, at - reach)
        return place < len(times) and times[place] <= at + reach

    def _missing(self) -> Iterator[float]:
        """Yield when requests were sent whose charges should be there by now, and cannot be among these."""
        alike: defaultdict[tuple[str | None, bool, bool], list[Sent]] = defaultdict(list)
        for place, one in enumerate(self.requests):
            due = one.at is not None and one.at + self.span[1] <= self.rules.now
            if due and one.known == "paid" and not one.elsewhere and place not in self.own:
                alike[one.model, one.request_id is not None, one.billing_id is not None].append(one)
        for some in alike.values():
            yield from self._uncovered(sorted(some, key=_sent_at))

    def _uncovered(self, requests: Sequence[Sent]) -> Iterator[float]:
        """Yield when those of alike requests were sent for which no charge is left. Each takes the earliest one."""
        one = requests[0]
        ids = (one.request_id is not None, one.billing_id is not None)
        kinds = {(name, *ids) for name in self._names.of_request(one)}
        fitting = [charge for charge in self.left if not kinds.isdisjoint(self._names.kinds(charge))]
        times = sorted(charge.at for charge in fitting if charge.at is not None)
        undated, place = len(fitting) - len(times), 0
        for request in requests:
            at = _sent_at(request)
            while place < len(times) and times[place] < at + self.span[0]:
                place += 1
            if place < len(times) and times[place] <= at + self.span[1]:
                place += 1
            elif undated:
                undated -= 1
            else:
                yield at

    def _sort_left(self) -> None:
        """Tell the charges that may be a request's from those that are nobody's here."""
        times: defaultdict[str, list[float]] = defaultdict(list)
        undated = False
        for place, one in enumerate(self.requests):
            if place not in self.own:
                undated = undated or one.at is None
                for name in self._names.of_request(one) if one.at is not None else ():
                    times[name].append(one.at)  # type: ignore[arg-type]  # it has one
        every = sorted(at for some in times.values() for at in some)
        for some in times.values():
            some.sort()
        for charge in self.left:
            names = self._names.of_charge(charge) if charge.models else ()
            fits = undated or any(self._fits(charge, times.get(name, ())) for name in names)
            fits = fits or (not charge.models and self._fits(charge, every))
            if fits or charge.for_images:
                (self.found.possible if fits else self.found.strange).append(charge)

    def _fits(self, charge: Charge, times: Sequence[float]) -> bool:
        if charge.at is None:
            return bool(times)
        place = bisect_left(times, charge.at - self.span[1])
        return place < len(times) and times[place] <= charge.at - self.span[0]

    def _count_out(self) -> None:
        """Where nobody else used the key, every charge is a request's: tell those that must have one, by model."""
        possible = self.found.possible
        if any(one.at is None or not one.models for one in possible) or any(one.at is None for one in self.requests):
            return
        main = {name: model for model, some in self.own.names.items() for name in some}
        charges: defaultdict[str, list[Charge]] = defaultdict(list)
        for charge in possible:
            charges[next((main[name] for name in charge.models if name in main), charge.models[0])].append(charge)
        places: defaultdict[str | None, list[int]] = defaultdict(list)
        for place, one in enumerate(self.requests):
            if place not in self.own:
                places[one.model].append(place)
        if None in places or not charges.keys() <= places.keys():
            return
        for model, some in charges.items():
            self._count_model(sorted(some, key=_charged_at), sorted(places[model], key=self._sent_at))

    def _sent_at(self, place: int) -> float:
        return _sent_at(self.requests[place])

    def _count_model(self, charges: Sequence[Charge], places: Sequence[int]) -> None:
        others = [place for place in places if not any(self._ids(place))]
        for named, billed in {self._ids(place) for place in places} - {(False, False)}:
            # A charge that has an id of each kind that a request has, and another one, is another's.
            if any(not ((named and one.request_id) or (billed and one.billing_id)) for one in charges):
                return  # a request with an id can have one of these, and not the others
        times = [self._sent_at(place) for place in others]
        told = certain(times, [_charged_at(one) for one in charges], *self.span)
        self._crowded = self._crowded or told is None
        for one in told or ():
            place, some = others[one.request], charges[one.first : one.last + 1]
            usd = some[0].usd if len({charge.usd for charge in some}) == 1 else None
            own = (charges[one.charge],) if len(some) == 1 else ()
            self._counted[place] = Finding(self.requests[place].key, Verdict.BILLED, Why.COUNT, own, usd)
            if usd is not None:
                self._taken.add(id(charges[one.charge]))

    def _ids(self, place: int) -> tuple[bool, bool]:
        """Tell which ids of a request set its charge apart: not the request id of an answer that was no success."""
        request = self.requests[place]
        return request.known != "lost" and self.own.knows(request.request_id), request.billing_id is not None


def _outside(at: float, since: float | None, until: float | None) -> bool:
    return (since is not None and at < since) or (until is not None and at > until)


def _sent_at(request: Sent) -> float:
    assert request.at is not None  # noqa: S101 - callers leave out those
    return request.at


def _charged_at(charge: Charge) -> float:
    assert charge.at is not None  # noqa: S101 - as above
    return charge.at
