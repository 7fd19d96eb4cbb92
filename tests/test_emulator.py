"""The emulator by itself: what it accepts and refuses, what its tasks do, what it charges, and what it can break."""

from __future__ import annotations

import base64
import copy
import json
import struct
import zlib
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from lemon_client import AuthenticatedClient
from lemon_client.api.images import create_image, get_image_task
from lemon_client.models import ErrorResponse, ImageGenerationRequest, ImageGenerationTask, ImagesResponse
from PIL import Image

from lemon_ext.emulator import FAULTS, KEY, Emulator, Request, Response, parse_fault
from lemon_ext.emulator.pictures import kind_of
from tests import made_up
from tests.emulated import GENERATIONS, Api


@pytest.fixture
def api() -> Api:
    return Api()


def contract() -> Any:
    return copy.deepcopy(json.loads(files("lemon_client").joinpath("openapi.json").read_bytes()))


# ---- what the two kinds of models answer ----


@pytest.mark.parametrize("model", ["dall-e-3", "dall-e-2", "flux-schnell", "stable-diffusion-3", "a-new-model", "*"])
def test_an_inline_model_answers_with_images_at_once(api, model):
    body = api.accepted(model=model, n=2)
    assert body.keys() == {"created", "data"}
    assert body["created"] == 1700001000
    assert len(body["data"]) == 2
    assert all(item["url"].startswith("http://lemon.emulator/") for item in body["data"])


def test_an_inline_answer_says_which_prompt_was_used(api):
    assert "a white cat" in api.accepted()["data"][0]["revised_prompt"]


@pytest.mark.parametrize("model", ["midjourney", "flux-pro", "ideogram-v3"])
def test_a_task_model_answers_as_the_page_documents(api, model):
    body = api.accepted(model=model)
    task_id = body["task_id"]
    assert task_id.startswith("img_")
    assert len(task_id) == 16
    assert body == {
        "created": 1700001000,
        "task_id": task_id,
        "status": "pending",
        "poll_url": f"/v1/images/generations/{task_id}",
        "data": [{"url": "", "revised_prompt": "a white cat"}],
    }


def test_a_task_goes_from_pending_over_processing_to_completed(api):
    task_id = api.accepted(model="midjourney", n=2)["task_id"]
    seen = []
    for _ in range(6):
        seen.append(api.poll(task_id)["status"])
        api.clock.now += 0.39
    assert seen == ["pending", "pending", "processing", "processing", "processing", "processing"]
    body = api.poll(task_id)
    assert (body["status"], len(body["data"])) == ("completed", 2)
    assert "poll_url" not in body
    assert all(api.fetch(item["url"]).status == 200 for item in body["data"])


def test_how_long_a_task_takes_can_depend_on_the_model():
    api = Api(task_seconds=lambda model, dice: 30.0 + dice.random() if model == "flux-pro" else 0.0)
    fast, slow = api.accepted(model="midjourney")["task_id"], api.accepted(model="flux-pro")["task_id"]
    assert [api.poll(fast)["status"], api.poll(slow)["status"]] == ["completed", "pending"]
    api.clock.now += 31
    assert api.poll(slow)["status"] == "completed"


def test_base64_comes_inline_and_a_task_gives_addresses_all_the_same(api):
    picture = base64.b64decode(api.accepted(response_format="b64_json", size="1024x1792")["data"][0]["b64_json"])
    assert Image.open(BytesIO(picture)).size == (1024, 1792)
    task_id = api.accepted(model="midjourney", response_format="b64_json")["task_id"]
    api.clock.now += 2
    assert api.poll(task_id)["data"][0].keys() == {"url", "revised_prompt"}


# ---- what is refused ----


