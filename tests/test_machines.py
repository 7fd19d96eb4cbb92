"""One batch on several machines, with its journal in a real PostgreSQL: nothing is paid twice, whoever dies."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from contextlib import closing, suppress
from pathlib import Path

import anyio
import httpx
import pytest

from lemon_ext import (
    AsyncLemon,
    CapabilityError,
    ConfigurationError,
    JournalError,
    Lemon,
    LemonWarning,
    arun_batch,
    reconcile,
    run_batch,
)
from lemon_ext.batch import batch_needs, batch_status, export_results, plan_batch, record, rows_to_edit, submissions
from lemon_ext.batch.address import Address, Mark
from lemon_ext.batch.journal import VERSION, Incoming, change, costs
from lemon_ext.batch.limits import SharedLimits
from lemon_ext.emulator import KEY, TOKEN, Emulator
from tests import databases
from tests.cli import lemon
from tests.gateway import Gateway, results, rows, statuses
from tests.play import Clock

pytestmark = pytest.mark.scale
postgres = pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)


def name(address):
    return Address.of(address).batch


def go(gateway, requests, folder, address, **options):
    return list(run_batch(requests, folder, client=gateway.client(), journal=address, deadline=1e9, **options))


def worker(folder, address, **options):
    return postgres.PostgresJournal.open(folder, Address.of(address), **options)


def incoming(count):
    return [Incoming(None, {"prompt": f"cat {number}", "model": "midjourney"}, 1) for number in range(1, count + 1)]


def dies(pg, journal):
    """Let a worker die: its connection is gone, and its lease has run out by the clock of the database."""
    journal._database.close()
    pg.ask("UPDATE workers SET lease = now() - interval '1 second'", journal._address.batch)


# ---- work is shared ----


def test_machines_share_the_rows_of_a_batch(tmp_path, shop, monkeypatch):
    monkeypatch.setattr(submissions, "AHEAD", 4)
    gateway, found, start = Gateway(), {}, threading.Barrier(3)
    gateway.clock.rule()

    def work(machine):
        start.wait()
        found[machine] = go(gateway, rows(60), tmp_path / machine, shop, concurrency=2)

    machines = [threading.Thread(target=work, args=(machine,)) for machine in "abc"]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(60)
    assert gateway.charges == {f"cat {number}": 1 for number in range(1, 61)}
    ended = [row["row"] for outcomes in found.values() for row in outcomes]
    assert sorted(ended) == list(range(1, 61))  # none is told twice
    assert all(found.values())  # each did some
    for machine in "abc":
        assert set(statuses(results(tmp_path / machine)).values()) == {"saved"}  # everybody waited for the others
    pictures = [path.name for machine in "abc" for path in (tmp_path / machine).glob("*.png")]
    assert len(pictures) == len(set(pictures)) == 60
    assert batch_status(shop).saved == 60
    assert not batch_status(shop).working


def test_machines_share_a_store(tmp_path, shop, monkeypatch):
    """Each has a folder of its own for it; a batch with another journal is kept out."""
    pytest.importorskip("obstore")
    (store := tmp_path / "store").mkdir()
    gateway = Gateway()
    for machine, count in (("a", 3), ("b", 5)):
        monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda at=machine: tmp_path / at)
        go(gateway, rows(count), store.as_uri(), shop)
        assert len(list(store.glob("*.png"))) == count
        assert batch_status(store.as_uri()).saved == count  # the journal is known here now
    assert gateway.charges == {f"cat {number}": 1 for number in range(1, 6)}
    assert set(statuses(results(store)).values()) == {"saved"}
    assert plan_batch(rows(6), folder=store.as_uri(), journal=shop).rows == 1
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "c")
    with pytest.raises(JournalError, match="holds the pictures of a batch whose journal is not the one here"):
        list(run_batch(rows(5), store.as_uri(), client=gateway.client()))
    assert len(gateway.posts) == 5


def test_the_journal_of_a_store_is_not_said_to_be_here_where_it_is_in_a_database(tmp_path, shop, monkeypatch):
    pytest.importorskip("obstore")
    (store := tmp_path / "store").mkdir()
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "a")
    (tmp_path / "in.txt").write_text("a cat\n")
    with Emulator(task_seconds=0.01) as emulator:
        monkeypatch.setenv("LEMONDATA_BASE_URL", emulator.url)
        monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
        done = lemon("batch", str(tmp_path / "in.txt"), "-o", store.as_uri(), "-m", "flux-pro", "--journal", shop)
    assert (done.exit_code, "stays on this machine" in done.stderr) == (0, False)
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "b")
    status = lemon("status", store.as_uri(), "--journal", shop)
    assert (status.exit_code, "stays on this machine" in status.stderr) == (0, False)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_twin(tmp_path, shop, backend):
    gateway = Gateway()

    async def main():
        return [outcome async for outcome in arun_batch(rows(5), tmp_path, client=gateway.client(), journal=shop)]

    assert statuses(anyio.run(main, backend=backend)) == dict.fromkeys(range(1, 6), "saved")


def test_a_batch_goes_on_in_another_folder_and_with_rows_in_another_order(tmp_path, shop):
    gateway = Gateway()
    with closing(run_batch(rows(40), tmp_path / "a", client=gateway.client(), journal=shop, concurrency=2)) as first:
        next(first)
    go(gateway, list(reversed(rows(45))), tmp_path / "b", shop)
    assert set(gateway.charges.values()) == {1}
    assert len(gateway.charges) == 45
    assert export_results(tmp_path / "a").name == "results.jsonl"  # the folder knows where its journal is
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert go(gateway, None, tmp_path / "a", None) == []


def test_work_is_taken_in_blocks_that_no_two_take(tmp_path, shop):
    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(incoming(10))
        two.take_in(reversed(incoming(10)))
        assert [entry.row for entry in one.take("unsent", 4)] == [1, 2, 3, 4]
        assert [entry.row for entry in two.take("unsent", 4)] == [5, 6, 7, 8]
        assert [entry.row for entry in one.take("unsent")] == [9, 10]
        assert two.take("unsent") == []
        assert one.others()
        assert two.others()


def test_who_does_not_own_a_row_does_not_send_it(tmp_path, shop):
    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(incoming(2))
        one.take("unsent", 1)
        assert two.commit([two.submitting(1, 5.0)]) == [0]
        assert one.commit([one.submitting(1, 5.0), one.submitting(2, 5.0)]) == [1, 0]
        assert one.commit([one.submitting(1, 5.0)]) == [1]  # once more, because the answer was lost
        assert one.commit([one.submitting(1, 6.0)]) == [0]
        assert two.commit([two.update(1, status="saved")]) == [0]
        assert one.entry(1).status == "submitting"


# ---- workers die ----


def left_by_a_dead_worker(tmp_path, pg, shop, gateway):
    """Return the journal of a worker that died with four rows: unsent, in flight, waiting, and none of its own."""
    gateway.client()
    gateway.tasks["img_77"] = {"ready": 0, "asked": {}, "end": "completed"}
    dead = worker(tmp_path / "dead", shop)
    dead.take_in(incoming(4))
    dead.take("unsent", 3)
    dead.commit([dead.submitting(2, 5.0), dead.submitting(3, 5.0)])
    dead.commit([dead.update(3, status="waiting", task_id="img_77")])
    return dead


def test_what_a_living_worker_has_is_left_alone(tmp_path, pg, shop):
    dead = left_by_a_dead_worker(tmp_path, pg, shop, Gateway())
    with worker(tmp_path, shop) as other:
        assert other.renew() == []
        assert [entry.row for entry in other.take("unsent")] == [4]
        assert other.take("waiting") == []
        assert other.entry(2).status == "submitting"
        assert other.others()
    dead.close()


def test_a_dead_workers_rows_are_anybodys_and_what_was_in_flight_is_uncertain(tmp_path, pg, shop):
    gateway = Gateway()
    dies(pg, left_by_a_dead_worker(tmp_path, pg, shop, gateway))
    outcomes = statuses(go(gateway, None, tmp_path / "new", shop))
    assert outcomes == {1: "saved", 2: "uncertain", 3: "saved", 4: "saved"}
    assert gateway.charges == {"cat 1": 1, "cat 4": 1}
    assert go(gateway, None, tmp_path / "new", shop, resend_uncertain=True)[0]["status"] == "saved"
    assert gateway.charges["cat 2"] == 1


def test_a_run_takes_over_from_a_worker_that_dies_meanwhile(tmp_path, pg, shop):
    gateway, told = Gateway(), []
    dead = left_by_a_dead_worker(tmp_path, pg, shop, gateway)
    for outcome in run_batch(None, tmp_path / "new", client=gateway.client(), journal=shop, deadline=1e9):
        if not told:
            assert outcome["row"] == 4  # the only one that nobody had
            dies(pg, dead)
        told.append((outcome["row"], outcome["status"]))
    assert sorted(told) == [(1, "saved"), (2, "uncertain"), (3, "saved"), (4, "saved")]
    assert gateway.charges == {"cat 1": 1, "cat 4": 1}


def test_a_worker_that_lives_after_all_writes_down_what_it_paid_for(tmp_path, pg, shop):
    one = worker(tmp_path, shop)
    one.take_in(incoming(1))
    one.take("unsent")
    one.commit([one.submitting(1, 5.0)])
    pg.ask("UPDATE workers SET lease = now() - interval '1 second'", name(shop))
    with worker(tmp_path, shop) as other:
        assert other.entry(1).status == "uncertain"
        assert one.commit([one.update(1, status="waiting", task_id="img_1", error=None)]) == [1]
        assert other.entry(1).task_id == "img_1"
    one.close()


def test_what_cannot_be_written_because_the_row_was_sent_again_is_told(tmp_path, pg, shop):
    gateway, answered = Gateway(), Gateway.__call__

    class Slow(Gateway):
        def __call__(self, request):
            if request.method == "POST":
                pg.ask("UPDATE rows SET owner = 'another'", name(shop))
            return answered(self, request)

    gateway = Slow()
    warnings = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "warn", warnings.append)
        patch.setattr(postgres.PostgresJournal, "others", lambda self: False)
        go(gateway, rows(1), tmp_path, shop)
    assert "Row 1 was accepted as task img_1, and that is not written down" in warnings[0]


@pytest.mark.parametrize(
    ("meanwhile", "posts"),
    [
        ("", 1),  # nobody noticed
        ("UPDATE rows SET status = 'uncertain' WHERE status = 'submitting'", 1),
        ("UPDATE rows SET status = 'saved', owner = 'another', paths = '[]' WHERE status = 'submitting'", 0),
    ],
    ids=["nobody noticed", "given up", "sent by another"],
)
@pytest.mark.parametrize("clock", ["monotonic", "wall"])
def test_who_was_stopped_for_longer_than_its_lease_does_not_send_what_it_had_claimed(
    tmp_path, pg, shop, monkeypatch, clock, meanwhile, posts
):
    """Bug: it had written down that the row leaves, and sent it when it woke up, whoever had sent it by then. While a
    computer sleeps, the monotonic clock may stand still.
    """
    gateway, commit, claims, slept = Gateway(), postgres.PostgresJournal.commit, [], [0.0]

    def stopped(self, statements):
        statements = list(statements)
        changed = commit(self, statements)
        if any("SET status = 'submitting'" in sql for sql, _ in statements):
            claims.append(True)
            if len(claims) == 2:
                if clock == "monotonic":
                    gateway.clock.now += 61.0
                slept[0] = 61.0
                pg.ask(f"UPDATE workers SET lease = now() - interval '1 s'; {meanwhile}", name(shop))
        return changed

    monkeypatch.setattr(postgres.PostgresJournal, "commit", stopped)
    monkeypatch.setattr(Clock, "wall", lambda clock: 1_700_000_000.0 + clock.now + slept[0])
    outcomes = statuses(go(gateway, rows(3), tmp_path, shop, concurrency=1))
    assert outcomes == {1: "saved", 3: "saved"} | ({2: "saved"} if posts else {})
    assert gateway.posts.count("cat 2") == posts
    assert set(gateway.charges.values()) == {1}
    assert batch_status(shop).uncertain == 0


def test_a_row_that_another_took_over_and_left_again_is_taken_again(tmp_path, pg, shop, monkeypatch):
    """Bug: it was never sent in that run, which ended."""
    monkeypatch.setattr(postgres.PostgresJournal, "beat", 0.01)
    gateway, claim, taken = Gateway(), postgres.PostgresJournal.submitting, []

    def late(self, row, *more):
        if row == 2 and not taken:
            taken.append(True)
            pg.ask("UPDATE rows SET owner = 'another' WHERE row = 2", name(shop))
            pg.ask("INSERT INTO workers VALUES ('another', now() + interval '1 s')", name(shop))
        return claim(self, row, *more)

    monkeypatch.setattr(postgres.PostgresJournal, "submitting", late)
    outcomes = {}
    for outcome in run_batch(rows(3), tmp_path, client=gateway.client(), journal=shop, deadline=1e9, concurrency=1):
        outcomes[outcome["row"]] = outcome["status"]
        if len(outcomes) == 2:
            pg.ask("DELETE FROM workers WHERE id = 'another'", name(shop))
    assert outcomes == dict.fromkeys((1, 2, 3), "saved")
    assert gateway.charges == {f"cat {n}": 1 for n in (1, 2, 3)}


def test_leases_run_by_the_clock_of_the_database(tmp_path, pg, shop):
    """The clock of this process is years off."""
    gateway = Gateway()
    gateway.clock.rule()
    journal = worker(tmp_path, shop)
    sql = "SELECT extract(epoch FROM lease - now()) FROM workers"
    assert 50 < pg.ask(sql, name(shop))[0][0] <= postgres.LEASE
    with worker(tmp_path, shop) as other:
        assert other.renew() == []
        assert len(pg.ask(sql, name(shop))) == 2
    journal.close()
    assert pg.ask(sql, name(shop)) == []


def test_a_database_that_answers_late_makes_no_wait_negative(tmp_path, shop, monkeypatch):
    """What is due every few seconds may be overdue when the answers are there."""
    gateway, take = Gateway(), postgres.PostgresJournal.take

    def slow(self, status, limit=None):
        gateway.clock.now += 10.0
        return take(self, status, limit)

    monkeypatch.setattr(postgres.PostgresJournal, "take", slow)
    assert statuses(go(gateway, rows(3), tmp_path, shop)) == dict.fromkeys((1, 2, 3), "saved")


# ---- the input ----


def test_two_jobs_with_one_name_are_refused(tmp_path, shop):
    gateway = Gateway()
    go(gateway, rows(3), tmp_path / "a", shop)
    with pytest.raises(JournalError, match=r"'shop\d+' was started with: its row 1 is not in it\. .*another name"):
        go(gateway, [{"prompt": "a dog"}] * 3, tmp_path / "b", shop)
    with pytest.raises(JournalError, match="its row 3 is not in it"):
        go(gateway, rows(2), tmp_path / "b", shop)
    assert len(gateway.posts) == 3
    assert statuses(go(gateway, [*rows(3), {"prompt": "cat 1", "model": "midjourney"}], tmp_path / "b", shop)) == {
        4: "saved"  # equal rows are separate rows
    }


def test_a_row_with_an_id_may_change_while_it_cost_nothing(tmp_path, shop):
    gateway = Gateway()
    gateway.expect("a cat", (400, {"error": {"message": "no"}}))
    given = [{"id": "x", "prompt": "a cat"}, {"id": "y", "prompt": "a dog"}]
    assert statuses(go(gateway, given, tmp_path, shop))[1] == "refused"
    mended = [given[1], {"id": "x", "prompt": "a white cat"}]
    assert statuses(go(gateway, mended, tmp_path, shop)) == {1: "saved"}
    with pytest.raises(JournalError, match="in row 2 prompt differs, and it is paid for"):
        go(gateway, [mended[1], {"id": "y", "prompt": "a bird"}], tmp_path, shop)


def test_a_row_that_somebody_works_on_does_not_change(tmp_path, shop):
    def row(prompt):
        return [Incoming(None, {"prompt": prompt}, 1, "x")]

    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(row("a cat"))
        two.take_in(row("a dog"))
        assert [entry.request["prompt"] for entry in one.take("unsent")] == ["a dog"]
        with pytest.raises(JournalError, match="another worker"):
            two.take_in(row("a bird"))
        assert two.entry(1).request == {"prompt": "a dog"}


def test_who_wakes_up_does_not_send_what_a_row_asked_for_before_it_changed(tmp_path, pg, shop):
    """Bug: the row was still its own, and the old request went out under the new one's name."""
    changed = [Incoming(None, {"prompt": "new", "model": "midjourney"}, 1, "a")]
    with worker(tmp_path, shop) as asleep, worker(tmp_path, shop) as other:
        asleep.take_in([Incoming(None, {"prompt": "old", "model": "midjourney"}, 1, "a")])
        (taken,) = asleep.take("unsent")
        pg.ask("UPDATE workers SET lease = now() - interval '1 second'", name(shop))
        other.take_in(changed)
        assert asleep.commit([asleep.submitting(taken.row, 5.0)]) == [0]
        assert [entry.request["prompt"] for entry in other.take("unsent")] == ["new"]


