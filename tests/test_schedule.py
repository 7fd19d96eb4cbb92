"""When to look next: what is learned, what a look costs, and the rate limit that nothing exceeds."""

from __future__ import annotations

import json
import math
import random
import threading
from itertools import pairwise

import pytest

from lemon_ext.schedule import Agenda, Durations, RequestBudget, Schedule


def taught(durations, *ages, times=40):
    """Teach tasks that end at these ages, each looked at every second."""
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


def looks_until(schedule, ends, now=0.0, model="m"):
    """Play one task and return the ages at which it was looked at."""
    ages, last = [], 0.0
    while True:
        last, before = schedule.next_look(model, last, now), last
        ages.append(last)
        if last >= ends:
            schedule.done(model, before, last)
            return ages
        schedule.pending(model, before, last)


# What is learned.


@pytest.mark.parametrize("price", [0.04, 1.0, 8.0])
def test_a_learned_model_is_looked_at_soon_after_it_usually_ends(price):
    known = taught(Durations(), 10.0)
    assert 8.0 < known.next_look(0.0, price) < 10.0 + 2 * price + 1.0


def test_a_dearer_look_comes_later_and_fewer_are_expected():
    known = taught(Durations(), 20.0, 40.0, 80.0)
    ages = [known.next_look(0.0, price) for price in (0.04, 0.4, 4.0, 8.0)]
    looks = [known.expected_looks(price) for price in (0.04, 0.4, 4.0, 8.0)]
    assert ages == sorted(ages)
    assert looks == sorted(looks, reverse=True)
    assert looks[0] > 8
    assert looks[-1] < 3


def test_the_seconds_wasted_by_the_next_look_are_the_price():
    known, rng = Durations(), random.Random(1)
    for _ in range(400):
        taught(known, rng.uniform(5.0, 25.0), times=1)
    look = known.next_look(0.0, 2.0)
    # Of tasks that end evenly between 5 and 25 s, (look - 5)^2 / 40 seconds are wasted: 2 at 13.9 s.
    assert look == pytest.approx(13.9, abs=1.0)


def test_a_gap_between_two_kinds_of_tasks_is_not_looked_into():
    known = taught(Durations(), 8.0, 60.0)
    after_the_first_kind = known.next_look(12.0, 1.0)
    assert 45.0 < after_the_first_kind < 65.0


def test_looks_are_never_more_than_a_minute_apart():
    known = Durations()
    for _ in range(50):
        known.pending(0.0, 3000.0)
    assert known.next_look(100.0, 8.0) == 160.0


def test_tasks_that_never_end_make_looks_at_old_tasks_rare_and_leave_the_others_alone():
    known = taught(Durations(), 10.0)
    before = known.next_look(0.0, 0.4)
    for _ in range(20):
        known.pending(0.0, 600.0)
    assert known.next_look(0.0, 0.4) == pytest.approx(before, abs=1.0)
    assert known.next_look(300.0, 0.4) > 330.0


def test_old_completions_fade():
    known = taught(Durations(), 60.0, times=300)
    assert known.next_look(0.0, 1.0) > 50.0
    taught(known, 10.0, times=600)
    assert known.next_look(0.0, 1.0) < 12.0
    assert known.completions == 900


def test_learning_for_a_long_time_stays_finite():
    known = taught(Durations(), 10.0, times=12_000)
    assert all(math.isfinite(x) and x < 1e6 for x in json.loads(json.dumps(known.to_json()))["risk"])
    assert 8.0 < known.next_look(0.0, 1.0) < 13.0


def test_what_was_learned_survives_as_json():
    known = taught(Durations(), 10.0, times=300)
    copy = Durations.from_json(json.loads(json.dumps(known.to_json())))
    assert copy.completions == 300
    for name in ("ended", "risk"):
        assert copy.to_json()[name] == pytest.approx(known.to_json()[name])
    for price in (0.04, 1.0, 8.0):
        assert copy.next_look(0.0, price) == pytest.approx(known.next_look(0.0, price))
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


def test_a_task_that_ended_between_two_looks_at_the_same_moment_can_be_learned():
    known = Durations()
    known.done(5.0, 5.0)
    known.done(0.0, 0.0)
    assert known.completions == 2
    assert math.isfinite(known.next_look(0.0, 1.0))


# When to look.


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(None), Schedule(1), saturated(8.0)])
def test_a_model_nobody_has_seen_is_looked_at_within_three_seconds(schedule):
    assert 0.5 <= schedule.next_look("new", 0.0, 0.0) <= 3.0