@pytest.mark.parametrize(
    ("fields", "param", "code", "message"),
    [
        ({"prompt": ""}, "prompt", "invalid_value", "`prompt` must not be empty"),
        ({"prompt": " \n"}, "prompt", "invalid_value", r"`prompt` does not match \S"),
        ({"prompt": 3}, "prompt", "invalid_type", "`prompt` must be of the type string"),
        ({"prompt": None}, "prompt", "invalid_type", "`prompt` must be of the type string"),
        ({"prompt": "x" * 4001}, "prompt", "invalid_value", "`prompt` must not be longer than 4000 characters"),
        ({"model": ""}, "model", "invalid_value", "`model` must not be empty"),
        ({"model": 3}, "model", "invalid_type", "`model` must be of the type string"),
        ({"n": 0}, "n", "invalid_value", "`n` must be at least 1"),
        ({"n": 11}, "n", "invalid_value", "`n` must be at most 10"),
        ({"n": "2"}, "n", "invalid_type", "`n` must be of the type integer"),
        ({"n": True}, "n", "invalid_type", "`n` must be of the type integer"),
        ({"user": 3}, "user", "invalid_type", "`user` must be of the type string"),
        ({"size": "256x256"}, "size", "invalid_value", "`size` is none of the values that dall-e-3 takes"),
        ({"size": "big", "model": "new"}, "size", "invalid_value", "`size` is none of the documented values"),
        ({"size": "9999x9", "model": "new"}, "size", "invalid_value", "`size` is too large"),
        ({"size": f"{'9' * 5000}x1", "model": "new"}, "size", "invalid_value", "`size` is too large"),
        ({"quality": "best"}, "quality", "invalid_value", "`quality` is none of the values that dall-e-3 takes"),
        ({"quality": "hd", "model": "flux-pro"}, "quality", "unsupported_parameter",
         "`quality` is not supported by flux-pro"),
        ({"style": "vivid", "model": "dall-e-2"}, "style", "unsupported_parameter",
         "`style` is not supported by dall-e-2"),
        # the known values of an open enum bind a model that has a row
        ({"response_format": "png", "model": "flux-pro"}, "response_format", "invalid_value",
         "`response_format` is none of the documented values"),
        ({"prompt": "a cat [fault:html_503]"}, "prompt", "unknown_fault",
         "There is no fault 'html_503'. Did you mean 'html_502'?"),
    ],
)  # fmt: skip
def test_what_schema_or_table_refuse_is_a_400_in_the_documented_envelope(api, fields, param, code, message):
    response = api.post(**fields)
    error = response.json()["error"]
    assert response.status == 400
    assert (error["message"], error["type"], error["code"], error["param"]) == (
        message, "invalid_request_error", code, param,
    )  # fmt: skip
    assert api.emulator.charges == 0


def test_a_refusal_lists_every_fault_and_what_would_do(api):
    body = api.post(prompt=None, n=0, size="7x7", quality="hd", style="x", model="midjourney").json()
    assert [(one["field"], one["code"]) for one in body["validation_errors"]] == [
        ("prompt", "invalid_type"),
        ("n", "invalid_value"),
        ("quality", "unsupported_parameter"),
        ("style", "unsupported_parameter"),
    ]
    assert api.post(quality="hd", model="midjourney").json()["error"]["suggestions"] == [{"id": "dall-e-3"}]
    assert api.post(size="7x7").json()["error"]["hint"] == "Allowed: 1024x1024, 1792x1024, 1024x1792"


def test_a_missing_prompt_is_named(api):
    response = api.ask("POST", GENERATIONS, b"{}")
    assert (response.status, response.json()["error"]["param"]) == (400, "prompt")
    assert response.json()["error"]["message"] == "`prompt` is required"


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "640x480", "model": "flux-pro"},  # beside a pattern the known values are examples
        {"size": "auto", "model": "new"},
        {"quality": "hd", "style": "natural", "model": "new"},
        {"aspect_ratio": "16:9"},  # what the contract does not know is not judged
        {"n": 10, "user": "u1"},
    ],
)
def test_what_nothing_documented_speaks_against_is_accepted(api, fields):
    api.accepted(**fields)
    assert api.emulator.charges == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b'{"prompt": NaN}', 400, "invalid_json"),
        (b'\xff{"prompt": "x"}', 400, "invalid_json"),
        (b'{"prompt": "x", "n": 1' + b"0" * 5000 + b"}", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b"[]", 400, "invalid_type"),
        (b'"a white cat"', 400, "invalid_type"),
        (b'{"prompt": "' + b"x" * 1024 * 1024 + b'"}', 413, "payload_too_large"),
    ],
    ids=["empty", "cut", "NaN", "not UTF-8", "huge number", "deep", "a list", "a string", "1 MB"],
)
def test_a_body_that_is_no_request_is_refused(api, body, status, code):
    response = api.ask("POST", GENERATIONS, body)
    assert (response.status, response.json()["error"]["code"]) == (status, code)
    assert api.emulator.charges == 0


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("", "An empty Content-Type"),
        (" ; charset=utf-8", "An empty Content-Type"),
    ],
)
def test_another_content_type_is_refused_with_the_right_one_named(api, content_type, named):
    response = api.ask("POST", GENERATIONS, b"prompt=x", content_type=content_type)
    assert response.status == 415
    error = response.json()["error"]
    assert (error["message"], error["hint"]) == (f"{named} is not taken here", "Send Content-Type: application/json")


