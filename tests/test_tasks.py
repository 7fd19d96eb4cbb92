"""Waiting for a task, stepped by hand: every poll, every sleep, and what each ending becomes."""

from __future__ import annotations

import math
import pickle
import warnings

import pytest

from lemon_ext._api import Session, read_answer, settled
from lemon_ext._flow import TransportFault
from lemon_ext.errors import (
    AuthenticationError,
    LemonWarning,
    PermissionDeniedError,
    ResponseError,
    TaskFailedError,
    TaskNotFoundError,
    TaskTimeoutError,
)
from lemon_ext.tasks import Task, refresh, restore, until_done
from tests.play import Clock, answer, play
from tests.test_api import BASE, Limit

URL = "https://img.example.net/b2.png"


class EverySecond:
    """A schedule that polls once a second, and notes what it is taught."""

    def __init__(self):
        self.learned = []

    def next_poll(self, model, last, now):
        return last + 1.0

    def pending(self, model, last, now):
        self.learned.append(("pending", model, last, now))

    def done(self, model, last, now):
        self.learned.append(("done", model, last, now))


def state(status, *urls, **more):
    return answer(
        200, {"created": 1706000000, "task_id": "img_1", "status": status, "data": [{"url": u} for u in urls], **more}
    )


DONE = state("completed", URL)


@pytest.fixture
def clock():
    clock = Clock()
    clock.rule()
    return clock


def submitted(clock, *, n=1, model="midjourney", **more):
    task = Task(None, None, model, n)
    body = {"task_id": "img_1", "status": "pending", "data": [{"url": ""}], **more}
    task.submitted(read_answer(answer(200, body)), clock())
    return task


def wait(clock, task, *replies, deadline=300.0, schedule=None, **options):
    session = Session(BASE, Limit(), schedule or EverySecond())
    return play(until_done(session, task, session.deadline(deadline), **options), clock, *replies)


def test_a_task_is_polled_until_it_is_completed(clock):
    result, sent, slept = wait(clock, submitted(clock), state("pending"), state("processing"), DONE)
    assert [image["url"] for image in result.images] == [URL]
    assert slept == [1.0, 1.0, 1.0]
    assert {request.method for request in sent} == {"GET"}


def test_a_handle_made_from_an_id_is_polled_at_once(clock):
    assert wait(clock, Task("img_1"), DONE)[2] == [0.0]


def test_the_command_that_an_error_names_is_safe_to_run_whatever_the_task_is_called(clock):
    with pytest.raises(TaskTimeoutError, match=r"`lemon task --wait -- 'a; rm -rf ~'`"):
        wait(clock, Task("a; rm -rf ~"), deadline=0.0)


def test_every_change_is_told_once(clock):
    seen = []
    task = submitted(clock)
    replies = [
        state("pending"),
        state("processing"),
        state("processing", progress=40),
        state("processing", progress=40),
        DONE,
    ]
    wait(clock, task, *replies, on_update=lambda t: seen.append((t.status, t.progress)))
    assert seen == [("processing", None), ("processing", 40.0), ("completed", None)]


def test_durations_are_learned_from_our_own_tasks_only(clock):
    schedule = EverySecond()
    wait(clock, submitted(clock), state("pending"), DONE, schedule=schedule)
    wait(clock, Task("img_2", model="midjourney"), DONE, schedule=schedule)
    assert schedule.learned == [("pending", "midjourney", 0.0, 1.0), ("done", "midjourney", 1.0, 2.0)]


@pytest.mark.parametrize(
    "hiccup",
    [
        TransportFault("ReadTimeout", timeout=True),
        TransportFault("connection refused", sent=False),
        answer(408, {}),
        answer(425, {}),
        answer(429, {}),
        answer(500, {}),
        answer(502, b"<html>Bad gateway</html>"),
        answer(503, {}),
        answer(504, {}),
        answer(524, b""),
        answer(200, b'{"status": "comp'),
        answer(200, b""),
        answer(200, {"task_id": "img_1"}),
        answer(404, {}),
        # Something between us and the API answered: a portal, a challenge, a proxy.
        answer(200, b"<html>Sign in</html>"),
        answer(302, b"<html>Moved</html>", Location="http://portal.test/"),
        answer(403, b"<title>Attention Required!</title>"),
        answer(407, b"<html>"),
    ],
)
def test_a_free_poll_survives(clock, hiccup):
    assert wait(clock, submitted(clock), hiccup, hiccup, DONE)[0].images


