"""Schemathesis walks from a submission to its task by the links of the contract alone, on the emulator.

It knows nothing of this API but the contract: it makes up requests that fit the schemas, judges every answer by them,
and takes the id of a task from where the link says.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections import Counter

import pytest
from lemon_client.task_table import FIELDS

from lemon_ext._response import value_of
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.emulator.job import FORMATS, MAX_EDGE
from tests.conftest import ROOT

schemathesis = pytest.importorskip("schemathesis", reason="it is a development tool")
hypothesis = pytest.importorskip("hypothesis")

pytestmark = [pytest.mark.slow, pytest.mark.live]

#: Few, the same each time, and with no time limit for a step: a busy machine changes nothing.
BOUNDED = hypothesis.settings(
    max_examples=15,
    stateful_step_count=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
CONTRACT = json.loads((ROOT / "generated" / "lemon_client" / "openapi.json").read_text(encoding="utf-8"))


def every_link(data):
    """Return the links of what makes a task, by name, each as often as it stands in the contract."""
    makers = [op for item in data["paths"].values() for op in item.values() if "x-lemon-task" in op]
    answers = [answer for op in makers for answer in op["responses"].values()]
    return [(name, link) for answer in answers for name, link in answer.get("links", {}).items()]


def walk(data):
    """Let schemathesis walk. Returns how often each link was followed with the id of a task, by name and status."""
    followed = Counter()
    operations = {"create_image", *(link["operationId"] for _, link in every_link(data))}
    with Emulator(
        contract=data,
        faults=["reply_task:*"],
        clock=itertools.count().__next__,  # a second passes with each look at the clock
        task_seconds=lambda model, dice: (0, 2, 60)[len(model) % 3],
    ) as emulator:
        schema = schemathesis.openapi.from_dict(data)
        schema.app = emulator.app
        schema.config.update(base_url="http://localhost")
        schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
        # What was cancelled can still be looked at: DELETE does not delete it.
        schema.config.checks.use_after_free.enabled = False

        class Walk(schema.include(operation_id=sorted(operations)).as_state_machine()):
            def setup(self):
                emulator.reset()  # what a step brings depends on this walk alone

            def get_call_kwargs(self, case):
                return {"headers": {"Authorization": f"Bearer {KEY}"}}

            def before_call(self, case):
                if case.method == "POST":
                    case.body["prompt"] = "a cat"  # whether a control character is a blank, regular expressions differ
                    case.body.setdefault("model", "made-up")  # the row of the default model would refuse values
                    for name in cannot_be_drawn(case.body):
                        del case.body[name]

            def step(self, given):
                output = super().step(given)
                if given.transition is not None and given.applied_parameters and not given.transition.is_inferred:
                    name = re.search(r"\] (\w+) ->", given.transition.id)[1]
                    followed[name, output.response.status_code] += 1
                    if name == "poll":
                        assert output.response.status_code == 200, "the link leads to no task"
                        (asked,) = output.case.path_parameters.values()
                        assert value_of(output.response.json(), FIELDS.id) == asked
                return output

        Walk.run(settings=BOUNDED)
    assert followed["poll", 200], "no link led anywhere"
    return followed


def cannot_be_drawn(body):
    """Return what the emulator refuses because it cannot draw it: the schemas know no such limit."""
    edges = [int(side) for side in re.findall(r"\d+", str(body.get("size")))]
    found = {"size": max(edges, default=0) > MAX_EDGE, "output_format": body.get("output_format") not in FORMATS}
    return [name for name in found if name in body and found[name]]


def test_the_links_lead_from_a_submission_to_its_task():
    followed = walk(CONTRACT)
    assert followed["poll", 200] >= 5
    assert followed["cancel", 200] >= 1
    assert followed["cancel", 409] >= 1


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("poll_url", "the link leads to no task"),
        ("created", "the link leads to no task"),
        ("no_such_field", "no link led anywhere"),
    ],
)
def test_a_broken_link_is_found(field, error):
    data = copy.deepcopy(CONTRACT)
    for link in [link for name, link in every_link(data) if name == "poll"]:
        link["parameters"] = dict.fromkeys(link["parameters"], f"$response.body#/{field}")
    with pytest.raises(AssertionError, match=error):
        walk(data)