def test_the_content_type_is_read_as_people_write_it(api):
    assert (
        api.ask("POST", GENERATIONS, b'{"prompt": "x"}', content_type="Application/JSON; charset=utf-8").status == 200
    )


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "invalid_api_key"),
        ({"authorization": "Bearer "}, "invalid_api_key"),
        ({"authorization": "Basic sk-emulator"}, "invalid_api_key"),
        ({"authorization": "sk-emulator"}, "invalid_api_key"),
        ({"authorization": "Bearer mt-management"}, "invalid_api_key"),
        ({"authorization": "Bearer sk-invalid"}, "invalid_api_key"),
        ({"authorization": "Bearer sk-expired"}, "expired_api_key"),
        ({"x_api_key": "sk-emulator"}, "invalid_api_key"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", GENERATIONS), ("GET", f"{GENERATIONS}/img_1")])
def test_without_a_good_key_there_is_a_401(api, method, path, headers, code):
    response = api.ask(method, path, b'{"prompt": "x"}', key=None, **headers)
    error = response.json()["error"]
    assert (response.status, error["type"], error["code"], error["param"]) == (401, code, code, None)
    assert (api.emulator.charges, api.emulator.requests[0].status) == (0, 401)


def test_any_other_key_that_begins_like_one_is_good(api):
    assert api.ask("POST", GENERATIONS, b'{"prompt": "x"}', key="sk-your-api-key").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{GENERATIONS}/img_000000000000", 404),
        ("GET", f"{GENERATIONS}/%2e%2e%2fx", 404),
        ("GET", "/", 404),
        ("POST", "/v1/images/upscales", 404),
        ("GET", "/v1/tasks/img_1", 404),
        ("GET", f"{GENERATIONS}/", 404),
        ("GET", GENERATIONS, 405),
        ("PUT", f"{GENERATIONS}/img_1", 405),
        ("POST", "/emulator/images/img_1-1-0.png", 405),
    ],
)
def test_what_there_is_not_is_said_in_the_envelope(api, method, path, status):
    response = api.ask(method, path)
    assert response.status == status
    assert response.json()["error"].keys() >= {"message", "type", "code", "param"}
    assert ("allow" in response.headers) == (status == 405)


def test_an_inline_request_leaves_no_task(api):
    name = api.accepted()["data"][0]["url"].rpartition("/")[2]
    assert api.ask("GET", f"{GENERATIONS}/{name.partition('-')[0]}").status == 404


# ---- charges ----


def test_charges_are_counted_when_a_request_is_accepted(api):
    api.accepted(n=2)
    task_id = api.accepted(model="midjourney", n=3)["task_id"]
    api.poll(task_id)
    api.post(n=99)
    emulator = api.emulator
    assert (emulator.charges, emulator.images) == (2, 5)
    assert [(charge.task_id, charge.model, charge.n, charge.at) for charge in emulator.ledger] == [
        (None, "dall-e-3", 2, 1000.0),
        (task_id, "midjourney", 3, 1000.0),
    ]
    assert emulator.ledger[0].request == {"prompt": "a white cat", "n": 2}
    assert [(seen.method, seen.status, seen.keyed) for seen in emulator.requests] == [
        ("POST", 200, True), ("POST", 200, True), ("GET", 200, True), ("POST", 400, True),
    ]  # fmt: skip


def test_reset_forgets_and_arms_the_faults_it_was_made_with_again():
    api = Api(faults=["error_500"])
    assert [api.post().status for _ in range(2)] == [500, 200]
    api.emulator.reset()
    assert (api.emulator.charges, api.emulator.requests) == (0, [])
    assert [api.post().status for _ in range(2)] == [500, 200]


def test_the_rate_limit_slides():
    api = Api(requests_per_minute=2)
    api.accepted()
    api.clock.now += 20.5
    api.accepted()
    refused = api.post()
    assert (refused.status, refused.headers["retry-after"]) == (429, "40")
    error = refused.json()["error"]
    assert (error["code"], error["retryable"], error["retry_after"]) == ("rate_limit_exceeded", True, 40)
    api.clock.now += 40
    api.accepted()
    assert (api.post().status, api.emulator.charges) == (429, 3)


