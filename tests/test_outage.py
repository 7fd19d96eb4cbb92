"""An API that cannot be reached, or a proxy that answers for it: a batch outlasts it, and nothing is paid twice."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque

import anyio
import httpx
import pytest

from lemon_ext import AsyncLemon, arun_batch, run_batch
from lemon_ext._duration import as_seconds, roughly, written
from lemon_ext.batch import batch_status, contact
from lemon_ext.batch.options import Options
from lemon_ext.batch.outage import ALONE, LONGEST_WAIT, UNPROVEN, Reach
from lemon_ext.cli._words import at_work, unreachable
from tests.conftest import KEY
from tests.gateway import Gateway, results, rows, statuses

HOUR = 3600.0
#: An outage that no wait of a single request outlasts. Each try of its thirty is a write to the journal.
LONG = HOUR / 4
PAGE = "<html><head><title>Just a moment...</title></head></html>"
REFUSED = httpx.ConnectError("connection refused")
NO_NAME = httpx.ConnectError("[Errno -2] Name or service not known")


class Seen(list):
    """Keeps every progress. ``outages`` are the longest of each outage that was shown."""

    def __call__(self, progress):
        self.append(progress)

    @property
    def outages(self):
        found, last = [], None
        for progress in self:
            if progress.outage is not None:
                found = [*(found if last is None else found[:-1]), progress.outage]
            last = progress.outage
        return found

    @property
    def stopped(self):
        return self[-1].stopped


def go(gateway, requests, folder, seen=None, **options):
    """Run a batch at 60 requests a minute, so that it takes a while on the gateway's clock."""
    client = options.pop("client", None) or gateway.client(requests_per_minute=60)
    return list(run_batch(requests, folder, client=client, on_progress=seen, gallery=False, **options))


@pytest.mark.parametrize(
    ("how", "lost", "seconds"),
    [
        pytest.param(REFUSED, 0, 28.0, id="refused, 28 s"),
        pytest.param(REFUSED, 0, LONG, id="refused"),
        pytest.param(NO_NAME, 0, LONG, id="dns", marks=pytest.mark.slow),
        pytest.param(httpx.ConnectTimeout("timed out"), 0, 28.0, id="no connection in time"),
        pytest.param((403, PAGE), 0, LONG, id="challenge"),
        pytest.param((429, PAGE), 0, 28.0, id="challenge with 429", marks=pytest.mark.slow),
        pytest.param((502, PAGE), 1, LONG, id="502"),
        pytest.param((520, "error code: 520"), 1, 28.0, id="520 in plain text", marks=pytest.mark.slow),
        pytest.param((200, PAGE), 1, 28.0, id="portal", marks=pytest.mark.slow),
        pytest.param("lost", 1, 28.0, id="lost, 28 s", marks=pytest.mark.slow),
        pytest.param("lost", 1, LONG, id="lost"),
    ],
)
def test_a_batch_outlasts_what_is_no_answer(tmp_path, how, lost, seconds):
    """Tasks take 200 s, and the outage begins in the middle of the sending."""
    gateway, seen = Gateway(seconds=200.0), Seen()
    gateway.drop = (10, seconds, how)
    go(gateway, rows(40), tmp_path, seen, concurrency=1)
    ends = list(statuses(results(tmp_path)).values())
    assert ends.count("uncertain") <= lost
    assert ends.count("saved") == 40 - ends.count("uncertain")
    assert set(gateway.charges.values()) == {1}
    assert seen.stopped is None
    if seconds < 60:  # this clock jumps: a short one may have passed before anything was sent again
        return
    (outage,) = seen.outages
    assert 0.9 * seconds - LONGEST_WAIT <= outage.seconds <= seconds + LONGEST_WAIT
    assert outage.next_try <= LONGEST_WAIT


