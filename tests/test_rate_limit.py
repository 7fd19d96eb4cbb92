"""The rate limit: never more than N requests in any minute, whoever makes them."""

from __future__ import annotations

import math
import random
import threading

import pytest

from lemon_ext.rate_limit import LONGEST_HOLD, RateLimit


def most_in_a_minute(times):
    return max(sum(1 for other in times if t <= other < t + 60.0) for t in times)


@pytest.mark.parametrize("per_minute", [1, 1.5, 7, 60])
def test_no_sixty_seconds_see_more_requests_than_the_limit(per_minute):
    limit, rng, now, sent = RateLimit(per_minute), random.Random(3), 0.0, []
    for _ in range(400):
        now += rng.choice([0.0, 0.0, 0.1, 3.0, 30.0])
        sent.append(now + limit.acquire(now))
    assert sent == sorted(sent)
    assert most_in_a_minute(sent) <= per_minute


def test_a_limit_below_one_a_minute_spaces_requests_by_more_than_a_minute():
    limit = RateLimit(0.5)
    assert limit.acquire(0.0) == 0.0
    assert limit.acquire(0.0) >= 120.0


def test_a_free_limit_can_be_used_at_once():
    limit = RateLimit(5)
    assert [limit.acquire(0.0) for _ in range(5)] == [0.0] * 5
    assert limit.acquire(0.0) == 60.5


def test_a_request_that_would_wait_too_long_is_not_granted():
    limit = RateLimit(1)
    assert limit.acquire(0.0) == 0.0
    assert limit.acquire(10.0, within=50.0) is None
    assert limit.acquire(10.0, within=50.5) == 50.5


def test_the_limit_says_when_it_opens_and_how_much_room_there_is():
    limit = RateLimit(2)
    assert (limit.opens(5.0), limit.free(5.0)) == (5.0, 2)
    limit.acquire(5.0)
    assert (limit.opens(6.0), limit.free(6.0)) == (6.0, 1)
    limit.acquire(6.0)
    assert (limit.opens(7.0), limit.free(7.0)) == (65.5, 0)
    assert (limit.opens(66.0), limit.free(66.0)) == (66.0, 1)


def test_nothing_is_sent_while_the_server_asks_to_wait():
    limit = RateLimit(100)
    limit.acquire(0.0)
    limit.hold(0.0, 30.0)
    assert (limit.opens(1.0), limit.free(1.0)) == (30.0, 0)
    assert limit.acquire(1.0) == 29.0
    assert limit.acquire(1.0, within=10.0) is None
    limit.hold(1.0, 19.0)  # a shorter wait does not end the longer one
    assert limit.opens(1.0) == 30.0
    assert (limit.opens(31.0), limit.free(31.0)) == (31.0, 98)


def test_without_a_limit_there_is_always_room_but_the_server_is_still_heard():
    limit = RateLimit(None)
    assert [limit.acquire(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert (limit.opens(0.0), limit.free(0.0)) == (0.0, math.inf)
    limit.hold(0.0, 9.0)
    assert (limit.opens(1.0), limit.free(1.0), limit.acquire(1.0)) == (9.0, 0, 8.0)


def test_many_threads_share_a_limit():
    limit, waits = RateLimit(100), []
    threads = [threading.Thread(target=lambda: waits.extend(limit.acquire(0.0) for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0.0] * 100 + [60.5] * 100


def test_a_server_that_asks_to_wait_for_57_years_is_heard_for_a_quarter_of_an_hour():
    limit = RateLimit(100)
    limit.hold(1000.0, 1_800_000_000.0)
    assert limit.opens(1000.0) == 1000.0 + LONGEST_HOLD == 1900.0
    assert limit.acquire(1000.0, within=1000.0) == 900.0


def test_a_lock_that_a_thread_of_the_parent_held_does_not_stop_a_forked_process():
    limit = RateLimit(100)
    limit._lock.acquire()
    limit.after_fork()
    assert limit.acquire(0.0) == 0.0