# ---- the contract rules: in and out ----


def test_every_answer_is_what_the_generated_client_reads():
    with Emulator(faults=["task_failed_object"]) as emulator:
        http = httpx.Client(transport=emulator.transport, base_url=emulator.address)
        client = AuthenticatedClient(base_url=emulator.address, token=KEY).set_httpx_client(http)
        http.headers["Authorization"] = f"Bearer {KEY}"

        def create(**fields: Any) -> Any:
            return create_image.sync_detailed(
                client=client, body=ImageGenerationRequest.from_dict({"prompt": "x", **fields})
            )

        emulator.task_seconds = 0.0
        failing, task, inline = (
            create(model="midjourney"),
            create(model="midjourney"),
            create(response_format="b64_json"),
        )
        looks = [get_image_task.sync_detailed(reply.parsed.task_id, client=client) for reply in (failing, task)]
        replies = [(failing, ImageGenerationTask), (task, ImageGenerationTask), (inline, ImagesResponse)]
        replies += [(look, ImageGenerationTask) for look in looks]
        for name in ("error_401", "error_402", "error_403", "error_429", "error_503", "model_not_found", "error_500"):
            emulator.inject(name)
            replies.append((create(), ErrorResponse))
        replies += [(create(n=99), ErrorResponse), (get_image_task.sync_detailed("no", client=client), ErrorResponse)]
        for reply, kind in replies:
            assert type(reply.parsed) is kind
            assert reply.parsed.to_dict() == json.loads(reply.content)


def test_a_row_and_a_parameter_added_to_the_contract_are_obeyed_at_once():
    data = contract()
    data["components"]["schemas"]["BackgroundKnown"] = {"type": "string", "enum": ["opaque", "auto"]}
    properties = data["components"]["schemas"]["ImageGenerationRequest"]["properties"]
    properties["background"] = {"anyOf": [{"$ref": "#/components/schemas/BackgroundKnown"}, {"type": "string"}]}
    properties["seed"] = {"type": "integer", "minimum": 0}
    data["x-lemon-models"]["gpt-image-2"] = {
        "reply": "task",
        "parameters": {
            "size": {"pixels": {"multipleOf": 16, "maxEdge": 3840, "maxRatio": 3, "minPixels": 655360,
                                "maxPixels": 8294400, "also": ["auto"]}},
            "quality": {"enum": ["auto", "low", "high"]},  # replaces the known values
            "n": {"maximum": 4},
            "style": False,
            "prompt": {"maxLength": 20},
        },
    }  # fmt: skip
    data["x-lemon-models"]["midjourney"]["parameters"]["background"] = False
    api = Api(contract=data)

    def wrong(**fields: Any) -> Any:
        return [one["field"] for one in api.post(**fields).json().get("validation_errors", [])]

    for size in ("1024x1024", "1536x1024", "3840x2160", "3840x1280", "1024x1792", "auto"):
        assert wrong(model="gpt-image-2", size=size) == []
    for size in ("512x512", "1000x1000", "3856x1024", "3840x1264", "3840x2176", "big"):
        assert wrong(model="gpt-image-2", size=size) == ["size"]
    assert wrong(model="gpt-image-2", quality="low", background="opaque", n=4, seed=7) == []
    assert wrong(model="gpt-image-2", quality="hd", background="clear", n=5, seed=-1, style="vivid") == [
        "n", "quality", "style", "background", "seed",
    ]  # fmt: skip
    assert wrong(model="gpt-image-2", prompt="x" * 21) == ["prompt"]
    assert wrong(model="midjourney", background="auto") == ["background"]
    assert api.accepted(model="gpt-image-2")["status"] == "pending"


def test_an_answer_that_breaks_the_contract_is_a_loud_500():
    data = contract()
    data["components"]["schemas"]["ImageGenerationTask"]["required"].append("progress")
    data["components"]["schemas"]["ImagesResponse"]["required"].append("progress")
    api = Api(contract=data)
    response = api.post(prompt="a secret")
    assert response.status == 500
    assert response.json()["error"]["message"].startswith("emulator bug: its answer breaks the contract")
    assert b"secret" not in response.body


