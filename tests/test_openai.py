"""People who come from `openai`: its names work, or are answered with ours before anything is paid for."""

from __future__ import annotations

import base64
import copy
import inspect
import io
import json
import pickle
import re
import warnings
from contextlib import ExitStack
from pathlib import Path

import anyio
import httpx
import pytest

import lemon_ext
from lemon_ext import (
    APIResponse,
    AsyncLemon,
    AuthenticationError,
    Lemon,
    LemonError,
    LemonWarning,
    ResponseError,
    ServerError,
    SubmissionUncertainError,
    TaskFailedError,
    run_batch,
)
from lemon_ext.emulator import KEY as EMULATED
from lemon_ext.emulator import Emulator
from lemon_ext.testing import instant
from tests.children import python
from tests.conftest import KEY
from tests.pictures import PNG

PIXEL = base64.b64encode(PNG).decode()
INLINE = {"created": 1, "data": [{"url": "https://img.example.net/a.png", "revised_prompt": "a fluffy cat"}]}
DATA = {"created": 1, "data": [{"b64_json": PIXEL}]}


def answering(*replies):
    left = list(replies)

    def handler(request):
        if request.url.host == "img.example.net":
            return httpx.Response(200, content=PNG)
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0], headers={"x-request-id": "req_1"})

    return handler


# ---- before anything is paid for ----


@pytest.mark.parametrize("call", ["generate", "submit", "edit", "create_variation"])
@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("timeout", "Here it is deadline=SECONDS"),
        ("extra_headers", r"lemon\.with_options\(default_headers=\{\.\.\.\}\)\.images"),
        ("extra_query", r"http_client=httpx\.Client\(params=\.\.\.\)"),
        ("idempotency_key", "never sent twice by itself"),
        ("stream", "on_update="),
        ("partial_images", "on_update="),
    ],
)
def test_an_argument_of_openais_call_is_answered_with_ours(colour, call, name, ours):
    images = colour.client(answering(INLINE)).images
    given = {"generate": ("x",), "submit": ("x",), "edit": (PNG, "x"), "create_variation": (PNG,)}[call]
    with pytest.raises(TypeError, match=f"^'{name}' is openai's name. .*{ours}"):
        colour.call(getattr(images, call), *given, **{name: 3})
    assert colour.requests == []


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("default_query", r"http_client=httpx\.Client\(params=\.\.\.\)"),
        ("organization", "no such thing here"),
        ("project", "no such thing here"),
    ],
)
def test_an_argument_of_openais_client_is_answered_with_ours(kind, name, ours):
    with pytest.raises(TypeError, match=f"^'{name}' is openai's name. .*{ours}"):
        kind(KEY, **{name: {"a": "b"}})
    with pytest.raises(TypeError, match=rf"it takes timeout, .*\. '{name}' is openai's name. .*{ours}"):
        kind(KEY).with_options(**{name: {"a": "b"}})
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        kind(KEY, nonsense=1)
    assert "api_key" in inspect.signature(kind).parameters


