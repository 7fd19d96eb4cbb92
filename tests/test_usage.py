"""The account: what the emulator keeps of it, and what both colours of the client read of its usage records."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from lemon_client import usage_table

from lemon_ext import (
    AsyncLemon,
    AuthenticationError,
    Lemon,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
)
from lemon_ext._usage import ApiKeyInfo, Charge
from lemon_ext.emulator import KEY, TOKEN, Emulator, Request
from tests.edits import edit, findings
from tests.emulated import GENERATIONS, RECORDS, Api

KEYS = "/v1/management/api-keys"


# ---- the emulator's books ----


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"model": "dall-e-3"}, "0.04"),
        ({"model": "dall-e-3", "n": 2}, "0.08"),
        ({"model": "dall-e-3", "quality": "hd"}, "0.01"),  # no page says it, so it is made up
        ({"model": "stable-diffusion-3", "size": "512x512"}, "0.02"),
        ({"model": "flux-pro"}, "0.035"),
        ({"model": "flux-dev"}, "0.01"),
        ({"model": "never-heard-of"}, "0.01"),
    ],
)
def test_every_charge_has_the_amount_that_the_contract_publishes_or_a_made_up_one(fields, cost):
    api = Api()
    assert api.post(**fields).status == 200
    (record,) = api.items()
    assert (record["cost_decimal"], record["cost"], record["model"]) == (cost, float(cost), fields["model"])
    assert api.emulator.ledger[0].cost == api.emulator.account.spent == Decimal(cost)


def test_a_record_has_the_ids_that_the_answer_had_and_a_billing_id_once_it_is_settled():
    api = Api(task_seconds=10)
    request_id = api.post(model="flux-pro").headers["x-request-id"]
    api.clock.now += 0.5
    other = api.post(model="dall-e-3").headers
    newest, oldest = api.items()
    assert (oldest["request_id"], oldest["billing_transaction_id"]) == (request_id, None)
    assert newest["request_id"] == other["x-request-id"]
    assert newest["billing_transaction_id"] == other["x-billing-transaction-id"]
    assert (oldest["created_at"], newest["created_at"]) == ("2023-11-14T22:30:00.000Z", "2023-11-14T22:30:00.500Z")
    api.clock.now += 10
    assert api.items()[1]["billing_transaction_id"].startswith("txn_img_")


def test_what_exceeds_the_balance_is_refused_as_documented_and_not_charged():
    api = Api(balance="0.10")
    assert [api.post(model="dall-e-3", n=n).status for n in (1, 2, 1, 1)] == [200, 402, 200, 402]
    error = api.post(model="dall-e-3").json()["error"]
    assert (error["code"], error["balance_usd"], error["estimated_cost_usd"]) == ("insufficient_balance", 0.02, 0.04)
    told = api.get("/v1/management/balance").json()
    assert (told["balance_decimal"], told["total_recharge_decimal"], told["total_used_decimal"]) == (
        "0.02", "0.10", "0.08",
    )  # fmt: skip
    assert (api.emulator.charges, len(api.items())) == (2, 2)


@pytest.mark.parametrize("wrong", [{"balance": "much"}, {"balance": -1}, {"price": "free"}])
def test_an_amount_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="is an amount in US dollars"):
        Emulator(**wrong)


def test_each_key_has_records_of_its_own():
    api = Api()
    api.post("sk-other-key")
    api.post()
    keys = api.get(KEYS).json()["data"]
    assert [(key["id"], key["key_prefix"]) for key in keys] == [("key_1", "sk-emul..."), ("key_2", "sk-othe...")]
    assert [len(api.items(path=f"{KEYS}/key_{number}/usage")) for number in (1, 2)] == [1, 1]
    assert api.get(f"{KEYS}/key_3/usage").status == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("limit=2", [5, 4]),
        ("limit=2&page=3", [1]),
        ("limit=2&page=4", []),
        ("startDate=2023-11-14T22:30:20Z&endDate=2023-11-14T22:30:30Z", [3, 2]),  # both ends are included
        ("startDate=2023-11-14T23:30:20%2B01:00", [5, 4, 3, 2]),
        ("endDate=2023-11-13", []),
        ("startDate=2023-11-14&endDate=2023-11-14", [5, 4, 3, 2, 1]),
        ("model=dall-e-2", []),
        ("scene=chat", []),
        ("scene=image&model=dall-e-3", [5, 4, 3, 2, 1]),
    ],
)
def test_records_are_asked_for_by_page_time_and_kind(query, found):
    api = Api()
    for _ in range(5):
        api.clock.now += 10
        api.post(model="dall-e-3")
    api.clock.now -= 50
    numbers = {one.request_id: number for number, one in enumerate(api.emulator.ledger, 1)}
    api.clock.now += 50
    assert [numbers[one["request_id"]] for one in api.items(query)] == found


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=101", "limit"), ("limit=0", "limit"), ("page=0", "page"), ("page=one", "page"),
        ("startDate=yesterday", "startDate"), ("endDate=2023-11-14T22:30:20", "endDate"),
        ("startDate=2023-11-15&endDate=2023-11-14", "startDate"),
    ],
)  # fmt: skip
def test_a_query_that_the_page_forbids_is_refused(query, param):
    answer = Api().get(RECORDS, query)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(KEY, 401, "invalid_api_key"), ("mt-expired", 401, "expired_api_key"), ("mt-any", 200, None)],
)
def test_the_management_routes_take_management_tokens_only(key, status, code):
    for path in (RECORDS, KEYS, "/v1/management/balance"):
        answer = Api().get(path, key=key)
        assert (answer.status, answer.json().get("error", {}).get("code")) == (status, code)


def test_what_the_books_do_wrong_on_demand():
    api = Api(faults=["late_record,seconds=30", "nameless_record"])
    api.post()
    assert api.items() == []
    api.clock.now += 30
    (late,) = api.items()
    assert (late["request_id"], late["billing_transaction_id"]) == (None, None)
    assert late["created_at"] == "2023-11-14T22:30:00.000Z"
    for fault, dated in (("clock_ahead", "22:34:30"), ("clock_behind", "22:26:30")):
        api.emulator.inject(fault)
        api.post()
        assert any(dated in one["created_at"] for one in api.items())
    api.emulator.inject("foreign_charge")
    api.post()
    assert (api.emulator.charges, len(api.items())) == (4, 5)
    assert sum(one.foreign for one in api.emulator.account.records) == 1
    api.emulator.inject("moving_pages", times=2)
    assert [len(api.items()) for _ in range(3)] == [6, 7, 7]
    api.emulator.inject("other_currency")
    assert {one.get("currency") for one in api.items()} == {"CNY"}


# ---- what the client reads ----


@pytest.fixture
def account(colour):
    """An emulator, and a client of the colour that asks for its books."""
    clock = colour.clock
    emulator = Emulator(clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep)

    def client(key=TOKEN):
        kind, http = (Lemon, httpx.Client) if colour.blocking else (AsyncLemon, httpx.AsyncClient)
        return kind(key, base_url=emulator.address, http_client=http(transport=emulator.transport))

    return emulator, client


def post(emulator, count, **fields):
    body = json.dumps({"prompt": "a cat", "model": "dall-e-3", **fields}).encode()
    for _ in range(count):
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        emulator.handle(Request("POST", GENERATIONS, headers, body))


def test_keys_and_records_are_read_page_by_page(colour, account):
    emulator, client = account
    post(emulator, 101)
    manager = client()
    (key,) = colour.call(manager.api_keys)
    assert (key.id, key.shown, key.name, key.fields["status"]) == ("key_1", "sk-emul...", "Key 1", "active")
    found = colour.call(manager.usage, key.id)
    assert (len(found), found.steady, found.usd) == (101, True, Decimal("4.04"))
    assert {one.request_id for one in found} == {one.request_id for one in emulator.ledger}
    assert (found[0].models, found[0].cost, found[0].at) == (("dall-e-3",), Decimal("0.04"), colour.clock.wall())
    assert found[0].for_images
    first = datetime.fromtimestamp(colour.clock.wall() + 1, UTC)
    assert len(colour.call(manager.usage, key.id, since=first)) == 0
    assert len(colour.call(manager.usage, key.id, until=first)) == 101


def test_pages_that_change_while_they_are_read_are_read_again(colour, account):
    emulator, client = account
    post(emulator, 150)
    emulator.inject("moving_pages", times=3)
    found = colour.call(client().usage, "key_1")
    assert (found.steady, len(found)) == (True, 153)


def test_pages_that_never_come_to_rest_lose_no_record_and_say_so(colour, account):
    emulator, client = account
    post(emulator, 150)
    emulator.inject("moving_pages", times=None)
    found = colour.call(client().usage, "key_1")
    assert not found.steady
    assert {one.request_id for one in emulator.ledger} <= {one.request_id for one in found}


def test_records_in_another_currency_are_not_summed(colour, account):
    emulator, client = account
    post(emulator, 2)
    emulator.inject("other_currency")
    found = colour.call(client().usage, "key_1")
    assert (found[0].currency, found[0].cost, found[0].usd, found.usd) == ("CNY", Decimal("0.04"), None, None)


@pytest.mark.parametrize(
    ("key", "fault", "kind", "said"),
    [
        (KEY, None, AuthenticationError, "take a management token"),
        ("mt-expired", None, AuthenticationError, "it may have expired"),
        (TOKEN, "error_403@records", PermissionDeniedError, "has no right to read this"),
    ],
)
def test_a_token_that_does_not_do_is_named(colour, account, key, fault, kind, said):
    emulator, client = account
    if fault:
        emulator.inject("error_403", on="records")
    with pytest.raises(kind) as caught:
        colour.call(client(key).usage, "key_1")
    assert any(said in note for note in caught.value.__notes__)


def test_a_key_that_there_is_not_is_told(colour, account):
    with pytest.raises(NotFoundError, match="There is no such key"):
        colour.call(account[1]().usage, "key_9")


def test_a_record_is_read_as_far_as_it_can_be(colour):
    odd = [
        {"request_id": 5, "model": None, "created_at": "soon", "cost": "free", "scene": None, "currency": " usd "},
        {"created_at": "2026-01-01T00:00:00", "cost": 0.1, "logical_model": "m", "model": "m"},
        {"created_at": 1767225600, "cost": "1"},
        "no record",
    ]
    client = colour.client(lambda request: httpx.Response(200, json={"items": odd}), api_key=TOKEN)
    first, fourth, second, third = colour.call(client.usage, "key_1")  # equal ones together
    assert (first.request_id, first.models, first.at, first.cost, first.currency) == (None, (), None, None, None)
    assert first.for_images
    assert (second.models, second.at, second.cost) == (("m",), 1767225600.0, Decimal("0.1"))
    assert third.at == 1767225600.0
    assert fourth == Charge(None, None, (), None, None)  # it may be anything


def pages(colour, answer):
    """A client of an account whose records are ``answer(page, query)``."""
    return colour.client(
        lambda request: httpx.Response(200, json=answer(int(request.url.params["page"]), request.url.params)),
        api_key=TOKEN,
    )


def record(number, **more):
    return {"request_id": f"req_{number}", "billing_transaction_id": f"txn_{number}", "created_at": 1767225600, **more}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"items": None}, {"items": {}}, {"data": {"items": [record(1)]}},
        {"records": [record(1)], "pagination": {"total": 1}},
        {"error": {"message": "internal"}}, {"error": {"message": "internal"}, "items": []},
        {"success": False, "message": "backend busy"}, {"success": False, "items": []},
    ],
)  # fmt: skip
def test_an_answer_without_a_list_of_records_is_an_error_and_not_no_charges(colour, body):
    for method in ("usage", "api_keys"):
        client = colour.client(lambda request: httpx.Response(200, json=body), api_key=TOKEN)
        with pytest.raises(ResponseError, match="HTTP 200, but the answer holds no list of the account's records"):
            colour.call(getattr(client, method), *(["key_1"] if method == "usage" else []))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"billing_transaction_id": None},
        {"request_id": None},
        {"request_id": None, "billing_transaction_id": None},
    ],
)
def test_a_record_on_two_pages_means_that_the_pages_moved(colour, more):
    """Record 99 slid to the second page, and that of another one from there to the first, behind the reader's back."""

    def answer(page, _):
        listed = [record(one, cost=one, **more) for one in range(110)]
        return {
            "items": listed[:100] if page == 1 else listed[99:],
            "pagination": {"total": 111, "totalPages": 2},
        }

    assert colour.call(pages(colour, answer).usage, "key_1").steady is False


