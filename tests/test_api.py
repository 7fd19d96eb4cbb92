"""The billable POST and the free poll, stepped by hand: what is sent, and what each answer becomes."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

from lemon_ext._api import (
    Accepted,
    Answer,
    Rejected,
    Session,
    State,
    Transient,
    TryLater,
    Unknown,
    absolute,
    create_image,
    create_variation,
    edit_image,
    judge,
    poll,
    poll_target,
    read_answer,
    request_body,
    status_error,
)
from lemon_ext._flow import TransportFault
from lemon_ext._response import APIResponse, excerpt
from lemon_ext.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InsufficientBalanceError,
    ModerationError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    ServerError,
    SubmissionUncertainError,
    UnreadableSubmissionError,
)
from lemon_ext.tasks import Leaving, submit
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
UNSENT = TransportFault("ConnectError: refused", sent=False)
LOST = TransportFault("ReadTimeout", timeout=True)
WALL = 784111777.0


class Limit:
    """A rate limit that notes what it was asked for."""

    promises = True

    def __init__(self, wait: float = 0.0) -> None:
        self.wait, self.granted, self.held = wait, 0, None

    def acquire(self, now: float, within: float) -> float | None:
        self.granted += 1
        return self.wait if self.wait <= within else None

    def hold(self, now: float, seconds: float) -> None:
        self.held = seconds


@pytest.fixture
def clock():
    clock = Clock()
    clock.rule()
    return clock


def make_session(limit=None, schedule=None, **options):
    return Session(BASE, limit or Limit(), schedule, **options)


def post(clock, *replies, deadline=300.0, limit=None, **options):
    session = make_session(limit, **options)
    body = {"model": "dall-e-3", "prompt": "a white cat"}
    return play(submit(session, body, session.deadline(deadline), Leaving()), clock, *replies)


def test_a_request_carries_what_was_given_and_nothing_else():
    assert request_body({"model": "midjourney", "prompt": "x"}) == {"model": "midjourney", "prompt": "x"}


def test_what_the_api_requires_is_asked_of_nobody_but_the_caller(monkeypatch):
    """An API that begins to require a parameter: it is sent where it is given, and only then is it missed."""
    from lemon_client.models import ImageGenerationRequest

    def strict(fields):
        return vars(ImageGenerationRequest)["from_dict"].__func__(ImageGenerationRequest, {**fields, "n": fields["n"]})

    monkeypatch.setattr("lemon_client.models.ImageGenerationRequest", SimpleNamespace(from_dict=strict))
    monkeypatch.setattr("lemon_client.models.ImageVariationForm", None)
    monkeypatch.setattr("lemon_ext._api.REQUIRED", ("prompt", "n"))
    for operation, path in ((create_image, "generations"), (edit_image, "edits"), (create_variation, "variations")):
        operation.cache_clear()
        assert operation() == ("POST", f"/v1/images/{path}")
    assert request_body({"prompt": "x", "n": 2}) == {"prompt": "x", "n": 2}
    assert request_body({"prompt": "x"}) == {"prompt": "x"}


def test_extra_body_adds_and_overrides():
    body = request_body({"model": "m", "prompt": "x", "size": "1024x1024"}, {"aspect_ratio": "16:9", "size": "2x1"})
    assert body == {"model": "m", "prompt": "x", "size": "2x1", "aspect_ratio": "16:9"}


def test_the_post_goes_to_the_documented_path_with_the_key_and_the_whole_deadline(clock):
    _, (request,), _ = post(clock, answer(200, INLINE))
    assert (request.method, request.url) == ("POST", "https://api.example.test/v1/images/generations")
    assert request.json == {"model": "dall-e-3", "prompt": "a white cat"}
    assert (request.kind, request.within) == ("submit", 300)


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
        ("completed", State.SUCCEEDED),
        ("Completed", State.SUCCEEDED),
        ("succeeded", State.SUCCEEDED),
        ("success", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("canceled", State.CANCELLED),
        ("CANCELLED", State.CANCELLED),
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
    ("body", "words"),
    [
        ({"error": {"message": "No such size"}}, "No such size"),
        ({"error": "slow"}, "slow"),
        ({"message": "no channel"}, "no channel"),
        ({"message": ["too large", "too many"]}, "too large; too many"),
        ({"detail": "Not allowed"}, "Not allowed"),
        ({"detail": [{"loc": ["body", "n"], "msg": "must be 1"}]}, "body.n: must be 1"),
        ({"errors": [{"message": "first"}, {"message": "second"}]}, "first; second"),
        ({"validation_errors": [{"param": "size", "message": "not in the list"}]}, "size: not in the list"),
        ({"code": 1001, "msg": "quota service is down"}, "quota service is down"),
        ({"status": "FAILED", "failReason": "banned words"}, "banned words"),
        ({"title": "Bad Request", "status": 400}, "Bad Request"),
        ({"status": 400, "error": "Bad Request", "message": "n is too large"}, "n is too large"),
        ({"error": "invalid_request", "error_description": "scope is missing"}, "scope is missing"),
        ({"odd": 1}, '{"odd": 1}'),
        ([{"message": "in a list"}], "in a list"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><head><title>Blocked &amp; logged</title></head>", 'page that is not the API\'s: "Blocked & logged"'),
        (b"<p>Sign in\x1b[31m first</p>", 'page that is not the API\'s: "Sign in [31m first"'),
        (b"x" * 5000, "x" * 199 + "\u2026"),
        (b'{"message": "half a \\ud800 character"}', "half a \ufffd character"),
        (b"<p>&#" + b"0" * 5000 + b"65; of 5,000 digits", "\ufffd of 5,000 digits"),
        (b"", "no message"),
    ],
)
def test_the_server_s_own_words_are_quoted_whatever_envelope_they_come_in(clock, body, words):
    with pytest.raises(BadRequestError) as caught:
        post(clock, answer(400, body))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "(see .body)" not in str(caught.value)


@pytest.mark.parametrize("piece", [b"<", b"<title>", b"<script ", b"<style>x", b"<!--", b"&", b"&#9"])
def test_a_page_of_any_bytes_is_read_in_no_time(piece):
    """The words of a 500 took ten seconds in which every other request stood still."""
    begun = time.process_time()
    assert len(excerpt(APIResponse(500, {"content-type": "text/html"}, piece * (65536 // len(piece))))) <= 200
    assert time.process_time() - begun < 1


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


def test_what_fails_on_this_machine_is_not_tried_again(clock):
    fault = TransportFault("ValueError: a bug of ours", sent=False, local=True)
    with pytest.raises(APIConnectionError, match=r"did not leave this machine.*Nothing was sent") as caught:
        post(clock, fault)
    assert len(caught.value.sent) == 1


def test_when_nothing_ever_leaves_it_is_a_connection_error(clock):
    with pytest.raises(APIConnectionError, match="Nothing was sent") as caught:
        post(clock, UNSENT, UNSENT, UNSENT)
    assert not isinstance(caught.value, APITimeoutError)


def test_a_connect_timeout_is_a_timeout(clock):
    fault = TransportFault("ConnectTimeout", sent=False, timeout=True)
    with pytest.raises(APITimeoutError):
        post(clock, fault, max_retries=0)


def test_a_429_is_sent_again_after_what_the_server_asks(clock):
    limit = Limit()
    _, sent, slept = post(clock, answer(429, {}, Retry_After="8"), answer(200, INLINE), limit=limit)
    assert len(sent) == 2
    assert slept == [8.0]
    assert (limit.held, limit.granted) == (8.0, 2)


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


def test_the_rate_limit_is_waited_for(clock):
    assert post(clock, answer(200, INLINE), limit=Limit(2.5))[2] == [2.5]


def test_nothing_is_sent_when_the_rate_limit_leaves_no_time(clock):
    with pytest.raises(APITimeoutError, match="nothing was sent") as caught:
        post(clock, limit=Limit(10), deadline=5)
    assert caught.value.sent == []


def test_nothing_is_sent_with_a_deadline_of_zero(clock):
    with pytest.raises(APITimeoutError) as caught:
        post(clock, deadline=0)
    assert caught.value.sent == []


# ---- polling ----


def see(clock, reply, limit=None, poll_url=None):
    session = make_session(limit)
    return play(poll(session, "img_1", poll_url, session.deadline(100)), clock, reply)


def test_a_poll_goes_to_the_documented_path(clock):
    result, (request,), _ = see(clock, answer(200, TASK))
    assert isinstance(result, Answer)
    assert (request.method, request.url) == ("GET", "https://api.example.test/v1/images/generations/img_1")
    assert (request.kind, request.within) == ("poll", 30)


@pytest.mark.parametrize(
    "reply",
    [LOST, UNSENT, answer(429, {}), answer(408, {}), answer(425, {}), answer(499, b""), answer(500, {}),
     answer(502, b"<html>"), answer(520, b""), answer(200, b"{"), answer(200, b""), answer(200, [1]), answer(404, {}),
     # What stands between us and the API, and not the API: a portal, a challenge, a proxy's own error.
     answer(200, b"<html>Sign in</html>"), answer(302, b"<html>", Location="http://portal.test/"),
     answer(400, b"<html>"), answer(401, b"<html>"), answer(403, b"<title>Attention</title>"), answer(407, b"<html>")],
)  # fmt: skip
def test_a_poll_that_fails_for_now_is_transient(clock, reply):
    assert isinstance(see(clock, reply)[0], Transient)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientBalanceError),
        (403, PermissionDeniedError),
    ],
)
def test_a_poll_that_the_api_refuses_is_an_error(clock, status, kind):
    with pytest.raises(kind):
        see(clock, answer(status, {"error": {"message": "No."}}))


def test_a_poll_that_is_redirected_is_an_error(clock):
    with pytest.raises(ResponseError, match="redirect"):
        see(clock, answer(302, b""))


def test_a_429_to_a_poll_holds_what_shares_the_rate_limit(clock):
    limit = Limit()
    assert see(clock, answer(429, {}, Retry_After="7"), limit)[0].retry_after == 7.0
    assert limit.held == 7.0


# ---- addresses ----

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


@pytest.mark.parametrize("answer_", [
    {"task_id": "t", "status": "pending"}, {"id": "t", "status": "pending"}, {"id": "t", "poll_url": "/v1/tasks/t"},
    {"poll_url": "/v1/tasks/t?view=full"},
])  # fmt: skip
def test_what_is_a_task(answer_):
    assert read_answer(answer(200, answer_)).task_id == "t"


@pytest.mark.parametrize("body", [
    {"id": "req_1"}, {"id": "req_1", "error": {"message": "no"}}, {"id": "req_1", "status": "x", "error": "no"},
    {"task_id": "a\nb", "status": "pending"}, {"task_id": "x" * 2000}, {"task_id": True, "status": "pending"},
    {"task_id": 10**400, "status": "pending"}, {"task_id": " ", "status": "pending"}, {"task_id": ["t"]},
    {"id": "..", "status": "pending"},
])  # fmt: skip
def test_what_is_none(body):
    """An id that cannot be written to a file and a command and read again is none: it could not be resumed with."""
    found = read_answer(answer(200, body))
    assert found is None or found.task_id is None


def test_an_answer_with_images_is_one_though_its_id_is_none():
    found = read_answer(answer(200, {"task_id": "a\nb", "data": [{"url": "https://i/1.png"}]}))
    assert (found.task_id, len(found.images)) == (None, 1)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/files/a.png", "https://h.test/files/a.png"),
        ("files/a.png", "https://h.test/files/a.png"),
        ("//cdn.test/a.png", "https://cdn.test/a.png"),
        (" https://cdn.test/a.png\n", "https://cdn.test/a.png"),
        ("https://cdn.test/a%2Fb.png?x=%20", "https://cdn.test/a%2Fb.png?x=%20"),
        ("data:image/png;base64,aGk=", None),
        ("ftp://h.test/a.png", None),
        ("https://h.test/" + "x" * 9000, None),
    ],
)
def test_addresses_of_an_answer_are_relative_to_the_api(given, found):
    assert absolute(H, given) == found


def test_a_judgement_is_made_from_the_reply_alone():
    """The table of all outcomes is in outcomes.py; here, that each kind carries what its caller needs."""
    accepted = judge(answer(200, TASK), WALL)
    assert isinstance(accepted, Accepted)
    assert accepted.answer.task_id == "img_0f9a12bc34de"
    later = judge(answer(429, {}, Retry_After="8"), WALL)
    assert isinstance(later, TryLater)
    assert later.wait == 8.0
    assert [judge(answer(status, {}), WALL).scope for status in (400, 401, 402, 302)] == [
        "request", "account", "account", "account",
    ]  # fmt: skip
    assert isinstance(judge(answer(400, {}), WALL), Rejected)
    assert isinstance(judge(LOST, WALL), Unknown)
    assert isinstance(judge(UNSENT, WALL), TryLater)
    assert judge(UNSENT, WALL).wait is None


@pytest.mark.parametrize(
    ("said", "is_money"),
    [
        ({"code": "insufficient_balance"}, True),
        ({"code": "quota_exceeded"}, True),
        ({"message": "Insufficient funds: top up"}, True),
        ({"message": "insufficient quota"}, True),
        ({"code": "rate_limit_exceeded"}, False),
        ({"message": "insufficient permissions"}, False),
        ({"code": ["insufficient_balance"]}, False),
        ({"message": "No."}, False),
    ],
)
def test_money_is_told_from_a_rate_limit(said, is_money):
    error = judge(answer(429, {"error": said}), WALL).error
    assert type(error) is (InsufficientBalanceError if is_money else RateLimitError)


def test_advice_is_given_where_it_fits():
    def told(status, body):
        return str(judge(answer(status, body), WALL).error)

    assert "This key may not do that" in told(403, {"error": {"message": "No."}})
    assert "This key may not do that" not in told(403, b"<title>Forbidden by proxy</title>")
    assert "Check the network, the proxy and base_url" in told(403, b"<title>Forbidden by proxy</title>")
    assert "Check LEMONDATA_API_KEY" not in told(401, {"error": {"message": "No.", "hint": "Renew it"}})
    assert told(401, {"error": {"message": "No."}}) == "HTTP 401: No. Check LEMONDATA_API_KEY."
    of_the_account = status_error(answer(401, {"error": {"message": "No."}}), None, "LEMONDATA_MANAGEMENT_TOKEN")
    assert str(of_the_account) == "HTTP 401: No. Check LEMONDATA_MANAGEMENT_TOKEN."


@pytest.mark.parametrize("code", ["content_policy_violation", "moderation_blocked"])
def test_a_prompt_that_is_not_let_through_is_an_error_of_its_own(clock, code):
    with pytest.raises(ModerationError) as refused:
        post(clock, answer(400, {"error": {"code": code, "message": "Your prompt was flagged."}}))
    assert isinstance(refused.value, BadRequestError)
    failed = {"task_id": "t", "status": "failed", "error": {"code": code, "message": "Your prompt was flagged."}}
    assert read_answer(answer(200, failed)).is_moderated
    assert not read_answer(answer(200, {**failed, "error": "the server failed"})).is_moderated


def test_an_answer_for_which_there_is_no_memory_was_taken_all_the_same(monkeypatch):
    def exhausted(*args):
        raise MemoryError

    monkeypatch.setattr("lemon_ext._response.json.loads", exhausted)
    outcome = judge(answer(200, TASK), WALL)
    assert isinstance(outcome, Unknown)
    assert outcome.error.response.body == json.dumps(TASK).encode()
