"""The clients as their users meet them, in both colours: what is sent, what comes back, what is refused before
sending.
"""

from __future__ import annotations

import base64
import copy
import inspect
import json
import logging
import math
import pickle
import warnings

import anyio
import httpx
import pytest

import lemon_ext
from lemon_ext import (
    APIConnectionError,
    AsyncImageTask,
    AsyncLemon,
    CapabilityError,
    ImageTask,
    Lemon,
    LemonError,
    LemonWarning,
    RateLimitError,
    ResponseError,
    SubmissionUncertainError,
    TaskFailedError,
    TaskTimeoutError,
    UnreadableSubmissionError,
    apoll_until_done,
    poll_until_done,
)
from lemon_ext.client import AsyncImages, Images
from tests.conftest import KEY
from tests.pictures import PNG

PIXEL = base64.b64encode(PNG).decode()

INLINE = {
    "created": 1706000000,
    "data": [{"url": "https://img.example.net/a1.png", "revised_prompt": "a fluffy white cat"}],
}
PENDING = {"created": 1706000000, "task_id": "img_1", "status": "pending", "data": [{"url": "", "revised_prompt": "x"}]}
COMPLETED = {
    "created": 1706000000,
    "task_id": "img_1",
    "status": "completed",
    "data": [{"url": "https://img.example.net/b2.png"}],
}


def script(*replies):
    """A server that answers in this order: JSON, a status with JSON, an exception; pictures for image addresses."""
    left = list(replies)

    def handler(request):
        if request.url.host == "img.example.net":
            return httpx.Response(200, content=PNG)
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        return httpx.Response(status, json=body)

    return handler


def body(request):
    return json.loads(request.content)


def test_an_inline_answer_is_the_result(colour):
    lemon = colour.client(script(INLINE))
    result = colour.call(lemon.images.generate, "a white cat")
    assert [image.url for image in result] == ["https://img.example.net/a1.png"]
    assert result[0].revised_prompt == "a fluffy white cat"
    assert (result.created, result.model, result.prompt, result.task_id) == (
        1706000000,
        "dall-e-3",
        "a white cat",
        None,
    )
    assert result.data[0] is result.images[0]
    assert body(colour.requests[0]) == {"model": "dall-e-3", "prompt": "a white cat"}


def test_a_task_is_waited_for(colour):
    lemon = colour.client(script(PENDING, PENDING, COMPLETED))
    result = colour.call(lemon.images.generate, "a sunset", model="midjourney")
    assert (result.task_id, result[0].url) == ("img_1", "https://img.example.net/b2.png")
    assert [request.method for request in colour.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize(("model", "first"), [("dall-e-3", PENDING), ("midjourney", INLINE)])
def test_the_reply_decides_and_not_the_model(colour, model, first):
    replies = [first, COMPLETED] if first is PENDING else [first]
    assert len(colour.call(colour.client(script(*replies)).images.generate, "x", model=model)) == 1


def test_the_key_goes_to_the_api_alone(colour):
    lemon = colour.client(script(PENDING, COMPLETED))
    result = colour.call(lemon.images.generate, "x", model="midjourney")
    assert colour.call(colour.twin(result[0], "read")) == PNG
    assert [request.headers.get("authorization") for request in colour.requests] == [
        f"Bearer {KEY}",
        f"Bearer {KEY}",
        None,
    ]


def test_the_parameters_of_the_contract_are_sent_and_none_is_not(colour):
    lemon = colour.client(script({"data": INLINE["data"] * 2}))
    colour.call(lemon.images.generate, "x", n=2, size="1792x1024", quality="hd", style=None, user="u1")
    assert body(colour.requests[0]) == {
        "model": "dall-e-3", "prompt": "x", "n": 2, "size": "1792x1024", "quality": "hd", "user": "u1",
    }  # fmt: skip


def test_extra_body_passes_what_the_contract_does_not_know(colour):
    lemon = colour.client(script(INLINE))
    colour.call(lemon.images.generate, "x", model="some-new-model", extra_body={"aspect_ratio": "16:9"})
    assert body(colour.requests[0]) == {"model": "some-new-model", "prompt": "x", "aspect_ratio": "16:9"}


def test_extra_body_holds_no_parameter_of_the_contract(colour):
    with pytest.raises(TypeError, match="n in extra_body: give the API's own parameters as arguments"):
        colour.call(colour.client(script()).images.generate, "x", extra_body={"n": 4})
    assert colour.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "ok", "data": INLINE["data"]},
        {"status": "processing", "data": INLINE["data"]},
        {"status": "done", "created": 1, "data": INLINE["data"]},
    ],
)
def test_images_without_an_id_are_the_result_whatever_the_status_says(colour, answer):
    result = colour.call(colour.client(script(answer)).images.generate, "x")
    assert [image.url for image in result] == ["https://img.example.net/a1.png"]


