"""One rate limit for many workers: never more than it allows in any minute, over all of them."""

from __future__ import annotations

import math
import random

import pytest

from lemon_ext import _clock, errors, run_batch
from lemon_ext._api import Session, acquire
from lemon_ext._retry import Deadline
from lemon_ext.batch import batch_status
from lemon_ext.batch.allowance import TAKE_BLOCK, VALID, Allowance, Block
from lemon_ext.batch.engine import Engine
from lemon_ext.batch.queue import Queue
from lemon_ext.batch.sqlite import SqliteJournal
from lemon_ext.poll_schedule import Schedule
from lemon_ext.rate_limit import RateLimit
from tests.gateway import Gateway, rows, statuses
from tests.play import Clock, play


class Ledger:
    """What the database does, in Python."""

    def __init__(self):
        self.blocks, self.held, self.number = {}, -math.inf, 0

    def take_block(self, now, account, worker, limit, span, wanted, valid, hold, last, used, since):
        assert account == "hash"
        self.held = max(self.held, now + hold)
        if last in self.blocks:
            self.blocks[last] = (worker, used, now - since + span)
        self.blocks = {n: one for n, one in self.blocks.items() if one[2] > now and one[1]}
        taken = sum(requests for _, requests, _ in self.blocks.values())
        others = {name for name, _, _ in self.blocks.values()} - {worker}
        opens = min((until for _, _, until in self.blocks.values()), default=now) - now
        given = 0 if self.held > now else max(min(wanted, limit - taken), 0)
        self.number += 1
        if given:
            self.blocks[self.number] = (worker, given, now + valid + span)
        held = max(self.held - now, 0.0)
        return Block(self.number, given, held, opens, max(limit - taken - given, 0), len(others) + 1)


class SimulatedWorker:
    """Sends as fast as it may, with pauses. Its clock is its own."""

    def __init__(self, name, per_minute, rng, ask):
        self.limit, self.rng, self.ask = Allowance(RateLimit(per_minute), "hash", name), rng, ask
        self.offset, self.idle_until, self.asked = rng.uniform(-1e6, 1e6), 0.0, 0
        self.pauses = 1.0 / per_minute

    def step(self, now, latency):
        """Send what may be sent. Yields the times at which requests leave."""
        own = now + self.offset
        while now >= self.idle_until:
            if self.limit.wants(own, True):
                self.asked += 1
                question = self.limit.question(own - latency)  # it has been on its way
                self.limit.take(self.ask(now, *question), own - latency, own)
                return
            if self.limit.acquire(own, 0.0) != 0.0:
                return
            yield now
            if self.rng.random() < self.pauses:
                self.idle_until = now + self.rng.choice([0.5, 3.0, 40.0, 90.0])


def most_in(times, window):
    times, first, most = sorted(times), 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def simulate(per_minute, workers, ask, *, minutes=6, seed=1, step=0.05, dies=()):
    """Return when requests left, and the workers."""
    rng = random.Random(seed)
    crew = [SimulatedWorker(f"w{number}", per_minute, rng, ask) for number in range(workers)]
    sent, now = [], 0.0
    while now < minutes * 60:
        now += step * rng.uniform(0.5, 1.5)
        for number, worker in enumerate(crew):
            if number in dies and now > 70 + number:
                continue
            sent.extend(worker.step(now, rng.choice([0.0, 0.01, 0.3])))
    return sent, crew


@pytest.mark.parametrize(("per_minute", "workers"), [(1, 2), (7, 3), (60, 1), (60, 4), (600, 5), (1000, 2)])
def test_no_minute_sees_more_requests_than_the_limit_whoever_makes_them(per_minute, workers):
    sent, _ = simulate(per_minute, workers, Ledger().take_block, dies={1})
    assert most_in(sent, 60.5) <= per_minute
    assert len(sent) > per_minute * 6 * 0.4  # and it is used