def test_an_answer_with_a_status_that_is_not_documented_breaks_the_contract_too():
    data = contract()
    del data["paths"][f"{GENERATIONS}/{{task_id}}"]["get"]["responses"]["404"]
    del data["paths"][f"{GENERATIONS}/{{task_id}}"]["get"]["responses"]["default"]
    response = Api(contract=data).ask("GET", f"{GENERATIONS}/img_1")
    assert response.status == 500
    assert "get_image_task documents no answer with status 404" in response.json()["error"]["message"]


def test_a_contract_without_the_operations_cannot_be_emulated():
    data = contract()
    del data["paths"][f"{GENERATIONS}/{{task_id}}"]
    with pytest.raises(ValueError, match="no operation get_image_task"):
        Emulator(contract=data)


def test_an_operation_it_does_not_know_is_said_to_be_missing():
    data = contract()
    data["paths"]["/v1/models"] = {"get": {"operationId": "list_models", "security": [], "responses": {"default": {}}}}
    response = Api(contract=data).ask("GET", "/v1/models", key=None)
    assert (response.status, response.json()["error"]["code"]) == (501, "not_emulated")


# ---- pictures ----


@pytest.mark.parametrize(
    ("size", "pixels"),
    [("1024x1792", (1024, 1792)), ("300x7", (300, 7)), ("1x1", (1, 1)), ("auto", (1024, 1024)), (None, (1024, 1024))],
)
def test_a_picture_is_real_and_has_the_size_asked_for(api, size, pixels):
    body = api.accepted(model="new", **({} if size is None else {"size": size}))
    response = api.fetch(body["data"][0]["url"])
    assert (response.status, response.headers["content-type"]) == (200, "image/png")
    with Image.open(BytesIO(response.body)) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", pixels)


@pytest.mark.parametrize(
    ("asked", "size", "kind"),
    [
        ({}, (1024, 1024), "PNG"),
        ({"aspect_ratio": "16:9"}, (1360, 765), "PNG"),
        ({"aspect_ratio": "9:16", "resolution": "2k"}, (1539, 2736), "PNG"),
        ({"aspect_ratio": "1024:768"}, (1184, 888), "PNG"),
        ({"resolution": "4k"}, (4096, 4096), "PNG"),
        ({"aspect_ratio": "wide", "resolution": "huge"}, (1024, 1024), "PNG"),
        ({"size": "640x480", "aspect_ratio": "1:1", "resolution": "2k"}, (640, 480), "PNG"),
        ({"size": "auto", "aspect_ratio": "1:2"}, (724, 1448), "PNG"),
        ({"output_format": "jpeg", "size": "64x48"}, (64, 48), "JPEG"),
        ({"output_format": "webp", "size": "64x48"}, (64, 48), "WEBP"),
    ],
)
@pytest.mark.parametrize("reply", [{}, {"async": True}, {"response_format": "b64_json"}])
def test_shape_resolution_and_format_are_what_was_asked_for(asked, size, kind, reply):
    text = {"type": "string"}
    later = {"aspect_ratio": text, "resolution": text, "output_format": text, "async": {"type": "boolean"}}
    api = Api(contract=made_up.contract(parameters=later), task_seconds=0)
    body = api.accepted(model="new", **asked, **reply)
    assert ("task_id" in body) == ("async" in reply)
    (image,) = (api.poll(body["task_id"]) if "task_id" in body else body)["data"]
    if "b64_json" in image:
        data = base64.b64decode(image["b64_json"])
    else:
        answer = api.fetch(image["url"])
        assert answer.headers["content-type"] == f"image/{kind.lower()}"
        data = answer.body
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.size) == (kind, size)


@pytest.mark.parametrize(
    ("asked", "param"),
    [({"aspect_ratio": "1:200", "resolution": "4k"}, "size"), ({"output_format": "gif"}, "output_format")],
)
def test_what_it_cannot_draw_is_refused(asked, param):
    later = {key: {"type": "string"} for key in ("aspect_ratio", "resolution", "output_format")}
    response = Api(contract=made_up.contract(parameters=later)).post(model="new", **asked)
    assert (response.status, response.json()["error"]["param"]) == (400, param)


