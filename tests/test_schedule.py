"""When to poll next: what is learned, and what a poll costs."""

from __future__ import annotations

import json
import math
import random
import threading
from itertools import pairwise

import pytest

from lemon_ext.poll_schedule import Durations, Schedule


def taught(durations, *ages, times=40):
    """Teach tasks that end at these ages, each polled every second."""
    for _ in range(times):
        for age in ages:
            durations.pending(0.0, age - 1.0)
            durations.done(age - 1.0, age)
    return durations


def saturated(dearest=4.0, model="m"):
    """A schedule with more to send than the limit can ever take: its price is the dearest."""
    schedule = Schedule(1000, dearest=dearest)
    schedule.backlog = 10**6
    return schedule


def polls_until(schedule, ends, now=0.0, model="m"):
    """Play one task and return the ages at which it was polled."""
    ages, last = [], 0.0
    while True:
        last, before = schedule.next_poll(model, last, now), last
        ages.append(last)
        if last >= ends:
            schedule.done(model, before, last)
            return ages
        schedule.pending(model, before, last)


# What is learned.


@pytest.mark.parametrize("price", [0.04, 1.0, 8.0])
def test_a_learned_model_is_polled_soon_after_it_usually_ends(price):
    known = taught(Durations(), 10.0)
    assert 8.0 < known.next_poll(0.0, price) < 10.0 + 2 * price + 1.0


def test_a_dearer_poll_comes_later_and_fewer_are_expected():
    known = taught(Durations(), 20.0, 40.0, 80.0)
    ages = [known.next_poll(0.0, price) for price in (0.04, 0.4, 4.0, 8.0)]
    polls = [known.expected_polls(price) for price in (0.04, 0.4, 4.0, 8.0)]
    assert ages == sorted(ages)
    assert polls == sorted(polls, reverse=True)
    assert polls[0] > 8
    assert polls[-1] < 3


def test_the_seconds_wasted_by_the_next_poll_are_the_price():
    known, rng = Durations(), random.Random(1)
    for _ in range(400):
        taught(known, rng.uniform(5.0, 25.0), times=1)
    poll = known.next_poll(0.0, 2.0)
    # Of tasks that end evenly between 5 and 25 s, (poll - 5)^2 / 40 seconds are wasted: 2 at 13.9 s.
    assert poll == pytest.approx(13.9, abs=1.0)


def test_a_gap_between_two_kinds_of_tasks_is_not_polled():
    known = taught(Durations(), 8.0, 60.0)
    after_the_first_kind = known.next_poll(12.0, 1.0)
    assert 45.0 < after_the_first_kind < 65.0


def test_polls_are_never_more_than_a_minute_apart():
    known = Durations()
    for _ in range(50):
        known.pending(0.0, 3000.0)
    assert known.next_poll(100.0, 8.0) == 160.0


def test_tasks_that_never_end_make_polls_of_old_tasks_rare_and_leave_the_others_alone():
    known = taught(Durations(), 10.0)
    before = known.next_poll(0.0, 0.4)
    for _ in range(20):
        known.pending(0.0, 600.0)
    assert known.next_poll(0.0, 0.4) == pytest.approx(before, abs=1.0)
    assert known.next_poll(300.0, 0.4) > 330.0


def test_old_completions_fade():
    known = taught(Durations(), 60.0, times=300)
    assert known.next_poll(0.0, 1.0) > 50.0
    taught(known, 10.0, times=600)
    assert known.next_poll(0.0, 1.0) < 12.0
    assert known.completions == 900


def test_learning_for_a_long_time_stays_finite():
    known = taught(Durations(), 10.0, times=12_000)
    assert all(math.isfinite(x) and x < 1e6 for x in json.loads(json.dumps(known.to_json()))["risk"])
    assert 8.0 < known.next_poll(0.0, 1.0) < 13.0


def test_what_was_learned_survives_as_json():
    known = taught(Durations(), 10.0, times=300)
    copy = Durations.from_json(json.loads(json.dumps(known.to_json())))
    assert copy.completions == 300
    for name in ("ended", "risk"):
        assert copy.to_json()[name] == pytest.approx(known.to_json()[name])
    for price in (0.04, 1.0, 8.0):
        assert copy.next_poll(0.0, price) == pytest.approx(known.next_poll(0.0, price))
    taught(copy, 20.0, times=1)
    assert copy.to_json() != known.to_json()


def test_a_json_copy_does_not_change_with_the_original():
    known = Durations()
    kept = known.to_json()
    before = json.dumps(kept)
    taught(known, 10.0)
    assert json.dumps(kept) == before


GOOD = Durations().to_json()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "ended": GOOD["ended"][1:]},
        {**GOOD, "ended": None},
        {**GOOD, "ended": ["x"] * len(GOOD["ended"])},
        {**GOOD, "ended": [-1.0, *GOOD["ended"][1:]]},
        {**GOOD, "ended": [math.nan, *GOOD["ended"][1:]]},
        {**GOOD, "risk": [0.0, *GOOD["risk"][1:]]},
        {**GOOD, "risk": [math.inf, *GOOD["risk"][1:]]},
        {**GOOD, "completions": "many"},
        {"ended": GOOD["ended"], "risk": GOOD["risk"]},
    ],
)
def test_anything_else_than_learned_durations_is_refused(data):
    with pytest.raises(ValueError, match="not the durations of a model"):
        Durations.from_json(data)


def test_a_task_that_ended_between_two_polls_at_the_same_moment_can_be_learned():
    known = Durations()
    known.done(5.0, 5.0)
    known.done(0.0, 0.0)
    assert known.completions == 2
    assert math.isfinite(known.next_poll(0.0, 1.0))