def test_a_busy_crew_uses_the_limit_with_few_round_trips():
    rng = random.Random(2)
    ledger = Ledger()
    crew = [SimulatedWorker(f"w{number}", 1000, rng, ledger.take_block) for number in range(4)]
    for worker in crew:
        worker.pauses = 0.0
    sent, now = [], 0.0
    while now < 600:
        now += 0.05
        for worker in crew:
            sent.extend(worker.step(now, 0.001))
    assert most_in(sent, 60.5) == 1000
    assert len(sent) >= 0.95 * 1000 * 600 / 60.5
    assert sum(worker.asked for worker in crew) < len(sent) / 3


def test_a_share_is_what_others_leave():
    ledger, now = Ledger(), 100.0
    one, two = (Allowance(RateLimit(60), "hash", name) for name in ("one", "two"))
    assert one.wants(now, True)
    assert not one.wants(now, False)  # nobody needs it
    one.take(ledger.take_block(now, *one.question(now)), now, now)
    assert (one.per_minute, one.free(now)) == (60, 60)
    assert [one.acquire(now) for _ in range(2)] == [0.0, 0.0]
    assert one.acquire(now) == pytest.approx(0.5)
    two.take(ledger.take_block(now, *two.question(now)), now, now)
    assert (two.per_minute, two.share) == (30, 0.5)
    assert two.opens(now) == now
    assert two.opens(now + VALID) == now + VALID
    assert two.acquire(now + VALID) > 0  # too old
    assert two.wants(now + VALID, True)


def test_who_has_nothing_due_hears_of_room_that_others_left():
    """A worker waited for minutes while nobody used the limit: it had last heard that nothing was left."""
    ledger, now = Ledger(), 100.0
    one, two = (Allowance(RateLimit(60), "hash", name) for name in ("one", "two"))
    for worker in (two, one) * 40:
        if worker.wants(now, True):
            block = ledger.take_block(now, *worker.question(now))
            worker.take(block, now, now)
            assert [worker.acquire(now) for _ in range(block.requests)] == [0.0] * block.requests
    assert (one.free(now), two.free(now)) == (0, 0)
    assert not one.wants(now + 2.9, False, True)
    assert one.wants(now + 3.0, False, True)
    assert not one.wants(now + 60.5, False)  # nothing waits for room
    one.take(ledger.take_block(now + 60.5, *one.question(now + 60.5)), now + 60.5, now + 60.5)
    assert one.free(now + 60.5) == 60


def test_a_block_that_comes_too_late_is_not_used_and_the_next_one_lasts():
    ledger, now = Ledger(), 100.0
    one = Allowance(RateLimit(600), "hash", "one")
    one.take(ledger.take_block(now + 4.0, *one.question(now)), now, now + 5.0)
    assert one.acquire(now + 5.0, 0.0) is None
    assert one.wants(now + 5.0, False)  # it was missed
    one.take(ledger.take_block(now + 9.0, *one.question(now + 5.0)), now + 5.0, now + 10.0)
    assert [one.acquire(now + 16.9, 0.0), one.acquire(now + 17.1, 0.0)] == [0.0, None]


def test_a_429_anywhere_slows_everybody():
    ledger, now = Ledger(), 100.0
    one, two = (Allowance(RateLimit(60), "hash", name) for name in ("one", "two"))
    one.take(ledger.take_block(now, *one.question(now)), now, now)
    one.hold(now, 20.0)
    assert one.wants(now, False)  # it is to be told at once
    one.take(ledger.take_block(now, *one.question(now)), now, now)
    assert not one.wants(now, True)
    assert (one.opens(now), one.free(now), one.acquire(now, 5.0)) == (now + 20.0, 0, None)
    two.take(ledger.take_block(now, *two.question(now)), now, now)
    assert two.opens(now) == now + 20.0
    assert not two.wants(now + 19.0, True)
    assert two.wants(now + 20.0, True)


