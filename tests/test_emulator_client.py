"""Lemon against the emulator, in both colours: the main paths, and for every fault what the client makes of it and
what it cost.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from lemon_ext import AsyncLemon, CapabilityError, Lemon, LemonError, LemonWarning
from lemon_ext.emulator import FAULTS, KEY, Emulator

LONG = "slow,seconds=1000"


def emulate(colour: Any, **options: Any) -> Emulator:
    clock = colour.clock
    return Emulator(clock=clock, wall=clock.wall, sleep=clock.sleep, asleep=clock.asleep, **options)


def client(colour: Any, emulator: Emulator, **options: Any) -> Any:
    """Return a client of that colour on the emulator's transport and clock: nobody waits for anything."""
    kind, http = (Lemon, httpx.Client) if colour.blocking else (AsyncLemon, httpx.AsyncClient)
    return kind(KEY, base_url=emulator.address, http_client=http(transport=emulator.transport), **options)


def pictures(colour: Any, lemon: Any, **params: Any) -> list[bytes]:
    result = colour.call(lemon.images.generate, "a white cat", **params)
    return [colour.call(colour.twin(image, "read")) for image in result]


@pytest.mark.parametrize("model", ["dall-e-3", "midjourney", "some-new-model"])
def test_pictures_of_the_size_asked_for_come_back(colour, model):
    emulator = emulate(colour, task_seconds=45.0)
    found = pictures(colour, client(colour, emulator), model=model, n=2, size="1792x1024")
    assert [Image.open(BytesIO(picture)).size for picture in found] == [(1792, 1024)] * 2
    assert (emulator.charges, emulator.images) == (1, 2)
    assert all(seen.keyed != seen.path.startswith("/emulator/images/") for seen in emulator.requests)


def test_base64_pictures_need_no_fetching(colour):
    emulator = emulate(colour)
    assert pictures(colour, client(colour, emulator), response_format="b64_json")[0].startswith(b"\x89PNG")
    assert len(emulator.requests) == 1


def test_what_the_client_refuses_reaches_nobody_and_the_emulator_would_refuse_it_too(colour):
    emulator = emulate(colour)
    bad = {"model": "midjourney", "quality": "hd"}
    with pytest.raises(CapabilityError):
        colour.call(client(colour, emulator).images.generate, "x", **bad)
    assert emulator.requests == []
    with pytest.raises(LemonError, match=r"HTTP 400: `quality` is not supported by midjourney\. Leave `quality` out"):
        colour.call(client(colour, emulator, validation="off").images.generate, "x", **bad)
    assert emulator.charges == 0


def test_a_task_is_resumed_by_its_id(colour):
    emulator = emulate(colour, task_seconds=45.0)
    lemon = client(colour, emulator)
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    assert (task.status, task.done) == ("pending", False)
    result = colour.call(lemon.images.task(task.id).result)
    assert (len(result), emulator.charges) == (1, 1)


def test_a_limit_of_requests_is_lived_with(colour):
    emulator = emulate(colour, task_seconds=45.0, requests_per_minute=3)
    lemon = client(colour, emulator, max_retries=5)
    for _ in range(4):
        assert len(pictures(colour, lemon, model="midjourney")) == 1
    assert 429 in [seen.status for seen in emulator.requests]
    assert emulator.charges == 4