def test_a_part_of_a_batch_is_worked_on_alone(tmp_path, shop):
    with worker(tmp_path, shop) as one, worker(tmp_path, shop) as two:
        one.take_in(incoming(4)[:2], part=True)
        two.take_in(incoming(4)[1:], part=True)
        assert [entry.row for entry in one.entries()] == [1, 2]
        assert [entry.row for entry in two.entries()] == [2, 3, 4]
        assert [entry.row for entry in one.take("unsent")] == [1, 2]
        assert [entry.row for entry in two.take("unsent")] == [3, 4]
        assert two.counts() == {"unsent": 3}
        assert two.others()  # row 2
        assert one.count() == 4


def test_texts_that_no_database_takes_are_stored_all_the_same(tmp_path, shop):
    with worker(tmp_path, shop) as one:
        one.take_in([Incoming(None, {"prompt": "a\x00b \ud800 % ? '"}, 2**31)])
        one.commit([change(1, task_id="a\x00b", submitted_at=1e9, answer={"x": ["\x00", float("nan")]})])
        entry = one.entry(1)
        assert (entry.request["prompt"][:4], entry.images) == ("a\x00b ", 2**31)
        assert (entry.task_id, entry.answer, entry.submitted_at) == ("a\ufffdb", {"x": ["\x00", None]}, 1e9)