def test_it_sends_the_headers_that_the_contract_documents_and_no_others(api):
    ids = ("X-Request-ID", "X-Task-ID", "X-Billing-Transaction-ID", "X-Other")
    data = contract()
    for path, method in ((GENERATIONS, "post"), (f"{GENERATIONS}/{{task_id}}", "get")):
        data["paths"][path][method]["responses"]["200"]["headers"] = {name: {} for name in ids}
    api = Api(contract=data, task_seconds=1)
    inline = api.post(model="dall-e-3").headers
    assert inline.keys() == {"content-type", "x-request-id", "x-billing-transaction-id"}
    begun = api.post(model="flux-pro")
    task_id = begun.json()["task_id"]
    assert begun.headers["x-task-id"] == task_id
    assert "x-billing-transaction-id" not in begun.headers  # it is settled once it is done
    api.clock.now += 1
    done = [api.ask("GET", f"{GENERATIONS}/{task_id}").headers for _ in range(2)]
    assert done[0]["x-task-id"] == task_id
    assert len({each["x-billing-transaction-id"] for each in (*done, inline)}) == 2
    assert len({each["x-request-id"] for each in (*done, inline)}) == 3
    for path, method in ((GENERATIONS, "post"), (f"{GENERATIONS}/{{task_id}}", "get")):
        del data["paths"][path][method]["responses"]["200"]["headers"]
    assert Api(contract=data).post().headers.keys() == {"content-type"}


def test_the_same_prompt_looks_the_same_and_everything_else_differs(api):
    def pictures(api: Api, prompt: str) -> list[bytes]:
        data = api.accepted(prompt=prompt, model="new", size="64x64", n=2)["data"]
        return [api.fetch(item["url"]).body for item in data]

    first, again = pictures(api, "a cat"), pictures(api, "a cat")
    assert first == again
    assert len({*first, *pictures(api, "a dog"), *pictures(Api(seed=1), "a cat")}) == 6


@pytest.mark.parametrize(
    "prompt",
    [
        "창가에 앉아 있는 하얀 고양이",
        "مرحبا 🐱\u202e\x00\x1b[31m",
        "\ud800",
        "x" * 4000,
        "a " * 1999,
        "\n\t.",
        "…" * 300,
    ],
)
def test_any_prompt_can_be_drawn(api, prompt):
    for size in ("256x256", "8x2000"):
        assert api.fetch(api.accepted(prompt=prompt, model="new", size=size)["data"][0]["url"]).status == 200


def test_an_address_that_was_never_given_is_a_404(api):
    url = api.accepted()["data"][0]["url"]
    for wrong in (url.replace("-1-", "-2-"), url.replace("-1-", "-0-"), url.replace("-0.png", "-1.png"), url + "x"):
        assert api.fetch(wrong).status == 404


def test_addresses_are_on_the_origin_that_was_asked(api):
    request = Request(
        "POST", GENERATIONS, {"authorization": f"Bearer {KEY}"}, b'{"prompt": "x"}', "http://127.0.0.1:4711"
    )
    assert api.emulator.handle(request).json()["data"][0]["url"].startswith("http://127.0.0.1:4711/emulator/images/")


# ---- faults ----


