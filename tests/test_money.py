"""Money: what an answer says of its bill, what a request will cost, and a budget that is kept to."""

from __future__ import annotations

import json
import pickle
import random
import threading
from decimal import Decimal

import httpx
import pytest

from lemon_ext import BudgetError, run_batch
from lemon_ext._api import Bill, bill
from lemon_ext.money import Budget, Estimate, quote
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.edits import edit, findings
from tests.gateway import Gateway, results, rows
from tests.play import answer

# ---- what an answer says of its bill ----


@pytest.mark.parametrize(
    ("headers", "body", "known"),
    [
        ({}, {}, (None, None, None)),
        ({"X_Request_ID": "req_1", "X_Billing_Transaction_ID": "txn_1"}, {}, ("req_1", "txn_1", None)),
        ({}, {"request_id": "req_2", "billing_transaction_id": "txn_2"}, ("req_2", "txn_2", None)),
        ({"X_Billing_Transaction_ID": "txn_1"}, {"billing_transaction_id": "txn_2"}, (None, "txn_1", None)),
        ({}, {"cost_decimal": "0.040000", "cost": 0.04}, (None, None, Decimal("0.040000"))),
        ({}, {"cost": 0.1}, (None, None, Decimal("0.1"))),  # as it was written, not as a float is
        ({}, {"cost": "free"}, (None, None, None)),
        ({}, {"cost": -1}, (None, None, None)),
        ({}, {"cost": True}, (None, None, None)),
        ({}, {"cost": "NaN"}, (None, None, None)),
        ({}, {"cost": [1], "request_id": {"a": 1}}, (None, None, None)),
        ({}, [1], (None, None, None)),
    ],
)
def test_a_bill_is_read_where_the_contract_says(headers, body, known):
    assert bill(answer(200, body, **headers)) == Bill(*known)


def test_an_answer_that_is_no_json_can_have_ids_in_its_headers():
    assert bill(answer(502, b"<html>", X_Request_ID="req_1")) == Bill("req_1")
    assert bill(None) == Bill()


class Billing(Gateway):
    """A gateway that says of every answer what it is billed as."""

    def __call__(self, request):
        response = super().__call__(request)
        if request.url.host == "img.example.net":
            return response
        body, number = response.json(), len(self.times)
        response.headers["X-Request-ID"] = f"req_{number}"
        if body.get("status") in (None, "completed") and "data" in body:
            response = httpx.Response(
                response.status_code,
                json={**body, "cost_decimal": "0.050000"},
                headers={"X-Request-ID": f"req_{number}"},
            )
            response.headers["X-Billing-Transaction-ID"] = f"txn_{number}"
        return response


def test_a_result_and_a_handle_know_their_bill():
    client = Billing(seconds=0.0).client(blocking=True)
    inline = client.images.generate("a cat")
    assert (inline.request_id, inline.billing_id, inline.cost) == ("req_1", "txn_1", Decimal("0.050000"))
    task = client.images.submit("a dog", model="midjourney")
    assert (task.request_id, task.billing_id, task.cost) == ("req_2", None, None)
    again = client.images.task_from_dict(json.loads(json.dumps(task.to_dict())))
    found = again.result()  # the poll has a request id of its own; the charge is of the request
    assert (found.request_id, found.billing_id, found.cost) == ("req_2", "txn_3", Decimal("0.050000"))
    assert again.to_dict()["cost"] == "0.050000"
    assert pickle.loads(pickle.dumps(found)).cost == Decimal("0.050000")


@pytest.mark.parametrize("wrong", [{"cost": 0.05}, {"request_id": 5}, {"billing_id": []}, {"asked": "size"}])
def test_a_handle_with_another_kind_of_bill_is_none(wrong):
    with pytest.raises(ValueError, match="has the wrong type"):
        Gateway().client(blocking=True).images.task_from_dict({"id": "img_1", **wrong})


