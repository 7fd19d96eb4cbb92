"""More images than a model gives in one request: `fan_out` sends several, each billed once, and loses none of them."""

from __future__ import annotations

import json
import pickle
import warnings
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from lemon_ext import CapabilityError, InsufficientBalanceError, SubmissionUncertainError, TaskFailedError, capabilities
from lemon_ext.batch import plan_batch
from lemon_ext.capabilities import fanned_out
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.pictures import PNG

ROW = {"reply": "task", "summary": "Made up", "source": "S", "parameters": {}}


@pytest.fixture(autouse=True)
def _rows(monkeypatch):
    """One image a request by its limit, by not taking a count at all, and three a request."""
    count = capabilities.PARAMETERS["n"]
    rows = {
        "single": {**ROW, "parameters": {"n": {**count, "maximum": 1}}},
        "no-count": {**ROW, "takes": ["size", "user"]},
        "triple": {**ROW, "parameters": {"n": {**count, "maximum": 3}}},
    }
    monkeypatch.setattr(capabilities, "MODELS", {**rows, **capabilities.MODELS})


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"model": "single", "n": 4}, [1, 1, 1, 1]),
        ({"model": "no-count", "n": 3}, [None, None, None]),
        ({"model": "triple", "n": 7}, [3, 3, 1]),
        ({"model": "triple", "n": 3}, [3]),
        ({"model": "triple"}, [None]),
        ({"model": "dall-e-3", "n": 12}, [10, 2]),  # every request takes ten at most
        ({"model": "of nobody", "n": 4}, [4]),
        ({"model": 7, "n": 4}, [4]),
        # for the validation to refuse
        ({"model": "single", "n": 0}, [0]),
        ({"model": "single", "n": -3}, [-3]),
        ({"model": "single", "n": "4"}, ["4"]),
        ({"model": "single", "n": True}, [True]),
        ({"model": "single", "n": 10**30}, [10**30]),
    ],
)
def test_a_request_is_split_by_what_the_table_says(fields, counts):
    made = fanned_out({"prompt": "a cat", **fields})
    assert [one.get("n") for one in made] == counts
    assert all(one["prompt"] == "a cat" and one["model"] == fields["model"] for one in made)


class Server:
    """Answers each POST by its number and each look by its task, and writes down what was billed."""

    def __init__(self, *answers):
        self.answers, self.billed = list(answers), []

    def __call__(self, request):
        if request.url.host == "img.example.net":
            return httpx.Response(200, content=PNG)
        if request.method == "GET":
            number = request.url.path.rpartition("_")[2]
            failed = {"task_id": f"img_{number}", "status": "failed", "error": "no luck"}
            return httpx.Response(200, json=failed if number in self.failing else self.done(number))
        number, answer = len(self.billed) + 1, self.answers.pop(0)
        if isinstance(answer, Exception | tuple):
            if isinstance(answer, Exception):
                raise answer
            return httpx.Response(answer[0], json=answer[1])
        self.billed.append(json.loads(request.content))
        if answer == "inline":
            return httpx.Response(200, json={"created": 1, "data": [self.picture(number)], "cost": "0.04"})
        return httpx.Response(200, json={"task_id": f"img_{number}", "status": "pending"})

    failing = ()

    def picture(self, number):
        return {"url": f"https://img.example.net/{number}.png"}

    def done(self, number):
        return {"task_id": f"img_{number}", "status": "completed", "data": [self.picture(number)]}


def test_several_requests_are_one_result(colour, tmp_path):
    gateway = Server("task", "inline", "task")
    result = colour.call(colour.client(gateway).images.generate, "a cat", model="single", n=3, fan_out=True)
    assert [one["n"] for one in gateway.billed] == [1, 1, 1]
    assert [image.url for image in result] == [f"https://img.example.net/{n}.png" for n in (1, 2, 3)]
    assert [part.task_id for part in result.parts] == ["img_1", None, "img_3"]
    assert (result.task_id, result.cost, result.model) == (None, None, "single")
    assert result.to_dict()["parts"][1]["data"] == [result[1].to_dict()] == [gateway.picture(2)]
    paths = colour.call(colour.twin(result, "save"), tmp_path)
    assert sorted(path.name for path in paths) == ["a-cat-2.png", "a-cat-3.png", "a-cat.png"]
    assert [image.url for image in pickle.loads(pickle.dumps(result))] == [image.url for image in result]