def test_many_submissions_under_way_are_lost_once_and_no_more_are_sent(tmp_path):
    """Twenty are in flight when the answers are lost. Without a pause all rows would be in doubt."""
    gateway, seen = Gateway(), Seen()
    waiting = []

    async def crowd(request):
        waiting.extend([request] * (request.method == "POST"))
        if request.method == "POST" and 1 < len(waiting) <= 21:  # the first is answered
            await anyio.sleep(0.05)
            gateway(request)  # it is charged
            gateway.outages = (
                [(gateway.clock(), gateway.clock() + HOUR, "lost")] if not gateway.outages else gateway.outages
            )
            raise httpx.ReadTimeout("nothing came")
        return gateway(request)

    client = gateway.client()
    client._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(crowd))
    go(gateway, rows(100), tmp_path, seen, client=client, concurrency=20)
    ends = list(statuses(results(tmp_path)).values())
    assert 20 <= ends.count("uncertain") <= 21
    assert ends.count("saved") == 100 - ends.count("uncertain")
    assert set(gateway.charges.values()) == {1}


def test_who_looks_at_the_batch_meanwhile_sees_the_outage(tmp_path):
    """It is in the folder, with no rate that nobody keeps, and gone when it is over."""
    gateway, told = Gateway(seconds=200.0), []
    gateway.drop = (10, LONG, NO_NAME)

    def see(progress):
        if progress.outage is not None and len(told) < 400:
            told.append(batch_status(tmp_path))

    go(gateway, rows(20), tmp_path, see)
    shown = [status for status in told if status.outage is not None]
    assert len(shown) > 10
    for status in shown:
        assert (status.working, status.per_minute, status.left_seconds) == (True, 0.0, None)
        assert "Name or service not known" in status.outage.reason
    assert shown[-1].outage.seconds > shown[0].outage.seconds
    assert "API unreachable for" in at_work(shown[-1])
    after = batch_status(tmp_path)
    assert (after.outage, after.saved) == (None, 20)


def test_an_outage_that_lasts_longer_ends_the_batch_and_leaves_all_to_another_run(tmp_path):
    gateway, seen = Gateway(seconds=200.0), Seen()
    gateway.drop = (10, math.inf, NO_NAME)
    go(gateway, rows(40), tmp_path, seen, give_up_after="20m")
    assert seen.stopped == f"the API could not be reached for 20 min (ConnectError: {NO_NAME})"
    assert HOUR / 3 - LONGEST_WAIT <= seen.outages[-1].seconds <= HOUR / 3 + LONGEST_WAIT
    before = batch_status(tmp_path)
    assert (before.uncertain, before.failed) == (0, 0)
    assert before.unsent + before.waiting + before.saved == 40
    assert before.waiting + before.saved >= 9
    gateway.outages.clear()
    go(gateway, None, tmp_path)
    assert batch_status(tmp_path).saved == 40
    assert set(gateway.charges.values()) == {1}


def test_the_deadline_of_a_task_does_not_run_while_the_api_cannot_be_reached(tmp_path):
    gateway = Gateway(seconds=200.0)
    gateway.drop = (19, LONG, REFUSED)
    outcomes = go(gateway, rows(20), tmp_path, deadline=300)
    assert set(statuses(outcomes).values()) == {"saved"}


def test_a_task_that_alone_cannot_be_polled_is_left_to_another_run_at_its_deadline(tmp_path, monkeypatch):
    """Polls of it are answered with a proxy's page, and everything else is answered."""
    gateway, seen = Gateway(), Seen()
    state = gateway._state

    def broken(request):
        return httpx.Response(502, content=PAGE) if request.url.path.endswith("/img_2") else state(request)

    monkeypatch.setattr(gateway, "_state", broken)
    outcomes = go(gateway, rows(3), tmp_path, seen)
    assert statuses(outcomes) == {1: "saved", 2: "waiting", 3: "saved"}
    assert seen.outages == []
    assert 1590 <= gateway.clock() < 1700


