"""The queue of a batch: what comes next, a submission or a poll, and when."""

from __future__ import annotations

import math

import pytest

from lemon_ext.batch.queue import Queue
from lemon_ext.poll_schedule import Durations, Schedule
from lemon_ext.rate_limit import RateLimit
from tests.test_rate_limit import most_in_a_minute
from tests.test_schedule import taught


def a_queue(per_minute=1000, *ages, dearest=8.0, backlog=10**6):
    schedule, rate_limit = Schedule(per_minute, dearest=dearest), RateLimit(per_minute)
    if ages:
        schedule.durations["m"] = taught(Durations(), *ages)
    schedule.backlog = backlog
    return Queue(schedule, rate_limit), schedule, rate_limit


def test_polls_are_taken_by_the_time_they_are_due_and_ties_in_order():
    queue, _, _ = a_queue()
    assert (len(queue), queue.next_poll()) == (0, math.inf)
    for task, due in (("late", 9.0), ("early", 1.0), ("tie 1", 5.0), ("tie 2", 5.0)):
        queue.poll_at(task, due)
    assert (len(queue), queue.next_poll()) == (4, 1.0)
    assert [queue.take() for _ in range(4)] == ["early", "tie 1", "tie 2", "late"]
    assert queue.next_poll() == math.inf


def test_tasks_that_cannot_be_compared_can_be_due_at_the_same_time():
    queue, _, _ = a_queue()
    tasks = [object(), object()]
    for task in tasks:
        queue.poll_at(task, 1.0)
    assert [queue.take(), queue.take()] == tasks


def test_a_small_batch_is_sent_at_once():
    queue, schedule, rate_limit = a_queue(1000, 30.0, 60.0, 90.0)
    for under_way in range(50):
        schedule.backlog = 50 - under_way
        assert queue.next_submission(0.0, under_way) <= 0.0
        rate_limit.acquire(0.0)
        schedule.submitted("m", 0.0)
        queue.submitted(0.0)


def test_a_large_batch_is_paced_once_its_polls_would_not_fit():
    queue, schedule, rate_limit = a_queue(1000, 30.0, 60.0, 90.0)
    under_way = 0
    while queue.next_submission(0.0, under_way) <= 0.0:
        rate_limit.acquire(0.0)
        queue.submitted(0.0)
        under_way += 1
    each = schedule.requests_per_task(0.0)
    assert 2.5 < each < 4.0
    assert under_way * (1 + each) == pytest.approx(1000, rel=0.1)  # a request is spent, `each` is kept for it
    gaps, now = [], 0.0
    for _ in range(10):
        due = queue.next_submission(now, under_way)
        gaps.append(due - now)
        now = due
        rate_limit.acquire(now)
        queue.submitted(now)
        under_way += 1
    assert gaps[1:] == pytest.approx([60 / 1000 * each] * 9)


def test_what_the_limit_delayed_is_made_up_for_by_a_second_at_most():
    queue, schedule, _ = a_queue(1000, 10.0)
    pace = 0.06 * schedule.requests_per_task(0.0)
    queue.submitted(0.0)
    now, sent = 1000.0, 0
    while queue.next_submission(now, 10**6) <= now:
        queue.submitted(now)
        sent += 1
    assert sent == math.ceil(1.0 / pace) + (1.0 % pace == 0)


def test_without_a_limit_everything_is_sent_at_once():
    queue, _, _ = a_queue(None)
    for _ in range(5):
        assert queue.next_submission(3.0, 10**6) == 3.0
        queue.submitted(3.0)


class Batch:
    """A batch as the engine plays it, on a clock of its own."""

    def __init__(self, rows, waiting=0, per_minute=1000, takes=10.0):
        self.queue, self.schedule, self.rate_limit = a_queue(per_minute, takes)
        self.rows, self.takes, self.now = rows, takes, 0.0
        self.submitted, self.ended, self.requests, self.late = [], [], [], []
        self.under_way = waiting
        for _ in range(waiting):
            self.queue.poll_at((-1000.0, 1000.0), 0.0)

    def run(self, until=math.inf):
        while self.now < until and (self.rows or self.under_way):
            self.schedule.backlog = self.rows
            poll_at = self.queue.next_poll()
            submit_at = self.queue.next_submission(self.now, self.under_way) if self.rows else math.inf
            due = max(min(poll_at, submit_at), self.rate_limit.opens(self.now))
            if due > self.now:
                self.now = due
                continue
            assert self.rate_limit.acquire(self.now) == 0.0
            self.requests.append(self.now)
            if poll_at <= submit_at:
                self._poll(poll_at)
            else:
                self.schedule.submitted("m", self.now)
                self.queue.submitted(self.now)
                self._enqueue(self.now, 0.0)
                self.submitted.append(self.now)
                self.rows, self.under_way = self.rows - 1, self.under_way + 1
        return self

    def _enqueue(self, born, last):
        self.queue.poll_at((born, last), born + self.schedule.next_poll("m", last, self.now))

    def _poll(self, due):
        born, last = self.queue.take()
        age = self.now - born
        self.late.append((self.now, self.now - due))
        if age >= self.takes:
            self.schedule.done("m", last, age)
            self.under_way -= 1
            self.ended.append(self.now)
        else:
            self.schedule.pending("m", last, age)
            self._enqueue(born, age)


def test_neither_polls_nor_submissions_are_starved():
    batch = Batch(rows=1500).run(until=180.0)
    late = sorted(late for _, late in batch.late)
    assert late[int(0.95 * len(late))] < 2.0
    assert len([t for t in batch.submitted if t >= 60.0]) > 2 * 300
    assert len([t for t in batch.ended if t >= 60.0]) > 2 * 300


def test_a_batch_never_exceeds_the_limit():
    batch = Batch(rows=120, per_minute=100).run()
    assert len(batch.ended) == 120
    assert most_in_a_minute(batch.requests) <= 100
    assert batch.now < 120 * 2.5 * 0.6 + 60.0


def test_a_resumed_batch_polls_at_what_waits_first_and_then_goes_on():
    batch = Batch(rows=200, waiting=1500).run()
    assert len(batch.ended) == 1700
    # 1,500 paid tasks come first, which takes two windows of the limit.
    assert len([t for t in batch.submitted if t < 60.0]) < 10
    assert batch.now < 240.0


def test_a_batch_recovers_from_a_hold():
    batch = Batch(rows=1500).run(until=90.0)
    batch.rate_limit.hold(batch.now, 120.0 - batch.now)
    batch.run(until=240.0)
    assert not [t for t in batch.requests if 90.5 < t < 120.0]
    late = sorted(late for at, late in batch.late if at > 180.0)
    assert late[int(0.95 * len(late))] < 2.0
    assert len([t for t in batch.submitted if 180.0 <= t < 240.0]) > 250