def test_a_hold_that_comes_while_the_database_is_asked_is_told_later():
    ledger, now = Ledger(), 100.0
    one = Allowance(RateLimit(60), "hash", "one")
    question = one.question(now)
    one.hold(now, 20.0)
    one.take(ledger.take_block(now, *question), now, now)
    assert one.wants(now, False)


def test_a_flow_waits_until_there_is_a_block(monkeypatch):
    clock = Clock()
    clock.rule()
    limit, ledger = Allowance(RateLimit(60), "hash", "one"), Ledger()
    session = Session("https://api.example.test", limit, Schedule(60))

    def sleep(seconds):
        clock.now += seconds
        if limit.wants(clock.now, False):  # it was missed
            limit.take(ledger.take_block(clock.now, *limit.question(clock.now)), clock.now, clock.now)

    flow = acquire(session, Deadline.after(30.0, clock))
    assert next(flow).seconds > 0
    sleep(1.0)
    with pytest.raises(StopIteration):
        flow.send(None)
    limit.hold(clock.now, 60.0)
    with pytest.raises(errors.APITimeoutError, match="No time was left"):
        play(acquire(session, Deadline.after(30.0, clock)), clock)


# ---- a whole batch ----


@pytest.fixture
def shared(monkeypatch):
    """Let a batch have its rate limit from a ledger. Returns what is granted, and how long the ledger takes."""
    ledger, granted, delay = Ledger(), [], [0.0]

    class Noted(Allowance):
        def acquire(self, now, within=math.inf):
            wait = super().acquire(now, within)
            granted.extend([now] if wait == 0.0 else [])
            return wait

    def top_up(journal, limit):
        asked = _clock.monotonic()
        _clock.sleep(delay[0])
        limit.take(ledger.take_block(_clock.monotonic(), *limit.question(asked)), asked, _clock.monotonic())
        return limit.per_minute

    monkeypatch.setattr(SqliteJournal, "share", lambda journal, limit, account: Noted(limit, "hash", "one"))
    monkeypatch.setattr(SqliteJournal, "top_up", top_up)
    monkeypatch.setattr(SqliteJournal, "beat", 5.0)
    return granted, delay


@pytest.mark.parametrize("late", [0.0, 1.9, 7.0])
def test_nothing_leaves_that_was_not_granted(tmp_path, shared, late):
    """An answer of the database that came after two seconds sent one request that nobody had granted."""
    granted, delay = shared
    gateway, delay[0] = Gateway(), late
    client = gateway.client(requests_per_minute=60)
    list(run_batch(rows(40), tmp_path, client=client, deadline=1e6, gallery=False))
    assert len(granted) >= len(gateway.times) >= 80
    assert max(most_in(granted, 60.0), most_in(gateway.times, 60.0)) <= 60


def test_a_worker_does_not_wait_where_there_is_room(tmp_path, shared, monkeypatch):
    """After a burst it had spaced its next submission by minutes, and did not hear that the limit had room again."""
    monkeypatch.setattr(Queue, "submitted", lambda queue, now: setattr(queue, "_next_submission", now + 1e5))
    gateway = Gateway(seconds=1.0)
    client = gateway.client(requests_per_minute=120)
    began = gateway.clock()
    list(run_batch(rows(90), tmp_path, client=client, deadline=1e6, gallery=False))
    assert gateway.clock() - began < 1000


def before_claims(monkeypatch, work):
    """Have something happen before each row is written down as leaving."""
    commit = SqliteJournal.commit

    def late(journal, statements):
        statements = list(statements)
        if any("SET status = 'submitting'" in sql for sql, _ in statements):
            work()
        return commit(journal, statements)

    monkeypatch.setattr(SqliteJournal, "commit", late)