#: fault, model, what the client makes of it (a class of error, or "ok"), charges
TABLE = [
    ("error_401", "dall-e-2", "AuthenticationError", 0),
    ("error_402", "dall-e-2", "InsufficientBalanceError", 0),
    ("error_403", "dall-e-2", "PermissionDeniedError", 0),
    ("error_404@submit", "dall-e-2", "NotFoundError", 0),
    ("model_not_found", "dall-e-2", "BadRequestError", 0),
    ("error_429:2", "dall-e-2", "ok", 1),
    ("error_429:*", "dall-e-2", "RateLimitError", 0),
    ("error_429:*,seconds=1000", "dall-e-2", "RateLimitError", 0),
    ("error_429_date", "dall-e-2", "ok", 1),
    ("error_503_retryable", "dall-e-2", "ok", 1),
    ("error_503_retryable:*", "dall-e-2", "ServerError", 0),
    ("error_503_final", "dall-e-2", "ServerError", 0),
    ("no_connection", "dall-e-2", "ok", 1),
    ("no_connection:*", "dall-e-2", "APIConnectionError", 0),
    # the answer is lost: nobody can tell these apart, so none is sent again
    ("error_500", "dall-e-2", "SubmissionUncertainError", 0),
    ("error_503", "dall-e-2", "SubmissionUncertainError", 0),
    ("html_502", "dall-e-2", "SubmissionUncertainError", 0),
    ("drop_before", "dall-e-2", "SubmissionUncertainError", 0),
    ("drop_after", "dall-e-2", "SubmissionUncertainError", 1),
    ("error_504", "dall-e-2", "SubmissionUncertainError", 1),
    (LONG, "dall-e-2", "SubmissionUncertainError", 1),
    ("malformed_json", "dall-e-2", "UnreadableSubmissionError", 1),
    ("empty_body", "dall-e-2", "UnreadableSubmissionError", 1),
    ("slow", "dall-e-2", "ok", 1),
    # the reply decides, not the model
    ("reply_task", "dall-e-2", "ok", 1),
    ("reply_inline", "midjourney", "ok", 1),
    ("unknown_status@submit", "midjourney", "ok", 1),
    ("tasks_poll_url", "midjourney", "ok", 1),
    ("foreign_poll_url", "midjourney", "ok, LemonWarning", 1),
    ("task_seconds,seconds=200", "midjourney", "ok", 1),
    ("task_seconds,seconds=400", "midjourney", "TaskTimeoutError", 1),
    ("task_failed", "midjourney", "TaskFailedError", 1),
    ("task_failed_object", "midjourney", "ModerationTaskError", 1),
    # what came is not what was asked for
    ("fewer_images", "dall-e-2", "ok, LemonWarning", 1),
    ("fewer_images", "midjourney", "ok, LemonWarning", 1),
    ("no_images", "dall-e-2", "UnreadableSubmissionError", 1),
    ("no_images", "midjourney", "ResponseError", 1),
    ("empty_url", "dall-e-2", "UnreadableSubmissionError", 1),
    ("empty_url", "midjourney", "ResponseError", 1),
    # looks are free: they are repeated through everything that may pass
    *((f"{name}@look:3", "midjourney", "ok", 1) for name in (
        "error_404", "error_429", "error_429_date", "error_500", "error_503", "error_503_retryable", "error_503_final",
        "html_502", "error_504", "no_connection", "drop_before", "drop_after", "malformed_json", "empty_body",
        "unknown_status", "slow",
    )),
    ("slow@look,seconds=1000", "midjourney", "ok", 1),
    ("unknown_status@look:*", "midjourney", "ok, LemonWarning", 1),
    ("html_502@look:*", "midjourney", "TaskTimeoutError", 1),
    ("error_404@look:*", "midjourney", "TaskNotFoundError", 1),
    ("error_401@look", "midjourney", "AuthenticationError", 1),
    ("error_402@look", "midjourney", "InsufficientBalanceError", 1),
    ("error_403@look", "midjourney", "PermissionDeniedError", 1),
    ("not_owned@look", "midjourney", "PermissionDeniedError", 1),
    # so are pictures
    ("image_expired", "midjourney", "ok", 1),
    ("image_expired", "dall-e-2", "DownloadError", 1),
    ("image_truncated", "dall-e-2", "ok", 1),
    ("image_page", "dall-e-2", "ok", 1),
    ("other_size", "dall-e-2", "ok, LemonWarning", 1),
    ("other_format", "dall-e-2", "ok", 1),
    # what the account's books do wrong changes no answer
    *((name, "dall-e-2", "ok", 1) for name in (
        "late_record", "nameless_record", "clock_ahead", "clock_behind", "foreign_charge",
    )),
    ("image_page:*", "dall-e-2", "DownloadError", 1),
    *((f"{name}@image:2", "dall-e-2", "ok", 1) for name in (
        "error_500", "error_503", "html_502", "no_connection", "drop_before", "drop_after", "empty_body", "slow",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "model", "outcome", "charges"), TABLE, ids=str)
# trio has the main paths above
@pytest.mark.parametrize("colour", ["blocking", pytest.param("asyncio", marks=pytest.mark.slow)], indirect=True)
def test_what_the_client_makes_of_every_fault(colour, fault, model, outcome, charges):
    emulator = emulate(colour, task_seconds=45.0, faults=[fault])
    lemon = client(colour, emulator, deadline=300.0)
    warned = pytest.warns(LemonWarning) if "LemonWarning" in outcome else nullcontext()
    made: list[bytes] | LemonError
    with warned:
        try:
            made = pictures(colour, lemon, model=model, n=2, size="256x256")
        except LemonError as exc:
            made = exc
    if isinstance(made, LemonError):
        assert type(made).__name__ == outcome
        # Whatever is raised once a task is known carries it.
        assert (made.task is not None) == (model == "midjourney")
    else:
        assert outcome.startswith("ok")
        assert len(made) == (1 if "fewer" in fault else 2)
    assert emulator.charges == charges


def test_the_table_leaves_no_fault_out():
    # tests/test_free.py and tests/test_usage.py have the others.
    others = {name for name, fault in FAULTS.items() if fault.places in (("ask",), ("records",))}
    assert {re.split("[@:,]", fault)[0] for fault, *_ in TABLE} == set(FAULTS) - others