def test_an_answer_that_failed_without_an_id_says_why(colour):
    with pytest.raises(TaskFailedError, match="The request ended as failed: content policy") as caught:
        colour.call(colour.client(script({"status": "failed", "error": "content policy"})).images.generate, "x")
    assert (caught.value.reason, caught.value.task) == ("content policy", None)


@pytest.mark.parametrize("name", ["task_id", "id"])
def test_a_task_id_may_be_a_number(colour, name):
    lemon = colour.client(script({name: 12345, "status": "pending"}, COMPLETED))
    assert len(colour.call(lemon.images.generate, "x", model="midjourney")) == 1
    assert colour.requests[1].url.path == "/v1/images/generations/12345"


@pytest.mark.parametrize(
    "poll_url", ["http://[::1", "https://api.test\u2100/x", "/v1/tasks/a\x7f", "/v1/" + "x" * 70_000, "/v1/tasks/a b"]
)
def test_a_poll_url_that_cannot_be_used_is_passed_over(colour, poll_url):
    lemon = colour.client(script({**PENDING, "poll_url": poll_url}, COMPLETED))
    with pytest.warns(LemonWarning, match="the standard path is used"):
        assert len(colour.call(lemon.images.generate, "x", model="midjourney")) == 1
    assert colour.requests[1].url.path == "/v1/images/generations/img_1"


def test_progress_of_any_size_is_harmless(colour):
    lemon = colour.client(script({**PENDING, "progress": 10**400}, {**COMPLETED, "progress": 100}))
    assert len(colour.call(lemon.images.generate, "x", model="midjourney")) == 1


def test_pictures_that_came_with_a_failed_task_are_kept(colour):
    failed = {**COMPLETED, "status": "failed", "error": "one of two was refused"}
    with pytest.raises(TaskFailedError) as caught:
        colour.call(colour.client(script(PENDING, failed)).images.generate, "x", model="midjourney")
    error = caught.value
    assert error.__notes__ == ["1 image(s) came with it all the same: .result holds them."]
    assert colour.call(colour.twin(error.result[0], "read")) == PNG
    assert error.task.id == "img_1"


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ("", {}, "prompt: must not be empty"),
        ("  \n", {}, "prompt: must not be empty"),
        (None, {}, "prompt: is required"),
        (3, {}, "prompt: must be a string, not int"),
        ("x" * 4001, {}, "prompt: is 4,001 characters long; allowed: up to 4,000 characters"),
        ("x", {"model": 3}, "model: must be a string, not int"),
        ("x", {"model": ""}, "model: must not be empty"),
        ("x", {"n": 0}, "n: 0 is out of range; allowed: 1 to 10"),
        ("x", {"n": 11}, "n: 11 is out of range; allowed: 1 to 10"),
        ("x", {"n": "2"}, "n: must be a whole number, not str"),
        ("x", {"n": True}, "n: must be a whole number, not bool"),
        (
            "x",
            {"size": "512x512"},
            "size: '512x512' is not available for dall-e-3; allowed: 1024x1024, 1792x1024, 1024x1792",
        ),
        ("x", {"model": "flux-pro", "size": "large"}, "size: 'large' is not auto or NxN"),
        ("x", {"quality": "ultra"}, "quality: 'ultra' is not available for dall-e-3; allowed: standard, hd"),
        ("x", {"model": "midjourney", "quality": "hd"}, "quality: midjourney does not take it; leave it out"),
        ("x", {"model": "flux-schnell", "style": "vivid"}, "style: flux-schnell does not take it; leave it out"),
        (
            "x",
            {"response_format": "png"},
            "response_format: 'png' is not available for dall-e-3; allowed: url, b64_json",
        ),
    ],
)
def test_a_request_the_model_does_not_take_is_not_sent(colour, prompt, params, message):
    lemon = colour.client(script())
    with pytest.raises(CapabilityError) as caught:
        colour.call(lemon.images.generate, prompt, **params)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert colour.requests == []