@pytest.mark.parametrize("seconds", [28.0, LONG])
def test_a_drop_while_only_pictures_are_left(tmp_path, seconds):
    gateway, seen = Gateway(), Seen()
    gateway.network = True
    begun = []

    def drop(request):
        if request.url.host == "img.example.net" and not begun:
            begun.append(gateway.clock())
            gateway.outages = [(gateway.clock(), gateway.clock() + seconds, REFUSED)]
        return gateway(request)

    client = gateway.client()
    client._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(drop))
    outcomes = go(gateway, rows(4, model="dall-e-3", n=2), tmp_path, seen, client=client)
    assert set(statuses(outcomes).values()) == {"saved"}
    assert batch_status(tmp_path).images == 8
    assert len(gateway.posts) <= 4 + 1
    assert set(gateway.charges.values()) == {1}
    assert len(seen.outages) == 1 or seconds < 60  # a short one is outlasted by the download itself


def test_a_picture_that_only_its_host_does_not_give_is_left_to_another_run(tmp_path):
    gateway, seen = Gateway(), Seen()
    gateway.pictures["i1-0.png"] = gateway.pictures["img_1-0.png"] = deque([503] * 999)
    outcomes = go(gateway, rows(2), tmp_path, seen)
    assert sorted(statuses(outcomes).values()) == ["saved", "unfetched"]
    assert seen.outages == []


def test_a_proxy_that_lets_free_requests_pass_and_no_submission_is_outlasted_too(tmp_path):
    """The challenge of a firewall that stands before the POST alone: probes are answered, submissions are not."""
    gateway, seen = Gateway(), Seen()
    create, until = gateway._create, 1000.0 + HOUR

    def challenged(asked):
        if gateway.clock() < until:
            gateway.posts.append(asked["prompt"])
            return httpx.Response(403, content=PAGE, headers={"content-type": "text/html"})
        return create(asked)

    gateway._create = challenged
    go(gateway, rows(40), tmp_path, seen, concurrency=8)
    assert batch_status(tmp_path).saved == 40
    assert 8 + HOUR / LONGEST_WAIT / 2 < len(gateway.posts) - 40 < 20 + 2 * HOUR / LONGEST_WAIT
    assert seen.outages[-1].seconds > HOUR - 4 * LONGEST_WAIT
    assert seen[-1].outage is None


def test_answers_that_are_lost_while_free_requests_are_answered_end_the_sending_after_five(tmp_path):
    gateway, seen = Gateway(), Seen()
    for number in range(1, 30):
        gateway.expect(f"cat {number}", "lost")
    go(gateway, rows(29), tmp_path, seen, concurrency=1)
    assert seen.stopped == "5 submissions in a row were sent and their answers lost"
    assert len(gateway.posts) == 5


@pytest.mark.parametrize("concurrency", [64, 2, 1])
@pytest.mark.parametrize("how", ["lost", (502, PAGE)], ids=["lost", "502"])
@pytest.mark.parametrize("blocking", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["async", "blocking"])
def test_a_run_whose_submissions_alone_are_lost_from_the_start_costs_five_rows(tmp_path, how, concurrency, blocking):
    """Every free request is answered, so it is no outage: what is let go then would be lost, too."""
    gateway, seen = Gateway(), Seen()
    client = gateway.client(blocking=blocking)
    if blocking:
        gateway.client()  # its clock rules
    gateway._create = lambda asked: gateway._outage(httpx.Request("POST", "https://x.test", json=asked), how)
    go(gateway, rows(300), tmp_path, seen, client=client, concurrency=concurrency)
    assert (len(gateway.posts), batch_status(tmp_path).uncertain) == (5, 5)
    assert seen.stopped == "5 submissions in a row were sent and their answers lost"