# ---- folders ----


def test_a_folder_holds_the_pictures_of_one_batch(tmp_path, pg, shop):
    gateway = Gateway()
    go(gateway, rows(1), tmp_path / "shared", shop)
    own = {"prompt": "a cat"}
    with pytest.raises(JournalError, match="holds the pictures of another batch"):
        go(gateway, rows(1), tmp_path / "shared", pg.address("other"))
    list(run_batch([own], tmp_path / "alone", client=gateway.client()))
    with pytest.raises(JournalError, match="has its journal there"):
        go(gateway, rows(1), tmp_path / "alone", shop)
    (tmp_path / "shared" / "journal.json").unlink()
    with pytest.raises(JournalError, match="not the journal it belongs to"):
        go(gateway, rows(1), tmp_path / "shared", shop)
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="it is a file"):
        go(gateway, rows(1), tmp_path / "file", shop)
    assert len(gateway.posts) == 2


# ---- the database ----


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://lemon@db/x", "such as postgresql://"),
        ("out/", "such as postgresql://"),
        ("postgresql://u:geheim@h/d?batch=A-B", "cannot be the name of a batch"),
        ("postgresql://u:ge#heim@h/d", "are written %3A"),
        ("postgresql://u:ge/heim@h/d", "are written %3A"),
        ("postgresql://u:geheim@h/d?nonsense=1", "are written %3A"),
        ("postgresql://[::1/d", "cannot be read"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_and_tells_no_password(tmp_path, address, message):
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=message) as caught:
        go(gateway, rows(1), tmp_path, address)
    assert "heim" not in str(caught.value)
    assert gateway.posts == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        "postgresql:///shop?host=/run/sock",  # it lost two slashes
        "postgresql://u@one:5432,two:5433/shop?target_session_attrs=read-write",  # "cannot be read"
        "postgresql://u@[::1]:5432,h/shop",
        "postgresql:///",
    ],
)
def test_an_address_of_any_kind_is_left_as_it_is(given):
    address = Address.of(given)
    assert address.url == given
    assert postgres.conninfo_to_dict(address.url) is not None
    assert Address.of(address.shown).url == given