def test_the_cost_is_the_sum_where_every_answer_says_one(colour):
    result = colour.call(
        colour.client(Server("inline", "inline")).images.generate, "a cat", model="single", n=2, fan_out=True
    )
    assert result.cost == Decimal("0.08")


def test_it_has_to_be_asked_for(colour):
    gateway = Server()
    with pytest.raises(CapabilityError, match=r"n: 4 is out of range"):
        colour.call(colour.client(gateway).images.generate, "a cat", model="single", n=4)
    assert gateway.billed == []


def test_a_request_that_needs_no_splitting_is_sent_as_it_is(colour):
    gateway = Server("task")
    result = colour.call(colour.client(gateway).images.generate, "a cat", model="triple", n=3, fan_out=True)
    assert gateway.billed == [{"model": "triple", "prompt": "a cat", "n": 3}]
    assert (result.task_id, result.parts) == ("img_1", [])


@pytest.mark.parametrize(
    ("third", "kind"),
    [
        ((402, {"error": {"code": "insufficient_balance", "message": "no money"}}), InsufficientBalanceError),
        (httpx.ReadError("cut"), SubmissionUncertainError),
    ],
)
def test_after_a_fault_nothing_more_is_sent_and_what_was_paid_comes_along(colour, third, kind):
    gateway = Server("task", "inline", third, "task")
    with pytest.raises(kind) as caught:
        colour.call(colour.client(gateway).images.generate, "a cat", model="single", n=4, fan_out=True)
    assert len(gateway.billed) == 2
    assert [image.url for image in caught.value.result] == [f"https://img.example.net/{n}.png" for n in (1, 2)]
    assert [task.id for task in caught.value.tasks] == ["img_1", None]
    assert "2 image(s) came with the other requests" in caught.value.__notes__[-1]


def test_a_task_that_fails_keeps_none_of_the_others(colour):
    gateway = Server("task", "task", "task")
    gateway.failing = ("1", "3")
    with pytest.raises(TaskFailedError, match="no luck") as caught:
        colour.call(colour.client(gateway).images.generate, "a cat", model="single", n=3, fan_out=True)
    assert (caught.value.task.id, [one.task_id for one in caught.value.result.parts]) == ("img_1", ["img_2"])
    assert any("img_3" in note for note in caught.value.__notes__)


def test_whoever_is_interrupted_gets_every_handle(colour):
    class Interrupt(BaseException):
        pass

    def interrupt(_task):
        raise Interrupt

    client = colour.client(Server("task", "task", "task"))
    how = {"model": "single", "n": 3, "fan_out": True, "on_update": interrupt}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Interrupt) as caught:
            colour.call(client.images.generate, "a cat", **how)
    ids = ["img_1", "img_2", "img_3"]
    assert [task.id for task in caught.value.tasks] == ids
    assert [name for name in ids if any(name in note for note in caught.value.__notes__)] == ids
    assert len(told) == 3


def test_the_command_line_says_it_first_and_counts_it_in_the_price(emulator, monkeypatch):  # noqa: F811
    command = ("generate", "a cat", "-m", "single", "-n", "4", "--fan-out")
    planned = lemon(*command, "--dry-run")
    assert "single gives at most 1 a request: 4 requests for 4 images." in planned.stderr
    assert "4 requests for 4 images; nothing was sent." in planned.stdout
    assert emulator.charges == 0
    done = lemon(*command, "-o", "out")
    assert done.exit_code == 0, done.stderr
    assert (emulator.charges, len(list(Path("out").iterdir()))) == (4, 4)
    assert "--fan-out changes nothing" in lemon("generate", "a cat", "-m", "dall-e-3", "--fan-out", "--dry-run").stderr


def test_rows_of_a_batch_are_split_too(emulator):  # noqa: F811
    rows = [{"prompt": "a cat", "model": "triple", "n": 7, "id": "cat"}, {"prompt": "a dog", "id": "dog"}]
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert plan_batch([{"prompt": "a cat", "model": "triple", "n": 7}], fan_out=True).rows == 3
    done = lemon("batch", "in.jsonl", "-o", "out", "--fan-out", "-m", "dall-e-3")
    assert done.exit_code == 0, done.stderr
    assert "2 rows of the file: 4 rows for 8 images." in done.stderr
    found = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    assert [(one["id"], len(one["paths"])) for one in found] == [("cat-1", 3), ("cat-2", 3), ("cat-3", 1), ("dog", 1)]
    again = lemon("batch", "in.jsonl", "-o", "out", "--fan-out", "-m", "dall-e-3")
    assert (again.exit_code, emulator.charges) == (0, 4)
