"""The billable POST and the free look, stepped by hand: what is sent, and what each answer becomes."""

from __future__ import annotations

import pytest

from lemon_ext._flow import TransportFault
from lemon_ext._operations import Answer, Session, Setback, State, look, poll_target, read_answer, request_body, submit
from lemon_ext.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InsufficientBalanceError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    ServerError,
    SubmissionUncertainError,
    UnreadableSubmissionError,
)
from tests.play import Clock, answer, play

BASE = "https://api.example.test"
INLINE = {
    "created": 1706000000,
    "data": [{"url": "https://img.example.net/a1.png", "revised_prompt": "a fluffy white cat"}],
}
TASK = {
    "created": 1706000000,
    "task_id": "img_0f9a12bc34de",
    "status": "pending",
    "poll_url": "/v1/images/generations/img_0f9a12bc34de",
    "data": [{"url": "", "revised_prompt": "a sunset"}],
}
UNSENT = TransportFault("connection refused", unsent=True)
LOST = TransportFault("ReadTimeout", timeout=True)


class Budget:
    """A budget that notes what it was asked for."""

    def __init__(self, wait: float = 0.0) -> None:
        self.wait, self.booked, self.held_until = wait, 0, None

    def reserve(self, now: float, within: float) -> float | None:
        self.booked += 1
        return self.wait if self.wait <= within else None

    def penalize(self, until: float) -> None:
        self.held_until = until


@pytest.fixture
def clock():
    return Clock()


def make_session(clock, **options):
    return Session(BASE, options.pop("budget", Budget()), clock=clock, wall=lambda: 784111777.0, **options)


def post(clock, *replies, deadline=300.0, **options):
    session = make_session(clock, **options)
    return play(
        submit(session, {"model": "dall-e-3", "prompt": "a white cat"}, session.deadline(deadline)), clock, *replies
    )


def test_a_request_carries_what_was_given_and_nothing_else():
    assert request_body({"model": "midjourney", "prompt": "x"}) == {"model": "midjourney", "prompt": "x"}


def test_extra_body_adds_and_overrides():
    body = request_body({"model": "m", "prompt": "x", "size": "1024x1024"}, {"aspect_ratio": "16:9", "size": "2x1"})
    assert body == {"model": "m", "prompt": "x", "size": "2x1", "aspect_ratio": "16:9"}


def test_the_post_goes_to_the_documented_path_with_the_key_and_the_whole_deadline(clock):
    _, (request,), _ = post(clock, answer(200, INLINE))
    assert (request.method, request.url) == ("POST", "https://api.example.test/v1/images/generations")
    assert request.json == {"model": "dall-e-3", "prompt": "a white cat"}
    assert request.keyed
    assert request.within == 300


@pytest.mark.parametrize(
    ("body", "is_task", "images"),
    [
        (INLINE, False, 1),
        (TASK, True, 0),
        ({**TASK, "status": "queued", "data": []}, True, 0),
        ({**TASK, "status": None, "data": None}, True, 0),
        ({"id": "ldtask_0123", "status": "pending", "data": []}, True, 0),
        ({"poll_url": "/v1/tasks/ldtask_77", "status": "pending"}, True, 0),
        ({"task_id": "img_1", "status": "completed", "data": [{"url": "https://i/x.png"}]}, False, 1),
        ({"task_id": "img_1", "status": "SUCCEEDED", "data": [{"b64_json": "aGk="}]}, False, 1),
        ({"task_id": "img_1", "status": "pending", "data": [{"url": "https://i/preview.png"}]}, True, 1),
        ({"task_id": "img_1", "status": "failed", "error": "no"}, True, 0),
        ({"data": [{"url": "https://i/1.png"}, {"url": ""}, None, "x", {"b64_json": "aGk="}]}, False, 2),
    ],
)
def test_whether_an_answer_is_a_task_is_read_from_the_answer(clock, body, is_task, images):
    result, _, _ = post(clock, answer(200, body))
    assert (result.is_task, len(result.images)) == (is_task, images)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_with_a_task_id_is_a_task(clock, status):
    assert post(clock, answer(status, TASK))[0].task_id == "img_0f9a12bc34de"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", State.RUNNING),
        ("processing", State.RUNNING),
        ("completed", State.COMPLETED),
        ("Completed", State.COMPLETED),
        ("succeeded", State.COMPLETED),
        ("success", State.COMPLETED),
        ("failed", State.FAILED),
        ("canceled", State.FAILED),
        ("CANCELLED", State.FAILED),
        ("moderating", State.UNKNOWN),
    ],
)
def test_status_words_say_what_they_plainly_say(word, state):
    assert read_answer(answer(200, {"task_id": "t", "status": word})).state is state


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientBalanceError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, PayloadTooLargeError),
        (418, APIStatusError),
    ],
)
def test_a_refusal_is_a_typed_error_and_is_not_sent_again(clock, status, kind):
    body = {"error": {"message": "No.", "type": "t", "code": "c", "param": "p", "hint": "Try less"}}
    with pytest.raises(kind) as caught:
        post(clock, answer(status, body, X_Request_ID="req-1"))
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code, error.type, error.param) == (status, "c", "t", "p")
    assert (error.hint, error.request_id) == ("Try less", "req-1")
    assert str(error) == f"HTTP {status}: No. Try less."
    assert len(error.sent) == 1