def test_an_address_is_shown_without_its_password():
    address = Address.of("postgresql://lemon:geheim@db.example:5433/pictures?sslmode=require&password=geheim&batch=a1")
    assert address.shown == "postgresql://lemon@db.example:5433/pictures?sslmode=require&batch=a1"
    assert address.url == "postgresql://lemon:geheim@db.example:5433/pictures?sslmode=require&password=geheim"
    assert "geheim" not in repr(address)
    assert Address.of("postgresql://db/x").batch == "batch"


def test_a_database_that_is_down_or_not_for_us(tmp_path, pg, shop):
    gateway = Gateway()
    with pytest.raises(JournalError, match=r"host=/nowhere&batch=x cannot be used: .*/nowhere"):
        go(gateway, rows(1), tmp_path / "a", "postgresql://lemon:geheim@/postgres?host=/nowhere&batch=x")
    with pytest.raises(JournalError, match=r"There is no batch at .*batch=unknown\. There"):
        go(gateway, None, tmp_path / "a", pg.address("unknown"))
    with pytest.raises(JournalError, match="There is no batch at"):
        batch_status(pg.address("unknown"))
    with pytest.raises(JournalError, match="its database is read-only"):
        go(gateway, rows(1), tmp_path / "a", pg.address("b", options="-c default_transaction_read_only=on"))
    pg.ask("CREATE ROLE visitor LOGIN", "x")
    with pytest.raises(JournalError, match="needs the right to create a schema"):
        go(gateway, rows(1), tmp_path / "a", pg.address("c").replace("lemon@", "visitor@"))
    pg.ask("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0", "x")
    with pytest.raises(JournalError, match="holds texts as LATIN1"):
        go(gateway, rows(1), tmp_path / "a", pg.address("d").replace("/postgres", "/latin"))
    assert gateway.posts == []
    assert not (tmp_path / "a").exists()