@pytest.mark.parametrize(
    ("fault", "status", "charges"),
    [
        ("error_401", 401, 0), ("error_402", 402, 0), ("error_403", 403, 0), ("error_404@submit", 404, 0),
        ("error_429", 429, 0), ("error_429_date", 429, 0), ("error_500", 500, 0), ("error_503", 503, 0),
        ("error_503_retryable", 503, 0), ("error_503_final", 503, 0), ("model_not_found", 400, 0),
        ("html_502", 502, 0), ("no_connection", 0, 0), ("drop_before", 0, 0), ("drop_after", 0, 1),
        ("error_504", 504, 1), ("slow", 200, 1), ("malformed_json", 200, 1), ("empty_body", 200, 1),
        ("unknown_status@submit", 200, 1), ("reply_task", 200, 1), ("task_failed", 200, 1), ("no_images", 200, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["constructor", "inject", "prompt"])
def test_a_fault_strikes_however_it_was_armed(fault, status, charges, way):
    api = Api(faults=[fault] if way == "constructor" else [])
    if way == "inject":
        name, _, on = fault.partition("@")
        api.emulator.inject(name, on=on or None)
    response = api.post(prompt=f"x [fault:{fault}]" if way == "prompt" else "x")
    assert (response.status, api.emulator.charges) == (status, charges)
    if way != "prompt":
        assert (api.post().status, api.emulator.charges) == (200, charges + 1)


def test_a_prompt_asks_for_a_fault_always_or_so_many_times(api):
    assert [api.post(prompt="[fault:error_500]").status for _ in range(3)] == [500, 500, 500]
    assert [api.post(prompt="a [fault:error_500:2]").status for _ in range(3)] == [500, 500, 200]
    assert [api.post(prompt="b [fault:error_500:1]").status for _ in range(2)] == [500, 200]
    task_id = api.accepted(prompt="[fault:error_404@look:1][fault:html_502@look:1]", model="midjourney")["task_id"]
    assert [api.ask("GET", f"{GENERATIONS}/{task_id}").status for _ in range(3)] == [404, 502, 200]


def test_refusals_come_one_at_a_time_and_a_refused_request_meets_no_other_fault(api):
    for name in ("fewer_images", "error_429", "error_500", "slow"):
        api.emulator.inject(name)
    api.post(n=99)  # refused by the contract: meets none
    assert [api.post(n=2).status for _ in range(2)] == [429, 500]
    response = api.post(n=2)
    assert (response.status, len(response.json()["data"]), response.delay) == (200, 1, 5.0)
    assert len(api.accepted(n=2)["data"]) == 2


def test_a_fault_strikes_where_it_is_told_to(api):
    api.emulator.inject("html_502", on="image", times=2)
    api.emulator.inject("error_500", on="any", times=None)
    assert api.post().status == 500
    api.emulator.reset()
    url = api.accepted()["data"][0]["url"]
    api.emulator.inject("html_502", on="image", times=2)
    assert [api.fetch(url).status for _ in range(3)] == [502, 502, 200]


def test_latency_and_slowness_are_the_delay_of_the_answer():
    api = Api(latency=0.25, faults=["slow,seconds=1.5"])
    assert [api.post().delay, api.post().delay] == [1.75, 0.25]


def test_the_errors_are_the_documented_ones(api):
    def error(name: str) -> Any:
        api.emulator.inject(name)
        return api.post().json()["error"]

    assert error("error_402") == {
        "message": "Your balance does not cover this request", "type": "insufficient_balance",
        "code": "insufficient_balance", "param": None, "balance_usd": 0.02, "estimated_cost_usd": 0.04,
        "suggestions": [{"id": "flux-pro"}],
    }  # fmt: skip
    found = error("model_not_found")
    assert (found["did_you_mean"], found["param"], found["code"]) == ("gpt-image-2", "model", "model_not_found")
    assert [error(name).get("retryable") for name in ("error_503", "error_503_retryable", "error_503_final")] == [
        None, True, False,
    ]  # fmt: skip
    assert error("error_503")["alternatives"] == [{"id": "flux-pro", "status": "available", "tags": []}]


def test_retry_after_comes_in_seconds_and_as_a_date(api):
    api.emulator.inject("error_429", seconds=8)
    response = api.post()
    assert (response.headers["retry-after"], response.json()["error"]["retry_after"]) == ("8", 8)
    api.emulator.inject("error_429_date", seconds=30)
    response = api.post()
    assert response.headers["retry-after"] == "Tue, 14 Nov 2023 22:30:30 GMT"
    assert "retry_after" not in response.json()["error"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("task_failed", "The prompt was refused by the content policy"),
        ("task_failed,reason=no", "no"),
        (
            "task_failed_object",
            {"message": "The prompt was refused by the content policy", "code": "content_policy"},
        ),
    ],
)
@pytest.mark.parametrize("model", ["midjourney", "dall-e-3"])
def test_a_task_fails_with_its_reason(fault, error, model):
    api = Api(faults=[fault], task_seconds=0.0)
    body = api.poll(api.accepted(model=model)["task_id"])
    assert (body["status"], body["error"], body["data"]) == ("failed", error, [])


def test_the_poll_url_can_be_another_path_which_is_served(api):
    api.emulator.inject("tasks_poll_url")
    body = api.accepted(model="midjourney")
    assert body["poll_url"] == f"/v1/tasks/{body['task_id']}"
    assert api.ask("GET", body["poll_url"]).json()["task_id"] == body["task_id"]
    assert api.ask("GET", body["poll_url"], key=None).status == 401
    api.emulator.inject("foreign_poll_url")
    assert api.accepted(model="midjourney")["poll_url"].startswith("https://elsewhere.example/v1/images/generations/")


def test_an_expired_address_is_replaced_at_the_next_poll():
    api = Api(task_seconds=0.0, faults=["image_expired"])
    task_id = api.accepted(model="midjourney")["task_id"]
    first = api.poll(task_id)["data"][0]["url"]
    assert [api.fetch(first).status, api.fetch(first).status] == [404, 404]
    fresh = api.poll(task_id)["data"][0]["url"]
    assert fresh != first
    assert api.fetch(fresh).status == 200
    assert api.emulator.charges == 1


def test_the_spoilt_answers_are_spoilt(api):
    def spoilt(name: str, **fields: Any) -> Response:
        api.emulator.inject(name, on="submit")
        return api.post(**fields)

    assert spoilt("empty_body").body == b""
    with pytest.raises(ValueError, match="line 1 column"):
        spoilt("malformed_json").json()
    assert spoilt("unknown_status", model="midjourney").json()["status"] == "warming_up"
    assert spoilt("no_images").json()["data"] == []
    assert spoilt("empty_url").json()["data"][0]["url"] == ""
    assert spoilt("reply_inline", model="midjourney").json().keys() == {"created", "data"}
    assert spoilt("reply_task").json()["status"] == "pending"
    assert b"<html>" in spoilt("html_502").body


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("html_503", "There is no fault 'html_503'. Did you mean 'html_502'?"),
        ("zzz", "There is no fault 'zzz'."),
        ("", "'' is not a fault: write NAME"),
        ("slow:x", "'slow:x' is not a fault: write NAME"),
        ("slow:0", "A fault strikes once or more often, not 0 times."),
        ("slow,speed=3", "The fault slow has no setting 'speed'; it has: seconds."),
        ("slow,seconds=fast", "The setting seconds of slow is a number, zero or more, not 'fast'."),
        ("slow,seconds=nan", "The setting seconds of slow is a number"),
        ("fewer_images@look", "The fault fewer_images strikes on submit, not on 'look'."),
        (
            "html_502@nowhere",
            "The fault html_502 strikes on submit or poll or image or ask or records, not on 'nowhere'.",
        ),
        ("html_502,x=1", "The fault html_502 has no setting 'x'; it has: none."),
    ],
)
def test_a_fault_that_there_is_not_is_refused(text, message):
    with pytest.raises(ValueError, match=r"fault|setting") as caught:
        parse_fault(text)
    assert str(caught.value).startswith(message)


