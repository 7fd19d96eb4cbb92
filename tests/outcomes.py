"""The ways in which the billable POST can end, as they come over HTTP, and what each means. One table for all callers.

The statuses and envelopes are those of the vendor's error pages, of OpenAI, New API and One API gateways, of
frameworks behind them (FastAPI, Django, Spring), and of what stands before them (nginx, Cloudflare, corporate proxies).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import httpx

from lemon_ext import errors


class End(NamedTuple):
    """How a submission ends: the error of a single call, its exit code, and the row of a batch."""

    error: type[Exception] | None
    exit_code: int
    row: str
    #: Whether it holds for all that this account sends from here: a batch stops sending.
    stops: bool = False
    #: Whether it is sent again, as often as ``max_retries`` allows.
    again: bool = False


class Case(NamedTuple):
    name: str
    #: What comes back: a status, a body and headers; or what the transport raises.
    reply: tuple[int, bytes, dict[str, str]] | Exception
    end: End

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.reply, Exception):
            raise self.reply
        status, body, headers = self.reply
        return httpx.Response(status, content=body, headers=headers)


def refused(error: type[Exception]) -> End:
    return End(error, 3, "refused")


def account(error: type[Exception]) -> End:
    return End(error, 3, "unsent", stops=True)


def later(error: type[Exception]) -> End:
    return End(error, 3, "unsent", again=True)


DONE = End(None, 0, "saved")
FAILED = End(errors.TaskFailedError, 4, "failed")
UNCERTAIN = End(errors.SubmissionUncertainError, 6, "uncertain")
UNREADABLE = End(errors.UnreadableSubmissionError, 6, "uncertain")

#: A whole PNG of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
IMAGE = {"url": "https://img.example.net/a1.png", "revised_prompt": "a fluffy white cat"}
INLINE = {"created": 1706000000, "data": [IMAGE]}
TASK = {"created": 1706000000, "task_id": "img_1", "status": "pending", "data": [{"url": "", "revised_prompt": "x"}]}
BAD = {"error": {"message": "The size is not supported.", "type": "invalid_request_error", "code": "invalid_size"}}
PAGE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>Checking</body></html>"
HTML = {"content-type": "text/html; charset=utf-8"}


def answers(*cases: tuple[str, int, object, End] | tuple[str, int, object, End, dict[str, str]]) -> list[Case]:
    found = []
    for name, status, body, end, *more in cases:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers: dict[str, str] = {"content-type": "application/json", **(more[0] if more else {})}
        found.append(Case(name, (status, raw, headers), end))
    return found


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": "No.", **fields}}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"x": [value]}
    return value


CASES = [
    # Taken: images, or a task.
    *answers(
        ("images", 200, INLINE, DONE),
        ("images, 201", 201, INLINE, DONE),
        ("images, no content type", 200, INLINE, DONE, {"content-type": ""}),
        ("images, and a status nobody knows", 200, {**INLINE, "status": "ok"}, DONE),
        ("images that are data", 200, {"data": [{"b64_json": PIXEL}]}, DONE),
        ("a task", 200, TASK, DONE),
        ("a task, 202", 202, TASK, DONE),
        ("a task beside an error field that is null", 200, {**TASK, "error": None}, DONE),
        ("a task by id and status", 200, {"id": "img_1", "status": "queued"}, DONE),
        ("a task by its address", 200, {"poll_url": "/v1/images/generations/img_1", "status": "pending"}, DONE),
        ("a task whose id is a number", 200, {**TASK, "task_id": 12345}, DONE),
        ("a task that has failed", 200, {**TASK, "status": "failed", "error": "policy"}, FAILED),
        ("a failure without an id", 200, {"status": "failed", "error": "content policy"}, FAILED),
    ),
    # Taken, in words that cannot be understood.
    *answers(
        ("nothing", 200, b"", UNREADABLE),
        ("204", 204, b"", UNREADABLE),
        ("an empty object", 200, {}, UNREADABLE),
        ("no images", 200, {"created": 1, "data": []}, UNREADABLE),
        ("an image without an address", 200, {"data": [{"url": ""}]}, UNREADABLE),
        ("an image that is no object", 200, {"data": ["https://img.example.net/a1.png"]}, UNREADABLE),
        ("a list", 200, [], UNREADABLE),
        ("text", 200, b"ok", UNREADABLE, {"content-type": "text/plain"}),
        ("half of an answer", 200, b'{"data": [{"url": "https://img', UNREADABLE),
        ("a page with 200", 200, PAGE, UNREADABLE, HTML),
        ("an error with 200", 200, BAD, UNREADABLE),
        ("a failure that New API reports with 200", 200, {"success": False, "message": "no channel"}, UNREADABLE),
        ("the id of a request beside an error", 200, {"id": "req_1", "status": "error?", **BAD}, UNREADABLE),
        ("the id of a request alone", 200, {"id": "req_1"}, UNREADABLE),
        ("a status without an id", 200, {"status": "processing"}, UNREADABLE),
        ("an id that is no text", 200, {"task_id": {"a": 1}, "status": "pending"}, UNREADABLE),
        ("an id with a line break", 200, {"task_id": "a\nb", "status": "pending"}, UNREADABLE),
        ("an id of 100,000 characters", 200, {"task_id": "x" * 100_000, "status": "pending"}, UNREADABLE),
        ("JSON nested 100,000 deep", 200, b"[" * 100_000, UNREADABLE),
        ("images nested 300 deep", 200, {**INLINE, "x": nested(300)}, UNREADABLE),
        ("a task beside what is nested 80 deep", 200, {**TASK, "x": nested(40)}, DONE),
        ("JSON of a million values", 200, b'{"data": [' + b"[]," * 500_000 + b"[]]}", UNREADABLE),
        ("bytes that are no UTF-8", 200, b'{"task_id": "\xff"', UNREADABLE),
    ),
    # Refused for good: the request.
    *answers(
        ("400", 400, BAD, refused(errors.BadRequestError)),
        ("400 with an empty body", 400, b"", refused(errors.BadRequestError)),
        ("400 with a list", 400, {"errors": [{"msg": "too large", "loc": ["n"]}]}, refused(errors.BadRequestError)),
        ("403 of the API", 403, error(code="model_not_allowed"), refused(errors.PermissionDeniedError)),
        ("404 of the API", 404, error(code="model_not_found"), refused(errors.NotFoundError)),
        ("405", 405, error(), refused(errors.APIStatusError)),
        ("409", 409, error(), refused(errors.ConflictError)),
        ("413", 413, error(), refused(errors.PayloadTooLargeError)),
        ("415", 415, error(), refused(errors.APIStatusError)),
        (
            "422",
            422,
            {"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]},
            refused(errors.UnprocessableEntityError),
        ),
        ("425", 425, error(), refused(errors.APIStatusError)),
        ("451", 451, error(), refused(errors.APIStatusError)),
        ("503 that says never", 503, error(retryable=False), refused(errors.ServerError)),
        ("503 that says never, and when", 503, error(retryable=False, retry_after=3), refused(errors.ServerError)),
    ),
    # Refused for good: whatever this account sends from here.
    *answers(
        ("401", 401, error(code="invalid_api_key"), account(errors.AuthenticationError)),
        ("401 with a page", 401, PAGE, account(errors.AuthenticationError), HTML),
        ("402", 402, error(), account(errors.InsufficientBalanceError)),
        ("402 with nothing", 402, b"", account(errors.InsufficientBalanceError)),
        ("400 of a limit", 400, error(code="billing_hard_limit_reached"), account(errors.InsufficientBalanceError)),
        ("403 of a quota", 403, error(code="insufficient_user_quota"), account(errors.InsufficientBalanceError)),
        ("403 of a quota, as a type", 403, error(type="insufficient_quota"), account(errors.InsufficientBalanceError)),
        ("429 of a quota", 429, error(code="insufficient_quota"), account(errors.InsufficientBalanceError)),
        ("429 of a quota, and when", 429, error(code="quota_exceeded"), account(errors.InsufficientBalanceError),
         {"Retry-After": "1"}),
        ("500 of a balance", 500, error(code="insufficient_balance"), account(errors.InsufficientBalanceError)),
        ("400 in words", 400, {"error": "Insufficient credits"}, account(errors.InsufficientBalanceError)),
        ("403 with a page", 403, PAGE, account(errors.PermissionDeniedError), HTML),
        ("404 with a page", 404, PAGE, account(errors.NotFoundError), HTML),
        ("407 of a proxy", 407, PAGE, account(errors.APIStatusError), HTML),
        ("301", 301, b"", account(errors.ResponseError), {"Location": "https://elsewhere.test/"}),
        ("302 of a portal", 302, PAGE, account(errors.ResponseError), {"Location": "http://portal.test/login", **HTML}),
        ("304", 304, b"", account(errors.ResponseError)),
        ("307", 307, b"", account(errors.ResponseError), {"Location": "https://elsewhere.test/"}),
        ("308", 308, b"", account(errors.ResponseError), {"Location": "/v1/images/generations/"}),
    ),
    # Not taken, and another try may be.
    *answers(
        ("429", 429, error(code="rate_limit_exceeded"), later(errors.RateLimitError)),
        ("429 with a page", 429, PAGE, later(errors.RateLimitError), HTML),
        ("429 and when", 429, error(), later(errors.RateLimitError), {"Retry-After": "2"}),
        ("429 and now", 429, error(), later(errors.RateLimitError), {"Retry-After": "0"}),
        ("503 that says again", 503, error(retryable=True), later(errors.ServerError)),
        ("503 that says again, and when", 503, error(retryable=True, retry_after=3), later(errors.ServerError)),
        ("503 and when", 503, b"", later(errors.ServerError), {"Retry-After": "2"}),
        ("503 with a page, and when", 503, PAGE, later(errors.ServerError), {"Retry-After": "2", **HTML}),
    ),
    # Nobody knows.
    *answers(
        ("303", 303, b"", UNCERTAIN, {"Location": "/v1/images/generations/img_1"}),
        ("408", 408, error(), UNCERTAIN),
        ("499", 499, b"", UNCERTAIN),
        ("500", 500, error(), UNCERTAIN),
        ("500 that says again", 500, error(retryable=True), UNCERTAIN),
        ("501", 501, error(), UNCERTAIN),
        ("502 with a page", 502, PAGE, UNCERTAIN, HTML),
        ("502 and when", 502, b"", UNCERTAIN, {"Retry-After": "2"}),
        ("503", 503, error(), UNCERTAIN),
        ("503 with a page", 503, PAGE, UNCERTAIN, HTML),
        ("504", 504, b"", UNCERTAIN),
        ("520", 520, b"error code: 520", UNCERTAIN, {"content-type": "text/plain"}),
        ("524", 524, PAGE, UNCERTAIN, HTML),
    ),
    # No answer.
    Case("no connection", httpx.ConnectError("refused"), later(errors.APIConnectionError)),
    Case("no connection in time", httpx.ConnectTimeout("timed out"), later(errors.APITimeoutError)),
    Case("no turn in time", httpx.PoolTimeout("timed out"), later(errors.APITimeoutError)),
    Case("no way through the proxy", httpx.ProxyError("403 Forbidden"), later(errors.APIConnectionError)),
    Case("no answer in time", httpx.ReadTimeout("timed out"), UNCERTAIN),
    Case("not written in time", httpx.WriteTimeout("timed out"), UNCERTAIN),
    Case("reset while reading", httpx.ReadError("reset"), UNCERTAIN),
    Case("reset while writing", httpx.WriteError("broken pipe"), UNCERTAIN),
    Case("hung up", httpx.RemoteProtocolError("Server disconnected without sending a response."), UNCERTAIN),
    Case("an answer that cannot be unpacked", httpx.DecodingError("incorrect header check"), UNCERTAIN),
    Case("out of memory", MemoryError(), UNCERTAIN),
    Case("a bug in a transport", ValueError("bug"), UNCERTAIN),
]  # fmt: skip