def test_versions(tmp_path, pg, shop):
    gateway = Gateway()
    go(gateway, rows(2), tmp_path, shop)
    pg.ask("DROP TABLE spent; DROP FUNCTION claim; DROP FUNCTION count_spent CASCADE", name(shop))
    pg.ask("ALTER TABLE rows DROP COLUMN cost, DROP COLUMN price", name(shop))
    pg.ask("ALTER TABLE workers DROP COLUMN outage, DROP COLUMN noted", name(shop))
    pg.ask("UPDATE meta SET value = '1' WHERE name = 'version'", name(shop))
    assert (batch_status(shop).saved, batch_needs(shop)[0]) == (2, 2)  # reading changes nothing
    assert go(gateway, [*rows(2), {"prompt": "a dog"}], tmp_path, shop)[0]["status"] == "saved"
    assert pg.ask("SELECT value FROM meta WHERE name = 'version'", name(shop)) == [(str(VERSION),)]
    assert pg.ask("SELECT count(cost) FROM rows", name(shop)) == [(0,)]
    pg.ask("UPDATE meta SET value = '99' WHERE name = 'version'", name(shop))
    for call in (lambda: go(gateway, None, tmp_path, shop), lambda: batch_status(shop)):
        with pytest.raises(JournalError, match="is a journal of version 99"):
            call()