def test_how_faults_are_written():
    one = parse_fault("slow@poll:3,seconds=0.5")
    assert (one.fault.name, one.on, one.times, one.details) == ("slow", "poll", 3, {"seconds": 0.5})
    assert parse_fault("slow@look").on == "poll"  # as it was called at first
    assert (parse_fault("error_500").times, parse_fault("error_500:*").times) == (1, None)


def test_every_fault_does_exactly_what_its_row_says():
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert fault.summary
        assert sum(act is not None for act in (fault.instead, fault.plan, fault.answer, fault.account)) == 1


def test_the_page_of_the_emulator_lists_every_fault_as_it_is():
    page = (Path(__file__).parent.parent / "docs" / "emulator.md").read_text(encoding="utf-8")
    rows = {row[0].strip("`"): row for line in page.splitlines() if len(row := line.strip("| ").split(" | ")) == 4}
    for fault in FAULTS.values():
        _, places, settings, summary = rows[fault.name]
        assert (tuple(places.split()), summary) == (fault.places, fault.summary)
        assert all(name in settings for name in fault.details)


def test_a_picture_of_too_many_pixels_is_none():
    # Pillow's protection is an Exception of its own kind: it ended the emulator with a traceback.
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    assert kind_of(data) is None


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error_401", "invalid_api_key"), ("error_402", "insufficient_balance"), ("error_403", "model_not_allowed"),
        ("error_429", "rate_limit_exceeded"), ("error_503", "all_channels_failed"),
        ("model_not_found", "model_not_found"),
    ],
)  # fmt: skip
def test_a_refusal_carries_the_code_that_the_contract_has_for_it(monkeypatch, fault, code):
    """Also where the vendor calls it otherwise, or names none."""
    from lemon_ext.emulator import records

    assert Api(faults=[fault]).post().json()["error"]["code"] == code
    other = {f"{name}_now": what for name, what in records.ERROR_CODES.items()}
    monkeypatch.setattr(records, "ERROR_CODES", other)
    assert Api(faults=[fault]).post().json()["error"]["code"] == f"{code}_now"
    monkeypatch.setattr(records, "ERROR_CODES", {})
    assert Api(faults=[fault]).post().json()["error"]["code"] is None