def test_all_that_is_wrong_is_said_at_once(colour):
    with pytest.raises(CapabilityError) as caught:
        colour.call(colour.client(script()).images.submit, "", size="512x512", n=99)
    assert [violation.parameter for violation in caught.value.violations] == ["prompt", "n", "size"]


def test_an_unknown_parameter_offers_the_nearest_name(colour):
    with pytest.raises(TypeError, match=r"'qualty' is not a parameter of the API. Did you mean 'quality'"):
        colour.call(colour.client(script()).images.generate, "x", qualty="hd")
    assert colour.requests == []


def test_validation_can_warn_or_be_off(colour):
    with pytest.warns(LemonWarning, match="512x512"):
        colour.call(colour.client(script(INLINE), validation="warn").images.generate, "x", size="512x512")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        colour.call(colour.client(script(INLINE), validation="off").images.generate, "x", size="512x512")


def test_a_model_that_looks_misspelt_is_warned_of_and_sent(colour):
    with pytest.warns(LemonWarning, match="'dalle-3'.*Did you mean 'dall-e-3'"):
        colour.call(colour.client(script(INLINE)).images.generate, "x", model="dalle-3")
    assert body(colour.requests[0])["model"] == "dalle-3"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"deadline": -1}, ValueError),
        ({"deadline": "soon"}, ValueError),
        ({"poll_interval": 0}, ValueError),
        ({"poll_interval": math.nan}, ValueError),
        ({"extra_body": {"x": object()}}, TypeError),
    ],
)
def test_nonsense_around_a_request_is_not_sent(colour, options, error):
    with pytest.raises(error):
        colour.call(colour.client(script()).images.generate, "x", **options)
    assert colour.requests == []


def test_submit_returns_after_the_post(colour):
    lemon = colour.client(script(PENDING, COMPLETED))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    assert (task.id, task.status, task.model, task.done) == ("img_1", "pending", "midjourney", False)
    assert len(colour.requests) == 1
    assert colour.call(task.result)[0].url == "https://img.example.net/b2.png"
    assert task.done


def test_submit_of_an_inline_reply_is_done_already(colour):
    task = colour.call(colour.client(script(INLINE)).images.submit, "x")
    assert task.done
    assert task.id is None
    assert colour.call(task.result)[0].url == "https://img.example.net/a1.png"
    assert len(colour.requests) == 1


@pytest.mark.parametrize(
    ("reply", "resumed"),
    [
        ({"data": [{"b64_json": PIXEL}]}, None),
        ({"data": [{"url": f"data:image/png;base64,{PIXEL}"}]}, None),
        ({"data": [{"b64_json": PIXEL, "url": "https://img.example.net/a1.png"}]}, "https://img.example.net/a1.png"),
        ({**COMPLETED, "data": [{"b64_json": PIXEL}]}, "https://img.example.net/b2.png"),  # asked again
        (COMPLETED, "https://img.example.net/b2.png"),
    ],
)
def test_a_handle_without_its_pictures_is_small_and_resumes_what_has_an_address(colour, reply, resumed):
    lemon = colour.client(script(reply, COMPLETED))
    task = colour.call(lemon.images.submit, "x")
    small = json.dumps(task.to_dict(pictures=False))
    assert PIXEL not in small
    assert (PIXEL in json.dumps(task.to_dict())) == (PIXEL in json.dumps(reply))
    if resumed is None:
        with pytest.raises(ValueError, match="with its pictures"):
            lemon.images.task_from_dict(json.loads(small))
    else:
        assert colour.call(lemon.images.task_from_dict(json.loads(small)).result)[0].url == resumed


