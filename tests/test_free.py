"""Free requests: the one flow that makes them, cancelling, live models, prices and the balance, in both colours."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import pytest

from lemon_ext import (
    APIConnectionError,
    APITimeoutError,
    AsyncLemon,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    Lemon,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
    ServerError,
    TaskCancelledError,
    TaskNotFoundError,
    capabilities,
)
from lemon_ext._api import Question, Record, Session, ask
from lemon_ext._flow import TransportFault
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.poll_schedule import Schedule
from lemon_ext.rate_limit import RateLimit
from lemon_ext.tasks import Task, cancel
from tests.conftest import awaited
from tests.play import Clock, answer, play

QUESTION = Question("GET", "/v1/things")
GOOD = answer(200, {"things": 3})
PAGE = answer(502, b"<html><title>Bad Gateway</title></html>", content_type="text/html")
LIMIT = answer(429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, retry_after="7")


@pytest.fixture
def clock():
    clock = Clock()
    clock.rule()
    return clock


def session():
    return Session("https://api.example.test", RateLimit(None), Schedule(None))


def error(status, code="oops"):
    return answer(status, {"error": {"message": "No.", "code": code}})


# ---- the flow ----


@pytest.mark.parametrize(
    "failures",
    [
        [],
        [PAGE],
        [answer(404, b"<html>not here</html>")],
        [LIMIT],
        [error(500), error(503), answer(408, b"")],
        [TransportFault("reset"), TransportFault("refused", sent=False)],
        [answer(200, b'{"things'), answer(200, b""), answer(200, [1])],
    ],
)
def test_a_free_request_outlasts_what_another_try_cures(clock, failures):
    record, sent, slept = play(ask(session(), QUESTION, session().deadline(60)), clock, *failures, GOOD)
    assert dict(record) == {"things": 3}
    assert (record.origin, record.at) == ("https://api.example.test/v1/things", clock.wall())
    assert [(one.method, one.url, one.kind) for one in sent] == (len(failures) + 1) * [("GET", record.origin, "poll")]
    assert len(slept) == len(failures)
    if failures == [LIMIT]:  # and what shares the rate limit waits as long
        assert slept == [7.0]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(400), BadRequestError),
        (error(401), AuthenticationError),
        (error(403), PermissionDeniedError),
        (error(404), NotFoundError),
        (error(409), ConflictError),
        (error(501), ServerError),
        (answer(301, b"", location="https://elsewhere.example/"), ResponseError),
        (TransportFault("no such scheme", sent=False, local=True), APIConnectionError),
    ],
)
def test_what_another_try_cannot_change_is_raised_at_once(clock, reply, kind):
    with pytest.raises(kind) as caught:
        play(ask(session(), QUESTION, session().deadline(60)), clock, reply)
    assert type(caught.value) is kind
    assert caught.value.slept == []


@pytest.mark.parametrize(
    ("reply", "said"),
    [(PAGE, "Bad Gateway"), (error(503), "HTTP 503"), (answer(200, b"{"), "cannot be read"), (LIMIT, "HTTP 429")],
)
def test_at_the_deadline_the_last_failure_is_told(clock, reply, said):
    seconds = 5 if reply is LIMIT else 0.1
    with pytest.raises(APITimeoutError, match=said):
        play(ask(session(), QUESTION, session().deadline(seconds)), clock, reply)


# ---- cancelling ----

CANCELLED = answer(200, {"task_id": "img_1", "status": "failed", "cancelled": True, "data": []})
RUNNING = answer(200, {"task_id": "img_1", "status": "processing", "data": []})


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([CANCELLED], None),
        ([answer(200, {"id": "img_1"}), CANCELLED], None),  # says nothing, so the task is polled
        ([TransportFault("lost"), error(409, "task_not_cancellable"), CANCELLED], None),  # the first try has done it
        ([error(409, "task_not_cancellable"), RUNNING], ConflictError),
        ([error(400, "unsupported_task_cancel")], BadRequestError),
        ([error(403, "task_not_owned")], PermissionDeniedError),
        ([error(404, "async_task_not_found")], TaskNotFoundError),
        ([error(501)], ServerError),
    ],
)
def test_cancelling_knows_the_documented_codes(clock, replies, kind):
    task, own = Task("img_1"), session()
    flow = cancel(own, task, own.deadline(60))
    if kind is None:
        _, sent, _ = play(flow, clock, *replies)
        assert sent[0].method == "DELETE"
        assert sent[0].url == "https://api.example.test/v1/images/generations/img_1"
        assert task.done
        return
    with pytest.raises(kind) as caught:
        play(flow, clock, *replies)
    assert caught.value.task is task
    assert not task.done


# ---- live models ----


def test_what_the_api_says_is_laid_over_the_table():
    detail = {"supported_parameters": ["prompt", "size", "style", "unheard_of"], "resolutions": ["640x480"]}
    entries = [
        {"id": "flux-pro", "tokenlab": {"request_format_details": detail, "pricing_unit": "per_image"}},
        {"id": "dall-e-2", "tokenlab": {"lifecycle": {"retired_at": "2026-05-12T00:00:00Z"}}},
        {"id": "brand-new"},
        {"name": "no id"},
        "nonsense",
    ]
    said = Record({"data": entries}, "https://api.example.test/v1/models", 1.7e9, answer(200, {}))
    found = {one.id: one for one in capabilities.live_list(said)}
    assert list(found)[:3] == ["dall-e-3", "dall-e-2", "flux-pro"]
    assert [name for name, rule in found["flux-pro"].parameters.items() if rule] == ["model", "prompt", "size", "style"]
    assert found["flux-pro"].parameters["size"]["enum"] == ("640x480",)
    assert (found["flux-pro"].unit, found["flux-pro"].reply) == ("per_image", "task")
    assert found["dall-e-2"].retired == {"since": "2026-05-12", "source": said.origin}
    assert (found["brand-new"].listed, found["brand-new"].origin) == (False, said.origin)
    # It was asked, and did not name this one.
    assert (found["midjourney"].origin, found["midjourney"].asked_at) == (None, 1.7e9)
    assert found["midjourney"].parameters == capabilities.capabilities("midjourney").parameters


@pytest.mark.parametrize("data", [None, "text", {}, [None]])
def test_a_strange_list_changes_nothing(data):
    said = Record({"data": data}, "https://api.example.test/v1/models", 1.7e9, answer(200, {}))
    assert [one.parameters for one in capabilities.live_list(said)] == [one.parameters for one in capabilities.models()]


# ---- both colours, on the emulator ----


@asynccontextmanager
async def client(colour, key, emulator):
    lemon = colour(key, base_url=emulator.url, deadline=20)
    yield lemon
    await awaited(lemon.close() if colour is Lemon else lemon.aclose())


@pytest.mark.parametrize("colour", [Lemon, AsyncLemon])
def test_free_reads_in_both_colours(colour):
    async def main():
        with Emulator() as emulator:
            async with client(colour, KEY, emulator) as lemon, client(colour, "mt-x", emulator) as manager:
                emulator.inject("html_502", on="ask")
                live = await awaited(lemon.models.list(live=True))
                # What the contract's example shows, and the models that the emulator draws besides.
                there = [one.id for one in live if one.origin]
                assert {"dall-e-3", "flux-pro", "live-only", "dall-e-2"} <= set(there)
                assert there[-1] == "live-only"
                assert [one.id for one in live if one.origin is None] == []
                assert (await awaited(lemon.models.get("flux-pro", live=True))).takes("quality")
                assert not lemon.models.get("flux-pro").takes("quality")
                with pytest.raises(NotFoundError, match="no such model"):
                    await awaited(lemon.models.get("nobodys", live=True))
                assert (await awaited(lemon.models.pricing("dall-e-3")))["scalar_pricing"] == {"per_image": "0.04"}
                with pytest.raises(AuthenticationError, match="mt-"):
                    await awaited(lemon.balance())
                assert (await awaited(manager.balance()))["balance_decimal"] == "12.500000"
                assert emulator.charges == 0

    anyio.run(main)


@pytest.mark.parametrize("colour", [Lemon, AsyncLemon])
def test_tasks_by_their_ids_in_both_colours(colour):
    async def main():
        with Emulator(task_seconds=60) as emulator:
            async with client(colour, KEY, emulator) as lemon:
                task = await awaited(lemon.images.submit("a cat", model="flux-pro"))
                assert (await awaited(lemon.tasks.get(task.id))).status == "pending"
                assert (await awaited(lemon.tasks.cancel(task.id))).done
                with pytest.raises(TaskCancelledError):
                    await awaited(lemon.tasks.wait(task.id))
                emulator.task_seconds = 0.0
                done = await awaited(lemon.images.submit("a dog", model="flux-pro"))
                assert len(await awaited(lemon.tasks.wait(done.id))) == 1
                with pytest.raises(ConflictError):
                    await awaited(lemon.tasks.cancel(done.id))
                for fault, kind in (("not_cancellable", BadRequestError), ("not_owned", PermissionDeniedError)):
                    emulator.inject(fault)
                    with pytest.raises(kind):
                        await awaited(lemon.tasks.cancel(done.id))

    anyio.run(main)


def test_a_task_that_is_not_known_gets_one_advice(clock):
    task, own = Task("img_1"), session()
    with pytest.raises(TaskNotFoundError, match=r"the task img_1 \(HTTP 404: .*\) Check the id") as caught:
        play(cancel(own, task, own.deadline(60)), clock, error(404, "async_task_not_found"))
    assert str(caught.value).count("Check") == 1
