"""`lemon reconcile`: what became of requests whose answers were lost, from the book to what may be sent again."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from email.utils import formatdate

import httpx
import pytest

from lemon_ext import (
    AsyncLemon,
    AuthenticationError,
    ConfigurationError,
    JournalError,
    Lemon,
    LemonWarning,
    areconcile,
    reconcile,
    run_batch,
)
from lemon_ext._key import LETTERS, ApiKey
from lemon_ext.batch.journal import Incoming, change, fact, fact_too
from lemon_ext.batch.sqlite import SqliteJournal
from lemon_ext.emulator import KEY, TOKEN, Emulator, UsageRecord
from lemon_ext.ledger import Ledger
from lemon_ext.reconciliation import Verdict
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.conftest import ROOT
from tests.gateway import results
from tests.play import Clock

#: When the rows were sent: two hours ago.
SENT = Clock().wall() - 7200
#: What became of the rows, and what the account has of them: row 1 is known, 2 and 3 are billed, 4 is not, 5 may be.
ROWS = (
    ("saved", "dall-e-3", SENT, "req_1"),
    ("uncertain", "dall-e-3", SENT + 10, "req_2"),
    ("uncertain", "midjourney", SENT + 20, None),
    ("uncertain", "flux-pro", SENT + 30, None),
    ("refused", "dall-e-3", None, None),
    ("unsent", "dall-e-3", None, None),
)
CHARGES = (("req_1", "dall-e-3", SENT), ("req_2", "dall-e-3", SENT + 11), ("req_3", "midjourney", SENT + 21))
#: What is said of the rows 2, 3 and 4.
TOLD = [(2, Verdict.BILLED), (3, Verdict.UNKNOWN), (4, Verdict.NOT_BILLED)]


def write_batch(folder, rows=ROWS, address="http://lemon.emulator"):
    with SqliteJournal.open(folder) as journal:
        journal.take_in(Incoming(None, {"model": model, "prompt": "a cat"}, 1) for _, model, *_ in rows)
        journal.commit([fact("base_url", address)])
        journal.commit(
            change(
                row, status=status, submitted_at=at, request_id=request_id,
                paths=["a.png"] if status == "saved" else None,
            )
            for row, (status, _, at, request_id) in enumerate(rows, 1)
        )  # fmt: skip
    return folder


def account(clock, charges=CHARGES):
    api = Emulator(clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep)
    for request_id, model, at in charges:
        billing_id = None if request_id is None else request_id.replace("req", "txn")
        api.account.charge(UsageRecord(KEY, model, Decimal("0.04"), at, at, request_id, billing_id))
    return api


def manager(api, kind=Lemon, key=TOKEN, **options):
    http = httpx.Client if kind is Lemon else httpx.AsyncClient
    return kind(key, base_url=api.address, http_client=http(transport=api.transport), **options)


@pytest.fixture
def clock():
    clock = Clock()
    clock.rule()
    return clock


def verdicts(found):
    return [(one.key, one.verdict) for one in found.findings]


# ---- a batch ----


def test_rows_are_told_written_down_and_sent_in_both_colours(colour, tmp_path):
    api, folder = account(colour.clock), write_batch(tmp_path)
    ask, kind = (reconcile, Lemon) if colour.blocking else (areconcile, AsyncLemon)
    found = colour.call(ask, folder, client=manager(api, kind), api_key=KEY)
    assert verdicts(found) == TOLD
    assert [one["status"] for one in _rows(folder)] == [status for status, *_ in ROWS]  # nothing is written down
    assert (found.key_id, found.usd, found.strange, len(found.possible)) == ("key_1", Decimal("0.12"), [], 1)
    found = colour.call(ask, folder, client=manager(api, kind), api_key=KEY, apply=True)
    assert (found.released, found.marked) == (1, 2)
    rows = _rows(folder)
    assert [one["status"] for one in rows] == ["saved", "uncertain", "uncertain", "unsent", "refused", "unsent"]
    assert [one["cost"] for one in rows] == ["0.04", "0.04", None, None, None, None]
    assert [one["billing_id"] for one in rows[:3]] == ["txn_1", "txn_2", None]
    assert rows[1]["note"] == "The account was billed $0.04 for it (req_2, txn_2); its answer was lost."
    assert rows[3]["submitted_at"] is rows[3]["error"] is None
    assert [one["cost"] for one in results(folder)] == ["0.04", "0.04", None, None, None, None]
    again = colour.call(ask, folder, client=manager(api, kind), api_key=KEY, apply=True)
    assert (verdicts(again), again.released) == (TOLD[:2], 0)


def _rows(folder):
    with SqliteJournal.read(folder) as journal:
        return [
            {name: getattr(one, name) for name in ("status", "cost", "billing_id", "note", "submitted_at", "error")}
            for one in journal.entries()
        ]


def test_what_was_not_billed_is_sent_once_more_and_nothing_else(clock, tmp_path):
    api, folder = account(clock), write_batch(tmp_path)
    reconcile(folder, client=manager(api), api_key=KEY, apply=True)
    client = manager(api, AsyncLemon, KEY)
    told = list(run_batch(None, folder, client=client, gallery=False))
    assert {one["row"]: one["status"] for one in told} == {2: "uncertain", 3: "uncertain", 4: "saved", 6: "saved"}
    assert api.charges == 2


def test_it_says_the_same_as_plain_json(clock, tmp_path):
    told = reconcile(write_batch(tmp_path), client=manager(account(clock)), api_key=KEY).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["requests"][0] == {
        "row": 2, "model": "dall-e-3", "submitted_at": SENT + 10, "verdict": "billed", "why": "a charge has its id",
        "cost": "0.04", "request_id": "req_2", "billing_id": "txn_2",
    }  # fmt: skip
    assert (told["usd"], told["charges"], told["currencies"]) == ("0.12", 3, [])
    assert told["possible"][0]["billing_id"] == "txn_3"


def test_a_charge_that_is_nobodys_and_one_of_another_amount_are_told(clock, tmp_path):
    charges = (("req_1", "midjourney", SENT), ("req_9", "never-heard-of", SENT), ("req_2", "dall-e-3", SENT + 11))
    rows = (("saved", "midjourney", SENT, "req_1"), ROWS[1])
    found = reconcile(write_batch(tmp_path, rows), client=manager(account(clock, charges)), api_key=KEY)
    assert [one.request_id for one in found.strange] == ["req_9"]
    assert [(one.key, one.usd, one.price) for one in found.odd] == [(1, Decimal("0.04"), Decimal("0.05"))]


def test_amounts_in_another_currency_are_neither_summed_nor_written_down(clock, tmp_path):
    api = account(clock)
    api.inject("other_currency", times=None)
    found = reconcile(write_batch(tmp_path), client=manager(api), api_key=KEY, apply=True)
    assert (found.usd, found.to_dict()["currencies"]) == (None, ["CNY"])
    assert verdicts(found) == TOLD
    rows = _rows(tmp_path)
    assert [one["cost"] for one in rows[:2]] == [None, None]
    assert rows[1]["note"] == (
        "The account was billed an amount that is not known for it (req_2, txn_2); its answer was lost."
    )


def test_records_that_change_while_they_are_read_release_nothing(clock, tmp_path):
    api = account(clock)
    for number in range(150):
        api.account.foreign(KEY, "never-heard-of", SENT + number)
    api.inject("moving_pages", times=None, seconds=7200)
    found = reconcile(write_batch(tmp_path), client=manager(api), api_key=KEY)
    assert (found.steady, found.findings[2].verdict) == (False, Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("rows", "charges", "why"),
    [
        # Another key sent row 1, and so perhaps row 4.
        (ROWS, [("req_9", "dall-e-3", SENT)], "they are not complete"),
        (ROWS[1:4], [("req_9", "dall-e-3", SENT - 9000)], "the key may have been another one"),
        ([*ROWS[:3], ("uncertain", "flux-pro", Clock().wall() - 4000, None)], CHARGES, "may still come"),
    ],
)
def test_a_row_is_not_released_where_the_records_prove_nothing(clock, tmp_path, rows, charges, why):
    found = reconcile(write_batch(tmp_path, rows), client=manager(account(clock, charges)), api_key=KEY)
    assert found.of(Verdict.NOT_BILLED) == []
    assert why in found.findings[-1].why.value


def test_a_row_that_is_too_young_says_when_it_can_be_told(clock, tmp_path):
    at = clock.wall() - 60
    rows = [*ROWS[:3], ("uncertain", "flux-pro", at, None)]
    found = reconcile(write_batch(tmp_path, rows), client=manager(account(clock)), api_key=KEY)
    assert found.to_dict()["ask_again_at"] == at + 3600 + 600


def test_a_ledger_that_cannot_be_read_is_no_reason_to_stop(clock, tmp_path):
    (tmp_path / "ledger.sqlite3").write_text("something else")
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with pytest.warns(LemonWarning, match="What single requests were charged is not known"):
        found = reconcile(write_batch(tmp_path / "out"), client=manager(account(clock)), api_key=KEY, ledger=ledger)
    assert verdicts(found) == TOLD


def test_a_key_that_is_named_is_taken_at_its_word(clock, tmp_path):
    found = reconcile(write_batch(tmp_path, ROWS[2:4]), client=manager(account(clock, [])), key_id="key_1")
    assert [one.verdict for one in found.findings] == [Verdict.NOT_BILLED] * 2


@pytest.mark.parametrize(("hours", "told"), [(0, Verdict.NOT_BILLED), (3, Verdict.UNKNOWN), (-3, Verdict.UNKNOWN)])
def test_a_clock_that_is_wrong_is_seen_by_the_dates_of_the_answers_whatever_key_is_named(clock, tmp_path, hours, told):
    date = formatdate(clock.wall() + 3600 * hours, usegmt=True)
    page = {"items": [], "pagination": {"total": 0, "totalPages": 1}}
    http = httpx.MockTransport(lambda _: httpx.Response(200, json=page, headers={"date": date}))
    client = Lemon(TOKEN, base_url="http://lemon.emulator", http_client=httpx.Client(transport=http))
    found = reconcile(write_batch(tmp_path, ROWS[2:4]), client=client, key_id="key_1", apply=True)
    assert {one.verdict for one in found.findings} == {told}
    assert found.released == (2 if told is Verdict.NOT_BILLED else 0)


def test_charges_are_counted_if_nobody_else_used_the_key(clock, tmp_path):
    found = reconcile(write_batch(tmp_path), client=manager(account(clock)), api_key=KEY, alone=True, apply=True)
    assert [one.verdict for one in found.findings] == [Verdict.BILLED, Verdict.BILLED, Verdict.NOT_BILLED]
    assert (_rows(tmp_path)[2]["cost"], _rows(tmp_path)[2]["billing_id"]) == ("0.04", "txn_3")
    assert found.possible == []


# ---- two at work ----


def test_a_batch_that_is_worked_on_is_not_disturbed(clock, tmp_path):
    api, folder = account(clock), write_batch(tmp_path)
    with SqliteJournal.open(folder) as journal:
        journal.commit([change(6, status="submitting", submitted_at=SENT)])
        found = reconcile(folder, client=manager(api), api_key=KEY)
        assert verdicts(found) == TOLD  # what is in flight there is nobody's business
        with pytest.raises(JournalError, match="Another process is working in"):
            found.apply()
        assert [one.status for one in journal.entries()] == [*(status for status, *_ in ROWS[:5]), "submitting"]
    assert found.released == 0


def test_a_row_whose_process_died_is_told_too(clock, tmp_path):
    rows = [*ROWS[:3], ("submitting", "flux-pro", SENT + 30, None)]
    found = reconcile(write_batch(tmp_path, rows), client=manager(account(clock)), api_key=KEY, apply=True)
    assert (verdicts(found), found.released) == (TOLD, 1)


def test_a_row_that_was_sent_anew_in_the_meantime_stays_as_it_is(clock, tmp_path):
    api, folder = account(clock), write_batch(tmp_path)
    found = reconcile(folder, client=manager(api), api_key=KEY)
    with SqliteJournal.open(folder) as journal:
        journal.commit([change(4, submitted_at=SENT + 5000), change(2, status="unsent")])
    found.apply()
    assert (found.released, [one["status"] for one in _rows(folder)][1:4]) == (0, ["unsent", "uncertain", "uncertain"])
    assert _rows(folder)[1]["note"] is None


# ---- the ledger ----


def test_single_calls_are_told_from_the_ledger(clock, tmp_path):
    api, ledger = account(clock, []), Ledger(tmp_path / "ledger.sqlite3")
    lines = {}
    for status, model, at, request_id in ROWS[:4]:
        clock.now += at - clock.wall()
        line = ledger.submitting(api.address, {"model": model, "prompt": "a cat"}, 1, {}, mark(api))
        ledger.change(line, None, status=status, request_id=request_id)
        lines[line] = status
    ledger.change(ledger.submitting("https://elsewhere.test", {"model": "dall-e-3"}, 1, {}), None, status="uncertain")
    clock.now += 7200
    for request_id, model, at in CHARGES:
        api.account.charge(UsageRecord(KEY, model, Decimal("0.04"), at, at, request_id, f"txn_{request_id}"))
    found = reconcile(client=manager(api), ledger=ledger, api_key=KEY, apply=True)
    assert [one for _, one in verdicts(found)] == [verdict for _, verdict in TOLD]
    newest, *calls = ledger.calls()
    assert newest.status == "uncertain"  # of another address
    assert [(one.status, one.cost) for one in reversed(calls)] == [
        ("saved", Decimal("0.04")), ("uncertain", Decimal("0.04")), ("uncertain", None), ("unsent", None),
    ]  # fmt: skip
    assert "The account was billed $0.04" in calls[2].error
    ledger.complete(calls[3].id, cost=Decimal("0.09"), billing_id="txn_9")  # what is known stays
    assert [(one.cost, one.billing_id) for one in ledger.calls()][-1] == (Decimal("0.04"), "txn_req_1")


def mark(api, key=KEY):
    """What the ledger knows a key by."""
    return ApiKey(key).fingerprint(api.address)[:LETTERS]


@pytest.mark.parametrize(
    ("other", "named", "verdict"),
    [
        (KEY, {"api_key": KEY}, Verdict.NOT_BILLED),
        ("sk-another-key", {"api_key": KEY}, Verdict.UNKNOWN),  # billed to that key, perhaps
        ("sk-another-key", {"key_id": "key_1"}, Verdict.UNKNOWN),  # of which of the two is it the id?
        (None, {"api_key": KEY}, Verdict.UNKNOWN),  # an old line
        (None, {"key_id": "key_1"}, Verdict.NOT_BILLED),
    ],
)
def test_a_call_that_another_key_may_have_sent_is_never_released(clock, tmp_path, other, named, verdict):
    api, ledger = account(clock, []), Ledger(tmp_path / "ledger.sqlite3")
    clock.now -= 7200
    paid = ledger.submitting(api.address, {"model": "dall-e-3"}, 1, {}, mark(api))
    ledger.change(paid, None, status="saved", request_id="req_1")
    lost = ledger.submitting(api.address, {"model": "dall-e-3"}, 1, {}, other and mark(api, other))
    ledger.change(lost, None, status="uncertain")
    api.account.charge(UsageRecord(KEY, "dall-e-3", Decimal("0.04"), clock.wall(), clock.wall(), "req_1", "txn_1"))
    clock.now += 7200
    found = reconcile(client=manager(api), ledger=ledger, apply=True, **named)
    assert verdicts(found) == [(lost, verdict)]
    if verdict is Verdict.UNKNOWN:
        assert "with two keys" in found.findings[0].why.value
    assert next(ledger.calls()).status == ("unsent" if verdict is Verdict.NOT_BILLED else "uncertain")


def test_without_a_lost_answer_nothing_is_asked(clock, tmp_path):
    api, ledger = account(clock), Ledger(tmp_path / "ledger.sqlite3")
    assert reconcile(client=manager(api), ledger=ledger, api_key=KEY).findings == []
    assert api.requests == []


# ---- bad input ----


def test_what_cannot_be_right_is_said_before_anything_is_sent(clock, tmp_path, monkeypatch):
    api, folder = account(clock), write_batch(tmp_path / "out")
    for token, said in (("", "There is no management token"), (KEY, "holds an API key")):
        monkeypatch.setenv("LEMONDATA_MANAGEMENT_TOKEN", token)
        with pytest.raises(ConfigurationError, match=said):
            reconcile(folder)
    with pytest.raises(ConfigurationError, match=r"were sent to http://elsewhere.test, .* say nothing of them"):
        reconcile(write_batch(tmp_path / "b", address="http://elsewhere.test"), client=manager(api), api_key=KEY)
    with pytest.raises(JournalError, match="There is no batch"):
        reconcile(tmp_path / "nothing", client=manager(api))
    with pytest.raises(ValueError, match="settle is a number of seconds"):
        reconcile(folder, client=manager(api), settle=-1)
    assert api.requests == []


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "LEMONDATA_API_KEY is not set"), ("sk-other-key", "can be none of them"), ("sk-emulator", "or several")],
)
def test_a_key_that_cannot_be_told_is_asked_for(clock, tmp_path, key, said):
    api = account(clock)
    api.account.key_id("sk-emulated")
    with pytest.raises(ConfigurationError, match=said) as caught:
        reconcile(write_batch(tmp_path), client=manager(api), api_key=key)
    assert "key_1 (Key 1, sk-emul...); key_2 (Key 2, sk-emul...)" in str(caught.value)


def test_a_batch_that_was_sent_to_two_addresses_releases_nothing(clock, tmp_path):
    api, folder = account(clock), write_batch(tmp_path, address="http://before.test")
    with pytest.warns(LemonWarning, match="goes on at http://lemon.emulator"):
        list(run_batch(None, folder, client=manager(api, AsyncLemon, KEY), gallery=False, max_images=0))
    found = reconcile(folder, client=manager(api), api_key=KEY)
    assert found.findings[2].why.value.startswith("requests were sent to two addresses, or with two keys")


def test_a_batch_that_was_sent_with_two_keys_releases_nothing_and_another_key_is_refused(clock, tmp_path):
    api, folder = account(clock), write_batch(tmp_path)
    for key in (KEY, "sk-emul-another"):
        list(run_batch(None, folder, client=manager(api, AsyncLemon, key), gallery=False, max_images=0))
        with SqliteJournal.read(folder) as journal:
            assert key not in str(journal.meta("keys"))
        if key == KEY:
            with pytest.raises(ConfigurationError, match="LEMONDATA_API_KEY is another one"):
                reconcile(folder, client=manager(api), api_key="sk-emul-another")
            assert verdicts(reconcile(folder, client=manager(api), api_key=KEY)) == TOLD
    found = reconcile(folder, client=manager(api), key_id="key_1")
    assert found.findings[2].why.value.startswith("requests were sent to two addresses, or with two keys")


def test_no_key_is_lost_where_several_processes_note_theirs_at_once(tmp_path):
    with SqliteJournal.open(write_batch(tmp_path)) as journal:
        statements = [
            fact_too("keys", mark) for mark in ("abcd", "ef01", "abcd", "bcde", "ef01")
        ]  # each made beforehand
        for statement in statements:
            journal.commit([statement])
        assert journal.meta("keys") == "abcd ef01 bcde"


def test_the_token_goes_to_the_apis_origin_alone_and_is_never_told(clock, tmp_path):
    secret, heard = "mt-secret-0123456789", []

    def answer(request):
        heard.append((request.url.host, request.headers["authorization"]))
        return httpx.Response(401, json={"error": {"message": f"no such token {secret}"}})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = Lemon(secret, base_url="http://lemon.emulator", http_client=http)
    with pytest.raises(AuthenticationError) as caught:
        reconcile(write_batch(tmp_path), client=client, api_key=KEY)
    assert heard == [("lemon.emulator", f"Bearer {secret}")]
    assert secret not in f"{caught.value} {caught.value.__notes__} {client!r}"


# ---- whole batches, judged by the emulator's books ----


@pytest.fixture
def runs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    before = list(sys.path)
    import reconcile_run

    yield reconcile_run
    sys.path[:] = before


@pytest.mark.parametrize(("seed", "foreign"), [(1, True), pytest.param(3, True, marks=pytest.mark.slow), (5, False)])
def test_a_batch_with_lost_answers_is_told_right_and_paid_once_to_the_cent(runs, seed, foreign, tmp_path):
    tally = runs.Tally()
    runs.run(seed, 80, tmp_path, tally, foreign=foreign)
    assert tally.faults == []
    assert tally.counts["lost"] > 1
    assert tally.counts["billed"] + tally.counts["not billed"] > 0


# ---- the command line ----


@pytest.fixture
def books(emulator, monkeypatch, tmp_path):  # noqa: F811
    """The account of the emulator that the environment leads to, and the folder of a batch that was sent there."""
    monkeypatch.setenv("LEMONDATA_MANAGEMENT_TOKEN", TOKEN)
    now = emulator.wall()
    rows = [(status, model, None if at is None else at - SENT + now - 7200, name) for status, model, at, name in ROWS]
    for request_id, model, at in CHARGES:
        at += now - 7200 - SENT
        emulator.account.charge(UsageRecord(KEY, model, Decimal("0.04"), at, at, request_id, f"txn_{request_id}"))
    return write_batch(tmp_path / "out", rows, emulator.url)


def test_the_command_tells_what_became_of_each_row(books):
    done = lemon("reconcile", "out")
    assert done.exit_code == 6
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert [(line[0].strip(), line[-1]) for line in lines] == [
        ("row 2", "a charge has its id"),
        ("row 3", "a charge of this model at this time has no known owner: it may be its own, or another program's"),
        ("row 4", "no charge can be its own"),
    ]
    assert "$0.04  txn_req_2" in done.stdout
    assert "1 charge ($0.04) perhaps of the requests that cannot be told: txn_req_3." in done.stderr
    assert "3 lost answers: 1 billed, 1 not billed, 1 cannot be told. 0 can be sent again." in done.stderr
    assert "next: lemon reconcile --apply -- out" in done.stderr
    assert [one["status"] for one in _rows(books)][1:4] == ["uncertain"] * 3
    assert _rows(books)[1]["cost"] == "0.04"  # amounts are written down all the same
    status = lemon("status", "out")
    assert "1 of them is billed, as the account says." in status.stderr


def test_the_command_releases_what_was_not_billed_if_it_is_told_to(books):
    done = lemon("reconcile", "out", "--apply")
    assert (done.exit_code, _rows(books)[3]["status"]) == (6, "unsent")
    assert "1 can be sent again.\n  next: lemon resume -- out" in done.stderr
    again = lemon("reconcile", "out", "--alone", "--json")
    assert (again.exit_code, [one["verdict"] for one in json.loads(again.stdout)["requests"]]) == (0, ["billed"] * 2)


@pytest.mark.parametrize(("answer", "status", "code"), [("y\n", "unsent", 0), ("n\n", "uncertain", 7)])
def test_on_a_terminal_it_asks(books, monkeypatch, answer, status, code):
    monkeypatch.setattr("lemon_ext.cli.reconcile._asks", lambda: True)
    done = lemon("reconcile", "out", "--alone", input=answer)
    assert "1 request not billed. May they be sent again? [y/N]" in done.stderr
    assert (done.exit_code, _rows(books)[3]["status"]) == (code, status)


def test_amounts_that_cannot_be_written_down_are_no_error(books):
    with SqliteJournal.open(books):
        done = lemon("reconcile", "out")
        assert done.exit_code == 6
        assert "The amounts are not written down: Another process is working in" in done.stderr
        assert lemon("reconcile", "out", "--apply").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (
            ["out"],
            {"LEMONDATA_MANAGEMENT_TOKEN": ""},
            2,
            "There is no management token: set LEMONDATA_MANAGEMENT_TOKEN",
        ),
        (["out"], {"LEMONDATA_MANAGEMENT_TOKEN": KEY}, 2, "which begins with mt-. Nothing was sent."),
        (["out"], {"LEMONDATA_MANAGEMENT_TOKEN": "mt-expired"}, 3, "it may have expired"),
        (["out"], {"LEMONDATA_API_KEY": ""}, 2, "Name it with --key-id"),
        (["out", "--key-id", "key_9"], {}, 3, "There is no such key"),
        (["out", "--settle", "-1"], {}, 2, "--settle"),
        (["nothing"], {}, 2, "There is no batch in nothing"),
        ([], {}, 2, "LEMONDATA_LEDGER is off"),
        ([], {"LEMONDATA_LEDGER": "ledger.sqlite3"}, 0, "No answer was lost."),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(books, monkeypatch, arguments, environment, code, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = lemon("reconcile", *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