def test_a_batch_keeps_the_bill_of_every_row(tmp_path):
    gateway = Billing()
    list(run_batch([*rows(2), {"prompt": "at once"}], tmp_path, client=gateway.client()))
    found = results(tmp_path)
    assert [row["cost"] for row in found] == ["0.050000"] * 3
    assert len({row["request_id"] for row in found if row["request_id"].startswith("req_")}) == 3
    assert len({row["billing_id"] for row in found}) == 3
    page = (tmp_path / "index.html").read_text()
    assert '"spent":"0.150000","billed":3' in page


def test_an_uncertain_row_keeps_the_id_that_its_error_had(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", (502, {"error": {"message": "bad gateway"}}, ("X-Request-ID", "req_9")))
    list(run_batch(rows(1), tmp_path, client=gateway.client()))
    (row,) = results(tmp_path)
    assert (row["status"], row["request_id"], row["cost"]) == ("uncertain", "req_9", None)


# ---- what a request will cost ----


@pytest.mark.parametrize(
    ("request_", "images", "said", "usd"),
    [
        ({"model": "dall-e-3"}, 1, "$0.04", "0.04"),  # what is left out is what the server uses
        ({"model": "dall-e-3", "size": "1024x1024", "quality": "standard"}, 3, "$0.12", "0.12"),
        ({"model": "dall-e-3", "quality": "hd"}, 1, "unknown", None),
        ({"model": "dall-e-3", "size": "1792x1024"}, 1, "unknown", None),
        ({"model": "stable-diffusion-3", "size": "512x512"}, 1, "$0.02", "0.02"),
        ({"model": "stable-diffusion-3", "size": "768x768"}, 2, "$0.06", "0.06"),
        ({"model": "flux-pro"}, 1, "about $0.035", "0.035"),  # its own price comes before its family's
        ({"model": "flux-dev"}, 1, "unknown (billed by tokens)", None),
        ({"model": "never-heard-of"}, 1, "unknown", None),
        ({}, 1, "unknown", None),
        ({"model": 5}, 1, "unknown", None),
    ],
)
def test_a_price_is_what_the_contract_publishes_and_never_a_guess(request_, images, said, usd):
    found = quote(request_, images)
    assert (str(found), found.usd) == (said, None if usd is None else Decimal(usd))


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (["midjourney", "dall-e-3"], "$0.09"),
        (["midjourney", "flux-pro"], "about $0.085"),
        (["midjourney", "flux-dev"], "at least $0.05: no price is known of flux-dev"),
        (["flux-dev", "dall-e-2"], "unknown: no price is known of dall-e-2, flux-dev"),
    ],
)
def test_a_sum_says_what_it_does_not_know(models, said):
    planned = Estimate()
    for model in models:
        planned.add({"model": model}, 1)
    assert str(planned) == said


# ---- a budget ----


@pytest.mark.parametrize("wrong", ["", "five", "-1", -0.01, "NaN", "inf", True, [5], "1e400", float("nan")])
def test_a_budget_that_is_no_amount_is_refused_before_anything_is_sent(wrong, tmp_path):
    gateway = Gateway()
    with pytest.raises(BudgetError, match=r"A budget is an amount in US dollars.*Nothing was sent"):
        list(run_batch(rows(1), tmp_path / "out", client=gateway.client(), budget=wrong))
    assert gateway.posts == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("models", "options", "said"),
    [
        (["midjourney"], {"budget": "0.0499"}, r"does not cover the cheapest request, which costs \$0\.05"),
        (["midjourney"], {"budget": 0}, r"The budget of \$0\.00 does not cover"),
        (["midjourney", "flux-dev"], {"budget": 5}, "at least .* no price is known of flux-dev.*allow-unknown-price"),
        (["midjourney"], {"budget": "0.01", "allow_unknown_price": True}, "does not cover"),
    ],
)
def test_a_budget_that_cannot_hold_is_refused_before_anything_is_sent(models, options, said, tmp_path):
    gateway = Gateway()
    requests = [{"prompt": "a cat", "model": model} for model in models]
    with pytest.raises(BudgetError, match=said):
        list(run_batch(requests, tmp_path / "out", client=gateway.client(), **options))
    assert gateway.posts == []
    assert not (tmp_path / "out").exists()