def test_a_row_that_was_never_sent_is_not_in_doubt_where_the_batch_is_left_before_its_grant(tmp_path, monkeypatch):
    made, claims = [], iter(range(1, 100))

    def slow():
        _clock.sleep(5.0)
        if next(claims) == 2:
            made[0].stop("that is enough")

    before_claims(monkeypatch, slow)
    monkeypatch.setattr(Engine, "run", lambda engine, run=Engine.run: made.append(engine) or run(engine))
    gateway = Gateway()
    client = gateway.client(requests_per_minute=1)
    told = run_batch(rows(6, model="dall-e-3"), tmp_path, client=client, deadline=1e6, gallery=False, concurrency=1)
    assert statuses(told) == {1: "saved"}
    status = batch_status(tmp_path)
    assert (status.unsent, status.submitting, status.uncertain) == (5, 0, 0)
    assert gateway.posts == ["cat 1"]


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("seconds", [0.3, 5.0, 50.0])
def test_a_submission_counts_from_when_it_leaves(tmp_path, is_shared, seconds, request, monkeypatch):
    """A row is written down between its grant and its POST: a slow journal let two minutes' worth leave in one."""
    if is_shared:
        request.getfixturevalue("shared")
    delays = iter([seconds] * 6)
    before_claims(monkeypatch, lambda: _clock.sleep(next(delays, 0.0)))
    gateway = Gateway()
    client = gateway.client(requests_per_minute=60)
    told = run_batch(rows(120), tmp_path, client=client, deadline=1e6, gallery=False)
    assert set(statuses(told).values()) == {"saved"}
    assert gateway.charges.total() == 120
    assert most_in(gateway.times, 60.0) <= 60


# ---- the same in the database ----


@pytest.mark.scale
def test_the_database_grants_as_the_simulation_does(tmp_path):
    postgres = pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)
    from lemon_ext.batch.address import Address
    from tests import databases

    with databases.server() as pg, postgres.PostgresJournal.open(tmp_path, Address.of(pg.address("x"))) as journal:
        ledger, numbers = Ledger(), {None: None}
        with pg.clock() as set_clock:

            def ask(now, *question):
                set_clock(now)
                *most, last, used, since = question
                expected = ledger.take_block(now, *most, last, used, since)
                found = Block(**journal._one(TAKE_BLOCK, (*most, numbers.get(last), used, since)))
                numbers[expected.block] = found.block
                assert found.requests == expected.requests
                assert found[2:4] == pytest.approx(expected[2:4], abs=1e-4)
                assert found[4:] == expected[4:]
                return expected

            sent, crew = simulate(60, 3, ask, minutes=4, dies={1})
        assert most_in(sent, 60.5) <= 60
        assert sum(worker.asked for worker in crew) > 50


@pytest.mark.scale
def test_two_batches_keep_one_limit_and_no_key_is_in_the_database(tmp_path):
    pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)
    from tests import databases
    from tests.conftest import KEY

    with databases.server() as pg:
        gateway = Gateway()
        for batch in ("a", "b"):
            client = gateway.client(requests_per_minute=1000)
            list(run_batch(rows(3, model="dall-e-3"), tmp_path / batch, client=client, journal=pg.address(batch)))
        found = pg.ask("SELECT account, count(DISTINCT worker), sum(requests) FROM lemon.blocks GROUP BY 1")
        assert len(found) == 1
        assert found[0][1] == 2  # workers
        assert 6 <= found[0][2] <= 100  # requests that left or may leave
        assert KEY not in str(found)
        busy = (429, {"error": {"message": "slow"}}, ("Retry-After", "30"))
        gateway.expect("cat 1", busy)
        before = pg.ask("SELECT until FROM lemon.holds")
        client = gateway.client(requests_per_minute=1000)
        list(run_batch(rows(1, model="dall-e-3"), tmp_path / "c", client=client, journal=pg.address("c")))
        told = pg.ask("SELECT until FROM lemon.holds")[0][0] - before[0][0]
        assert told.total_seconds() > 10  # this clock runs ahead of that of the database