def test_submissions_that_take_long_to_be_lost_from_the_start_are_as_few(tmp_path):
    """The API is asked while the first is in flight, and answers: that says nothing of submissions."""
    gateway, seen = Gateway(), Seen()

    async def slow(request):
        if request.method == "POST":
            await anyio.sleep(0.05)  # all that are let go are in flight together
            return gateway._outage(request, "lost")
        return gateway(request)

    client = gateway.client()
    client._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    go(gateway, rows(300), tmp_path, seen, client=client)
    assert (len(gateway.posts), batch_status(tmp_path).uncertain) == (5, 5)


@pytest.mark.parametrize("limit", [{"max_images": 10}, {"budget": "0.40"}], ids=["images", "budget"])
@pytest.mark.parametrize("fault", ["outage", "429", "400"])
@pytest.mark.parametrize("colour", ["async", pytest.param("blocking", marks=pytest.mark.slow)])
def test_a_limit_is_met_by_what_is_spent_and_not_by_what_comes_back(tmp_path, limit, fault, colour):
    """All the room is in flight when the rows are refused. They give it back, and the batch goes on up to the limit."""
    gateway, seen = Gateway(), Seen()
    client = gateway.client(blocking=colour == "blocking")
    slow = {"error": {"message": "slow down"}}
    for number in range(4, 8):
        if fault != "outage":
            gateway.expect(f"cat {number}", (int(fault), slow, ("Retry-After", "2")))
    if fault == "outage":
        gateway.drop = (3, 60.0, REFUSED)

    async def crowd(request):
        if request.method == "POST":
            await anyio.sleep(0.02)
        return gateway(request)

    if colour == "async":
        client._core.http.given = httpx.AsyncClient(transport=httpx.MockTransport(crowd))
    else:
        gateway.client()  # its clock rules
    go(gateway, rows(20, model="dall-e-3"), tmp_path, seen, client=client, **limit)
    status = batch_status(tmp_path)
    assert (status.saved, status.unsent, status.refused) == ((10, 6, 4) if fault == "400" else (10, 10, 0))
    assert sum(gateway.charges.values()) == 10
    assert seen[-1].limited
    assert seen.stopped == (
        "the next row would exceed 10 images"
        if "max_images" in limit
        else "the next request costs $0.04, and $0.40 of the budget of $0.40 is spent"
    )


def test_a_connection_that_comes_and_goes(tmp_path):
    """Ten seconds there, ten seconds away, for half an hour."""
    gateway, seen = Gateway(), Seen()
    gateway.outages = [(at, at + 10.0, REFUSED) for at in (1000.0 + 20.0 * n for n in range(90))]
    go(gateway, rows(40), tmp_path, seen)
    assert batch_status(tmp_path).saved == 40
    assert set(gateway.charges.values()) == {1}
    assert seen.stopped is None


def test_probes_are_few_and_free(tmp_path):
    gateway = Gateway()
    gateway.drop = (10, LONG, REFUSED)
    go(gateway, rows(40), tmp_path)
    submitted = len(gateway.posts) - 600
    assert submitted <= 2
    assert gateway.probes < LONG / LONGEST_WAIT * 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_twin(tmp_path, backend):
    gateway = Gateway()
    gateway.drop = (10, LONG, REFUSED)

    async def main():
        client = gateway.client(requests_per_minute=60)
        return [outcome async for outcome in arun_batch(rows(20), tmp_path, client=client, give_up_after="4h")]

    assert set(statuses(anyio.run(main, backend=backend)).values()) == {"saved"}


def test_a_blocking_client_outlasts_it_too(tmp_path):
    gateway, seen = Gateway(seconds=0.0), Seen()
    client = gateway.client(blocking=True)
    gateway.client()  # its clock rules
    gateway.outages = [(1000.0, 1000.0 + LONG, REFUSED)]
    outcomes = go(gateway, rows(5), tmp_path, seen, client=client)
    assert set(statuses(outcomes).values()) == {"saved"}
    assert len(seen.outages) == 1


