"""A mock server that knows nothing but openapi.yaml: our client finishes a task on it, by the examples alone."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.children import child
from tests.conftest import ROOT, run_live

PRISM = ROOT / ".venv" / "node" / "node_modules" / ".bin" / "prism"

pytestmark = [
    pytest.mark.regen,
    pytest.mark.live,
    pytest.mark.skipif(not PRISM.exists(), reason="Prism is not here: `make lint-contract` brings it where node is"),
]


@pytest.fixture(scope="module")
def mock():
    """Prism on the real contract; its address."""
    command = [str(PRISM), "mock", "--host", "127.0.0.1", "--port", "0", str(ROOT / "openapi.yaml")]
    with child(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = ""
        while (found := re.search(r"listening on (http://[\d.]+:\d+)", said)) is None:
            line = process.stdout.readline()
            assert line, f"it ended, and said: {said}"
            said += line
        yield found[1]
        process.terminate()


def test_a_task_is_finished_and_images_at_once_are_read(mock):
    code = f"""
from lemon_ext import Lemon
with Lemon("sk-mock", base_url={mock!r}) as lemon:
    done = lemon.images.task("img_0f9a12bc34de").result(deadline=20)
    print(done.task_id, done[0].url)
    inline = lemon.images.generate("a white cat", deadline=20)
    print(inline.task_id, inline[0].url)
"""
    finished, at_once = (line.split() for line in run_live(code).splitlines())
    assert finished[0] != "None"
    assert at_once[0] == "None"
    assert finished[1].startswith("https://")
    assert at_once[1].startswith("https://")


def test_a_refusal_of_the_contract_is_a_typed_error(mock):
    code = f"""
import httpx
from lemon_ext import Lemon, RateLimitError
with httpx.Client(headers={{"Prefer": "code=429"}}) as http, \
        Lemon("sk-mock", base_url={mock!r}, http_client=http, max_retries=0) as lemon:
    try:
        lemon.images.generate("a white cat", deadline=20)
    except RateLimitError as error:
        print(error.code, error.retry_after)
"""
    assert run_live(code).split() == ["rate_limit_exceeded", "8.0"]
