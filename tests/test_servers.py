"""The service of docs/servers.md, as it stands there: killed in between, it pays once and loses nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lemon_ext.emulator import KEY, Emulator
from tests.children import python
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL is of other systems"),
]


@contextmanager
def serving(folder: Path, emulator: Emulator, said: list[str] | None = None) -> Iterator[tuple[Any, httpx.Client]]:
    """Serve the example, and leave with a SIGKILL."""
    environment = {**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url, "PYTHONUNBUFFERED": "1"}
    paths = os.pathsep.join([environment["PYTHONPATH"], str(folder)])
    command = ("-m", "uvicorn", "app:app", "--port", "0")
    with python(*command, cwd=folder, env={**environment, "PYTHONPATH": paths}) as server:
        address, said = None, [] if said is None else said
        while address is None:
            said.append(server.stderr.readline())
            assert said[-1], "".join(said)
            address = re.search(r"http://127\.0\.0\.1:\d+", said[-1])
        with httpx.Client(base_url=address[0]) as http:
            yield server, http
        server.kill()
        said.append(server.communicate()[1])


def sent(emulator: Emulator) -> list[Any]:
    return [request for request in emulator.requests if request.method == "POST"]


def until(http: httpx.Client, name: str, *states: str) -> httpx.Response:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        answer = http.get(f"/posters/{name}")
        if answer.status_code == 200:  # a picture, and nothing else
            assert answer.content.startswith(b"\x89PNG")
            if "done" in states:
                return answer
        elif answer.status_code == 409 and answer.json()["state"] in states:
            return answer
        time.sleep(0.02)
    raise AssertionError(answer.text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    (tmp_path / "app.py").write_text(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0])
    return tmp_path


def test_the_example_survives_its_death_and_pays_once(folder):
    with Emulator(task_seconds=1.0) as emulator:
        with serving(folder, emulator) as (_, http):
            for _ in range(2):  # a double click
                assert http.put("/posters/cat", json={"prompt": "a white cat"}).status_code == 202
            http.put("/posters/bad", json={"prompt": ""})
            assert "prompt" in until(http, "bad", "refused").json()["told"]
            until(http, "cat", "waiting")
        assert emulator.charges == 1
        emulator.inject("slow", on="submit", seconds=30)
        with serving(folder, emulator) as (_, http):
            assert until(http, "cat", "done").content.startswith(b"\x89PNG")
            http.put("/posters/dog", json={"prompt": "a black dog"})
            until(http, "dog", "submitting")
            while len(sent(emulator)) < 2:
                time.sleep(0.02)
        with serving(folder, emulator) as (_, http):
            assert "may be billed" in until(http, "dog", "uncertain").json()["told"]
            assert http.get("/posters/cat").content.startswith(b"\x89PNG")
            http.put("/posters/dog", json={"prompt": "a black dog"})
            assert until(http, "dog", "uncertain")
        assert len(sent(emulator)) == 2


def test_the_example_waits_for_an_answer_when_it_is_told_to_end(folder):
    with Emulator(task_seconds=0.0) as emulator:
        emulator.inject("slow", on="submit", seconds=1)
        with serving(folder, emulator) as (server, http):
            http.put("/posters/cat", json={"prompt": "a white cat"})
            until(http, "cat", "submitting")
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        with serving(folder, emulator) as (_, http):
            assert until(http, "cat", "done").content.startswith(b"\x89PNG")
        assert len(sent(emulator)) == 1


def test_a_new_process_beside_the_old_one_loses_no_handle(folder):
    """Bug: a rolling restart took the old process's request for a crash, and the handle that came then was dropped."""
    with Emulator(task_seconds=0.0) as emulator:
        emulator.inject("slow", on="submit", seconds=12)
        with serving(folder, emulator) as (_, old):
            old.put("/posters/cat", json={"prompt": "a white cat"})
            until(old, "cat", "submitting")
            with serving(folder, emulator) as (_, new):
                until(new, "cat", "uncertain")
                assert until(new, "cat", "done").content.startswith(b"\x89PNG")
        assert len(sent(emulator)) == 1


def test_what_another_worker_is_sending_is_left_to_it(folder):
    """Bug: of two workers that took up the same new job, the one that came second called the first one's uncertain."""
    code = (
        "import asyncio, app\n"
        "app.db.execute(\"INSERT INTO jobs (name, prompt, state) VALUES ('cat', 'a cat', 'submitting')\")\n"
        "asyncio.run(app.work(None, 'cat'))\n"
        "print(app.db.execute('SELECT state, told FROM jobs').fetchone())\n"
    )
    with python(
        "-c", code, cwd=folder, env={**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{folder}"}
    ) as run:
        assert run.communicate() == ("('submitting', None)\n", "")


def test_what_failed_or_is_uncertain_is_logged(folder):
    """Bug: the page says that the log has it, too; of what may be billed it had nothing."""
    said: list[str] = []
    with Emulator(task_seconds=0.0) as emulator, serving(folder, emulator, said) as (_, http):
        for name, fault, state in (("a", "drop_after", "uncertain"), ("b", "task_failed", "failed")):
            http.put(f"/posters/{name}", json={"prompt": f"x [fault:{fault}]"})
            until(http, name, state)
    assert "poster a is uncertain: The request was sent and its answer was lost" in "".join(said)
    assert "poster b failed: The task img_" in "".join(said)


def test_what_goes_wrong_while_waiting_is_logged_and_told_and_the_next_start_fetches_it(folder):
    said: list[str] = []
    with Emulator(task_seconds=0.0) as emulator:
        emulator.inject("error_401", on="poll")
        with serving(folder, emulator, said) as (_, http):
            http.put("/posters/cat", json={"prompt": "a white cat"})
            end = time.monotonic() + 30
            while (answer := until(http, "cat", "submitting", "waiting").json())["told"] is None:
                assert time.monotonic() < end
                time.sleep(0.02)
            assert answer["state"] == "waiting"
            assert "401" in answer["told"]
        assert re.search(r"poster cat: .*401", "".join(said))
        with serving(folder, emulator) as (_, http):
            until(http, "cat", "done")
        assert emulator.charges == 1


def test_a_body_that_is_no_prompt_is_the_callers_fault_and_its_content_type_does_not_matter(folder):
    with Emulator(task_seconds=0.0) as emulator, serving(folder, emulator) as (_, http):
        for body in (b"a white cat", b"\xff", b"[]", b"3", b"{}", b'{"prompt": 3}'):
            assert http.put("/posters/cat", content=body).status_code == 400, body
        assert http.get("/posters/cat").status_code == 404
        form = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d sends by itself
        assert http.put("/posters/cat", content=b'{"prompt": "a white cat"}', headers=form).status_code == 202
        until(http, "cat", "done")
        assert (folder / "posters" / "cat.png").is_file()
        (folder / "cat.png").touch()  # as `curl -o cat.png` does in the server's folder
        until(http, "cat", "done")
        assert emulator.charges == 1