def test_a_batch_keeps_to_its_budget_in_all_runs_together(tmp_path):
    gateway = Gateway()
    go = {"client": gateway.client, "budget": "0.12"}
    list(run_batch(rows(5), tmp_path, client=go["client"](), budget="0.12"))
    assert len(gateway.posts) == 2
    list(run_batch(None, tmp_path, client=go["client"](), budget="0.12"))
    assert len(gateway.posts) == 2
    list(run_batch(None, tmp_path, client=go["client"](), budget="0.2"))
    assert len(gateway.posts) == 4


def test_what_is_lost_counts_as_spent_and_what_is_refused_does_not(tmp_path):
    gateway = Gateway()
    gateway.expect("cat 1", "lost")
    gateway.expect("cat 2", (400, {"error": {"message": "no", "code": "content_policy"}}))
    list(run_batch(rows(5), tmp_path, client=gateway.client(), budget="0.10", concurrency=1))
    assert gateway.posts == ["cat 1", "cat 2", "cat 3"]
    list(run_batch(None, tmp_path, client=gateway.client(), budget="0.15", concurrency=1, resend_uncertain=True))
    assert gateway.posts == ["cat 1", "cat 2", "cat 3", "cat 1"]  # both tries of row 1 count


def test_a_row_without_a_price_counts_as_nothing_if_that_is_allowed(tmp_path):
    gateway = Gateway()
    requests = [{"prompt": "a", "model": "flux-dev"}, *rows(3)]
    list(run_batch(requests, tmp_path, client=gateway.client(), budget="0.10", allow_unknown_price=True))
    assert sorted(gateway.posts) == ["a", "cat 1", "cat 2"]


def test_what_an_answer_says_it_cost_takes_the_place_of_the_estimate(tmp_path):
    gateway = Billing()  # $0.05 each, whatever the page says
    requests = [{"prompt": f"a {n}", "model": "stable-diffusion-3", "size": "512x512"} for n in range(9)]
    list(run_batch(requests, tmp_path, client=gateway.client(), budget="0.12", concurrency=1))
    assert len(gateway.posts) == 3  # 0.05 + 0.05 + 0.02, and then it knows better
    list(run_batch(None, tmp_path, client=gateway.client(), budget="0.17", concurrency=1))
    assert len(gateway.posts) == 4


def test_in_random_parallel_runs_no_more_is_spent_than_the_budget():
    for seed in range(200):
        dice = random.Random(seed)
        limit = Decimal(dice.randrange(0, 200)) / 100
        budget, paid = Budget(limit), []

        def work(dice=random.Random(dice.random()), budget=budget, paid=paid):  # noqa: B008 - one for each thread
            for number in range(20):
                cost = Decimal(dice.choice(["0.01", "0.035", "0.05", "0.12"]))
                key = (threading.get_ident(), number)
                if budget.reserve(key, cost):
                    match dice.randrange(3):
                        case 0:
                            budget.release(key)  # certainly not accepted
                        case 1:
                            paid.append(cost)  # accepted, or the answer was lost
                        case 2:
                            budget.settle(key, cost)
                            paid.append(cost)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(paid) == budget.spent <= limit


