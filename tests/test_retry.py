"""How long to wait before another try, and until when."""

from __future__ import annotations

import math

import pytest

from lemon_ext._retry import Deadline, backoff, retry_after, wait_before
from tests.play import Clock, answer

WALL = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (answer(429, {}, Retry_After="8"), 8.0),
        (answer(429, {}, Retry_After="0"), 0.0),
        (answer(429, {}, Retry_After="1.5"), 1.5),
        (answer(429, {}, Retry_After="Sun, 06 Nov 1994 08:49:57 GMT"), 20.0),
        (answer(429, {}, Retry_After="Sun, 06 Nov 1994 08:49:17 GMT"), 0.0),
        (answer(429, {"error": {"retry_after": 30}}), 30.0),
        (answer(429, {"error": {"retry_after": 30}}, Retry_After="8"), 8.0),
        (answer(429, {"error": {"retry_after": 30}}, Retry_After="soon"), 30.0),
        (answer(429, {"error": {"retry_after": True}}), None),
        (answer(429, {}, Retry_After="-1"), None),
        (answer(429, {}, Retry_After="inf"), None),
        (answer(429, b"<html>"), None),
        (answer(429, b"[" * 100_000), None),
        (answer(429, b'{"error": {"retry_after": 1' + b"0" * 400 + b"}}"), None),
        (answer(429, {}, Retry_After="1e400"), None),
        (answer(200, {"status": "pending"}, Retry_After="5"), 5.0),
        (answer(200, {"error": {"retry_after": 5}}), None),
    ],
)
def test_what_the_server_asks_to_wait(response, seconds):
    assert retry_after(response, WALL) == seconds


def test_our_own_delay_doubles_up_to_eight_seconds_with_jitter():
    assert [backoff(attempt, jitter=lambda: 1.0) for attempt in (1, 2, 3, 4, 5, 6, 5000)] == [0.5, 1, 2, 4, 8, 8, 8]
    assert backoff(3, jitter=lambda: 0.0) == 1.0


def test_the_server_s_word_counts_but_not_to_be_asked_again_and_again_at_once():
    assert wait_before(1, 0.0) == 0.0
    assert wait_before(1, 30.0) == wait_before(9, 30.0) == 30.0
    assert 0.5 <= wait_before(2, 0.0) <= 1.0
    assert 4.0 <= wait_before(9, 0.0) <= 8.0
    assert 0.25 <= wait_before(1, None) <= 0.5


def test_a_wait_of_57_years_is_a_quarter_of_an_hour():
    assert wait_before(1, 1_800_000_000.0) == wait_before(3, 1_800_000_000.0) == 900.0


def test_a_deadline_counts_down_to_zero():
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert deadline.left() == 5
    clock.now += 7
    assert deadline.left() == 0
    assert Deadline.after(math.inf, clock).left() == math.inf


@pytest.mark.parametrize("seconds", [-1, math.nan, "5", None, True])
def test_a_deadline_is_a_number_of_seconds(seconds):
    with pytest.raises(ValueError, match="deadline"):
        Deadline.after(seconds, Clock())