def test_a_single_task_as_long_as_documented_is_noticed_about_a_second_after_it_ended():
    schedule, rng, overshoots, looks = Schedule(), random.Random(1), [], 0
    now = 0.0
    for number in range(300):
        ends = 60.0 * math.exp(0.42 * rng.gauss(0, 1))
        schedule.submitted("m", now)
        ages = looks_until(schedule, ends, now)
        now += 60.0
        if number >= 100:
            overshoots.append(ages[-1] - ends)
            looks += len(ages)
    assert 0.7 < sum(overshoots) / 200 < 1.3
    assert 20 < looks / 200 < 28  # the documented loop: 22 looks, 1.5 s


def test_a_learned_model_needs_few_looks():
    schedule = saturated(1.0)
    for _ in range(60):
        ages = looks_until(schedule, 10.0)
    assert len(ages) <= 2
    assert 10.0 <= ages[-1] < 13.0


def test_looks_are_never_closer_than_half_a_second():
    schedule = Schedule()
    for _ in range(100):
        looks_until(schedule, 0.1)
    ages = looks_until(schedule, 30.0)
    assert ages[0] >= 0.5
    assert min(b - a for a, b in pairwise(ages)) >= 0.5


def test_the_price_is_lowest_without_load_and_without_a_limit():
    unlimited = Schedule(None)
    unlimited.backlog = 10**6
    unlimited.next_look("m", 0.0, 0.0)
    idle = Schedule()
    idle.next_look("m", 0.0, 0.0)
    assert unlimited.price == idle.price == 0.04


def test_the_price_rises_with_the_backlog_up_to_the_dearest():
    prices = []
    for backlog in (0, 40, 80, 120, 160, 10_000):
        schedule = Schedule(1000, dearest=8.0)
        schedule.durations["m"] = taught(Durations(), 30.0, 60.0, 90.0)
        schedule.backlog = backlog
        schedule.next_look("m", 0.0, 0.0)
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
        schedule.next_look("m", 0.0, float(second))
    # 120 tasks a minute, 880 requests planned with: a POST and 6.3 looks each.
    assert schedule.requests_per_task(120.0) == pytest.approx(7.33, abs=0.5)


def test_the_price_falls_again_when_the_load_is_gone():
    schedule = saturated()
    schedule.next_look("m", 0.0, 0.0)
    assert schedule.price == 4.0
    schedule.backlog = 0
    for second in range(5, 30, 5):
        schedule.next_look("m", 0.0, float(second))
    assert schedule.price == 0.04


def test_the_models_count_by_what_is_submitted_of_them():
    def looks(quick, slow):
        schedule = Schedule(1000, dearest=1.0)
        schedule.durations = {"quick": taught(Durations(), 4.0), "slow": taught(Durations(), 20.0, 60.0, 120.0)}
        schedule.backlog = 10**6
        for model, number in (("quick", quick), ("slow", slow)):
            for _ in range(number):
                schedule.submitted(model, 0.0)
        return schedule.requests_per_task(0.0)

    assert looks(100, 0) < looks(90, 10) < looks(10, 90) < looks(0, 100)


def test_a_new_model_is_looked_at_often_also_when_looks_are_dear():
    schedule = saturated(8.0)
    schedule.durations["old"] = taught(Durations(), 10.0)
    assert schedule.next_look("new", 0.0, 0.0) == 3.0
    assert 6.0 < schedule.next_look("new", 3.0, 0.0) < 12.0
    assert schedule.next_look("old", 3.0, 0.0) > 13.0


def test_a_model_that_became_faster_is_noticed_though_looks_are_dear():
    schedule = saturated(8.0)
    for _ in range(100):
        looks_until(schedule, 60.0)
    slow = looks_until(schedule, 10.0)
    for _ in range(1500):
        looks_until(schedule, 10.0)
    assert slow[-1] > 45.0
    assert looks_until(schedule, 10.0)[-1] < 25.0


def test_a_clock_that_stands_still_changes_nothing():
    schedule = saturated(4.0)
    for _ in range(50):
        schedule.submitted("m", 7.0)
        looks_until(schedule, 10.0, now=7.0)
    assert schedule.price == 4.0