def test_a_handle_from_an_id_makes_no_request(colour):
    lemon = colour.client(script(COMPLETED))
    task = lemon.images.task("img_1")
    assert colour.requests == []
    assert colour.call(task.result)[0].url == "https://img.example.net/b2.png"


@pytest.mark.parametrize("task_id", ["", "  ", "..", None, 7, "a\nb"])
def test_what_cannot_be_an_id_is_refused(colour, task_id):
    with pytest.raises(ValueError, match="not a task id"):
        colour.client(script()).images.task(task_id)


def test_a_handle_goes_through_json_to_another_process(colour):
    lemon = colour.client(script({**PENDING, "poll_url": "/v1/tasks/img_1"}, COMPLETED))
    task = colour.call(lemon.images.submit, "a cat", model="midjourney", n=1)
    text = json.dumps(task.to_dict())
    assert KEY not in text
    again = lemon.images.task_from_dict(json.loads(text))
    result = colour.call(again.result)
    assert (result.prompt, result.model) == ("a cat", "midjourney")
    assert colour.requests[-1].url.path == "/v1/tasks/img_1"


def test_a_pickled_handle_keeps_what_it_knows_and_asks_to_be_bound_again(colour):
    lemon = colour.client(script(PENDING, COMPLETED))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    assert KEY.encode() not in pickle.dumps(task)
    again = pickle.loads(pickle.dumps(task))
    assert (again.id, again.model) == ("img_1", "midjourney")
    with pytest.raises(LemonError, match="task_from_dict"):
        colour.call(again.result)
    assert colour.call(lemon.images.task_from_dict(again.to_dict()).result)


def test_refresh_polls_once(colour):
    lemon = colour.client(script(PENDING, {**PENDING, "status": "processing"}))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    assert colour.call(task.refresh) is task
    assert task.status == "processing"


def test_updates_are_the_changes_of_status(colour):
    lemon = colour.client(script(PENDING, PENDING, {**PENDING, "status": "processing"}, COMPLETED))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    if colour.blocking:
        seen = [update.status for update in task.updates()]
    else:

        async def collect():
            return [update.status async for update in task.updates()]

        seen = colour.call(collect)
    assert seen == ["processing", "completed"]


def test_updates_of_a_failed_task_end(colour):
    lemon = colour.client(script(PENDING, {**PENDING, "status": "failed", "error": "no"}))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    assert len(list(colour.call(task.updates))) == 1
    with pytest.raises(TaskFailedError):
        colour.call(task.result)


def test_on_update_hears_of_acceptance_and_of_every_change(colour):
    seen = []
    lemon = colour.client(script(PENDING, {**PENDING, "status": "processing"}, COMPLETED))
    colour.call(
        lemon.images.generate, "x", model="midjourney", on_update=lambda task: seen.append((task.id, task.status))
    )
    assert seen == [("img_1", "pending"), ("img_1", "processing"), ("img_1", "completed")]


def test_an_async_callback_is_refused_by_the_blocking_client_before_sending(colour):
    async def on_update(task):
        seen.append(task.status)

    seen = []
    lemon = colour.client(script(PENDING, COMPLETED))
    if colour.blocking:
        with pytest.raises(TypeError, match="AsyncLemon"):
            lemon.images.generate("x", on_update=on_update)
        assert colour.requests == []
    else:
        colour.call(lemon.images.generate, "x", on_update=on_update)
        assert seen == ["pending", "completed"]


