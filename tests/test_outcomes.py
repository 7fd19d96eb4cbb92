"""Every way in which the billable POST can end, to a single call and to a batch: both are told the same."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter

import httpx
import pytest

from lemon_ext import arun_batch, run_batch
from lemon_ext.batch.submissions import RESENDS
from lemon_ext.cli._errors import exit_code
from lemon_ext.errors import InsufficientBalanceError, LemonError, ResponseError, ServerError
from tests.outcomes import CASES, IMAGE, INLINE, PAGE, PIXEL, UNCERTAIN, UNREADABLE

COMPLETED = {"task_id": "img_1", "status": "completed", "data": [IMAGE]}
RETRIES = 2


def serve(case):
    """A server that answers every POST in the same way, and completes whatever is polled."""

    def handler(request):
        if request.method == "POST":
            return case(request)
        if request.url.host == "img.example.net":
            return httpx.Response(200, content=base64.b64decode(PIXEL))
        return httpx.Response(200, json=COMPLETED)

    return handler


def single(colour, case):
    """Return what a single call comes to: error, exit code, and how many POSTs there were."""
    colour.requests.clear()
    lemon = colour.client(serve(case), max_retries=RETRIES, validation="off")
    try:
        colour.call(lemon.images.generate, "a white cat", model="midjourney")
        error = None
    except LemonError as exc:
        error = exc
    posts = sum(request.method == "POST" for request in colour.requests)
    return error, 0 if error is None else exit_code(error), posts


_ended = {}


@pytest.fixture
def ends(colour, request):
    """Every case with what a single call came to: the calls are made once for each colour."""
    name = request.node.callspec.params["colour"]
    if name not in _ended:
        _ended[name] = [(case, *single(colour, case)) for case in CASES]
    return _ended[name]


def test_there_is_one_table():
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_single_call_ends_as_the_table_says(ends):
    assert [(case.name, error and type(error), code, posts) for case, error, code, posts in ends] == [
        (case.name, case.end.error, case.end.exit_code, 1 + RETRIES if case.end.again else 1) for case in CASES
    ]


def test_what_the_server_said_is_told_whatever_became_of_the_request(ends):
    for case, error, *_ in ends:
        if isinstance(case.reply, Exception) or case.end.error in (None, ResponseError):
            continue
        status, raw, _ = case.reply
        said = {PAGE: "Attention Required! | Cloudflare", b"ok": "ok", b"error code: 520": "error code: 520"}.get(raw)
        if said is None and raw.startswith(b'{"error": {'):
            said = json.loads(raw)["error"]["message"]
        assert said is None or said in str(error), (case.name, str(error))
        assert status == 200 or str(status) in str(error), case.name


def test_who_may_have_been_billed_is_told_so_and_nobody_else(ends):
    for case, error, *_ in ends:
        uncertain = case.end in (UNCERTAIN, UNREADABLE)
        assert ("billed" in str(error)) == ("look at your account" in str(error)) == uncertain, case.name


def test_what_could_not_be_read_is_kept_whole(ends):
    bodies = [(case.name, error.body == case.reply[1]) for case, error, *_ in ends if case.end is UNREADABLE]
    assert bodies == [(name, True) for name, _ in bodies]
    assert len(bodies) > 15


# ---- the same to a batch ----


def batched(colour, cases, folder):
    """Send a row for each case, one after the other, and one that goes well after each.

    Returns for each case the row's status, error and number of POSTs, and how many of the others were sent.
    """
    posts = Counter()

    def handler(request):
        if request.method != "POST":
            return serve(None)(request)
        prompt = json.loads(request.content)["prompt"]
        posts[prompt] += 1
        return cases[int(prompt)](request) if prompt.isdecimal() else httpx.Response(200, json=INLINE)

    rows = [
        {"prompt": prompt, "model": "midjourney"} for number in range(len(cases)) for prompt in (f"{number}", "spacer")
    ]
    run = run_batch if colour.blocking else arun_batch
    options = {"concurrency": 1, "gallery": False, "give_up_after": 0}
    list(colour.call(run, rows, folder, client=colour.client(handler), **options))
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    told = []
    for number, row in enumerate(json.loads(line) for line in lines[::2]):
        waits = row["status"] == "waiting" and row["task_id"] is None  # told as a row that waits for another run
        told.append(("unsent" if waits else row["status"], row["error"] or {}, posts[f"{number}"]))
    return told, posts["spacer"]


def compare(ends, told):
    """A row has the same error as a call, in the same words (but for its folder), and is paid or not alike."""
    assert [
        (case.name, status, error.get("type"), posts)
        for (case, *_), (status, error, posts) in zip(ends, told, strict=True)
    ] == [(case.name, case.end.row, error and type(error).__name__, tries(case)) for case, error, *_ in ends]
    for (case, error, *_), (_, row_error, _) in zip(ends, told, strict=True):
        told_of_row = row_error.get("message") and re.sub(
            r"The answer is kept in \S+-reply\.\w+\.$", BODY, row_error["message"]
        )
        of_a_call = str(error).replace("`lemon reconcile`", "`lemon reconcile DIR`")
        of_a_call = of_a_call.replace("reconcile()", "reconcile(folder)")
        assert told_of_row == (error and of_a_call), case.name
        assert row_error.get("status_code") == getattr(error, "status_code", None), case.name


def tries(case):
    """How often a batch sends such a row. Where nobody answers, it is sent until the batch gives up: here at once."""
    return 2 if outlasted(case) else 1 + RESENDS if case.end.again else 1


def outlasted(case):
    """Whether it shows that the API does not answer, and nothing was accepted."""
    if case.end.row != "unsent" or case.end.error is InsufficientBalanceError:
        return False
    return isinstance(case.reply, Exception) or case.reply[1] == PAGE or (case.reply[0] == 503 and not case.reply[1])


#: A batch keeps it in a file, and names that.
BODY = "The answer is in .body."


def stops(case):
    """Whether a batch sends nothing more: the account is refused, or the API cannot be reached or is too busy."""
    return case.end.stops or outlasted(case) or (case.end.again and case.end.error is not ServerError)


@pytest.mark.parametrize("colour", ["blocking", "asyncio", pytest.param("trio", marks=pytest.mark.slow)], indirect=True)
def test_a_batch_ends_as_the_same_table_says(colour, ends, tmp_path):
    ends = [end for end in ends if not stops(end[0])]
    told, others = batched(colour, [case for case, *_ in ends], tmp_path)
    compare(ends, told)
    assert others == len(ends)


@pytest.mark.parametrize("colour", ["asyncio"], indirect=True)
def test_what_holds_for_every_row_stops_a_batch_and_leaves_the_row_to_another_run(colour, ends, tmp_path):
    ends = [end for end in ends if stops(end[0])]
    assert len(ends) > 20
    for number, end in enumerate(ends):
        told, others = batched(colour, [end[0]], tmp_path / f"{number}")
        compare([end], told)
        assert others == 0 or not end[0].end.stops, end[0].name


@pytest.mark.parametrize("stamp", ["1800000000", "99999999999999999999"])
def test_an_epoch_in_retry_after_ends_a_call_at_its_deadline_and_the_client_goes_on(colour, stamp):
    """Seen on gateways that put the moment there, not the seconds: it would be 57 years."""
    replies = iter([httpx.Response(429, json={}, headers={"Retry-After": stamp})])
    lemon = colour.client(lambda _: next(replies, httpx.Response(200, json={"data": [IMAGE]})))
    with pytest.raises(LemonError, match="asks to wait"):
        colour.call(lemon.images.generate, "a white cat")
    colour.clock.now += 901.0
    assert len(colour.call(lemon.images.generate, "a white cat")) == 1