def test_the_hints_of_the_documented_envelope_are_kept(clock):
    body = {
        "error": {
            "message": "Your balance does not cover this",
            "code": "insufficient_balance",
            "balance_usd": 0.02,
            "estimated_cost_usd": 0.04,
            "did_you_mean": "dall-e-2",
            "suggestions": [{"id": "dall-e-2"}],
            "retryable": False,
        }
    }
    with pytest.raises(InsufficientBalanceError) as caught:
        post(clock, answer(402, body))
    error = caught.value
    assert (error.balance_usd, error.estimated_cost_usd) == (0.02, 0.04)
    assert (error.did_you_mean, error.suggestions, error.retryable) == ("dall-e-2", [{"id": "dall-e-2"}], False)


@pytest.mark.parametrize(
    "body", [b"", b"<html>x</html>", b"[1]", b'{"error": "slow"}', b'{"message": "no"}', b'{"error": []}']
)
def test_an_error_in_another_shape_keeps_its_status(clock, body):
    with pytest.raises(BadRequestError) as caught:
        post(clock, answer(400, body))
    assert caught.value.response.body == body


@pytest.mark.parametrize("lost", [LOST, answer(500, {}), answer(502, b"<html>"), answer(504, {}), answer(503, {})])
def test_a_lost_answer_is_uncertain_and_never_sent_again(clock, lost):
    with pytest.raises(SubmissionUncertainError, match="may have been accepted and billed") as caught:
        post(clock, lost)
    assert len(caught.value.sent) == 1
    assert caught.value.status_code == getattr(lost, "status_code", None)


@pytest.mark.parametrize("body", [b"{", b"", b"<html>", b"[]", b'"x"', b"{}", b'{"error": {"message": "later"}}'])
def test_a_success_that_cannot_be_read_is_uncertain_and_keeps_its_body(clock, body):
    with pytest.raises(UnreadableSubmissionError) as caught:
        post(clock, answer(200, body))
    assert caught.value.body == body
    assert isinstance(caught.value, SubmissionUncertainError)
    assert isinstance(caught.value, ResponseError)


def test_a_redirect_is_not_followed(clock):
    with pytest.raises(ResponseError, match="redirect"):
        post(clock, answer(307, b"", Location="https://elsewhere.test/"))


def test_a_request_that_never_left_is_sent_again(clock):
    result, sent, slept = post(clock, UNSENT, UNSENT, answer(200, INLINE))
    assert len(result.images) == 1
    assert len(sent) == 3
    assert 0.25 <= slept[0] <= 0.5
    assert 0.5 <= slept[1] <= 1.0


def test_when_nothing_ever_leaves_it_is_a_connection_error(clock):
    with pytest.raises(APIConnectionError, match="Nothing was sent") as caught:
        post(clock, UNSENT, UNSENT, UNSENT)
    assert not isinstance(caught.value, APITimeoutError)


def test_a_connect_timeout_is_a_timeout(clock):
    fault = TransportFault("ConnectTimeout", unsent=True, timeout=True)
    with pytest.raises(APITimeoutError):
        post(clock, fault, max_retries=0)


def test_a_429_is_sent_again_after_what_the_server_asks(clock):
    budget = Budget()
    _, sent, slept = post(clock, answer(429, {}, Retry_After="8"), answer(200, INLINE), budget=budget)
    assert len(sent) == 2
    assert slept == [8.0]
    assert budget.held_until == 1008.0
    assert budget.booked == 2


def test_zero_seconds_is_an_answer(clock):
    assert post(clock, answer(429, {}, Retry_After="0"), answer(200, INLINE))[2] == [0.0]


def test_a_429_that_outlasts_the_deadline_stops_now(clock):
    with pytest.raises(RateLimitError, match="asks to wait 60 s") as caught:
        post(clock, answer(429, {}, Retry_After="60"), deadline=30)
    assert caught.value.retry_after == 60
    assert caught.value.slept == []


def test_a_429_that_goes_on_is_a_rate_limit_error(clock):
    with pytest.raises(RateLimitError):
        post(clock, *[answer(429, {}, Retry_After="1")] * 3)