def test_headers_of_the_client_and_of_one_call_go_to_the_api_alone(colour):
    """Bug: a header that differs from call to call needed a hook of httpx, as many callers of openai have one."""
    answers = answering({"task_id": "img_1", "status": "pending"}, {**INLINE, "status": "completed"})
    client = colour.client(answers, default_headers={"X-Team": "shop", "User-Agent": "posters/2"})
    traced = client.with_options(default_headers={"x-trace": "7"})
    result = colour.call(traced.images.generate, "x", model="flux-pro", poll_interval=1)
    colour.call(colour.twin(result[0], "read"))
    seen = [(r.method, *(r.headers.get(n) for n in ("X-Team", "X-Trace", "User-Agent"))) for r in colour.requests]
    assert seen[:2] == [("POST", "shop", "7", "posters/2"), ("GET", "shop", "7", "posters/2")]
    assert [(method, team, trace) for method, team, trace, _ in seen[2:]] == [("GET", None, None)]
    colour.call(client.with_options(default_headers={"X-TEAM": "press"}).images.generate, "x", model="flux-pro")
    assert [colour.requests[-1].headers.get_list(name) for name in ("x-team", "x-trace")] == [["press"], []]
    if colour.blocking:
        traced.raw.get_httpx_client().get("/v1/models")
        assert colour.requests[-1].headers["x-trace"] == "7"


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Authorization": "Bearer sk-other"}, r"the client sets Authorization itself: give the key as api_key=\.$"),
        ({"content-type": "text/plain"}, r"the client sets content-type itself\.$"),
        ({"X Team": "a"}, "'X Team' is no name of a header"),
        ({"X-Team": "secret\r\nX-Other: b"}, "the value of X-Team has to be text in ASCII, on one line"),
        ({"X-Team": 3}, "the value of X-Team has to be text"),
    ],
)
def test_headers_that_cannot_be_are_refused_before_anything_is_sent(kind, headers, said):
    for make in (lambda: kind(KEY, default_headers=headers), lambda: kind(KEY).with_options(default_headers=headers)):
        with pytest.raises(ValueError, match=said) as caught:
            make()
        assert not any(secret in str(caught.value) for secret in ("secret", "sk-other"))


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize(
    ("where", "name", "ours"),
    [
        ("", "copy", r"lemon\.with_options\("),
        ("", "chat", "keep using openai's"),
        ("", "with_raw_response", r"result\.raw"),
        ("models", "retrieve", r"lemon\.models\.get\("),
        ("models", "with_raw_response", r"\.raw"),
        ("images", "create", r"lemon\.images\.generate\("),
        ("", "base_url", "LEMONDATA_BASE_URL"),
        ("", "api_key", "keep what you gave it"),
        ("", "timeout", r"with_options\(\.\.\.\) changes"),
        ("", "max_retries", r"with_options\(\.\.\.\) changes"),
        ("", "default_headers", r"lemon\.with_options\(default_headers="),
        ("", "post", r"lemon\.raw\.get_httpx_client\(\)"),
        ("", "videos", "keep using openai's"),
        ("images", "with_raw_response", r"result\.raw"),
    ],
)
def test_a_name_of_openais_is_answered_with_ours(kind, where, name, ours):
    owner = getattr(kind(KEY), where) if where else kind(KEY)
    with pytest.raises(AttributeError, match=f"'{name}' is openai's name. .*{ours}"):
        getattr(owner, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'\.$"):
        owner.nonsense  # noqa: B018


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_a_list_of_models_is_read_as_a_page_of_openais(kind):
    """Bug: `.data`, as in openai, was no attribute of a list."""
    listed = kind(KEY).models.list()
    assert [one.id for one in listed.data] == [one.id for one in listed] != []
    assert listed == list(listed)


@pytest.mark.anyio
async def test_a_list_of_models_may_be_awaited_as_openais_is():
    """Bug: `await client.models.list()` raised TypeError."""
    lemon = AsyncLemon(KEY)
    listed = await lemon.models.list()
    assert [one.id async for one in lemon.models.list()] == [one.id for one in listed.data] != []


@pytest.mark.parametrize(("name", "ours"), [("content", r"\.body"), ("url", "not kept"), ("elapsed", "no such thing")])
def test_a_name_of_openais_response_is_answered_with_ours(name, ours):
    """Bug: it was noticed first when something failed, and the clause that should have logged it failed, too."""
    response = APIResponse(400, {"retry-after": "1"}, b"{}")
    with pytest.raises(AttributeError, match=f"error.response has no attribute '{name}'.*openai's name. .*{ours}"):
        getattr(response, name)
    assert pickle.loads(pickle.dumps(response)) == copy.deepcopy(response) == response
    assert LemonError("no").request is None


def test_closing_an_async_client_as_openais_is_answered():
    with pytest.raises(AttributeError, match=r"await lemon\.aclose\(\)"):
        AsyncLemon(KEY).close  # noqa: B018


@pytest.mark.parametrize("given", [("cat.png", PNG), ("cat.png", io.BytesIO(PNG), "image/png")])
def test_a_picture_as_openais_tuple_is_answered(colour, given):
    with pytest.raises(TypeError, match="openai's way: give the file itself"):
        colour.call(colour.client(answering(INLINE)).images.edit, given, "x")
    assert colour.requests == []


def test_headers_of_ones_own_are_sent(colour):
    seen = []

    def handler(request):
        seen.append(request.headers["x-team"])
        return httpx.Response(200, json=INLINE)

    http = httpx.Client if colour.blocking else httpx.AsyncClient
    client = http(transport=httpx.MockTransport(handler), headers={"X-Team": "posters"})
    lemon = (Lemon if colour.blocking else AsyncLemon)(KEY, http_client=client)
    colour.call(lemon.images.generate, "x")
    assert seen == ["posters"]


# ---- what is paid for is not lost for a name ----


def test_a_result_gives_its_json_under_every_name(colour):
    result = colour.call(colour.client(answering({**INLINE, "usage": {"total_tokens": 3}})).images.generate, "x")
    whole = {**INLINE, "usage": {"total_tokens": 3}}
    assert result.to_dict() == result.model_dump() == result.model_dump(exclude_none=True) == result.dict() == whole
    assert json.loads(result.model_dump_json(indent=2)) == json.loads(result.to_json()) == json.loads(result.json())
    assert result.data[0].to_dict() == result.data[0].model_dump() == whole["data"][0]
    assert (result["data"][0]["url"], result.usage) == ("https://img.example.net/a.png", {"total_tokens": 3})
    assert (result.quality, result.size, result._request_id) == (None, None, "req_1")
    for owner in (result, result[0]):
        assert owner is result or not hasattr(owner, "size")
        with pytest.raises(AttributeError, match=r"no attribute 'nonsense', .*\.to_dict\(\)"):
            owner.nonsense  # noqa: B018
        assert pickle.loads(pickle.dumps(owner)).to_dict() == owner.to_dict()
        assert not hasattr(owner, "_repr_png_")


def test_base64_that_did_not_come_is_told_of(colour):
    by_address = colour.call(colour.client(answering(INLINE)).images.generate, "x")[0]
    with pytest.warns(LemonWarning, match=r"b64_json is None.*image\.read\(\)") as told:
        assert by_address.b64_json is None
    assert told[0].filename == __file__
    by_data = colour.call(colour.client(answering(DATA)).images.generate, "x")[0]
    assert (by_data.b64_json, by_data.url) == (PIXEL, None)


def test_an_error_has_its_message(colour):
    refusing = colour.client(lambda _: httpx.Response(401, json={"error": {"message": "Invalid API key"}}))
    with pytest.raises(AuthenticationError) as caught:
        colour.call(refusing.images.generate, "x")
    assert caught.value.message == str(caught.value)
    assert "Invalid API key" in caught.value.message


def test_a_name_that_is_taken_does_not_cost_the_only_copy(colour, tmp_path):
    image = colour.call(colour.client(answering(DATA)).images.generate, "x")[0]
    first = colour.call(colour.twin(image, "save"), tmp_path / "cat.png")
    for kept in ("cat-2.png", "cat-3.png"):
        with pytest.raises(FileExistsError, match=rf"cat\.png exists.*overwrite=True.*saved as .*{kept}\.$"):
            colour.call(colour.twin(image, "save"), tmp_path / "cat")
        assert (tmp_path / kept).read_bytes() == first.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat-2.png", "cat-3.png", "cat.png"]


# ---- options of a client ----


def test_a_client_has_a_poll_interval(colour):
    pending = {"task_id": "img_1", "status": "pending"}
    done = {"task_id": "img_1", "status": "completed", **INLINE}
    lemon = colour.client(answering(*[pending, pending, done] * 3), poll_interval=7)
    for client, interval, seconds in ((lemon, None, 14), (lemon.with_options(poll_interval=3), None, 6), (lemon, 2, 4)):
        began = colour.clock.now
        colour.call(client.with_options(deadline=60).images.generate, "x", model="midjourney", poll_interval=interval)
        assert colour.clock.now - began == pytest.approx(seconds)


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize("interval", [0, -1, "soon", True])
def test_a_poll_interval_that_is_none_is_refused(kind, interval):
    with pytest.raises(ValueError, match="poll_interval must be a number of seconds above zero"):
        kind(KEY, poll_interval=interval)
    with pytest.raises(ValueError, match="poll_interval"):
        kind(KEY).with_options(poll_interval=interval)


# ---- warnings ----


def here():
    return inspect.currentframe().f_back.f_lineno


def test_warnings_point_at_the_line_of_the_caller(colour):
    lemon = colour.client(answering(INLINE))
    calls = {"generate": ("x",), "submit": ("x",), "edit": (PNG, "x"), "create_variation": (PNG,)}
    lines = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")

        async def main():
            for call, given in calls.items():
                lines.append(here() + 1)
                await getattr(lemon.images, call)(*given, model="dalle-2")
            async with anyio.create_task_group() as group:  # nobody's frame is below such a task but who started it all
                group.start_soon(lambda: lemon.images.generate("x", model="dalle-2"))

        if colour.portal is None:
            for call, given in calls.items():
                lines.append(here() + 1)
                getattr(lemon.images, call)(*given, model="dalle-2")
        else:
            anyio.run(main, backend="asyncio")
            lines.append(here() - 1)
    told = [warning for warning in told if warning.category is LemonWarning]
    assert [(warning.filename, warning.lineno) for warning in told] == [(__file__, line) for line in lines]


def test_warnings_of_a_batch_point_at_who_reads_it(tmp_path):
    with Emulator(task_seconds=0) as emulator, instant(), Lemon(EMULATED, base_url=emulator.url) as lemon:
        rows = run_batch([{"prompt": "x"}], tmp_path, client=lemon, on_progress=lambda _: 1 / 0)
        with pytest.warns(LemonWarning, match="on_progress raised") as told:
            assert [row["status"] for row in rows] == ["saved"]
    assert {warning.filename for warning in told} == {__file__}


# ---- its scripts ----


NEVER_CLOSED = """
import asyncio, sys
from lemon_ext import AsyncLemon
client = AsyncLemon("sk-emulator", base_url=sys.argv[1])
async def main():
    print(len(await client.images.generate(prompt="a cat", model="dall-e-3")))
asyncio.run(main())
"""


def test_a_client_that_nobody_closes_says_nothing_at_the_end():
    with Emulator() as emulator, python("-c", NEVER_CLOSED, emulator.url) as running:
        assert running.communicate(timeout=60) == ("1\n", "")


def test_scripts_for_openai_run_with_the_client_replaced(tmp_path, monkeypatch):
    """As they stand in its README and its guides."""
    monkeypatch.chdir(tmp_path)
    with Emulator(task_seconds=0) as emulator, instant(), ExitStack() as closing:
        monkeypatch.setenv("LEMONDATA_API_KEY", EMULATED)
        monkeypatch.setenv("LEMONDATA_BASE_URL", f"{emulator.url}/v1")
        client = closing.enter_context(Lemon())
        img = client.images.generate(
            model="gpt-image-2", prompt="A cute baby sea otter", n=1, size="1024x1024", response_format="b64_json"
        )
        Path("output.png").write_bytes(base64.b64decode(img.data[0].b64_json))
        urls = [one.url for one in client.images.generate(model="flux-pro", prompt="otters", n=2, user="me").data]
        assert [httpx.get(url).status_code for url in urls] == [200, 200]
        with Path("output.png").open("rb") as first, Path("output.png").open("rb") as mask:
            edited = client.images.edit(model="gpt-image-2", image=[first], mask=mask, prompt="with a hat")
        with Path("output.png").open("rb") as first, Path("output.png").open("rb") as second:
            both = client.images.edit(model="gpt-image-2", image=[first, second], prompt="in one basket")
        with Path("output.png").open("rb") as first:
            varied = client.images.create_variation(model="dall-e-2", image=first, n=2, size="1024x1024")
        assert [len(result.data) for result in (edited, both, varied)] == [1, 1, 2]
        patient = client.with_options(max_retries=5, timeout=60.0)
        assert patient.images.generate(prompt="a cat", model="gpt-image-2").created > 0

        async def main():
            async with AsyncLemon() as client:
                result = await client.images.generate(model="gpt-image-2", prompt="a cat", response_format="b64_json")
                return base64.b64decode(result.data[0].b64_json)

        for loop in ("asyncio", "trio"):
            assert anyio.run(main, backend=loop).startswith(b"\x89PNG")
        assert emulator.charges == 8


# ---- names of the module, and of its errors ----


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("OpenAIError", LemonError),
        ("APIError", LemonError),
        ("InternalServerError", ServerError),
        ("APIResponseValidationError", ResponseError),
        ("NOT_GIVEN", None),
        ("omit", None),
    ],
)
def test_a_name_that_an_except_or_an_argument_brings_along_works(name, ours):
    assert getattr(lemon_ext, name) is ours