@pytest.mark.parametrize("seed", range(12))
def test_a_random_batch_never_pays_more_than_its_budget(seed, tmp_path):
    """By the gateway's own books: every charge counts, also those whose answer was lost."""
    dice, gateway = random.Random(seed), Gateway()
    requests = [
        {"prompt": f"cat {n}", "model": dice.choice(["midjourney", "dall-e-3"]), "n": dice.choice([1, 2])}
        for n in range(30)
    ]
    busy = (503, {"error": {"message": "busy", "retryable": True}})
    for request in requests:
        replies = dice.choices(
            [busy, "lost", (400, {"error": {"message": "no", "code": str(dice.random())}})], [4, 1, 1], k=2
        )
        if dice.random() < 0.4:
            gateway.expect(request["prompt"], *replies)
    limit = Decimal(dice.randrange(10, 150)) / 100
    for _ in range(3):
        list(
            run_batch(
                requests, tmp_path, client=gateway.client(), budget=limit, concurrency=dice.choice([1, 4, 64]),
                resend_uncertain=dice.random() < 0.5, resend_refused=dice.random() < 0.5,
            )
        )  # fmt: skip
    prices = {request["prompt"]: quote({**request, "size": "1024x1024"}, request["n"]).usd for request in requests}
    assert sum(prices[prompt] * times for prompt, times in gateway.charges.items()) <= limit


# ---- the command line ----


def test_a_dry_run_says_what_it_costs_and_sends_nothing(emulator, tmp_path):  # noqa: F811
    done = lemon("generate", "a cat", "a dog", "-m", "flux-pro", "--dry-run")
    assert (done.exit_code, emulator.requests) == (0, [])
    assert "2 requests for 2 images; nothing was sent.\nThe cost is about $0.07.\n" in done.stdout
    assert "flux-pro: about $0.035 per request (E, 2026-01, " in done.stdout
    (tmp_path / "rows.txt").write_text("a cat\na dog\n")
    told = json.loads(lemon("batch", "rows.txt", "--dry-run", "--json").stdout)["cost"]
    assert told == {"usd": "0.08", "about": False, "unknown": 0, "unknown_models": []}
    assert "unknown: no price is known of dall-e-2" in lemon("batch", "rows.txt", "-m", "dall-e-2", "--dry-run").stdout
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("options", "code", "charges", "said"),
    [
        (["--budget", "0.10"], 0, 2, ""),
        (["--budget", "0.09"], 2, 0, "The 2 requests cost $0.10 together, and the budget is $0.09. Nothing was sent."),
        (["--budget", "0.01"], 2, 0, "does not cover the cheapest request"),
        (["--budget", "much"], 2, 0, "A budget is an amount in US dollars"),
        (["--budget", "1", "-m", "dall-e-2"], 2, 0, "no price is known of dall-e-2"),
        (["--budget", "1", "-m", "dall-e-2", "--allow-unknown-price"], 0, 2, ""),
    ],
)
def test_generate_keeps_to_a_budget(emulator, options, code, charges, said):  # noqa: F811
    done = lemon("generate", "a cat", "a dog", "-m", "midjourney", *options, "--poll-interval", "0.02")
    assert (done.exit_code, emulator.charges) == (code, charges)
    assert said in done.stderr


def test_a_batch_that_stopped_at_its_budget_goes_on_with_it(emulator, tmp_path):  # noqa: F811
    (tmp_path / "rows.txt").write_text("a cat\na dog\na bird\n")
    first = lemon("batch", "rows.txt", "-o", "out", "--budget", "0.09")
    assert (first.exit_code, emulator.charges) == (8, 2)
    assert (
        "Nothing more is sent: the next request costs $0.04, and $0.08 of the budget of $0.09 is spent." in first.stderr
    )
    assert "next:" not in first.stderr
    assert "1 not sent, because of the limit. To send them, raise it: lemon resume --budget 0.12 -- out" in first.stderr
    second = lemon("resume", "out", "--budget", "0.12")
    assert (second.exit_code, emulator.charges) == (0, 3)


def test_prices_are_listed_with_their_source_and_age(emulator):  # noqa: F811
    done = lemon("models", "--prices").stdout
    assert "$0.04 per image" in done
    assert "size 1024x1024, quality standard" in done
    assert "2026-01, " in done
    assert json.loads(lemon("models", "midjourney", "--prices", "--json").stdout)["prices"] == [
        {"per": "request", "usd": "0.05", "when": {}, "about": False, "source": "E", "date": "2026-01"}
    ]


# ---- the contract ----