def test_a_503_that_says_retryable_is_sent_again(clock):
    body = {"error": {"message": "All channels failed", "retryable": True, "retry_after": 30}}
    _, sent, slept = post(clock, answer(503, body), answer(200, INLINE))
    assert (len(sent), slept) == (2, [30.0])


def test_a_503_that_says_not_retryable_is_a_server_error(clock):
    with pytest.raises(ServerError) as caught:
        post(clock, answer(503, {"error": {"message": "no_channels", "retryable": False}}))
    assert len(caught.value.sent) == 1


def test_an_uncertain_answer_after_a_refusal_is_still_uncertain(clock):
    with pytest.raises(SubmissionUncertainError):
        post(clock, answer(429, {}, Retry_After="1"), LOST)


def test_the_budget_is_waited_for(clock):
    assert post(clock, answer(200, INLINE), budget=Budget(2.5))[2] == [2.5]


def test_nothing_is_sent_when_the_budget_leaves_no_time(clock):
    with pytest.raises(APITimeoutError, match="nothing was sent") as caught:
        post(clock, budget=Budget(10), deadline=5)
    assert caught.value.sent == []


def test_nothing_is_sent_with_a_deadline_of_zero(clock):
    with pytest.raises(APITimeoutError) as caught:
        post(clock, deadline=0)
    assert caught.value.sent == []


def see(clock, reply, **options):
    session = make_session(clock, **options)
    flow = look(session, "img_1", options.get("poll_url"), session.deadline(100))
    return play(flow, clock, reply)


def test_a_look_asks_the_documented_path(clock):
    result, (request,), _ = see(clock, answer(200, TASK))
    assert isinstance(result, Answer)
    assert (request.method, request.url) == ("GET", "https://api.example.test/v1/images/generations/img_1")
    assert request.within == 30


@pytest.mark.parametrize(
    "reply",
    [LOST, UNSENT, answer(429, {}), answer(408, {}), answer(425, {}), answer(500, {}), answer(502, b"<html>"),
     answer(520, b""), answer(200, b"{"), answer(200, b""), answer(200, [1])],
)  # fmt: skip
def test_a_look_that_fails_for_now_is_a_setback(clock, reply):
    assert isinstance(see(clock, reply)[0], Setback)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (402, InsufficientBalanceError), (403, PermissionDeniedError)],
)
def test_a_look_that_is_refused_for_good_is_an_error(clock, status, kind):
    with pytest.raises(kind):
        see(clock, answer(status, {}))


def test_a_look_that_is_redirected_is_an_error(clock):
    with pytest.raises(ResponseError, match="redirect"):
        see(clock, answer(302, b""))


H = "https://h.test"
STANDARD = f"{H}/v1/images/generations/img_1"


@pytest.mark.parametrize(
    ("base", "poll_url", "target", "passed_over"),
    [
        (H, None, STANDARD, False),
        (H, "/v1/images/generations/img_1", STANDARD, False),
        (H, "/v1/tasks/img_1", f"{H}/v1/tasks/img_1", False),
        (H, "/v1/tasks/img_1?view=full", f"{H}/v1/tasks/img_1?view=full", False),
        (H, "https://h.test/v1/tasks/img_1", f"{H}/v1/tasks/img_1", False),
        (H, "https://H.test:443/v1/tasks/img_1", "https://H.test:443/v1/tasks/img_1", False),
        (f"{H}/lemon", "/v1/tasks/img_1", f"{H}/lemon/v1/tasks/img_1", False),
        (f"{H}/lemon", "/lemon/v1/tasks/img_1", f"{H}/lemon/v1/tasks/img_1", False),
        (f"{H}/lemon", None, f"{H}/lemon/v1/images/generations/img_1", False),
        (H, "https://evil.test/v1/tasks/img_1", STANDARD, True),
        (H, "//evil.test/v1/tasks/img_1", STANDARD, True),
        (H, "http://h.test/v1/tasks/img_1", STANDARD, True),
        (H, "https://h.test:8443/v1/tasks/img_1", STANDARD, True),
        (H, "https://h.test@evil.test/", STANDARD, True),
        (H, "https://user@h.test/", STANDARD, True),
        (H, "/v1/tasks/a b", STANDARD, True),
        (H, "/\\evil.test/", STANDARD, True),
        (H, "https://h.test:99999999/", STANDARD, True),
        (H, "javascript:alert(1)", STANDARD, True),
    ],
)
def test_a_poll_url_is_followed_on_the_api_s_own_origin_only(base, poll_url, target, passed_over):
    assert poll_target(base, "img_1", poll_url) == (target, passed_over)


def test_ids_are_quoted():
    assert poll_target(H, "a/b?c#d é", None)[0] == f"{H}/v1/images/generations/a%2Fb%3Fc%23d%20%C3%A9"