def test_a_model_of_unknown_name_is_a_model_like_any_other():
    schedule = Schedule()
    assert schedule.next_look(None, 0.0, 0.0) <= 3.0
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
            schedule.next_look("m", 0.0, float(second))
            schedule.pending("m", 0.0, 3.0)
            schedule.done("m", 3.0, 5.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert schedule.durations["m"].completions == 400


# The rate limit.


def most_in_a_minute(times):
    return max(sum(1 for other in times if t <= other < t + 60.0) for t in times)


@pytest.mark.parametrize("per_minute", [1, 1.5, 7, 60])
def test_no_sixty_seconds_see_more_requests_than_the_limit(per_minute):
    budget, rng, now, sent = RequestBudget(per_minute), random.Random(3), 0.0, []
    for _ in range(400):
        now += rng.choice([0.0, 0.0, 0.1, 3.0, 30.0])
        sent.append(now + budget.reserve(now))
    assert sent == sorted(sent)
    assert most_in_a_minute(sent) <= per_minute


def test_a_limit_below_one_a_minute_spaces_requests_by_more_than_a_minute():
    budget = RequestBudget(0.5)
    assert budget.reserve(0.0) == 0.0
    assert budget.reserve(0.0) >= 120.0


def test_a_free_budget_can_be_used_at_once():
    budget = RequestBudget(5)
    assert [budget.reserve(0.0) for _ in range(5)] == [0.0] * 5
    assert budget.reserve(0.0) == 60.5


def test_a_request_that_would_wait_too_long_is_not_booked():
    budget = RequestBudget(1)
    assert budget.reserve(0.0) == 0.0
    assert budget.reserve(10.0, within=50.0) is None
    assert budget.reserve(10.0, within=50.5) == 50.5


def test_the_budget_says_when_it_opens_and_how_much_room_there_is():
    budget = RequestBudget(2)
    assert (budget.opens(5.0), budget.room(5.0)) == (5.0, 2)
    budget.reserve(5.0)
    assert (budget.opens(6.0), budget.room(6.0)) == (6.0, 1)
    budget.reserve(6.0)
    assert (budget.opens(7.0), budget.room(7.0)) == (65.5, 0)
    assert (budget.opens(66.0), budget.room(66.0)) == (66.0, 1)


def test_nothing_is_sent_while_the_server_asks_to_wait():
    budget = RequestBudget(100)
    budget.reserve(0.0)
    budget.penalize(30.0)
    assert (budget.opens(1.0), budget.room(1.0)) == (30.0, 0)
    assert budget.reserve(1.0) == 29.0
    assert budget.reserve(1.0, within=10.0) is None
    budget.penalize(20.0)  # a shorter wait does not end the longer one
    assert budget.opens(1.0) == 30.0
    assert (budget.opens(31.0), budget.room(31.0)) == (31.0, 98)


def test_without_a_limit_there_is_always_room_but_the_server_is_still_heard():
    budget = RequestBudget(None)
    assert [budget.reserve(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert (budget.opens(0.0), budget.room(0.0)) == (0.0, math.inf)
    budget.penalize(9.0)
    assert (budget.opens(1.0), budget.room(1.0), budget.reserve(1.0)) == (9.0, 0, 8.0)


def test_many_threads_share_a_budget():
    budget, waits = RequestBudget(100), []
    threads = [threading.Thread(target=lambda: waits.extend(budget.reserve(0.0) for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0.0] * 100 + [60.5] * 100


# A batch: what comes next.


def an_agenda(per_minute=1000, *ages, dearest=8.0, backlog=10**6):
    schedule, budget = Schedule(per_minute, dearest=dearest), RequestBudget(per_minute)
    if ages:
        schedule.durations["m"] = taught(Durations(), *ages)
    schedule.backlog = backlog
    return Agenda(schedule, budget), schedule, budget


def test_looks_are_taken_by_the_time_they_are_due_and_ties_in_order():
    agenda, _, _ = an_agenda()
    assert (len(agenda), agenda.next_look()) == (0, math.inf)
    for task, due in (("late", 9.0), ("early", 1.0), ("tie 1", 5.0), ("tie 2", 5.0)):
        agenda.look_at(task, due)
    assert (len(agenda), agenda.next_look()) == (4, 1.0)
    assert [agenda.take() for _ in range(4)] == ["early", "tie 1", "tie 2", "late"]
    assert agenda.next_look() == math.inf


def test_tasks_that_cannot_be_compared_can_be_due_at_the_same_time():
    agenda, _, _ = an_agenda()
    tasks = [object(), object()]
    for task in tasks:
        agenda.look_at(task, 1.0)
    assert [agenda.take(), agenda.take()] == tasks


def test_a_small_batch_is_sent_at_once():
    agenda, schedule, budget = an_agenda(1000, 30.0, 60.0, 90.0)
    for under_way in range(50):
        schedule.backlog = 50 - under_way
        assert agenda.next_submission(0.0, under_way) <= 0.0
        budget.reserve(0.0)
        schedule.submitted("m", 0.0)
        agenda.submitted(0.0)


def test_a_large_batch_is_paced_once_its_looks_would_not_fit():
    agenda, schedule, budget = an_agenda(1000, 30.0, 60.0, 90.0)
    under_way = 0
    while agenda.next_submission(0.0, under_way) <= 0.0:
        budget.reserve(0.0)
        agenda.submitted(0.0)
        under_way += 1
    each = schedule.requests_per_task(0.0)
    assert 2.5 < each < 4.0
    assert under_way * (1 + each) == pytest.approx(1000, rel=0.1)  # a request is spent, `each` is kept for it
    gaps, now = [], 0.0
    for _ in range(10):
        due = agenda.next_submission(now, under_way)
        gaps.append(due - now)
        now = due
        budget.reserve(now)
        agenda.submitted(now)
        under_way += 1
    assert gaps[1:] == pytest.approx([60 / 1000 * each] * 9)


def test_what_the_limit_delayed_is_made_up_for_by_a_second_at_most():
    agenda, schedule, _ = an_agenda(1000, 10.0)
    pace = 0.06 * schedule.requests_per_task(0.0)
    agenda.submitted(0.0)
    now, sent = 1000.0, 0
    while agenda.next_submission(now, 10**6) <= now:
        agenda.submitted(now)
        sent += 1
    assert sent == math.ceil(1.0 / pace) + (1.0 % pace == 0)


def test_without_a_limit_everything_is_sent_at_once():
    agenda, _, _ = an_agenda(None)
    for _ in range(5):
        assert agenda.next_submission(3.0, 10**6) == 3.0
        agenda.submitted(3.0)


class Batch:
    """A batch as the engine plays it, on a clock of its own."""

    def __init__(self, rows, waiting=0, per_minute=1000, takes=10.0):
        self.agenda, self.schedule, self.budget = an_agenda(per_minute, takes)
        self.rows, self.takes, self.now = rows, takes, 0.0
        self.submitted, self.ended, self.requests, self.late = [], [], [], []
        self.under_way = waiting
        for _ in range(waiting):
            self.agenda.look_at((-1000.0, 1000.0), 0.0)

    def run(self, until=math.inf):
        while self.now < until and (self.rows or self.under_way):
            self.schedule.backlog = self.rows
            look_at = self.agenda.next_look()
            submit_at = self.agenda.next_submission(self.now, self.under_way) if self.rows else math.inf
            due = max(min(look_at, submit_at), self.budget.opens(self.now))
            if due > self.now:
                self.now = due
                continue
            assert self.budget.reserve(self.now) == 0.0
            self.requests.append(self.now)
            if look_at <= submit_at:
                self._look(look_at)
            else:
                self.schedule.submitted("m", self.now)
                self.agenda.submitted(self.now)
                self._queue(self.now, 0.0)
                self.submitted.append(self.now)
                self.rows, self.under_way = self.rows - 1, self.under_way + 1
        return self

    def _queue(self, born, last):
        self.agenda.look_at((born, last), born + self.schedule.next_look("m", last, self.now))

    def _look(self, due):
        born, last = self.agenda.take()
        age = self.now - born
        self.late.append((self.now, self.now - due))
        if age >= self.takes:
            self.schedule.done("m", last, age)
            self.under_way -= 1
            self.ended.append(self.now)
        else:
            self.schedule.pending("m", last, age)
            self._queue(born, age)


def test_neither_looks_nor_submissions_are_starved():
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


def test_a_resumed_batch_looks_at_what_waits_first_and_then_goes_on():
    batch = Batch(rows=200, waiting=1500).run()
    assert len(batch.ended) == 1700
    # 1,500 paid tasks come first, which takes two windows of the limit.
    assert len([t for t in batch.submitted if t < 60.0]) < 10
    assert batch.now < 240.0


def test_a_batch_recovers_from_a_hold():
    batch = Batch(rows=1500).run(until=90.0)
    batch.budget.penalize(120.0)
    batch.run(until=240.0)
    assert not [t for t in batch.requests if 90.5 < t < 120.0]
    late = sorted(late for at, late in batch.late if at > 180.0)
    assert late[int(0.95 * len(late))] < 2.0
    assert len([t for t in batch.submitted if 180.0 <= t < 240.0]) > 250