@pytest.mark.parametrize("phase", ["submissions", "polls", "pictures"])
def test_an_interrupt_while_it_waits_ends_at_once(tmp_path, monkeypatch, phase):
    """With the clock of the world: what is waited for takes hours, and the end takes none."""
    monkeypatch.setattr(contact, "RECENT", 0.0)
    gateway, shown, begun = Gateway(seconds=0.0), threading.Event(), []
    gateway.network = True

    async def drop(request):
        if phase == "submissions" or request.url.host == "img.example.net":
            gateway.outages = [(0.0, math.inf, REFUSED)]
        if phase == "polls" and "/img_" in request.url.path:  # the first fails, and the others hang
            begun.append(request.url)
            await anyio.sleep(0.3 if len(begun) == 1 else 60.0)
            gateway.outages = [(0.0, math.inf, REFUSED)]
        return gateway(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(drop))
    client = AsyncLemon(KEY, base_url="https://api.example.test", http_client=http)

    def interrupt(progress):
        if progress.outage is not None and not shown.is_set():
            shown.set()
            threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()

    model, began = "midjourney" if phase == "polls" else "dall-e-3", time.monotonic()
    options = {"client": client, "on_progress": interrupt, "gallery": False, "poll_interval": 0.1}
    with pytest.raises(KeyboardInterrupt):
        list(run_batch(rows(3, model=model), tmp_path, **options))
    assert time.monotonic() - began < 20
    status = batch_status(tmp_path)
    assert status.open == 3
    assert status.uncertain == 0


# ---- the decision alone ----


def test_a_single_failure_is_no_outage():
    reach = Reach(HOUR, jitter=lambda: 1.0)
    reach.trouble(10.0, 9.0, "reset", hint=None)
    assert (reach.is_open, reach.next_probe, reach.shown(10.0)) == (False, 10.0, None)
    reach.probing(10.0)
    reach.probed(10.5, None, None)
    assert (reach.is_open, reach.is_wary, reach.was_out(0.0)) == (True, False, False)


@pytest.mark.parametrize("what", [{}, {"lost": True}], ids=["not accepted", "lost"])
def test_after_a_submission_that_was_not_answered_the_next_goes_alone_until_one_is(what):
    reach = Reach(HOUR, jitter=lambda: 1.0)
    reach.submission_answered()
    reach.trouble(10.0, 9.0, "reset", hint=None, submission=True, **what)
    reach.probing(10.0)
    reach.probed(10.5, None, None)
    assert (reach.is_open, reach.at_once(64), reach.shown(10.5)) == (True, 1, None)
    reach.submission_answered()
    assert reach.at_once(64) == 64


def test_a_submission_that_is_answered_while_the_api_is_asked_settles_it():
    reach = Reach(HOUR)
    reach.trouble(10.0, 9.0, "reset", hint=None, submission=True, lost=True)
    reach.probing(10.0)
    reach.submission_answered()
    reach.probed(10.5, None, None)
    assert (reach.at_once(64), reach.next_submission) == (64, -math.inf)


def test_few_are_in_flight_until_a_submission_is_answered_whatever_else_is():
    reach = Reach(HOUR)
    reach.answered()
    assert (reach.at_once(64), reach.at_once(2)) == (UNPROVEN, 2)
    reach.probed(10.5, None, None)
    assert reach.at_once(64) == UNPROVEN
    reach.submission_answered()
    assert reach.at_once(64) == 64


def test_the_first_submission_goes_alone_until_something_is_answered():
    """A run that begins while a proxy answers has one row in doubt, not one for each that could be in flight."""
    reach = Reach(HOUR)
    assert not reach.has_to_ask(10.0)
    reach.submitting(10.0)
    assert reach.next_submission == 10.0 + ALONE
    reach.submission_answered()
    assert (reach.next_submission, reach.has_to_ask(10.5)) == (-math.inf, False)


def test_the_api_is_asked_before_the_second_submission_if_the_first_takes_long():
    reach = Reach(HOUR)
    reach.submitting(10.0)
    assert reach.has_to_ask(10.0 + ALONE)
    assert (reach.is_open, reach.next_probe, reach.shown(13.0)) == (False, 13.0, None)
    reach.probing(13.0)
    reach.probed(13.1, None, None)
    assert (reach.is_open, reach.is_wary, reach.has_to_ask(13.1)) == (True, False, False)


