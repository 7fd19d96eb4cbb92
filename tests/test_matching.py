"""What became of lost requests, by the charges of the account: the pure function that tells it, and never guesses."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal

import pytest
from attrs import evolve

from lemon_ext._matching import Rules, Sent, Verdict, Why, match
from lemon_ext._usage import Charge

NOW = 1_000_000.0
#: A charge comes within 100 s of its request, and the clocks differ by 10 s at most.
RULES = Rules(NOW, settle=100.0, tolerance=10.0)


def sent(key, at=0.0, known="lost", model="m", **more):
    return Sent(key, known, model, at, **more)


def charge(at=0.0, model="m", cost="0.04", **more):
    models = () if model is None else (model,)
    given = {"request_id": f"r{next(numbers)}", "billing_id": f"b{next(numbers)}", **more}
    return Charge(given.pop("request_id"), given.pop("billing_id"), models, at, Decimal(cost), **given)


numbers = itertools.count()
#: A request that is known to be paid, and its charge: they show whose records these are.
PAID, PAID_CHARGE = sent(99, 50.0, "paid", request_id="own"), charge(50.0, request_id="own")


def verdicts(requests, charges, rules=RULES, **more):
    found = match([PAID, *requests], [PAID_CHARGE, *charges], rules, **more)
    return [(one.key, one.verdict, one.why) for one in found.findings]


@pytest.mark.parametrize(
    ("request_", "charges", "verdict", "why"),
    [
        ({}, [], Verdict.NOT_BILLED, Why.NONE),
        # an id decides, whatever model and time say
        ({"request_id": "r"}, [{"request_id": "r", "model": "x", "at": 9e5}], Verdict.BILLED, Why.ID),
        ({"billing_id": "b"}, [{"billing_id": "b", "request_id": None}], Verdict.BILLED, Why.ID),
        ({"billing_id": "b"}, [], Verdict.BILLED, Why.TOLD),
        # another id tells nothing: an error's may be a proxy's own, whatever it looks like
        ({"request_id": "abc"}, [{"request_id": "xyz"}], Verdict.UNKNOWN, Why.FITS),
        ({"request_id": "cf-7f"}, [{"request_id": "xyz"}], Verdict.UNKNOWN, Why.FITS),
        # without one, what can be its own stands in the way
        ({}, [{}], Verdict.UNKNOWN, Why.FITS),
        ({"request_id": "r"}, [{"request_id": None}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"request_id": None, "billing_id": None}], Verdict.UNKNOWN, Why.FITS),
        # a name that nothing is known of may be another one of its model, also where that has been seen under one
        ({}, [{"model": "other"}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"model": "M", "scene": "IMAGE"}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"model": "M", "scene": "images"}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"model": "other", "scene": "chat"}], Verdict.NOT_BILLED, Why.NONE),
        ({}, [{"model": "other", "at": 500.0}], Verdict.NOT_BILLED, Why.NONE),
        ({}, [{"model": None}], Verdict.UNKNOWN, Why.FITS),
        ({"model": None}, [{"model": "other"}], Verdict.UNKNOWN, Why.FITS),
        # of the time: from what the clocks may differ to what a charge may take
        ({}, [{"at": -10.0}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"at": -10.1}], Verdict.NOT_BILLED, Why.NONE),
        ({}, [{"at": 110.0}], Verdict.UNKNOWN, Why.FITS),
        ({}, [{"at": 110.1}], Verdict.NOT_BILLED, Why.NONE),
        ({}, [{"at": None}], Verdict.UNKNOWN, Why.FITS),
        ({"at": None}, [], Verdict.UNKNOWN, Why.UNDATED),
        # what is young may still be charged
        (
            {"at": NOW - 110.0},
            [],
            Verdict.UNKNOWN,
            Why.KEY,
        ),  # old enough, and nothing near shows whose records these are
        ({"at": NOW - 109.9}, [], Verdict.UNKNOWN, Why.YOUNG),
        # a model whose charges were never seen may be called otherwise there
        ({"model": "n"}, [{"model": "vendor/n"}], Verdict.UNKNOWN, Why.FITS),
        ({"model": "n"}, [{"model": "vendor/n", "scene": "chat"}], Verdict.NOT_BILLED, Why.NONE),
        ({"model": "n"}, [{"model": "m"}], Verdict.NOT_BILLED, Why.NONE),
    ],
)
def test_a_request_is_told_only_if_its_charge_is_known_or_none_can_be_its_own(request_, charges, verdict, why):
    assert verdicts([sent(1, **request_)], [charge(**one) for one in charges]) == [(1, verdict, why)]


def test_what_is_billed_says_with_how_much_and_which_ids():
    (one,) = match([sent(1, request_id="r")], [charge(request_id="r", billing_id="b", cost="0.05")], RULES).findings
    assert (one.usd, one.charges[0].billing_id) == (Decimal("0.05"), "b")
    two = [charge(request_id="r", cost="0.05"), charge(request_id="r", cost="0.07")]
    (one,) = match([sent(1, request_id="r")], two, RULES).findings
    assert (one.usd, len(one.charges)) == (Decimal("0.12"), 2)


@pytest.mark.parametrize(
    ("rules", "requests", "why"),
    [
        ({"steady": False}, [PAID], Why.MOVING),
        ({"elsewhere": True}, [PAID], Why.ADDRESS),
        ({"since": -9.0}, [PAID], Why.CLOCK),
        ({"until": 109.0}, [PAID], Why.CLOCK),
        ({"since": -10.0, "until": 110.0}, [PAID], Why.NONE),
        ({}, [], Why.KEY),
        ({"sure": True, "off": 0.0}, [], Why.NONE),
        ({"sure": True}, [], Why.UNTIMED),  # who vouches for the key does not vouch for the clocks
        ({"sure": True}, [PAID], Why.NONE),
        ({}, [sent(98, 171.0, "paid", request_id="own")], Why.KEY),  # too far away to show anything
        ({}, [PAID, sent(98, 60.0, "paid", request_id="gone")], Why.GAPS),
        ({"sure": True}, [sent(98, 60.0, "paid", request_id="gone")], Why.GAPS),
        ({}, [PAID, sent(98, 60.0, "open", request_id="gone")], Why.NONE),  # a failed task may have none
        ({}, [PAID, sent(98, 5000.0, "paid", request_id="gone")], Why.NONE),  # of another time
        ({}, [PAID, sent(98, NOW - 50, "paid", request_id="gone")], Why.NONE),  # its charge may still come
    ],
)
def test_the_absence_of_a_charge_counts_only_where_the_records_are_complete_and_the_right_ones(rules, requests, why):
    known = [charge(one.at, request_id="own") for one in requests if one.request_id == "own"]
    found = match([*requests, sent(1)], known, Rules(NOW, settle=100.0, tolerance=10.0, **rules))
    assert [one.why for one in found.findings] == [why]


def test_a_charge_without_ids_can_be_that_of_a_paid_request_and_still_stands_in_the_way():
    paid = sent(98, 5.0, "paid", request_id="gone")
    nameless = charge(5.0, request_id=None, billing_id=None)
    assert verdicts([paid, sent(1)], [nameless]) == [(1, Verdict.UNKNOWN, Why.FITS)]
    other = sent(2, model="n")  # there is no gap: the nameless one can be it
    assert verdicts([paid, other], [nameless]) == [(2, Verdict.NOT_BILLED, Why.NONE)]


def test_an_id_that_two_requests_have_tells_nothing():
    two = [sent(1, request_id="r"), sent(2, request_id="r")]
    found = match(two, [charge(request_id="r")], RULES)
    assert {one.verdict for one in found.findings} == {Verdict.UNKNOWN}


def test_clocks_that_differ_by_more_than_was_allowed_for_widen_the_span():
    """Known charges are dated 40 s before their requests: so may others be."""
    known = [sent(10, 0.0, "paid", request_id="k")]
    dated = charge(-40.0, request_id="k")
    for at, why in ((-50.0, Why.FITS), (-50.1, Why.NONE)):
        found = match([*known, sent(1)], [dated, charge(at)], RULES)
        assert (found.findings[0].why, found.spread) == (why, (-40.0, -40.0))


def test_the_names_of_a_model_are_learned_from_known_charges():
    known = [sent(10, 0.0, "paid", request_id="k"), sent(11, 0.0, "paid", "other", request_id="o")]
    named = [Charge("k", None, ("vendor/m", "m-2026"), 0.0, Decimal(1)), charge(0.0, "other-2026", request_id="o")]
    for name, why in (("m-2026", Why.FITS), ("m", Why.FITS), ("m-2025", Why.FITS), ("other-2026", Why.NONE)):
        assert match([*known, sent(1)], [*named, charge(model=name)], RULES).findings[0].why is why


def test_a_request_of_which_a_charge_without_that_id_may_be_is_not_left_out_when_charges_are_counted():
    known = sent(1, 0.0, "paid", billing_id="txn_1")
    billed = charge(3.0, billing_id=None)
    found = match([known, sent(2, 5.0)], [billed], evolve(RULES, alone=True, sure=True))
    assert [one.verdict for one in found.findings] == [Verdict.UNKNOWN]


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize(("off", "why"), [(None, Why.NONE), (10.0, Why.NONE), (10.1, Why.CLOCK)])
def test_clocks_that_are_known_to_differ_by_more_than_they_may_release_nothing(sure, off, why):
    for alone in (False, True):
        rules = evolve(RULES, off=off, sure=sure, alone=alone)
        assert match([PAID, sent(1)], [PAID_CHARGE], rules).findings[0].why is why


def test_charges_are_sorted_into_what_may_be_ours_and_what_is_nobodys():
    theirs, may_be = charge(500.0), charge(20.0)
    owned = charge(0.0, request_id="in another book")
    chat = charge(500.0, scene="chat")
    found = match([PAID, sent(1)], [PAID_CHARGE, theirs, may_be, owned, chat], RULES, {"in another book"})
    assert (found.strange, found.possible) == ([theirs], [may_be])
    assert (found.charges, found.usd) == (5, Decimal("0.20"))


@pytest.mark.parametrize(
    ("price", "about", "cost", "odd"),
    [
        ("0.04", False, "0.040", False), ("0.04", False, "0.05", True), ("0.04", True, "0.044", False),
        ("0.04", True, "0.046", True), (None, False, "9", False),
    ],
)  # fmt: skip
def test_what_costs_something_else_than_the_published_price_is_told(price, about, cost, odd):
    one = sent(1, 0.0, "paid", request_id="r", price=None if price is None else Decimal(price), about=about)
    (bill,) = match([one], [charge(request_id="r", cost=cost)], RULES).bills
    assert (bill.usd, bill.price is not None) == (Decimal(cost), odd)


def test_amounts_in_another_currency_are_not_summed():
    one = sent(1, 0.0, "paid", request_id="r")
    found = match(
        [one, sent(2, request_id="s")], [charge(request_id="r", currency="CNY"), charge(request_id="s")], RULES
    )
    assert (found.bills[0].usd, found.usd, found.unsummed, found.currencies) == (None, Decimal("0.04"), 1, {"CNY"})


# ---- where nobody else used the key ----

ALONE = Rules(NOW, settle=100.0, tolerance=10.0, alone=True)


@pytest.mark.parametrize(
    ("requests", "charges", "told"),
    [
        ([0.0], [5.0], "b"),
        ([0.0, 1.0], [5.0, 6.0], "bb"),
        ([0.0, 1.0], [5.0], "ee"),  # one of the two
        ([0.0, 1.0], [], "nn"),
        ([0.0, 500.0], [5.0], "bn"),  # each time by itself
        ([0.0, 500.0], [5.0, 505.0], "bb"),
        ([0.0, 100.0, 200.0], [105.0, 205.0], "eee"),  # 0 and 100 share a charge, 100 and 200 too
        ([0.0, 60.0, 120.0], [5.0, 150.0], "bee"),
        ([0.0, 60.0, 120.0], [65.0, 70.0, 75.0], "oon"),  # three for the first two
        ([0.0], [5.0, 300.0], "o"),  # somebody else did
    ],
)
def test_if_nobody_else_used_the_key_charges_can_be_counted(requests, charges, told):
    words = {Why.COUNT: "b", Why.EQUAL: "e", Why.NONE: "n", Why.OTHERS: "o"}
    paid = [sent(100 + n, at + 3, "paid", "other", request_id=f"p{n}") for n, at in enumerate(requests)]
    known = [charge(one.at, "other", request_id=one.request_id) for one in paid]
    lost = [sent(n, at) for n, at in enumerate(requests)]
    found = match([*paid, *lost], [*known, *map(charge, charges)], ALONE)
    assert "".join(words[one.why] for one in found.findings) == told


@pytest.mark.parametrize("seed", range(300))
def test_what_is_told_holds_in_every_world_that_explains_the_records(seed):
    """Brute force: a world says which charge, if any, each request has; the others are somebody else's."""
    dice = random.Random(seed)
    alone = dice.random() < 0.5
    lost = [sent(n, dice.uniform(0, 300), model=dice.choice("ab")) for n in range(dice.randrange(1, 5))]
    charges = [charge(dice.uniform(0, 400), dice.choice("ab")) for _ in range(dice.randrange(0, 4))]
    known = [sent(100 + n, 150.0, "paid", model, request_id=f"k{n}") for n, model in enumerate("ab")]
    seen = [charge(150.0, model, request_id=f"k{n}") for n, model in enumerate("ab")]
    found = match([*known, *lost], [*seen, *charges], evolve(RULES, alone=alone, sure=True))
    worlds = []
    for choice in itertools.product([None, *range(len(charges))], repeat=len(lost)):
        used = [one for one in choice if one is not None]
        fits = all(
            place is None or (charges[place].models == (one.model,) and -10.0 <= charges[place].at - one.at <= 110.0)
            for one, place in zip(lost, choice, strict=True)
        )
        if len(set(used)) == len(used) and fits and (not alone or len(used) == len(charges)):
            worlds.append(choice)
    for one in found.findings:
        billed = {world[one.key] is not None for world in worlds}
        if one.verdict is Verdict.BILLED:
            assert billed <= {True}
        elif one.verdict is Verdict.NOT_BILLED:
            assert billed <= {False}
        else:
            assert billed != {True}  # it cannot be told indeed
            assert alone or False in billed
        if alone and worlds:
            assert (one.verdict is Verdict.BILLED) == (billed == {True})
