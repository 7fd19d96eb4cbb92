"""The emulator's doors: the httpx transport, the server on a socket, the one in the foreground, and the fixture.

What people do today is run against it as it stands: the vendor page's Python loop and curl line, and the `openai` SDK.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

import lemon_ext.emulator
from lemon_ext import Lemon
from lemon_ext.emulator import KEY, Emulator, serve
from tests.children import python
from tests.play import Clock

AUTH = {"Authorization": f"Bearer {KEY}"}
GENERATIONS = "/v1/images/generations"
LOCAL = ["blocking", "asyncio", "trio"]


def post(url: str, *, timeout: float | httpx.Timeout = 60.0, **fields: Any) -> httpx.Response:
    return httpx.post(url + GENERATIONS, json={"prompt": "x", **fields}, headers=AUTH, timeout=timeout, trust_env=False)


def through_transport(how: str, emulator: Emulator, path: str = GENERATIONS, **options: Any) -> httpx.Response:
    """Make a request through the transport, blocking or in an event loop."""
    body = {} if path != GENERATIONS else {"json": {"prompt": "x"}, "headers": AUTH}
    method = "GET" if path != GENERATIONS else "POST"
    if how == "blocking":
        with httpx.Client(transport=emulator.transport, base_url=emulator.address) as client:
            return client.request(method, path, **body, **options)

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=emulator.transport, base_url=emulator.address) as client:
            return await client.request(method, path, **body, **options)

    return anyio.run(main, backend=how)


# ---- in this process ----


@pytest.mark.parametrize("how", LOCAL)
def test_the_transport_waits_with_the_functions_it_is_given(how):
    clock = Clock()
    emulator = Emulator(latency=30.0, sleep=clock.sleep, asleep=clock.asleep)
    assert through_transport(how, emulator, timeout=60.0).status_code == 200
    assert clock.now == 1030.0


@pytest.mark.parametrize("how", LOCAL)
def test_an_answer_that_comes_too_late_is_a_read_timeout(how):
    clock = Clock()
    emulator = Emulator(faults=["slow,seconds=90"], sleep=clock.sleep, asleep=clock.asleep)
    with pytest.raises(httpx.ReadTimeout):
        through_transport(how, emulator, timeout=60.0)
    assert (clock.now, emulator.charges) == (1060.0, 1)


@pytest.mark.parametrize("how", LOCAL)
@pytest.mark.parametrize(
    ("fault", "error", "charges"),
    [
        ("no_connection", httpx.ConnectError, 0),
        ("drop_before", httpx.RemoteProtocolError, 0),
        ("drop_after", httpx.RemoteProtocolError, 1),
    ],
)
def test_a_dropped_connection_is_the_error_that_httpx_raises(how, fault, error, charges):
    emulator = Emulator(faults=[fault])
    with pytest.raises(error):
        through_transport(how, emulator)
    assert emulator.charges == charges


@pytest.mark.parametrize("how", LOCAL)
def test_a_picture_can_break_off(how):
    emulator = Emulator(faults=["image_truncated"])
    path = httpx.URL(through_transport(how, emulator).json()["data"][0]["url"]).path
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        through_transport(how, emulator, path)
    assert through_transport(how, emulator, path).content.endswith(b"IEND\xaeB`\x82")


def test_the_app_works_under_another_server_except_for_dropping():
    emulator = Emulator(latency=0.001, faults=["drop_after"])

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url="http://there") as client:
            with pytest.raises(ConnectionAbortedError, match="emulator's own server"):
                await client.post(GENERATIONS, json={"prompt": "x"}, headers=AUTH)
            return await client.post(GENERATIONS, json={"prompt": "x"}, headers=AUTH)

    answer = anyio.run(main)
    assert answer.json()["data"][0]["url"].startswith("http://there/emulator/images/")


# ---- over a socket ----


@pytest.fixture(scope="module")
def served() -> Any:
    with Emulator(task_seconds=0.0) as emulator:
        _ = emulator.url
        yield emulator


@pytest.fixture
def server(served: Emulator) -> Emulator:
    served.reset()
    return served


def test_the_server_answers_and_serves_pictures_without_a_key(server):
    url = post(server.url, size="1792x1024").json()["data"][0]["url"]
    assert url.startswith(f"{server.url}/emulator/images/")
    picture = httpx.get(url, trust_env=False)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert [seen.keyed for seen in server.requests] == [True, False]


@pytest.mark.parametrize(
    ("fault", "charges"), [("no_connection", 0), ("drop_before", 0), ("drop_after", 1)]
)  # over a socket nobody can tell them apart
def test_a_dropped_connection_gets_no_byte_of_an_answer(server, fault, charges):
    server.inject(fault)
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST {GENERATIONS} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 15\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + b'{"prompt": "x"}')
        assert connection.recv(1000) == b""
    assert server.charges == charges
    assert post(server.url).status_code == 200


def test_a_picture_breaks_off_over_a_socket(server):
    url = post(server.url).json()["data"][0]["url"]
    server.inject("image_truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url, trust_env=False)


def test_a_huge_body_is_refused_over_a_socket(server):
    assert post(server.url, prompt="x" * 5_000_000).status_code == 413


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_is_refused_over_a_socket_in_the_envelope(server, method):
    for path, status, allow, code in (
        (GENERATIONS, 405, "POST", b"method_not_allowed"),
        (f"{GENERATIONS}/img_1", 405, "GET, DELETE", b"method_not_allowed"),
        ("/nowhere", 404, None, b"not_found"),
    ):
        answer = httpx.request(method, server.url + path, headers=AUTH, trust_env=False)
        told = (answer.status_code, answer.headers.get("allow"), answer.headers["content-type"])
        assert told == (status, allow, "application/json")
        assert method == "HEAD" or code in answer.content


def test_what_is_no_path_is_refused_in_the_envelope_too(server):
    host, port = server.url.removeprefix("http://").split(":")
    for target in ("*", "example.test:443"):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"OPTIONS {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        assert json.loads(body)["error"]["code"] == "not_found"


def test_nobody_who_waits_for_a_slow_answer_holds_up_the_end():
    with Emulator(faults=["slow:2,seconds=60"]) as emulator, ThreadPoolExecutor(1) as pool:
        with pytest.raises(httpx.ReadTimeout):
            post(emulator.url, timeout=httpx.Timeout(60.0, read=0.05))
        waiting = pool.submit(post, emulator.url, timeout=30.0)
        for _ in range(10_000):
            if emulator.charges == 2:
                break
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.005)
        assert emulator.charges == 2
        begun = time.monotonic()
        emulator.close()
        assert time.monotonic() - begun < 30.0  # of the sixty that the answer takes
        with pytest.raises(httpx.RemoteProtocolError):
            waiting.result()


def test_a_closed_emulator_can_serve_again():
    with Emulator() as emulator:
        first = emulator.url
        assert emulator.url == first
        emulator.close()
        emulator.close()
        with pytest.raises(httpx.ConnectError):
            post(first)
        assert post(emulator.url).status_code == 200
        assert not [thread for thread in threading.enumerate() if thread.name == "lemon-emulator" and not thread.daemon]


def test_a_server_that_is_stopped_while_it_starts_leaves_no_socket_open(monkeypatch):
    async def cut_short(self, sockets):
        listening.extend(sockets)
        self.should_exit = True

    listening: list[socket.socket] = []
    monkeypatch.setattr(uvicorn.Server, "startup", cut_short)
    with Emulator() as emulator:
        _ = emulator.url
    assert [one.fileno() for one in listening] == [-1]


def test_two_emulators_in_two_threads_know_nothing_of_each_other():
    def use(n: int) -> tuple[int, int, list[str]]:
        with Emulator(task_seconds=0.0, faults=["error_429"] * n, seed=n) as emulator:
            statuses = [post(emulator.url).status_code for _ in range(6)]
            with Lemon(KEY, base_url=emulator.url) as lemon:
                pictures = [
                    image.read() for image in lemon.images.generate("x", model="midjourney", n=2, poll_interval=0.01)
                ]
            return statuses.count(429), emulator.charges, [picture[:4].hex() for picture in pictures]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(use, [1, 3])) == [(1, 6, ["89504e47"] * 2), (3, 4, ["89504e47"] * 2)]


def test_one_emulator_counts_right_under_many_threads():
    emulator = Emulator(requests_per_minute=50, faults=["error_500:7"])
    http = httpx.Client(transport=emulator.transport, base_url=emulator.address, headers=AUTH)
    with http, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: http.post(GENERATIONS, json={"prompt": "x"}).status_code, range(80)))
    assert {status: statuses.count(status) for status in set(statuses)} == {200: 43, 500: 7, 429: 30}
    assert emulator.charges == 43


# ---- in the foreground ----

FOREGROUND = """
from lemon_ext.emulator import Emulator, serve
serve(Emulator(), port=0, on_ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_serving_in_the_foreground_ends_with_a_signal(how):
    with python("-W", "error", "-c", FOREGROUND) as process:
        url = process.stdout.readline().strip()
        assert post(url).status_code == 200
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("stopped\n", "", 0)


def test_a_port_that_is_taken_is_an_os_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(Emulator(), port=taken.getsockname()[1])


# ---- the fixture ----


def test_the_fixture_works_in_this_process_and_over_a_socket(lemon_emulator):
    clients = (
        Lemon(KEY, base_url=lemon_emulator.address, http_client=httpx.Client(transport=lemon_emulator.transport)),
        Lemon(KEY, base_url=lemon_emulator.url),
    )
    for lemon in clients:
        with lemon:
            result = lemon.images.generate("a white cat", model="midjourney", poll_interval=0.01)
            assert result[0].read().startswith(b"\x89PNG")
    assert lemon_emulator.charges == 2


def test_the_fixture_is_fresh_for_each_test(lemon_emulator):
    assert (lemon_emulator.charges, lemon_emulator.requests) == (0, [])


WEIGHT = """
import sys
import pytest
before = set(sys.modules)
heavy = {"PIL", "anyio", "httpx", "jsonschema", "lemon_client", "starlette", "uvicorn"}
import lemon_ext.emulator.pytest_plugin
print(sorted(heavy & (set(sys.modules) - before)))
from lemon_ext.emulator import KEY, Emulator
Emulator()
print(sorted({"PIL", "starlette", "uvicorn"} & set(sys.modules)))
"""


def test_the_plugin_imports_nothing_of_weight_and_the_emulator_no_more_than_it_needs():
    done = subprocess.run([sys.executable, "-W", "error", "-c", WEIGHT], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


@pytest.mark.parametrize("missing", ["jsonschema", "PIL", "starlette", "uvicorn"])
def test_without_the_extra_the_message_says_what_to_install(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(vars(lemon_ext.emulator), "Emulator", raising=False)
    with pytest.raises(ImportError) as caught:
        from lemon_ext.emulator import Emulator  # noqa: F401 - its import is what is tested
    assert str(caught.value) == (
        f'The emulator needs what is not installed ({missing}): pip install "lemon-ext[emulator]"'
    )


def test_the_package_knows_its_names():
    assert {"Emulator", "FAULTS", "KEY", "parse_fault", "serve"} <= set(dir(lemon_ext.emulator))
    with pytest.raises(AttributeError, match="no attribute 'Emulater'"):
        _ = lemon_ext.emulator.Emulater


# ---- what people use today ----

#: As it stands on the vendor's create-image page; only the address is replaced.
VENDOR_LOOP = """
import requests
import time

def generate_image(prompt, model="midjourney"):
    # 이미지 생성 요청
    response = requests.post(
        "https://api.lemondata.cc/v1/images/generations",
        headers={"Authorization": "Bearer sk-your-api-key"},
        json={"model": model, "prompt": prompt}
    )
    data = response.json()

    # 비동기 여부 확인
    if data.get("status") == "pending":
        task_id = data["task_id"]
        print(f"Async task started: {task_id}")

        # 결과 폴링
        while True:
            status_resp = requests.get(
                f"https://api.lemondata.cc/v1/images/generations/{task_id}",
                headers={"Authorization": "Bearer sk-your-api-key"}
            )
            status_data = status_resp.json()

            if status_data["status"] == "completed":
                return status_data["data"][0]["url"]
            elif status_data["status"] == "failed":
                raise Exception(status_data.get("error", "Generation failed"))

            time.sleep(3)
    else:
        # 동기 응답
        return data["data"][0]["url"]

# 사용 예시
url = generate_image("a beautiful sunset over mountains", model="midjourney")
print(f"Generated image: {url}")
"""
VENDOR_CURL = r"""
curl -X POST "https://api.lemondata.cc/v1/images/generations" \
  -H "Authorization: Bearer sk-your-api-key" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "dall-e-3",
    "prompt": "A white cat sitting on a windowsill watching rain",
    "size": "1024x1024",
    "quality": "standard",
    "n": 1
  }'
"""
VENDOR = "https://api.lemondata.cc"


@pytest.fixture
def vendor_loop(monkeypatch, capsys) -> Any:
    """The page's loop, with a stand-in for `requests` and a clock that its sleeps move."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    slept: list[float] = []
    loose = {"trust_env": False}
    stand_in = SimpleNamespace(
        post=lambda url, headers, json: httpx.post(url, headers=headers, json=json, **loose),
        get=lambda url, headers: httpx.get(url, headers=headers, **loose),
    )
    monkeypatch.setitem(sys.modules, "requests", stand_in)

    def run(**options: Any) -> tuple[list[float], str, Emulator]:
        with Emulator(clock=clock, **options) as emulator, monkeypatch.context() as patch:
            address = emulator.url
            patch.setattr(time, "sleep", sleep)
            exec(VENDOR_LOOP.replace(VENDOR, address), {})
            picture = httpx.get(capsys.readouterr().out.split("Generated image: ")[1].strip(), trust_env=False)
            assert picture.content.startswith(b"\x89PNG")
        return slept, emulator

    return run


def test_the_vendor_pages_own_loop_works(vendor_loop):
    slept, emulator = vendor_loop(task_seconds=10.0)
    assert slept == [3, 3, 3, 3]
    assert emulator.charges == 1
    assert [seen.method for seen in emulator.requests] == ["POST", *["GET"] * 5, "GET"]


def test_the_vendor_pages_own_loop_takes_an_inline_answer_for_one(vendor_loop):
    slept, emulator = vendor_loop(faults=["reply_inline"])
    assert (slept, emulator.charges) == ([], 1)


def test_the_vendor_pages_own_loop_hears_of_a_failure(vendor_loop):
    with pytest.raises(Exception, match="refused by the content policy"):
        vendor_loop(faults=["task_failed"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_the_vendor_pages_own_curl_line_works(server):
    line = shlex.split(VENDOR_CURL.replace("\\\n", " ").replace(VENDOR, server.url))
    done = subprocess.run([*line, "--silent", "--noproxy", "*"], capture_output=True, text=True, check=True)
    body = json.loads(done.stdout)
    assert body.keys() == {"created", "data"}
    assert body["data"][0]["revised_prompt"].startswith("A white cat sitting on a windowsill")
    assert server.ledger[0].request["quality"] == "standard"


@pytest.mark.peers
class TestOpenAI:
    """The `openai` SDK, pointed at the emulator."""

    @pytest.fixture
    def openai(self) -> Any:
        return pytest.importorskip("openai")

    def client(self, openai: Any, emulator: Emulator, key: str = KEY) -> Any:
        return openai.OpenAI(api_key=key, base_url=f"{emulator.url}/v1", max_retries=0)

    def test_it_generates_with_inline_models(self, openai, server):
        with self.client(openai, server) as client:
            result = client.images.generate(model="dall-e-3", prompt="a white cat", size="1792x1024", quality="hd")
            assert httpx.get(result.data[0].url, trust_env=False).content.startswith(b"\x89PNG")
            assert result.data[0].revised_prompt.startswith("a white cat")
            result = client.images.generate(model="dall-e-2", prompt="x", n=2, response_format="b64_json")
            assert [len(image.b64_json) > 1000 for image in result.data] == [True, True]

    def test_it_takes_a_task_for_a_result_with_an_empty_url(self, openai, server):
        with self.client(openai, server) as client:
            assert client.images.generate(model="midjourney", prompt="x").data[0].url == ""
        assert server.charges == 1

    @pytest.mark.parametrize(
        ("key", "fault", "params", "error", "code"),
        [
            ("sk-invalid", None, {}, "AuthenticationError", "invalid_api_key"),
            (KEY, None, {"model": "flux-pro", "quality": "hd"}, "BadRequestError", "unsupported_parameter"),
            (KEY, "model_not_found", {}, "BadRequestError", "model_not_found"),
            (KEY, "error_429", {}, "RateLimitError", "rate_limit_exceeded"),
            (KEY, "error_403", {}, "PermissionDeniedError", "model_not_allowed"),
            (KEY, "error_500", {}, "InternalServerError", None),
            (KEY, "drop_before", {}, "APIConnectionError", None),
        ],
    )
    def test_it_raises_its_own_typed_errors(self, openai, server, key, fault, params, error, code):
        if fault:
            server.inject(fault)
        with self.client(openai, server, key) as client, pytest.raises(getattr(openai, error)) as caught:
            client.images.generate(**{"model": "dall-e-3", "prompt": "x", **params})
        assert caught.value.code == code
        assert server.charges == 0

    def test_it_pays_again_when_an_answer_is_lost(self, openai, server):
        server.inject("drop_after")
        with self.client(openai, server).with_options(max_retries=1) as client:
            client.images.generate(model="dall-e-3", prompt="x")
        assert server.charges == 2