def test_one_deadline_covers_submission_and_waiting(colour):
    replies = [(429, {"error": {"retry_after": 6}}), PENDING, *[PENDING] * 50]
    with pytest.raises(TaskTimeoutError) as caught:
        colour.call(colour.client(script(*replies)).images.generate, "x", model="midjourney", deadline=10)
    assert colour.clock.now <= 1010
    assert caught.value.task.id == "img_1"
    assert isinstance(caught.value.task, ImageTask if colour.blocking else AsyncImageTask)


def test_a_timeout_is_resumed_with_its_handle(colour):
    lemon = colour.client(script(PENDING, *[PENDING] * 8, COMPLETED))
    with pytest.raises(TaskTimeoutError) as caught:
        colour.call(lemon.images.generate, "x", model="midjourney", deadline=4, poll_interval=1)
    assert colour.call(caught.value.task.result)[0].url


@pytest.mark.parametrize(
    "fault",
    [httpx.ReadTimeout("t"), httpx.RemoteProtocolError("closed"), httpx.WriteError("w"), httpx.ReadError("reset")],
)
def test_a_lost_answer_is_one_request_and_an_uncertain_error(colour, fault):
    with pytest.raises(SubmissionUncertainError):
        colour.call(colour.client(script(fault)).images.generate, "x")
    assert len(colour.requests) == 1


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError("refused"), httpx.ConnectTimeout("t"), httpx.PoolTimeout("p"), httpx.ProxyError("p")]
)
def test_what_never_left_is_sent_again(colour, fault):
    colour.call(colour.client(script(fault, fault, INLINE)).images.generate, "x")
    assert len(colour.requests) == 3


def test_retries_are_bounded(colour):
    with pytest.raises(APIConnectionError):
        colour.call(colour.client(script(*[httpx.ConnectError("no")] * 2), max_retries=1).images.generate, "x")
    with pytest.raises(RateLimitError):
        colour.call(colour.client(script((429, {})), max_retries=0).images.generate, "x")


def test_neither_key_nor_prompt_is_logged(colour, caplog):
    caplog.set_level(logging.DEBUG)
    colour.call(colour.client(script(PENDING, COMPLETED)).images.generate, "a secret prompt", model="midjourney")
    assert "POST /v1/images/generations -> 200" in caplog.text
    assert KEY not in caplog.text
    assert "secret prompt" not in caplog.text


def test_nothing_shows_the_key(colour):
    lemon = colour.client(script(PENDING))
    task = colour.call(lemon.images.submit, "x", model="midjourney")
    http = lemon._core.http
    things = [
        lemon,
        lemon.images,
        lemon.models,
        lemon.raw,
        task,
        lemon._core,
        http,
        http.credentials,
        http.credentials.key,
    ]
    assert KEY not in "".join(map(repr, things))


def test_a_closed_client_says_so(colour):
    lemon = colour.client(script(INLINE))
    colour.call(lemon.close if colour.blocking else lemon.aclose)
    with pytest.raises(LemonError, match="closed"):
        colour.call(lemon.images.generate, "x")


def test_a_client_of_the_user_s_stays_open(colour):
    lemon = colour.client(script(INLINE, INLINE))
    http = lemon._core.http.given
    colour.call(lemon.close if colour.blocking else lemon.aclose)
    assert not http.is_closed


def test_options_can_differ_over_the_same_connections(colour):
    lemon = colour.client(script(*[httpx.ConnectError("no")] * 1, INLINE))
    patient = lemon.with_options(max_retries=0, deadline=7, validation="off")
    with pytest.raises(APIConnectionError):
        colour.call(patient.images.generate, "x", size="512x512")
    colour.call(patient.close if colour.blocking else patient.aclose)
    assert len(colour.call(lemon.images.generate, "x")) == 1
    with pytest.raises(TypeError, match="api_key"):
        lemon.with_options(api_key="sk-other")