def test_a_run_that_begins_in_an_outage_has_one_row_in_doubt_at_most(tmp_path):
    """The answer to the first row takes long, and is none; nothing else is sent meanwhile."""
    gateway = Gateway()
    gateway.outages = [(0.0, math.inf, (502, PAGE))]

    def over(progress):
        if progress.outage is not None and progress.outage.seconds > 1000:
            gateway.outages.clear()

    go(gateway, rows(20), tmp_path, over, client=gateway.client(), give_up_after=math.inf)
    ends = list(statuses(results(tmp_path)).values())
    # None, if the API was asked before the first POST left: the clock of the test goes on while the journal is written.
    assert (ends.count("uncertain"), ends.count("saved")) in ((1, 19), (0, 20))


def test_the_waits_double_up_to_half_a_minute_and_a_hint_counts():
    reach, now, waits = Reach(HOUR, jitter=lambda: 1.0), 0.0, []
    reach.trouble(now, now, "reset", hint=None)
    for hint in (None, None, None, 100.0, None, None, None):
        now = reach.next_probe
        reach.probing(now)
        reach.probed(now, "no route", hint)
        waits.append(reach.next_probe - now)
    assert waits == [1.0, 2.0, 4.0, 100.0, 16.0, 30.0, 30.0]
    assert reach.shown(now).seconds == now
    assert reach.lasted(now) == now


def test_the_sleep_of_a_computer_is_no_outage():
    """Some clocks go on while it sleeps. It wakes after 13 hours, and has tried for a minute."""
    reach = Reach(12 * HOUR, jitter=lambda: 1.0)
    reach.trouble(0.0, 0.0, "reset", hint=None)
    reach.probing(0.0)
    reach.probed(60.0, "no route", None)
    reach.probing(13 * HOUR)
    reach.probed(13 * HOUR, "no route", None)
    assert reach.gave_up is None
    assert reach.shown(13 * HOUR).seconds < 120


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("2 d", 172800), ("45", 45), (45, 45), ("0", 0),
     ("1.5h", 5400), ("30min", 1800), (math.inf, math.inf)],
)  # fmt: skip
def test_durations_as_people_write_them(given, seconds):
    assert as_seconds(given) == seconds
    assert Options(give_up_after=given).give_up_after == seconds


@pytest.mark.parametrize("given", ["", "soon", "8x", "-1", -1, "h", "1h30", math.nan, True, None, "1h 30"])
def test_what_is_no_duration_is_named(given):
    with pytest.raises(ValueError, match="is not a duration: write 90s, 30m, 8h"):
        Options(give_up_after=given)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90, "90s"), (1800, "30m"), (28800, "8h"), (5400, "90m"), (0, "0s"), (0.2, "0.2s"), (1e9, "1000000000s"),
     (math.inf, "inf")],
)  # fmt: skip
def test_a_duration_is_written_as_it_is_read(seconds, text):
    assert written(seconds) == text
    assert as_seconds(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (59.6, "1 min"), (192, "3 min"), (7200, "2 h"), (11_100, "3 h 5 min")],
)
def test_an_outage_is_told_roughly(seconds, said):
    assert roughly(seconds) == said


def test_the_words_of_an_outage():
    reach = Reach(HOUR, jitter=lambda: 1.0)
    reach.trouble(0.0, 0.0, "reset", hint=None)
    reach.probing(0.0)
    reach.probed(10.0, "no route", 160.0)
    reach.probing(170.0)
    reach.probed(180.0, "no route", 20.0)
    outage = reach.shown(180.0)
    assert unreachable(outage) == "API unreachable for 3 min, next try in 20 s"
    assert unreachable(outage, 65.0) == "API unreachable for 4 min, trying now"