class Stopping(Gateway):
    """Calls a function when the first POST has come."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def __call__(self, request):
        answer = super().__call__(request)
        if request.method == "POST" and len(self.posts) == 3:
            self.function()
        return answer


@pytest.fixture
def own(monkeypatch):
    """Return a server that may be stopped."""
    monkeypatch.setattr(postgres, "PAUSE", 0.05)
    with databases.server() as made:
        yield made


@pytest.mark.parametrize("how", ["blocking", "asyncio"])
def test_a_database_that_goes_away_for_good(tmp_path, own, monkeypatch, how):
    """What was accepted and is not on disk is named, and nothing more is sent."""
    monkeypatch.setattr(postgres, "GRACE", 0.2)
    gateway = Stopping(lambda: own.stop("immediate"))

    async def main():
        given = arun_batch(rows(30), tmp_path, client=gateway.client(), journal=own.address("shop"), concurrency=3)
        return [outcome async for outcome in given]

    with pytest.raises(JournalError, match="batch=shop cannot be used") as caught:
        anyio.run(main) if how == "asyncio" else go(gateway, rows(30), tmp_path, own.address("shop"), concurrency=3)
    told = " ".join(caught.value.__notes__)
    assert "Note what follows, it is paid for and not on disk" in told
    before = len(gateway.posts)
    assert 3 <= before <= 5  # what was in flight
    own.start()
    written = {task for (task,) in own.ask("SELECT task_id FROM rows WHERE task_id IS NOT NULL", "shop")}
    assert all(task in written or f"was accepted as task {task}." in told for task in gateway.tasks)
    own.ask("UPDATE workers SET lease = now()", "shop")
    outcomes = statuses(go(gateway, None, tmp_path, own.address("shop")))
    assert set(outcomes.values()) == {"saved", "uncertain"}
    assert set(gateway.charges.values()) == {1}


def test_a_database_that_is_started_again_loses_nothing(tmp_path, own):
    def again():
        own.stop("immediate")
        threading.Thread(target=own.start).start()

    gateway = Stopping(again)
    outcomes = statuses(go(gateway, rows(30), tmp_path, own.address("shop"), concurrency=3))
    assert outcomes == dict.fromkeys(range(1, 31), "saved")
    assert set(gateway.charges.values()) == {1}


def test_rows_whose_taking_was_not_answered_are_taken_all_the_same(tmp_path, own):
    with worker(tmp_path, own.address("shop")) as one:
        one.take_in(incoming(6))
        one.take("unsent", 2)
        own.ask(f"UPDATE rows SET owner = '{one._worker}' WHERE row IN (3, 4)", "shop")  # it came, its answer did not
        own.stop("immediate")
        own.start()
        assert [entry.row for entry in one.take("unsent", 1)] == [3, 4, 5]
        assert [entry.row for entry in one.take("unsent")] == [6]


# ---- what a database does besides ----

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lemon'"
BEFORE_EACH = "; CREATE TRIGGER t BEFORE UPDATE ON rows FOR EACH ROW EXECUTE FUNCTION t()"
SLOW = "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END'"
FULL = (
    "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'could not extend file: "
    "No space left on device' USING ERRCODE = 'disk_full'; END$$"
)


@pytest.mark.parametrize("happens", ["cut", "cut within a change", "locked", "no connection is free"])
def test_what_passes_by_is_outlasted(tmp_path, own, happens):
    def meanwhile(ask):
        if happens == "cut":
            ask(CUT)
        elif happens == "cut within a change":
            ask(SLOW + BEFORE_EACH)
            begin(0.15, lambda: ask(CUT))
            begin(0.4, lambda: ask("DROP TRIGGER t ON rows"))
        elif happens == "locked":  # somebody else's ALTER TABLE
            began = threading.Event()
            begin(0.0, lambda: locked(began))
            began.wait()
        else:
            held.extend(databases.psycopg.connect(own.address()) for _ in range(36))  # of 40
            ask(CUT)
            with suppress(databases.psycopg.Error):
                while True:
                    held.append(databases.psycopg.connect(own.address()))
            begin(0.3, lambda: [held.pop().close() for _ in list(held)])

    def locked(began):
        with databases.psycopg.connect(own.address()) as other:
            other.execute("LOCK TABLE lemon_shop.rows IN ACCESS EXCLUSIVE MODE")
            began.set()
            threading.Event().wait(0.5)

    def begin(seconds, function):
        timers.append(threading.Timer(seconds, function))
        timers[-1].start()

    held, timers = [], []
    gateway = Stopping(lambda: meanwhile(lambda sql: own.ask(sql, "shop")))
    outcomes = statuses(go(gateway, rows(30), tmp_path, own.address("shop"), concurrency=3))
    for timer in timers:
        timer.join()
    assert outcomes == dict.fromkeys(range(1, 31), "saved")
    assert gateway.charges == {f"cat {number}": 1 for number in range(1, 31)}


@pytest.mark.parametrize(
    ("sql", "options", "message", "again"),
    [
        (FULL + BEFORE_EACH, "", "No space left on device", "DROP TRIGGER t ON rows"),
        (SLOW + BEFORE_EACH, "-c statement_timeout=100", "due to statement timeout", "DROP TRIGGER t ON rows"),
        (
            f"ALTER DATABASE postgres SET default_transaction_read_only = on; {CUT}", "", "its database is read-only",
            "ALTER DATABASE postgres RESET default_transaction_read_only",
        ),
        ("DROP SCHEMA {schema} CASCADE", "", "does not exist", None),
    ],
)  # fmt: skip
def test_what_ends_a_run_names_what_is_paid_for(tmp_path, pg, shop, sql, options, message, again):
    batch = name(shop)
    gateway = Stopping(lambda: pg.ask(sql.replace("{schema}", f"lemon_{batch}"), batch))
    address = pg.address(batch, options=options) if options else shop
    with pytest.raises(JournalError, match=message) as caught:
        go(gateway, rows(30), tmp_path, address, concurrency=3)
    told = " ".join(caught.value.__notes__)
    assert 3 <= len(gateway.posts) <= 5  # what was in flight
    if again is None:
        _first, *others = gateway.tasks  # the first is sent alone, and was written down
        assert all(f"was accepted as task {task}." in told for task in others)
        return
    pg.ask(f"{again}; UPDATE workers SET lease = now()", batch)
    written = {task for (task,) in pg.ask("SELECT task_id FROM rows WHERE task_id IS NOT NULL", batch)}
    assert all(task in written or f"was accepted as task {task}." in told for task in gateway.tasks)
    assert set(statuses(go(gateway, None, tmp_path, shop)).values()) == {"saved", "uncertain"}
    assert set(gateway.charges.values()) == {1}


#: What a worker asks a database for, and how a statement of it is known.
PHASES = {
    "take": "SKIP LOCKED", "claim": "claim(", "top up": "take_block", "renew": "INTO workers", "give up": "'uncertain'",
    "write": "UPDATE rows SET", "read": "SELECT * FROM rows", "count": "count(*)", "others": "SELECT 1 FROM rows",
}  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_the_database_ends_in_any_phase(tmp_path, pg, shop, monkeypatch, phase, when):
    """`pg_terminate_backend`, before a statement comes, or when it was answered and its transaction has not ended."""
    gateway, execute, cuts = Gateway(), postgres.PostgresJournal._execute, deque(range(3))

    def cut(self, sql, values=()):
        ours = PHASES[phase] in sql and gateway.posts and cuts
        if ours:
            cuts.popleft()
        if ours and when == "before":
            pg.ask(f"SELECT pg_terminate_backend({self._database.info.backend_pid}, 5000)")
        done = execute(self, sql, values)
        if ours and when == "after":
            pg.ask(f"SELECT pg_terminate_backend({self._database.info.backend_pid}, 5000)")
        return done

    monkeypatch.setattr(postgres, "PAUSE", 0.0)
    monkeypatch.setattr(postgres.PostgresJournal, "beat", 0.5)
    monkeypatch.setattr(postgres.PostgresJournal, "_execute", cut)
    client = gateway.client(requests_per_minute=6000)
    outcomes = run_batch(rows(12), tmp_path, client=client, journal=shop, deadline=1e9, concurrency=3, max_images=10)
    assert statuses(outcomes) == dict.fromkeys(range(1, 11), "saved")
    assert gateway.charges == {f"cat {number}": 1 for number in range(1, 11)}
    assert len(cuts) < 3


@pytest.mark.parametrize("isolation", ["serializable", r"repeatable\ read"])
def test_whatever_isolation_a_database_has_who_waited_for_a_lock_sees_what_was_changed(tmp_path, pg, shop, isolation):
    """Bug: a row that waited for its turn was let pass by what had been spent before: limits were exceeded."""
    address = pg.address(name(shop), options=f"-c default_transaction_isolation={isolation}")
    limit, began = SharedLimits(1), threading.Event()
    with worker(tmp_path, address) as one, worker(tmp_path, address) as two:
        one.take_in(incoming(2))
        one.take("unsent", 1)
        two.take("unsent", 1)

        def race():
            began.set()
            found.append(two.commit([two.submitting(2, 5.0, None, limit)]))

        found, other = [], threading.Thread(target=race)
        with one._transaction():
            one._execute(*one.submitting(1, 5.0, None, limit))
            other.start()
            began.wait()
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while pg.ask(waits) == [(0,)] and other.is_alive():
                pass
        other.join(60)
        assert found == [[0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-c statement_timeout=1", "due to statement timeout"),
        ("-c idle_in_transaction_session_timeout=1", "due to idle-in-transaction timeout"),
    ],
)
def test_a_timeout_of_the_database_is_told_with_what_to_do(tmp_path, pg, shop, options, message):
    gateway = Gateway()
    with pytest.raises(JournalError, match=rf"{message}\. It is left as it is\. .*made longer \(ALTER ROLE"):
        go(gateway, rows(5000), tmp_path, pg.address(name(shop), options=options))
    assert gateway.posts == []


def test_a_role_that_may_not_make_schemas_works_in_those_that_were_made_for_it(tmp_path, own):
    """Bug: IF NOT EXISTS wants the right to make a schema that exists, too."""
    gateway = Gateway()
    own.ask("CREATE ROLE guest LOGIN; CREATE SCHEMA lemon AUTHORIZATION guest", "x")
    own.ask("CREATE SCHEMA lemon_made AUTHORIZATION guest", "x")
    address = own.address("made").replace("lemon@", "guest@")
    assert statuses(go(gateway, rows(2), tmp_path, address)) == {1: "saved", 2: "saved"}
    with pytest.raises(JournalError, match="or its schema and the schema `lemon`, made by somebody else"):
        go(gateway, rows(2), tmp_path, own.address("x").replace("lemon@", "guest@"))


@pytest.mark.parametrize("change", ["ADD COLUMN seen TEXT", "ADD CHECK (status <> 'waiting') NOT VALID"])
def test_a_table_that_somebody_alters_while_a_worker_works(tmp_path, pg, shop, change):
    """A statement that was prepared could not be run again. What a row holds, and so its prompt, is not told."""
    gateway = Stopping(lambda: pg.ask(f"ALTER TABLE rows {change}", name(shop)))
    if change.startswith("ADD COLUMN"):
        assert statuses(go(gateway, rows(60), tmp_path, shop)) == dict.fromkeys(range(1, 61), "saved")
    else:
        with pytest.raises(JournalError, match="violates check constraint") as caught:
            go(gateway, rows(60), tmp_path, shop)
        assert "cat " not in str(caught.value)
    assert set(gateway.charges.values()) == {1}


def test_a_schema_that_another_brings_up_to_date_while_a_worker_works(tmp_path, pg, shop):
    def upgraded():
        pg.ask(
            "DROP FUNCTION count_spent CASCADE; DROP FUNCTION claim; DROP TABLE spent; UPDATE meta SET value = '1' "
            "WHERE name = 'version'; ALTER TABLE workers DROP COLUMN outage, DROP COLUMN noted",
            name(shop),
        )
        worker(tmp_path / "newer", shop).close()

    gateway = Stopping(upgraded)
    assert statuses(go(gateway, rows(40), tmp_path / "a", shop, concurrency=3)) == dict.fromkeys(range(1, 41), "saved")
    assert gateway.charges == {f"cat {number}": 1 for number in range(1, 41)}
    assert pg.ask("SELECT value FROM meta WHERE name = 'version'", name(shop)) == [(str(VERSION),)]
    assert pg.ask("SELECT sum(images) FROM spent", name(shop)) == [(40,)]


def test_the_driver_prints_nothing_of_its_own(monkeypatch, capsys):
    """A connection that was cut came with "error ignored terminating <psycopg.Pipeline [BAD]>" on the screen."""
    monkeypatch.setattr(logging.root, "handlers", [])
    logging.getLogger("psycopg").warning("error ignored")
    assert capsys.readouterr().err == ""
    logging.getLogger("another").warning("error ignored")
    assert capsys.readouterr().err == "error ignored\n"


def test_no_connection_is_free_at_the_start(tmp_path, own):
    gateway, held = Gateway(), []
    with suppress(databases.psycopg.Error):
        while True:
            held.append(databases.psycopg.connect(own.address()))
    with pytest.raises(JournalError, match="too many clients already"):
        go(gateway, rows(1), tmp_path, own.address("shop"))
    for one in held:
        one.close()
    assert gateway.posts == []


def test_a_second_user_of_the_database_is_told_which_rights_it_lacks(tmp_path, pg, shop):
    gateway = Gateway()
    go(gateway, rows(1), tmp_path / "a", shop)
    pg.ask("CREATE ROLE guest LOGIN; GRANT CREATE ON DATABASE postgres TO guest", "x")
    for batch in (name(shop), "guests"):
        with pytest.raises(JournalError, match=r"permission denied for .*and so does each of several users"):
            go(gateway, rows(1), tmp_path / "b", pg.address(batch).replace("lemon@", "guest@"))
    assert len(gateway.posts) == 1


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_that_hands_connections_to_others_is_refused(tmp_path, pg, shop, mode):
    """It hands them over with the batch that they work at."""
    gateway = Gateway()
    with databases.pooler(pg, mode) as address:
        if mode == "session":
            assert statuses(go(gateway, rows(3), tmp_path, address("bounced"))) == dict.fromkeys((1, 2, 3), "saved")
            return
        with pytest.raises(ConfigurationError, match="or of a pooler in session mode"):
            go(gateway, rows(3), tmp_path, address("bounced_too"))
    assert gateway.posts == []


def test_texts_with_half_characters_are_no_ids(tmp_path, shop):
    """They came out of the driver as a UnicodeEncodeError."""
    gateway = Gateway()
    with pytest.raises(CapabilityError, match=r"row 1: id holds '\\ud800'"):
        go(gateway, [{"id": "a\ud800", "prompt": "a cat"}], tmp_path, shop)
    assert gateway.posts == []


@pytest.mark.parametrize("off", [-3600.0, 3600.0, 86400.0 * 400])
def test_a_worker_whose_clock_is_off_goes_on_with_the_tasks_of_others(tmp_path, pg, shop, monkeypatch, off):
    gateway = Gateway()
    gateway.client()
    gateway.tasks["img_9"] = {"ready": gateway.clock() + 60.0, "asked": {}, "end": "completed"}
    dead = worker(tmp_path / "dead", shop)
    dead.take_in(incoming(2))
    dead.take("unsent", 1)
    dead.commit([dead.submitting(1, gateway.clock.wall())])
    dead.commit([dead.update(1, status="waiting", task_id="img_9")])
    dies(pg, dead)
    monkeypatch.setattr(Clock, "wall", lambda clock: 1_700_000_000.0 + off + clock.now)
    outcomes = run_batch(None, tmp_path / "new", client=gateway.client(), journal=shop, deadline=600.0)
    assert statuses(outcomes) == {1: "saved", 2: "saved"}
    assert gateway.charges == {"cat 2": 1}


# ---- on the command line ----


def test_the_command_line(tmp_path, shop, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.csv").write_text("id,prompt\na,a cat\nb,a dog\n")
    secret = shop.replace("lemon@", "lemon:geheim@")
    first = lemon("batch", "prompts.csv", "-o", "one", "--journal", secret, "--emulator", "-m", "flux-pro")
    assert first.exit_code == 0, first.stderr
    assert "geheim" not in first.stderr + first.stdout + Path("one/journal.json").read_text()
    assert Mark.in_folder(Path("one")).address == Address.of(shop).shown
    again = lemon("resume", "two", "--journal", secret, "--emulator")
    assert again.exit_code == 0, again.stderr
    assert {path.name for path in Path("two").iterdir()} >= {"index.html", "results.jsonl"}
    for place in (shop, "one"):
        assert json.loads(lemon("status", place, "--json").stdout)["saved"] == 2
    assert lemon("status", shop, "--failed").stdout.strip() == "lemon.row,lemon.status,lemon.error"
    assert list(rows_to_edit(shop)) == []
    assert lemon("gallery", "one").stdout.strip() == str(Path("one/index.html"))
    assert lemon("gallery", "two", "--journal", shop).exit_code == 0
    missing = lemon("status", secret.replace("batch=", "batch=no"))
    assert missing.exit_code == 2
    assert "There is no batch at" in missing.stderr
    assert "geheim" not in missing.stderr


def test_the_command_to_go_on_with_names_the_journal(tmp_path, shop, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with worker(tmp_path / "one", shop) as one:
        one.take_in(incoming(1))
    given = shop.replace("lemon@", "lemon:geheim@")
    following = json.loads(lemon("status", given, "--json").stdout)["next"]
    assert following == f"lemon resume --journal '{Address.of(shop).shown}' -- DIR"


def test_a_warning_is_not_needed_where_several_are_at_work(tmp_path, pg, shop, recwarn):
    """A row that another has taken over is simply not ours any more."""
    gateway = Gateway()
    with worker(tmp_path / "one", shop) as one:
        one.take_in(incoming(2))
        one.take("unsent", 1)
        sent = iter([True])
        taken = postgres.PostgresJournal.take

        def stolen(self, status, limit=None):
            found = taken(self, status, limit)
            if status == "unsent" and next(sent, False):
                pg.ask(f"UPDATE rows SET owner = '{one._worker}', status = 'saved', paths = '[]'", name(shop))
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres.PostgresJournal, "take", stolen)
            assert go(gateway, None, tmp_path / "two", shop) == []
    assert gateway.posts == []
    assert [one for one in recwarn if issubclass(one.category, LemonWarning)] == []


def test_tasks_that_the_api_does_not_know_are_counted_and_given_up_in_the_database_too(tmp_path, shop):
    gateway = Gateway()
    gateway.pictures["img_1-0.png"] = deque([404] * 999)
    go(gateway, rows(2), tmp_path, shop)
    gateway.tasks.clear()
    go(gateway, None, tmp_path, shop)
    assert batch_status(tmp_path).unknown == 1
    go(gateway, None, tmp_path, shop, drop_unknown=True)
    known = batch_status(tmp_path)
    assert (known.unknown, known.saved, known.failed) == (0, 1, 1)


def test_what_the_account_says_is_written_down_as_in_a_file(tmp_path, shop):
    """`lemon reconcile` finds the journal by the folder's mark."""
    with worker(tmp_path, shop) as one:
        one.take_in(incoming(3))
        one.take("unsent")
        one.commit([one.submitting(row, 5.0) for row in (1, 2, 3)])
        one.commit([one.cut_off(1), one.cut_off(2), one.update(3, status="waiting", task_id="img_3")])
        assert [(found.row, found.at) for found in one.billable()] == [(1, 5.0), (2, 5.0), (3, 5.0)]
        settled = [one.settle(1, 5.0), one.settle(2, 5.0, "It is billed.", cost="0.04", billing_id=None)]
        assert one.commit([*settled, costs(3, 5.0, "0.04", None), one.settle(2, 6.0)]) == [1, 1, 1, 0]
        assert [(entry.status, entry.cost) for entry in one.entries()] == [
            ("unsent", None), ("uncertain", "0.04"), ("waiting", "0.04"),
        ]  # fmt: skip
        assert one.billed() == 1
    gateway = Gateway()
    gateway.client()
    gateway.tasks["img_3"] = {"ready": 0, "asked": {}, "end": "completed"}
    assert statuses(go(gateway, None, tmp_path, shop)) == {1: "saved", 2: "uncertain", 3: "saved"}