def test_every_error_that_openai_raises_can_be_named_in_an_except():
    for name in (
        *("OpenAIError", "APIError", "APIStatusError", "APIConnectionError", "APITimeoutError", "BadRequestError"),
        *("AuthenticationError", "PermissionDeniedError", "NotFoundError", "ConflictError", "RateLimitError"),
        *("UnprocessableEntityError", "InternalServerError", "APIResponseValidationError"),
    ):
        assert issubclass(getattr(lemon_ext, name), LemonError), name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OpenAI", r"Here it is Lemon\("),
        ("AsyncOpenAI", r"Here it is AsyncLemon\("),
        ("NotGiven", "an argument that is None is not given"),
        ("LengthFinishReasonError", "leave the clause out"),
        ("images", r"Lemon\(\)\.images"),
        ("Timeout", "a number of seconds"),
    ],
)
def test_another_name_of_the_module_is_answered_with_ours(name, said):
    with pytest.raises(
        AttributeError, match=rf"^module 'lemon_ext' has no attribute '{name}'\. .*openai's name.*{said}"
    ):
        getattr(lemon_ext, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'\.$"):
        lemon_ext.nonsense  # noqa: B018


def test_an_argument_that_is_not_given_is_not_sent(colour):
    colour.call(colour.client(answering(INLINE)).images.generate, "x", model="dall-e-3", size=lemon_ext.NOT_GIVEN)
    assert json.loads(colour.requests[0].content) == {"prompt": "x", "model": "dall-e-3"}


@pytest.mark.parametrize("kind", sorted(lemon_ext.errors.__all__))
def test_every_error_can_be_logged_as_openais(kind):
    error = getattr(lemon_ext.errors, kind)("what happened")
    if isinstance(error, LemonError):
        assert (error.message, error.code, error.type, error.param, error.request_id) == ("what happened", *[None] * 4)
        assert not error.body
        assert not error.status_code


@pytest.mark.parametrize(
    ("status", "body", "raised", "code"),
    [
        (422, {"error": {"message": "no", "code": "bad"}}, lemon_ext.UnprocessableEntityError, "bad"),
        (500, {"error": {"message": "no"}}, SubmissionUncertainError, None),
        (200, {"task_id": "img_1", "status": "failed", "error": "no"}, TaskFailedError, None),
    ],
)
def test_an_error_has_the_id_of_its_request(colour, status, body, raised, code):
    client = colour.client(lambda _: httpx.Response(status, json=body, headers={"x-request-id": "req_1"}))
    with pytest.raises(LemonError) as caught:
        colour.call(client.images.generate, "x")
    assert type(caught.value) is raised
    assert (caught.value.request_id, caught.value.code) == ("req_1", code)


def test_the_page_says_what_each_except_clause_catches(colour):
    """A clause, an answer to the paid request, and whether it fires. If not, the page names the answer or the error."""
    page = (
        (Path(__file__).parent.parent / "docs/openai.md").read_text(encoding="utf-8").partition("## Except clauses")[2]
    )
    lines = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    no_longer = {clause: missed for clauses, _, missed in lines for clause in re.findall(r"`(\w+)`", clauses)}
    assert [clause for clause in no_longer if not hasattr(lemon_ext, clause)] == []
    table = (
        ("InternalServerError", 500, False),
        ("InternalServerError", 502, False),
        ("APIStatusError", 500, False),
        ("APIStatusError", 422, True),
        ("APIError", 500, True),
        ("OpenAIError", 500, True),
        ("BadRequestError", 400, True),
        ("AuthenticationError", 402, False),
    )
    for clause, status, fires in table:
        client = colour.client(lambda _, status=status: httpx.Response(status, json={"error": {"message": "no"}}))
        with pytest.raises(LemonError) as caught:
            colour.call(client.images.generate, "x")
        assert isinstance(caught.value, getattr(lemon_ext, clause)) is fires, (clause, status)
        named = str(status) in no_longer[clause] or type(caught.value).__name__ in no_longer[clause]
        assert named is not fires, (clause, status)

    def broken(_):
        raise httpx.ReadError("broken")

    for fault in (broken, lambda _: (_ for _ in ()).throw(httpx.ReadTimeout("slow"))):
        with pytest.raises(LemonError) as caught:
            colour.call(colour.client(fault).images.generate, "x")
        assert not isinstance(caught.value, lemon_ext.APIConnectionError), caught.value