def test_several_charges_of_one_request_are_no_moved_pages(colour):
    def answer(page, _):
        return {"items": [record(page, request_id="req_1")], "pagination": {"total": 2, "totalPages": 2}}

    assert colour.call(pages(colour, answer).usage, "key_1").steady


@pytest.mark.parametrize("size", [50, 100])
def test_a_server_that_gives_fewer_records_a_page_than_asked_for_is_read_to_the_end(colour, size):
    listed = [record(one) for one in range(2 * size)]
    client = pages(colour, lambda page, _: {"items": listed[(page - 1) * size : page * size]})
    found = colour.call(client.usage, "key_1")
    assert (found.steady, len(found)) == (True, 2 * size)


def test_a_server_that_heeds_no_page_number_and_tells_no_total_is_not_believed(colour):
    found = colour.call(pages(colour, lambda *_: {"items": [record(1), record(2)]}).usage, "key_1")
    assert (found.steady, len(found)) == (False, 2)


def test_the_end_of_a_time_is_rounded_up_and_its_begin_down(colour):
    asked = []
    client = pages(colour, lambda _, query: asked.append((query["startDate"], query["endDate"])) or {"items": []})
    moments = [datetime.fromtimestamp(1767225600.5, UTC), datetime.fromtimestamp(1767225610.5, UTC)]
    colour.call(client.usage, "key_1", since=moments[0], until=moments[1])
    assert set(asked) == {("2026-01-01T00:00:00Z", "2026-01-01T00:00:11Z")}