# When to poll.


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(None), Schedule(1), saturated(8.0)])
def test_a_model_nobody_has_seen_is_polled_within_three_seconds(schedule):
    assert 0.5 <= schedule.next_poll("new", 0.0, 0.0) <= 3.0


def test_a_single_task_as_long_as_documented_is_noticed_about_a_second_after_it_ended():
    schedule, rng, overshoots, polls = Schedule(), random.Random(1), [], 0
    now = 0.0
    for number in range(300):
        ends = 60.0 * math.exp(0.42 * rng.gauss(0, 1))
        schedule.submitted("m", now)
        ages = polls_until(schedule, ends, now)
        now += 60.0
        if number >= 100:
            overshoots.append(ages[-1] - ends)
            polls += len(ages)
    assert 0.7 < sum(overshoots) / 200 < 1.3
    assert 20 < polls / 200 < 28  # the documented loop: 22 polls, 1.5 s


def test_a_learned_model_needs_few_polls():
    schedule = saturated(1.0)
    for _ in range(60):
        ages = polls_until(schedule, 10.0)
    assert len(ages) <= 2
    assert 10.0 <= ages[-1] < 13.0


def test_polls_are_never_closer_than_half_a_second():
    schedule = Schedule()
    for _ in range(100):
        polls_until(schedule, 0.1)
    ages = polls_until(schedule, 30.0)
    assert ages[0] >= 0.5
    assert min(b - a for a, b in pairwise(ages)) >= 0.5


def test_the_price_is_lowest_without_load_and_without_a_limit():
    unlimited = Schedule(None)
    unlimited.backlog = 10**6
    unlimited.next_poll("m", 0.0, 0.0)
    idle = Schedule()
    idle.next_poll("m", 0.0, 0.0)
    assert unlimited.price == idle.price == 0.04


def test_the_price_rises_with_the_backlog_up_to_the_dearest():
    prices = []
    for backlog in (0, 40, 80, 120, 160, 10_000):
        schedule = Schedule(1000, dearest=8.0)
        schedule.durations["m"] = taught(Durations(), 30.0, 60.0, 90.0)
        schedule.backlog = backlog
        schedule.next_poll("m", 0.0, 0.0)
        prices.append(schedule.price)
    assert prices == sorted(prices)
    assert prices[0] == 0.04
    assert 0.1 < prices[3] < 2.0
    assert prices[-1] == 8.0


def test_what_is_asked_for_fits_into_the_limit():
    schedule = Schedule(1000)
    schedule.durations["m"] = taught(Durations(), 30.0, 60.0, 90.0)
    for second in range(120):
        for _ in range(2):
            schedule.submitted("m", float(second))
        schedule.next_poll("m", 0.0, float(second))
    # 120 tasks a minute, 880 requests planned with: a POST and 6.3 polls each.
    assert schedule.requests_per_task(120.0) == pytest.approx(7.33, abs=0.5)


def test_the_price_falls_again_when_the_load_is_gone():
    schedule = saturated()
    schedule.next_poll("m", 0.0, 0.0)
    assert schedule.price == 4.0
    schedule.backlog = 0
    for second in range(5, 30, 5):
        schedule.next_poll("m", 0.0, float(second))
    assert schedule.price == 0.04


def test_the_models_count_by_what_is_submitted_of_them():
    def polls(quick, slow):
        schedule = Schedule(1000, dearest=1.0)
        schedule.durations = {"quick": taught(Durations(), 4.0), "slow": taught(Durations(), 20.0, 60.0, 120.0)}
        schedule.backlog = 10**6
        for model, number in (("quick", quick), ("slow", slow)):
            for _ in range(number):
                schedule.submitted(model, 0.0)
        return schedule.requests_per_task(0.0)

    assert polls(100, 0) < polls(90, 10) < polls(10, 90) < polls(0, 100)


def test_a_new_model_is_polled_often_also_when_polls_are_dear():
    schedule = saturated(8.0)
    schedule.durations["old"] = taught(Durations(), 10.0)
    assert schedule.next_poll("new", 0.0, 0.0) == 3.0
    assert 6.0 < schedule.next_poll("new", 3.0, 0.0) < 12.0
    assert schedule.next_poll("old", 3.0, 0.0) > 13.0


def test_a_model_that_became_faster_is_noticed_though_polls_are_dear():
    schedule = saturated(8.0)
    for _ in range(100):
        polls_until(schedule, 60.0)
    slow = polls_until(schedule, 10.0)
    for _ in range(1500):
        polls_until(schedule, 10.0)
    assert slow[-1] > 45.0
    assert polls_until(schedule, 10.0)[-1] < 25.0


def test_a_clock_that_stands_still_changes_nothing():
    schedule = saturated(4.0)
    for _ in range(50):
        schedule.submitted("m", 7.0)
        polls_until(schedule, 10.0, now=7.0)
    assert schedule.price == 4.0


def test_a_model_of_unknown_name_is_a_model_like_any_other():
    schedule = Schedule()
    assert schedule.next_poll(None, 0.0, 0.0) <= 3.0
    schedule.done(None, 0.0, 3.0)
    assert list(schedule.durations) == [None]


def test_asking_for_the_price_learns_of_no_model():
    schedule = Schedule()
    assert schedule.requests_per_task(0.0) > 1.0
    assert schedule.durations == {}


def test_many_threads_share_a_schedule():
    schedule = Schedule()

    def work():
        for second in range(100):
            schedule.submitted("m", float(second))
            schedule.next_poll("m", 0.0, float(second))
            schedule.pending("m", 0.0, 3.0)
            schedule.done("m", 3.0, 5.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert schedule.durations["m"].completions == 400
