"""The limits of a batch on several machines: all together never exceed them, whoever dies and whoever races."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path

import pytest

from lemon_ext import BudgetError, JournalError
from lemon_ext._files import PartFile
from lemon_ext.batch import batch_status, export_results, plan_batch, submissions
from lemon_ext.batch.address import Address
from lemon_ext.batch.journal import Incoming
from lemon_ext.batch.limits import SharedLimits
from lemon_ext.batch.outage import Outage
from lemon_ext.batch.output import noted
from lemon_ext.cli._words import at_work
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.money import Budget, quote
from tests.cli import lemon
from tests.gateway import Gateway, results, rows, statuses
from tests.test_batch import full
from tests.test_machines import dies, go, incoming, name, worker

pytestmark = pytest.mark.scale
postgres = pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)
REFUSED = (400, {"error": {"message": "no"}})


def limits(images=None, usd=None, **known):
    return SharedLimits(images, Budget.of(usd, known.get("allow_unknown", False)))


def images_of(pg, shop):
    return pg.ask("SELECT sum(images), sum(usd) FROM spent", name(shop))[0]


# ---- what is counted, and when ----


def test_what_was_sent_before_a_row_was_mended_counts_no_less(tmp_path, pg, shop):
    """Bug: earlier tries counted as if they had asked for what the row asks for now."""
    before = {"prompt": "bad", "model": "stable-diffusion-3", "n": 2}
    after = {"prompt": "good", "model": "stable-diffusion-3", "size": "512x512"}
    with worker(tmp_path, shop) as one:
        one.take_in([Incoming(None, before, 2, id="a")])
        one.take("unsent")
        one.commit([one.submitting(1, 5.0, quote(before, 2).usd, limits(9))])
        one.commit([one.update(1, status="failed")])
    spent = images_of(pg, shop)
    assert spent == (2, Decimal("0.06"))
    with worker(tmp_path, shop) as one:
        one.mends_failed = True
        one.take_in([Incoming(None, after, 1, id="a")])
        assert all(now >= was for now, was in zip(images_of(pg, shop), spent, strict=True))
        one.take("unsent")
        assert one.commit([one.submitting(1, 6.0, quote(after).usd, limits(int(spent[0])))]) == [0]
        assert one.commit([one.submitting(1, 6.0, quote(after).usd, limits(99))]) == [1]
        assert all(now > was for now, was in zip(images_of(pg, shop), spent, strict=True))


def test_a_failed_row_is_mended_and_sent_again_in_its_folder(tmp_path, pg, shop, monkeypatch):
    with Emulator(task_seconds=0.01) as emulator:
        monkeypatch.setenv("LEMONDATA_BASE_URL", emulator.url)
        monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
        table = tmp_path / "in.csv"
        mended = ("batch", str(table), "-o", str(tmp_path / "out"), "-m", "flux-pro", "--journal", shop)
        table.write_text("id,prompt,n\nA,a cat,1\nB,bad [fault:task_failed],4\n")
        assert lemon(*mended).exit_code == 8
        table.write_text("id,prompt,n\nA,a cat,1\nB,a good dog,1\n")
        refused = lemon(*mended)
        assert (refused.exit_code, emulator.charges) == (2, 2)
        assert "(with --resend-failed it is sent again, mended)" in refused.stderr
        mended += ("--resend-failed",)
        assert lemon(*mended, "--dry-run").stdout.startswith("1 row for 1 image left to send.")
        assert lemon(*mended, "--max-images", "5").exit_code == 8
        table.write_text("id,prompt,n\nA,a cat,1\nB,a wolf,2\n")  # once more, before it is sent
        assert lemon(*mended, "--budget", "0.209").exit_code == 8
        table.write_text("id,prompt,n\nA,a cat,1\nB,a good dog,1\n")
        assert lemon(*mended, "--budget", "0.209").exit_code == 8
        assert (images_of(pg, shop), emulator.charges) == ((5, Decimal("0.175")), 2)
        assert lemon(*mended, "--budget", "0.21").exit_code == 0
        assert lemon(*mended).exit_code == 0
        assert (images_of(pg, shop), emulator.charges) == ((6, Decimal("0.210")), 3)
        assert statuses(results(tmp_path / "out")) == {1: "saved", 2: "saved"}


def test_who_claims_the_last_image_has_it(tmp_path, shop):
    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(incoming(4))
        one.take("unsent", 2)
        two.take("unsent", 2)
        assert one.commit([one.submitting(1, 5.0, None, limits(2))]) == [1]
        assert one.commit([one.submitting(1, 5.0, None, limits(1))]) == [1]  # once more, because the answer was lost
        assert two.commit([two.submitting(row, 5.0, None, limits(2)) for row in (3, 4)]) == [1, 0]
        assert one.commit([one.submitting(2, 5.0, None, limits(2))]) == [0]
        assert one.no_room(one.entry(2), limits(2)) == ("the next row would exceed 2 images", True)
        assert two.commit([two.submitting(4, 5.0, None, limits(3))]) == [1]  # it was given another number
        assert one.no_room(one.entry(4), limits(2)) is None  # not ours
        two.commit([two.update(row, status="waiting") for row in (3, 4)])
        assert one.no_room(one.entry(2), limits(2)) == ("the next row would exceed 2 images", False)
        two.commit([two.update(3, status="refused"), two.update(4, status="unsent")])
        assert one.commit([one.submitting(2, 5.0, None, limits(2))]) == [1]  # what was not accepted is given back


@pytest.mark.parametrize(
    ("changes", "spent"),
    [
        ("status = 'submitting'", (2, "0.30")),
        ("status = 'uncertain'", (2, "0.30")),
        ("status = 'waiting', cost = '0.25'", (2, "0.25")),
        ("status = 'failed', cost = '0'", (2, "0")),
        ("status = 'saved', cost = 'nonsense'", (2, "0.30")),
        ("status = 'refused'", (0, "0")),
        ("status = 'unsent', doubts = 2", (4, "0.60")),
        ("status = 'saved', doubts = 1, cost = '0.2'", (4, "0.50")),
        ("status = 'saved', price = NULL", (2, "0")),
    ],
)
def test_the_database_counts_what_each_change_makes_of_a_row(tmp_path, pg, shop, changes, spent):
    with worker(tmp_path, shop) as one:
        one.take_in(incoming(1))
        pg.ask("UPDATE rows SET images = 2, price = 0.30", name(shop))
        pg.ask("UPDATE rows SET status = 'waiting'", name(shop))
        pg.ask(f"UPDATE rows SET {changes}", name(shop))
        assert one.spent() == (spent[0], Decimal(spent[1]))
        assert one.images_sent() == spent[0]


def test_a_journal_that_did_not_count_yet_is_counted(tmp_path, pg, shop):
    gateway = Gateway()
    go(gateway, [{"prompt": "a cat", "model": "dall-e-3"}], tmp_path, shop)
    pg.ask("DROP TABLE spent; DROP FUNCTION claim; DROP FUNCTION count_spent CASCADE", name(shop))
    pg.ask("ALTER TABLE rows DROP COLUMN price", name(shop))
    with worker(tmp_path, shop) as one:
        assert one.spent() == (1, Decimal("0.04"))


# ---- several at work ----


@pytest.mark.parametrize("limit", [{"max_images": 7}, {"budget": "0.28"}], ids=["images", "budget"])
def test_three_that_race_for_the_last_images_never_exceed_the_limit(tmp_path, pg, shop, limit, monkeypatch):
    monkeypatch.setattr(submissions, "AHEAD", 5)
    gateway, found, start, reasons = Gateway(), {}, threading.Barrier(3), {}
    gateway.clock.rule()
    given = [{"prompt": f"cat {n}", "model": "dall-e-3"} for n in range(1, 31)]
    gateway.expect("cat 2", REFUSED)

    def work(machine):
        start.wait()
        told = reasons.setdefault(machine, [])
        found[machine] = go(gateway, given, tmp_path / machine, shop, **limit, on_progress=told.append)

    machines = [threading.Thread(target=work, args=(machine,)) for machine in "abc"]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(60)
    assert len(gateway.charges) == gateway.charges.total() == 7
    assert len(found) == 3
    assert images_of(pg, shop) == (7, Decimal("0.28"))
    known = batch_status(shop)
    assert (known.saved, known.limited, known.working) == (7, True, False)
    for told in reasons.values():
        assert told[-1].limited
        assert told[-1].stopped in (
            "the next row would exceed 7 images",
            "the next request costs $0.04, and $0.28 of the budget of $0.28 is spent",
        )


def test_what_a_dead_worker_had_in_flight_counts_and_what_it_had_not_sent_does_not(tmp_path, pg, shop):
    gateway = Gateway()
    dead = worker(tmp_path / "dead", shop)
    dead.take_in(incoming(10))
    dead.take("unsent")
    assert dead.commit([dead.submitting(row, 5.0, None, limits(4)) for row in range(1, 4)]) == [1, 1, 1]
    dies(pg, dead)
    outcomes = go(gateway, None, tmp_path / "new", shop, max_images=6)
    assert statuses(outcomes) == {**dict.fromkeys((1, 2, 3), "uncertain"), **dict.fromkeys((4, 5, 6), "saved")}
    assert gateway.charges.total() == 3


def test_a_limit_that_is_met_waits_for_what_another_has_in_flight(tmp_path, pg, shop):
    """It may be refused, and then there is room."""
    gateway = Gateway()
    other = worker(tmp_path / "other", shop)
    other.take_in(incoming(3))
    other.take("unsent", 1)
    other.commit([other.submitting(1, 5.0, None, limits(2))])
    told = []

    def seen(progress):
        if progress.saved and not told:
            told.append(progress)
            other.commit([other.update(1, status="refused", finished_at=6.0)])
            other.close()

    assert statuses(go(gateway, None, tmp_path, shop, max_images=2, on_progress=seen)) == {2: "saved", 3: "saved"}
    assert told


def test_each_keeps_to_its_own_number_and_counts_everything(tmp_path, shop):
    gateway = Gateway()
    assert len(go(gateway, rows(9), tmp_path / "a", shop, max_images=3)) == 3
    assert go(gateway, None, tmp_path / "b", shop, max_images=2) == []
    assert len(go(gateway, None, tmp_path / "b", shop, max_images=5)) == 2
    assert gateway.charges.total() == 5
    assert len(go(gateway, None, tmp_path / "a", shop)) == 4


def test_who_meets_a_limit_lets_others_have_its_rows(tmp_path, shop):
    """It may wait for its tasks for long."""
    gateway = Gateway()
    seen = []

    def told(progress):
        if progress.limited and progress.saved == 1 and not seen:
            with worker(tmp_path / "b", shop) as other:
                seen.extend(entry.row for entry in other.take("unsent"))

    go(gateway, rows(6), tmp_path / "a", shop, max_images=2, on_progress=told)
    assert gateway.charges.total() == 2
    assert seen == [3, 4, 5, 6]


def test_a_price_that_is_not_known_is_refused_before_anything_is_sent(tmp_path, shop):
    gateway = Gateway()
    given = [{"prompt": "a", "model": "never-heard-of"}, {"prompt": "b", "model": "dall-e-3"}]
    with pytest.raises(BudgetError, match="A budget needs prices"):
        go(gateway, given, tmp_path, shop, budget="1.00")
    assert gateway.posts == []
    with pytest.raises(BudgetError, match="does not cover the cheapest"):
        go(gateway, given, tmp_path, shop, budget="0.01", allow_unknown_price=True)
    found = go(gateway, given, tmp_path, shop, budget="0.04", allow_unknown_price=True)
    assert statuses(found) == {1: "saved", 2: "saved"}
    assert len(gateway.posts) == 2


# ---- what would be sent ----


def test_a_plan_counts_what_is_left_and_disturbs_nobody(tmp_path, pg, shop):
    gateway = Gateway()
    gateway.expect("cat 2", REFUSED)
    with worker(tmp_path / "other", shop) as other:
        given = [{"prompt": f"cat {n}", "model": "dall-e-3"} for n in range(1, 9)]
        other.take_in(Incoming(None, row, 1) for row in given[:6])
        other.take("unsent", 3)
        other.commit([other.submitting(row, 5.0, Decimal("0.04")) for row in (1, 2)])
        other.commit([other.update(1, status="uncertain"), other.update(2, status="refused")])
        before = pg.ask("SELECT * FROM rows ORDER BY row", name(shop))
        plan = plan_batch(given, journal=shop)
        assert (plan.rows, plan.images, plan.others, plan.images_sent) == (6, 6, 2, 1)
        assert (plan.cost.usd, plan.spent) == (Decimal("0.24"), Decimal("0.04"))
        again = plan_batch(given, journal=shop, resend_refused=True, resend_uncertain=True)
        assert (again.rows, again.others, again.images_sent, again.spent) == (8, 0, 1, Decimal("0.04"))
        with pytest.raises(JournalError, match="its row 6 is not in it"):
            plan_batch(given[:5], journal=shop)
        assert pg.ask("SELECT * FROM rows ORDER BY row", name(shop)) == before
        assert len(pg.ask("SELECT * FROM workers", name(shop))) == 1
    assert plan_batch(given, journal=pg.address("nobody")).rows == 8
    assert pg.ask("SELECT to_regnamespace('lemon_nobody')", "nobody") == [(None,)]


def test_a_plan_holds_no_lock_that_a_worker_wants(tmp_path, shop):
    """It may take a minute; who begins meanwhile, with the same new row, does not wait for it."""

    def meanwhile():
        yield from incoming(2)
        with worker(tmp_path / "other", shop) as other:
            other.take_in(incoming(3))
            assert len(other.take("unsent")) == 3
            assert other.commit([other.submitting(1, 5.0)]) == [1]
        yield incoming(3)[2]

    with worker(tmp_path, shop) as one:
        one.take_in(incoming(1))
    with postgres.PostgresJournal.copy(tmp_path, Address.of(shop)) as copy:
        copy.take_in(meanwhile())
        assert copy.counts() == {"unsent": 3}


def test_a_plan_whose_connection_is_lost_does_not_try_it_on_the_journal(tmp_path, shop):
    with worker(tmp_path, shop) as one:
        one.take_in(incoming(2))
    copy = postgres.PostgresJournal.copy(tmp_path, Address.of(shop))
    assert copy.counts() == {"unsent": 2}
    copy._database.close()
    with pytest.raises(JournalError, match="was lost while the rows were counted"):
        copy.release(refused=True, uncertain=True)


def test_a_plan_on_the_command_line(tmp_path, shop, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text("id,prompt\na,a cat\nb,a dog\nc,a bird\n")
    options = ("prompts.csv", "-o", "one", "-m", "dall-e-3", "--emulator")
    first = lemon("batch", *options, "--journal", shop.replace("lemon@", "lemon:geheim@"), "--max-images", "2")
    assert first.exit_code == 8, first.stderr
    assert "Nothing more is sent: the next row would exceed 2 images." in first.stderr
    shown = Address.of(shop).shown
    for more, where in ((["-o", "one"], "one"), (["--journal", shop], shown)):
        told = lemon("batch", "prompts.csv", "-m", "dall-e-3", "--dry-run", *more, "--max-images", "2").stdout
        assert f"1 row for 1 image left to send. 2 more in {where} are done or under way. Nothing was sent." in told
        assert "--max-images 2 does not cover it: 1 image would not be sent." in told
    assert lemon("resume", "one", "--emulator", "--max-images", "3").exit_code == 0


# ---- who works, and how fast ----


def test_status_names_who_works_and_whom_the_api_does_not_answer(tmp_path, pg, shop):
    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(incoming(3))
        pg.ask("UPDATE workers SET id = replace(id, split_part(id, '-', 1), 'mars')", name(shop))
        one._worker, two._worker = (row[0] for row in pg.ask("SELECT id FROM workers ORDER BY id", name(shop)))
        assert one._worker.startswith("mars")

        def said():
            return at_work(batch_status(shop))

        assert said() == "Working there: mars (2)."
        one.commit([noted(one, Outage(90.0, 20.0, 300.0, "ConnectError: no route."), 5.0)])
        assert said() == "Working there: mars (2). 1 of 2 (mars) cannot reach the API: ConnectError: no route."
        assert batch_status(shop).outage is None
        two.commit([noted(two, Outage(30.0, 20.0, 300.0, "ConnectError"), 5.0)])
        assert said().startswith("Working there: mars (2). API unreachable for 3")
        one.commit([noted(one, None, 5.0)])
        pg.ask("UPDATE workers SET noted = now() - interval '5 minutes'", name(shop))  # nothing is heard of it any more
        assert said() == "Working there: mars (2)."
        pg.ask(f"UPDATE workers SET lease = now() + interval '20 seconds' WHERE id = '{two._worker}'", name(shop))
        assert (
            said()
            == "Working there: mars (2). 1 of 2 (mars) was not heard of for 40 s, and is taken for dead after a minute."
        )
        assert [round(found.silent, -1) for found in batch_status(shop).workers] == [0, 40]
        pg.ask("UPDATE workers SET lease = now() - interval '1 second'", name(shop))
        assert batch_status(shop).workers == ()
    assert not batch_status(shop).working


@pytest.mark.parametrize("begun", [False, True])
def test_a_row_is_counted_once_however_often_all_are_counted_anew(tmp_path, pg, shop, monkeypatch, begun):
    """Bug: one that was written down and not yet counted when all were counted anew counted twice."""
    gateway, seen = Gateway(seconds=2), []
    if begun:
        with monkeypatch.context() as patch:
            patch.setattr(PartFile, "place", full)
            go(gateway, rows(20), tmp_path, shop, concurrency=4)
        assert batch_status(tmp_path).unfetched
    monkeypatch.setattr(postgres.PostgresJournal, "beat", 0.01)
    go(gateway, None if begun else rows(20), tmp_path, shop, on_progress=seen.append)
    states = "unsent", "submitting", "waiting", "unfetched", "saved", "failed", "refused", "uncertain"
    assert {sum(getattr(one, state) for state in states) for one in seen} == {20}
    assert (seen[-1].saved, seen[-1].images, len(gateway.posts)) == (20, 20, 20)


def test_a_worker_tells_the_rate_of_all_together(tmp_path, pg, shop, monkeypatch):
    gateway, told = Gateway(), []

    def ends(progress):
        told.append(progress)
        if len(told) == 3:
            pg.ask("UPDATE rows SET status = 'saved', paths = '[]', finished_at = 5 WHERE row > 5", name(shop))
            pg.ask("UPDATE rows SET owner = NULL WHERE row > 5", name(shop))

    with worker(tmp_path / "b", shop) as other:
        other.take_in(incoming(9))
        pg.ask(f"UPDATE rows SET owner = '{other._worker}' WHERE row > 5", name(shop))
        assert len(go(gateway, None, tmp_path / "a", shop, on_progress=ends)) == 5
    last = told[-1]
    assert (last.saved, len(last.workers)) == (9, 2)
    assert last.per_minute == pytest.approx(60.0 * 9 / last.elapsed)
    assert "a minute by 2 workers" in str(last)


def test_status_takes_an_address_as_the_others_do(tmp_path, shop, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with worker(tmp_path, shop) as one:
        one.take_in(incoming(2))
        one.take("unsent", 1)
        one.commit([one.submitting(1, 5.0), one.update(1, status="uncertain")])
        working = lemon("status", "--journal", shop)
        assert "Working there: " in working.stderr
        assert "lemon resume" not in working.stderr
    shown = Address.of(shop).shown
    for place, argument in ((("--journal", shop), "DIR"), (("new", "--journal", shop), "new")):
        told = lemon("status", *place)
        assert told.exit_code == 0
        assert f"next: lemon resume --journal '{shown}' -- {argument}" in told.stderr
        assert f"`lemon reconcile --journal '{shown}' -- {argument}`" in told.stderr
    assert lemon("status", "new", "--journal", shop, "--failed").exit_code == 0
    assert lemon("status").exit_code == 2
    assert not Path("new").exists()


def test_a_folder_in_which_only_the_page_was_written_can_be_worked_in(tmp_path, shop):
    gateway = Gateway()
    go(gateway, rows(2), tmp_path / "a", shop, max_images=1)
    export_results(tmp_path / "b", journal=shop)
    assert statuses(go(gateway, None, tmp_path / "b", None)) == {2: "saved"}
    go(gateway, rows(1), tmp_path / "c", f"{shop}_0")
    with pytest.raises(JournalError, match="another batch"):
        export_results(tmp_path / "b", journal=f"{shop}_0")