@pytest.mark.parametrize(
    ("shown", "key", "fits"),
    [
        ("sk-live...", "sk-live-0123", True),
        ("sk-live...23", "sk-live-0123", True),
        ("sk-live…99", "sk-live-0123", False),
        ("sk-live****", "sk-test-0123", False),
        ("sk-...", "sk-live-0123", False),  # shows nothing
        (None, "sk-live-0123", False),
        ("sk-live-0123", "sk-live-0123", False),  # no shortened form
    ],
)
def test_a_shortened_key_fits_what_it_may_be_the_short_form_of(shown, key, fits):
    assert ApiKeyInfo("key_1", shown, None, {}).fits(key) is fits


# ---- the contract ----


@pytest.mark.regen
@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        ("  since: startDate\n", "", "x-lemon-usage", "since is missing"),
        ("  since: startDate\n", "  since: from\n", "x-lemon-usage.since", "takes no parameter 'from'"),
        ("  until: endDate\n", "  untill: endDate\n", "x-lemon-usage.untill", "did you mean until?"),
        ("{page: page, limit: limit", "{page: number, limit: limit", "pages.page", "takes no parameter 'number'"),
        ("most: 100,", 'most: "100",', "pages.most", "is how many entries a page can have"),
        ("most: 100, last", "last", "x-lemon-usage.pages", "says page, limit, most, last, total"),
        ("    at: [created_at]\n", "    at: created_at\n", "record.at", "is a list of fields"),
        ("    at: [created_at]\n", "    when: [created_at]\n", "record.when", "can be: request_id, billing_id"),
        ("operationId: get_api_key_usage", "operationId: get_usage", "x-lemon-usage", "says how list_api_keys and"),
    ],
)
def test_what_the_contract_says_of_usage_records_is_checked(tools, old, new, place, reason):
    found = findings(tools, edit((old, new), whole=True))
    assert any(place in one.place and reason in one.reason for one in found), "\n".join(map(str, found))


@pytest.mark.regen
def test_a_contract_without_usage_records_has_an_empty_table(tools):
    assert "since=''" in tools.regen.usage_table(tools.present)
    assert usage_table.USAGE.record.cost == (("cost_decimal",), ("cost",))
    assert (usage_table.USAGE.token, usage_table.USAGE.keys_begin) == ("mt-", ("sk-",))


@pytest.mark.regen
def test_what_is_read_otherwise_is_told_when_the_contract_is_regenerated(tools):
    changed = edit(
        ("    at: [created_at]\n", "    at: [made_at]\n"), ("  since: startDate\n", "  since: endDate\n"), whole=True
    )
    old, new = (tools.contract.parse(text) for text in (edit(whole=True), changed))
    assert [str(one) for one in tools.impact.changes(old, new)] == [
        "check    usage records, since: startDate -> endDate",
        "check    usage records, record.at: created_at -> made_at",
    ]
