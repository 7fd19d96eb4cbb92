"""`make drift`: what the API answers and the contract does not say, from recorded exchanges and from free requests."""

from __future__ import annotations

import json

import pytest

from lemon_ext.emulator import KEY, TOKEN, Emulator
from tests.edits import TEXT, WHOLE

pytestmark = pytest.mark.regen

TASK = "/v1/images/generations/img_1"
DONE = {"created": 1, "task_id": "img_1", "status": "completed", "data": [{"url": "https://i/x.png"}], "error": None}


def look(status=200, body=None, **headers):
    return {"path": TASK, "status": status, "headers": headers, "body": body}


def refused(status, **error):
    return look(status, {"error": {"message": "no", **error}})


@pytest.fixture
def run(tools, tmp_path, capsys):
    (tmp_path / "openapi.yaml").write_text(TEXT, encoding="utf-8")

    def run(live, *more):
        code = tools.drift.main([str(live), *more], tmp_path)
        shown = capsys.readouterr()
        return code, [line.strip() for line in shown.out.splitlines()[1:]], shown.err

    return run


@pytest.mark.parametrize(
    ("exchange", "found"),
    [
        (look(body=DONE), []),
        (look(body={**DONE, "progress": 50}), ["get_image_task 200: the field progress is not described"]),
        (look(body={**DONE, "data": [{"seed": 1}, {"seed": 2}]}),
         ["get_image_task 200: the field data[].seed is not described"]),
        (look(body={**DONE, "status": "queued"}), ["get_image_task 200: status has a value that is not known: queued"]),
        (look(body={**DONE, "created": "now"}),
         ["get_image_task 200: created is a text, or of a form that is not described"]),
        (look(body={**DONE, "error": {"message": "no", "reason": "x"}}),
         ["get_image_task 200: the field error.reason is not described"]),
        (look(body=[DONE]), ["get_image_task 200: the body is a list, or of a form that is not described"]),
        (look(body="<html>", **{"Content-Type": "text/html; charset=utf-8"}),
         ["get_image_task 200: it came as text/html, which is not described"]),
        (look(body=DONE, **{"X-Task-ID": "img_1", "Date": "x", "Server": "x", "X-Powered-By": "x"}),
         ["get_image_task 200: the header x-task-id is not described"]),
        (look(429, {"error": {"message": "no", "code": "rate_limit_exceeded"}}, **{"Retry-After": "1"}), []),
        (refused(410, code="gone"), ["get_image_task: the status 410 is not described, but for `default`",
                                     "get_image_task 410: the error code gone is not in x-lemon-error-codes"]),
        (refused(401, code="invalid_api_key", request_id="r"),
         ["get_image_task 401: the field error.request_id is not described"]),
        ({**look(body=DONE), "path": f"{TASK}?wait=1"}, ["get_image_task: the parameter wait is not described"]),
        ({"method": "POST", "path": "/v1/images/generations", "status": 200, "body": {"created": 1, "data": []},
          "request": {"prompt": "a", "seed": 7}}, ["create_image: the parameter seed is not described"]),
        ({"path": "/v1/models", "status": 200, "body": {}}, ["GET /v1/models: no such operation is described"]),
    ],
)  # fmt: skip
def test_what_is_not_described_is_listed(run, tmp_path, exchange, found):
    (tmp_path / "one.json").write_text(json.dumps(exchange), encoding="utf-8")
    (tmp_path / "again.json").write_text(json.dumps(exchange), encoding="utf-8")
    assert run(tmp_path) == (int(bool(found)), found, "")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"status": 200}', '{"path": "/", "status": "x"}', '{"path": "/", "status": 200, "request": [1]}'],
)
def test_what_is_no_exchange_is_named(run, tmp_path, text):
    (tmp_path / "one.json").write_text(text, encoding="utf-8")
    code, found, error = run(tmp_path)
    assert (code, found) == (2, [])
    assert error.startswith("one.json is no exchange (method, path, status, headers, body): ")


def test_an_empty_folder_is_no_clean_bill(run, tmp_path):
    assert run(tmp_path)[0] == 2


def test_of_the_api_itself_only_what_is_free_is_asked(run, monkeypatch):
    monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
    with Emulator(task_seconds=0) as emulator:
        assert run(emulator.url)[:2] == (0, [])
        paths = [(one.method, one.path, one.status, one.keyed) for one in emulator.requests]
        look = "/v1/images/generations/drift-check-no-such-task"
        assert paths == [("GET", look, 404, True), ("GET", look, 401, False)]
        assert emulator.charges == 0


def test_an_api_that_says_more_is_told_of_and_a_known_task_is_looked_at(tools, run, monkeypatch):
    monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
    data = json.loads(json.dumps(tools.present.data))
    data["components"]["schemas"]["TaskStatusKnown"]["enum"].append("queued")
    with Emulator(task_seconds=0, contract=data, faults=["unknown_status@look:*,word=on_hold"]) as emulator:
        import httpx

        body = {"prompt": "a", "model": "midjourney"}
        headers = {"Authorization": f"Bearer {KEY}"}
        made = httpx.post(f"{emulator.url}/v1/images/generations", json=body, headers=headers, trust_env=False).json()
        code, found, _ = run(f"{emulator.url}/v1/", "--task", made["task_id"])
    assert (code, found) == (1, ["get_image_task 200: status has a value that is not known: on_hold"])


def test_what_is_asked_for_is_there_where_the_contract_shows_it(tools):
    contract = tools.contract.parse(WHOLE)
    with Emulator(task_seconds=0) as emulator:
        exchanges = list(tools.drift.asked(contract, emulator.url, tools.drift.Keys(KEY, TOKEN), []))
        seen = [(one.path, one.status) for one in emulator.requests if one.keyed]
        assert {one.method for one in emulator.requests} == {"GET"}
    assert tools.drift.drift(contract, exchanges) == []
    assert ("/v1/models/dall-e-3", 200) in seen
    assert ("/v1/models/dall-e-3/pricing", 200) in seen
    assert ("/v1/management/balance", 200) in seen
    assert ("/v1/models/drift-check-no-such-task", 404) in seen


def test_an_api_that_cannot_be_reached_is_named(run):
    code, _, error = run("http://127.0.0.1:9")
    assert code == 2
    assert error.startswith("http://127.0.0.1:9 could not be asked: ")