def test_failed_polls_are_spaced_out(clock):
    class Eager(EverySecond):
        def next_poll(self, model, last, now):
            return last

    slept = wait(clock, submitted(clock), *[answer(500, {})] * 6, DONE, schedule=Eager())[2]
    assert slept[0] == 0
    assert all(low <= pause <= 2 * low for pause, low in zip(slept[1:], [0.25, 0.5, 1, 2, 4, 4], strict=True))


def test_the_server_s_retry_after_wins(clock):
    slept = wait(clock, submitted(clock), answer(429, {}, Retry_After="7"), DONE, poll_interval=2)[2]
    assert slept == [2.0, 7.0]


def test_retry_after_on_a_pending_answer_wins_too(clock):
    pending = answer(200, {"task_id": "img_1", "status": "pending"}, Retry_After="4")
    assert wait(clock, submitted(clock), pending, DONE)[2] == [1.0, 4.0]


def test_a_retry_after_beyond_the_deadline_ends_the_wait_at_once(clock):
    with pytest.raises(TaskTimeoutError, match="asks to wait 60 s") as caught:
        wait(clock, submitted(clock), answer(503, {}, Retry_After="60"), deadline=30)
    assert caught.value.retry_after == 60
    assert clock() < 1010


def test_a_retry_after_of_57_years_is_a_quarter_of_an_hour(clock):
    pending = answer(200, {"task_id": "img_1", "status": "pending"}, Retry_After="1800000000")
    replies = [pending, answer(503, {}, Retry_After="1800000000"), DONE]
    assert wait(clock, submitted(clock), *replies, deadline=math.inf)[2] == [1.0, 900.0, 900.0]


def test_an_explicit_interval_is_kept_from_the_first_poll_on(clock):
    assert wait(clock, submitted(clock), state("pending"), state("pending"), DONE, poll_interval=5)[2] == [
        5.0,
        5.0,
        5.0,
    ]


def test_the_deadline_is_not_a_failure(clock):
    task = submitted(clock)
    with pytest.raises(TaskTimeoutError) as caught:
        wait(clock, task, *[state("processing")] * 9, deadline=10)
    error = caught.value
    assert error.task is task
    assert isinstance(error, TimeoutError)
    assert "`lemon task --wait -- img_1`" in str(error)
    assert "accepted and paid" in str(error)
    assert "submit" not in str(error)
    assert clock() <= 1010


def test_there_is_a_last_poll_shortly_before_the_deadline(clock):
    class Lazy(EverySecond):
        def next_poll(self, model, last, now):
            return last + 50

    assert wait(clock, submitted(clock), DONE, deadline=30, schedule=Lazy())[2] == [28.0]
    with pytest.raises(TaskTimeoutError):
        wait(clock, submitted(clock), state("pending"), deadline=30, schedule=Lazy())


def test_the_last_poll_is_one_poll_also_on_a_clock_that_moves():
    class Moving(Clock):
        def __call__(self):
            self.now += 0.0001
            return self.now

    moving = Moving()
    moving.rule()
    with pytest.raises(TaskTimeoutError) as caught:
        wait(moving, submitted(moving), *[state("pending")] * 99, deadline=6)
    assert len(caught.value.sent) <= 6


def test_a_server_that_says_now_again_and_again_is_not_believed(clock):
    now = [answer(503, {}, retry_after="0")] * 4
    first, *later = wait(clock, submitted(clock), *now, DONE)[2][1:]
    assert first == 0.0
    assert all(wait >= 0.25 for wait in later)


def test_a_deadline_of_zero_polls_nothing(clock):
    with pytest.raises(TaskTimeoutError):
        wait(clock, submitted(clock), deadline=0)


def test_an_unknown_status_is_waited_on(clock):
    assert wait(clock, submitted(clock), state("moderating"), state("archiving"), DONE)[0].images


def test_an_unknown_status_with_images_gives_them_at_the_deadline_with_a_warning(clock):
    with pytest.warns(LemonWarning, match="moderating"):
        result = wait(clock, submitted(clock), *[state("moderating", URL)] * 4, deadline=5)[0]
    assert result.images


def test_a_known_running_status_with_images_is_still_running(clock):
    with pytest.raises(TaskTimeoutError):
        wait(clock, submitted(clock), *[state("processing", URL)] * 4, deadline=5)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("The prompt was refused", "The prompt was refused"),
        ({"message": "refused", "code": "policy"}, "refused"),
        ({"code": "policy"}, "policy"),
        (None, "no reason given"),
    ],
)
def test_a_failed_task_says_why(clock, error, reason):
    task = submitted(clock)
    with pytest.raises(TaskFailedError) as caught:
        wait(clock, task, state("failed", error=error))
    assert caught.value.reason == reason
    assert caught.value.task is task