MIDJOURNEY = '      - {per: request, usd: "0.05", source: E, date: "2026-01"}'
CHARGE = "        billing_id: {headers: [X-Billing-Transaction-ID], body: [billing_transaction_id]}"
ASKS = "          x-lemon-asks: count"


@pytest.mark.regen
@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        (MIDJOURNEY, MIDJOURNEY.replace('"0.05"', "0.05"), "models.midjourney", "usd is an exact amount in quotes"),
        (MIDJOURNEY, MIDJOURNEY.replace('"0.05"', '"0"'), "models.midjourney", "usd is an exact amount in quotes"),
        (MIDJOURNEY, MIDJOURNEY.replace(' usd: "0.05",', ""), "models.midjourney", "usd is missing"),
        (MIDJOURNEY, MIDJOURNEY.replace("request", "hour"), "models.midjourney", "'hour' is nothing to pay for"),
        (MIDJOURNEY, MIDJOURNEY.replace("usd", "eur"), "models.midjourney", "can say usd, when and about"),
        (MIDJOURNEY, MIDJOURNEY.replace("2026-01", "today"), "models.midjourney", "'today' is no date"),
        (MIDJOURNEY, MIDJOURNEY.replace("source", "when: {hue: 1}, source"), "models.midjourney", "no parameter 'hue'"),
        (MIDJOURNEY, MIDJOURNEY.replace("source", "when: [n], source"), "models.midjourney", "when is a mapping"),
        (MIDJOURNEY, MIDJOURNEY.replace("source", "when: {n: []}, source"), "models.midjourney", "give a value"),
        (MIDJOURNEY, MIDJOURNEY.replace("source", "when: {n: banana}, source"), "models.midjourney", "banana"),
        (MIDJOURNEY, MIDJOURNEY.replace("E", "[E]"), "models.midjourney", "where is it from?"),
        (MIDJOURNEY, MIDJOURNEY.replace("source", "about: maybe, source"), "models.midjourney", "about is true where"),
        (MIDJOURNEY, "      {}", "models.midjourney", "is a list of prices"),
        ("  currency: USD", "  currency: EUR", "x-lemon-prices", "another currency is not understood"),
        (CHARGE, CHARGE.replace("billing_id", "biling_id"), "x-lemon-billing", "did you mean billing_id?"),
        (CHARGE, CHARGE.replace("X-Billing-T", "X-T"), "x-lemon-billing", "no successful answer documents the header"),
        (CHARGE, CHARGE.replace("[billing_transaction_id]", "[]"), "x-lemon-billing", "names of headers, and fields"),
        (CHARGE, CHARGE.replace("[billing_", "[a..billing_"), "x-lemon-billing", "is no field, such as cost"),
        (ASKS, ASKS.replace("count", "shape"), "properties.n", "x-lemon-asks is what it asks of a picture"),
    ],
)  # fmt: skip
def test_what_the_contract_says_of_money_is_checked(tools, old, new, place, reason):
    found = findings(tools, edit((old, new)))
    assert any(place in one.place and reason in one.reason for one in found), "\n".join(map(str, found))


@pytest.mark.regen
def test_another_price_is_told_when_the_contract_is_regenerated(tools):
    old, new = (tools.contract.parse(text) for text in (edit(), edit((MIDJOURNEY, MIDJOURNEY.replace("0.05", "0.06")))))
    assert [str(one) for one in tools.impact.changes(old, new)] == [
        "check    price of midjourney: 0.05 per request -> 0.06 per request"
    ]


@pytest.mark.regen
def test_a_contract_that_says_nothing_of_money_knows_no_price(tools):
    data = json.loads(json.dumps(tools.contract.parse(edit()).data))
    del data["x-lemon-prices"], data["paths"]["/v1/images/generations"]["post"]["x-lemon-billing"]
    contract, table = tools.contract.Contract(data), {}
    assert list(tools.money.faults(contract)) == []
    exec(tools.money.money_table(contract), table)
    assert (table["PRICES"], table["BILLING"].cost) == ({}, ((), ()))
    assert tools.money.prices_section(contract) == ""