def test_a_changed_rate_is_a_limit_of_its_own_and_an_unchanged_one_is_shared(colour):
    lemon = colour.client(script())
    assert lemon.with_options(deadline=1)._core.session.rate_limit is lemon._core.session.rate_limit
    assert lemon.with_options(requests_per_minute=5)._core.session.rate_limit is not lemon._core.session.rate_limit


def test_a_completed_task_without_images_raises_with_its_handle(colour):
    with pytest.raises(ResponseError) as caught:
        colour.call(colour.client(script(PENDING, {**COMPLETED, "data": []})).images.generate, "x")
    assert caught.value.task.id == "img_1"


def test_an_inline_reply_without_images_is_no_success_and_very_likely_billed(colour):
    with pytest.raises(UnreadableSubmissionError, match=r"neither images nor a task.*very likely billed") as caught:
        colour.call(colour.client(script({"created": 1, "data": []})).images.generate, "x")
    assert json.loads(caught.value.body) == {"created": 1, "data": []}


def test_fewer_inline_images_than_asked_for_are_reported(colour):
    with pytest.warns(LemonWarning, match="4 images were asked for and 1 came"):
        colour.call(colour.client(script(INLINE)).images.generate, "x", n=4)


def test_the_environment_gives_key_and_address(monkeypatch):
    monkeypatch.setenv("LEMONDATA_API_KEY", " sk-env\n")
    monkeypatch.setenv("LEMONDATA_BASE_URL", "https://api.example.test/v1/")
    seen = []

    def handler(request):
        seen.append((str(request.url), request.headers["authorization"]))
        return httpx.Response(200, json=INLINE)

    with Lemon(http_client=httpx.Client(transport=httpx.MockTransport(handler))) as lemon:
        lemon.images.generate("x")
    assert seen == [("https://api.example.test/v1/images/generations", "Bearer sk-env")]


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0}, {"timeout": "5"}, {"deadline": -1}, {"max_retries": -1}, {"max_retries": 1.5},
        {"requests_per_minute": 0}, {"validation": "maybe"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Lemon(KEY, **options)


def test_the_blocking_client_works_inside_a_running_event_loop():
    with Lemon(KEY, http_client=httpx.Client(transport=httpx.MockTransport(script(INLINE)))) as lemon:

        async def main():
            return lemon.images.generate("x")

        assert len(anyio.run(main)) == 1


def test_an_async_client_in_a_second_event_loop_says_what_to_do():
    lemon = AsyncLemon(KEY, http_client=httpx.AsyncClient(transport=httpx.MockTransport(script(INLINE, INLINE))))
    anyio.run(lemon.images.generate, "x")
    with pytest.raises(LemonError, match="another event loop"):
        anyio.run(lemon.images.generate, "x")


def test_models_come_from_the_contract():
    with Lemon(KEY) as lemon:
        assert [model.id for model in lemon.models.list()] == [
            "dall-e-3", "dall-e-2", "flux-pro", "flux-schnell", "midjourney", "ideogram-v3", "stable-diffusion-3",
        ]  # fmt: skip
        dalle = lemon.models.get("dall-e-3")
        assert (dalle.reply, dalle.parameters["size"]["enum"]) == ("inline", ("1024x1024", "1792x1024", "1024x1792"))
        assert not lemon.models.get("midjourney").takes("style")
        assert not lemon.models.get("brand-new").listed


@pytest.mark.parametrize("wrap", ["model", "detailed", "id"])
def test_users_of_the_generated_client_can_wait_too(colour, wrap):
    from lemon_client import AuthenticatedClient
    from lemon_client.api.images import create_image
    from lemon_client.models import ImageGenerationRequest

    seen = []

    def handler(request):
        seen.append(request.headers.get("authorization"))
        return script(PENDING if request.method == "POST" else COMPLETED)(request)

    client = AuthenticatedClient(base_url="https://api.example.test", token=KEY)
    http = httpx.Client if colour.blocking else httpx.AsyncClient
    own = http(
        base_url="https://api.example.test",
        headers={"Authorization": f"Bearer {KEY}"},
        transport=httpx.MockTransport(handler),
    )
    (client.set_httpx_client if colour.blocking else client.set_async_httpx_client)(own)
    request = ImageGenerationRequest(prompt="x", model="midjourney")

    async def amain():
        task = await create_image.asyncio_detailed(client=client, body=request)
        given = {"model": task.parsed, "detailed": task, "id": task.parsed.task_id}[wrap]
        result = await apoll_until_done(client, given)
        return result, await result[0].aread()

    if colour.blocking:
        task = create_image.sync_detailed(client=client, body=request)
        result = poll_until_done(client, {"model": task.parsed, "detailed": task, "id": task.parsed.task_id}[wrap])
        picture = result[0].read()
    else:
        result, picture = colour.call(amain)
    assert (result.task_id, picture) == ("img_1", PNG)
    assert seen[:2] == [f"Bearer {KEY}"] * 2
    assert seen[2:] in ([], [None])


def test_what_the_generated_client_returned_may_be_an_error_or_nothing():
    from lemon_client import AuthenticatedClient
    from lemon_client.models import ErrorResponse

    client = AuthenticatedClient(base_url="https://api.example.test", token=KEY)
    with pytest.raises(TypeError, match="sync_detailed"):
        poll_until_done(client, None)
    with pytest.raises(ResponseError, match="no money"):
        poll_until_done(client, ErrorResponse.from_dict({"error": {"message": "no money"}}))


def test_raw_is_the_configured_generated_client():
    from lemon_client.api.images import create_image
    from lemon_client.models import ImageGenerationRequest

    seen = []

    def handler(request):
        seen.append((str(request.url), request.headers.get("authorization")))
        return httpx.Response(200, json=INLINE)

    with Lemon(
        KEY, base_url="https://h.test/v1", http_client=httpx.Client(transport=httpx.MockTransport(handler))
    ) as lemon:
        answer = create_image.sync(client=lemon.raw, body=ImageGenerationRequest(prompt="x"))
        lemon.raw.get_httpx_client().get("https://elsewhere.test/x")
    assert answer.data[0].url == "https://img.example.net/a1.png"
    assert seen == [("https://h.test/v1/images/generations", f"Bearer {KEY}"), ("https://elsewhere.test/x", None)]


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(Images, AsyncImages), (Lemon, AsyncLemon), (ImageTask, AsyncImageTask)]
)
def test_the_twins_take_the_same_arguments(blocking, asynchronous):
    def face(kind):
        members = inspect.getmembers(kind, inspect.isfunction)
        return {
            name.removeprefix("a") if name == "aclose" else name: list(inspect.signature(member).parameters)
            for name, member in members
            if not name.startswith("_")
        }

    assert face(blocking) == face(asynchronous)


def test_every_error_can_be_pickled():
    from lemon_ext import APIResponse
    from lemon_ext.errors import __all__ as names

    for name in names:
        kind = getattr(lemon_ext.errors, name)
        if not (isinstance(kind, type) and issubclass(kind, LemonError)):
            continue
        error = kind("what happened")
        if isinstance(error, lemon_ext.APIStatusError):
            error = kind("x", response=APIResponse(429, {}, b'{"error": {"code": "c"}}'), retry_after=0.0)
        error.task = ImageTask("img_1", None, "midjourney")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.task.id == "img_1"
        assert {k: v for k, v in vars(again).items() if k != "task"} == {
            k: v for k, v in vars(error).items() if k != "task"
        }


def test_a_result_can_be_pickled_and_copied(colour):
    result = colour.call(colour.client(script({"data": [{"b64_json": PIXEL}]})).images.generate, "x")
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert again[0].read() == PNG
        assert again[0].raw.to_dict() == {"b64_json": PIXEL}