# ---- lost answers ----


def test_lost_answers_are_told_and_released_in_the_database_too(tmp_path, shop):
    clock = Clock()
    clock.rule()
    api = Emulator(clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep)

    def work(requests):
        client = AsyncLemon(KEY, base_url=api.address, http_client=httpx.AsyncClient(transport=api.transport))
        return statuses(run_batch(requests, tmp_path, client=client, journal=shop, gallery=False, concurrency=1))

    api.inject("drop_before", on="submit")
    requests = [{"prompt": "a cat", "model": model} for model in ("dall-e-2", "dall-e-3", "midjourney")]
    assert work(requests) == {1: "uncertain", 2: "saved", 3: "saved"}
    clock.now += 7200
    manager = Lemon(TOKEN, base_url=api.address, http_client=httpx.Client(transport=api.transport))
    assert len(reconcile(tmp_path / "elsewhere", journal=shop, client=manager, api_key=KEY).findings) == 1
    found = reconcile(tmp_path, client=manager, api_key=KEY, apply=True)
    assert [(one.key, one.verdict.value) for one in found.findings] == [(1, "not billed")]
    assert (found.released, found.marked) == (1, 2)
    assert sorted(one["cost"] or "" for one in results(tmp_path)) == ["", "0.04", "0.05"]
    assert work(None) == {1: "saved"}
    assert api.charges == 3