def test_a_completed_task_without_an_image_is_never_an_empty_success(clock):
    task = submitted(clock)
    for reply in (state("completed"), state("completed", ""), answer(200, {"task_id": "img_1", "status": "completed"})):
        task = submitted(clock)
        with pytest.raises(ResponseError, match="no usable image") as caught:
            wait(clock, task, reply)
        assert caught.value.task is task
        assert caught.value.body == reply.body


def test_fewer_images_than_asked_for_are_reported(clock):
    with pytest.warns(LemonWarning, match="3 images were asked for and 1 came"):
        wait(clock, submitted(clock, n=3), DONE)


def test_as_many_images_as_asked_for_are_not_worth_a_word(clock):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wait(clock, submitted(clock, n=2), state("completed", URL, URL))


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, PermissionDeniedError)])
def test_a_refused_poll_ends_the_wait_and_carries_the_task(clock, status, kind):
    task = submitted(clock)
    with pytest.raises(kind) as caught:
        wait(clock, task, state("pending"), answer(status, {}))
    assert caught.value.task is task


def test_a_task_may_be_invisible_for_ten_seconds(clock):
    with pytest.raises(TaskNotFoundError) as caught:
        wait(clock, submitted(clock), *[answer(404, {})] * 20, poll_interval=3)
    assert len(caught.value.sent) == 4
    assert clock() == 1012


@pytest.mark.parametrize("before", [(), (state("pending"),)])
def test_a_404_for_a_task_that_was_seen_or_is_not_ours_is_final(clock, before):
    task = submitted(clock) if before else Task("img_1")
    with pytest.raises(TaskNotFoundError):
        wait(clock, task, *before, answer(404, {}))


def test_a_poll_url_of_another_host_is_passed_over_with_a_warning(clock):
    task = submitted(clock, poll_url="https://evil.test/v1/tasks/img_1")
    with pytest.warns(LemonWarning, match="poll_url"):
        sent = wait(clock, task, DONE)[1]
    assert [request.url for request in sent] == [f"{BASE}/v1/images/generations/img_1"]


def test_a_done_task_is_not_polled_again(clock):
    task = submitted(clock)
    wait(clock, task, DONE)
    assert wait(clock, task)[1] == []


def test_refresh_goes_through_passing_failures(clock):
    session = Session(BASE, Limit(), EverySecond())
    task = submitted(clock)
    play(
        refresh(session, task, session.deadline(60)),
        clock,
        answer(500, {}),
        answer(502, b""),
        state("processing"),
    )
    assert task.status == "processing"


@pytest.mark.parametrize("move", [refresh, until_done])
def test_what_a_refused_poll_said_about_waiting_is_kept(clock, move):
    session, task = Session(BASE, Limit(), EverySecond()), submitted(clock)
    with pytest.raises(TaskTimeoutError) as caught:
        play(move(session, task, session.deadline(30)), clock, answer(503, {}, retry_after="40"))
    assert caught.value.retry_after == 40.0


@pytest.mark.parametrize("status", ["processing", "a new word", "completed", None])
def test_an_answer_with_images_and_nothing_to_poll_is_done_wherever_it_is_restored(status):
    body = {"created": 1, "data": [{"url": URL}], **({} if status is None else {"status": status})}
    task = Task(None, None, "dall-e-3")
    task.submitted(settled(read_answer(answer(200, body))), 0.0)
    for again in (task, restore(Task, task.to_dict()), pickle.loads(pickle.dumps(task))):
        assert again.done
        assert [image["url"] for image in again._answer.images] == [URL]


def test_a_handle_survives_as_plain_json():
    task = Task("img_1", "/v1/tasks/img_1", "midjourney", 2, "a cat")
    again = restore(Task, task.to_dict())
    assert (again.id, again.poll_url, again.model, again.n, again.prompt) == (
        "img_1",
        "/v1/tasks/img_1",
        "midjourney",
        2,
        "a cat",
    )
    assert not again.done


def test_a_done_handle_keeps_its_answer(clock):
    task = submitted(clock)
    wait(clock, task, DONE)
    again = restore(Task, task.to_dict())
    assert again.done
    assert wait(clock, again)[0].images[0]["url"] == URL


@pytest.mark.parametrize(
    "data", [None, [], {}, {"id": ""}, {"id": 3}, {"id": ".."}, {"id": "a\nb"}, {"id": "t", "n": "2"}, {"answer": {}}]
)
def test_what_is_not_a_handle_is_refused(data):
    with pytest.raises(ValueError, match="Not a task"):
        restore(Task, data)
