"""The report of `make regen`: what changed, whether it breaks anyone, and which handwritten lines mention it."""

from __future__ import annotations

import copy
import json

import pytest

from tests.conftest import ROOT
from tests.edits import TEXT, edit

yaml = pytest.importorskip("yaml", reason="the environment of the generator has it")

pytestmark = pytest.mark.regen

CORPUS = yaml.safe_load((ROOT / "tests" / "api_changes.yaml").read_text(encoding="utf-8"))
PLACES = {
    "$request": "components/schemas/ImageGenerationRequest",
    "$task": "components/schemas/ImageGenerationTask",
    "$image": "components/schemas/ImageData",
    "$post": "paths/~1v1~1images~1generations/post",
    "$get": "paths/~1v1~1images~1generations~1{task_id}/get",
    "$schemas": "components/schemas",
}
OASDIFF = {"error": "BREAKING", "warn": "check", "info": "ok"}
LEVELS = ["BREAKING", "check", "ok"]


def steps(pointer):
    first, _, rest = pointer.partition("/")
    whole = f"{PLACES.get(first, first)}/{rest}" if rest else PLACES.get(first, first)
    return [part.replace("~1", "/") for part in whole.split("/")]


def holder(data, pointer):
    """Return what holds a place, and its key there."""
    *outer, last = steps(pointer)
    for part in outer:
        data = data[int(part)] if isinstance(data, list) else data.setdefault(part, {})
    return data, int(last) if isinstance(data, list) else last


def put(data, pointer, value):
    where, key = holder(data, pointer)
    if isinstance(where, list) and key == len(where):
        where.append(None)
    where[key] = copy.deepcopy(value)


def edited(data, case):
    old = copy.deepcopy(data)
    for pointer, value in case.get("before", {}).items():
        put(old, pointer, value)
    new = copy.deepcopy(old)
    for pointer, value in case.get("set", {}).items():
        put(new, pointer, value)
    for pointer in case.get("drop", ()):
        where, key = holder(new, pointer)
        del where[key]
    for pointer, other in case.get("move", {}).items():
        where, key = holder(new, pointer)
        put(new, other, where.pop(key))
    return old, new


def test_the_corpus_is_large_and_its_differences_have_reasons():
    assert len(CORPUS) >= 120
    assert len({case["edit"] for case in CORPUS}) == len(CORPUS)
    assert all(case["because"] for case in CORPUS if "because" in case)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["edit"])
def test_an_edit_is_told_and_judged_as_oasdiff_judges_it(tools, case):
    old, new = (tools.contract.Contract(data) for data in edited(tools.present.data, case))
    found = tools.impact.changes(old, new)
    says = case["says"] if isinstance(case["says"], list) else [case["says"]]
    assert [str(change) for change in found] == says
    assert [LEVELS.index(change.level) for change in found] == sorted(LEVELS.index(change.level) for change in found)
    if "oasdiff" in case:
        theirs = [OASDIFF[check.split()[0]] for check in case["oasdiff"].split(", ") if check != "none"]
        same = min(map(LEVELS.index, theirs), default=2) == min((LEVELS.index(c.level) for c in found), default=2)
        assert same != ("because" in case), "a difference needs a reason, and a reason a difference"


def test_the_report_reads_rows_as_the_validator_does(tools):
    def contract(row, **between):
        data = json.loads(json.dumps(tools.present.data))
        request = data["components"]["schemas"]["ImageGenerationRequest"]
        request |= between
        data["x-lemon-models"]["flux-pro"] = {"reply": "task", "summary": "x", "source": "E", "parameters": {}, **row}
        return tools.contract.Contract(data)

    old = contract({"takes": ["n", "size"], "defaults": {"n": 1}}, dependentRequired={"style": ["quality"]})
    gone = {"since": "2026-06-27", "source": "E", "instead": "midjourney"}
    new = contract(
        {"takes": ["n", "style"], "parameters": {"n": {"maximum": 4}}, "defaults": {"n": 2}, "retired": gone},
        **{"not": {"required": ["user", "style"]}},
    )
    new.data["x-lemon-default-model"] = "midjourney"
    assert [str(change) for change in tools.impact.changes(old, new)] == [
        "BREAKING between parameters, new: user: does not go with style",
        "BREAKING model flux-pro: retired on 2026-06-27; use midjourney",
        "BREAKING model flux-pro, n: maximum none -> 4",
        "BREAKING model flux-pro, size: no longer taken",
        "check    model flux-pro, n: default 1 -> 2",
        "check    default model: dall-e-3 -> midjourney",
        "ok       between parameters, gone: style: needs quality",
        "ok       model flux-pro now takes style",
    ]


def report(tools, tmp_path, module, *replacements):
    (tmp_path / "lemon_ext").mkdir()
    (tmp_path / "lemon_ext" / "_api.py").write_text(
        "from lemon_client.api.images import create_image, get_image_task\n"
    )
    (tmp_path / "lemon_ext" / "uses.py").write_text(module)
    new = tools.contract.parse(edit(*replacements))
    return tools.impact.report(tools.present, new, tmp_path).splitlines()


QUALITY = ("enum: [standard, hd]\n    ImageR", "enum: [standard, uhd]\n    ImageR")
NO_ROW = ("      quality: {enum: [standard, hd]}\n", "")


@pytest.mark.parametrize(
    ("module", "places"),
    [
        ("x.quality = 'hd'\nf(s='hd')\n'hdr'\n", "lemon_ext/uses.py:1,2"),
        ("def f(hd, *, x=1): ...\nf(hd=1)\nx.hd\n", "lemon_ext does not mention it"),  # a value is a string
        ("".join(f"'hd'  # {line}\n" for line in range(14)), "lemon_ext/uses.py:1,2,3,4,5,6,7,8,9,10 and 4 more lines"),
    ],
)
def test_the_report_names_the_lines_that_mention_a_value(tools, tmp_path, module, places):
    assert report(tools, tmp_path, module, QUALITY, NO_ROW) == [
        "API changes since the last commit: 3 (1 breaking, 0 to check)",
        "  BREAKING parameter quality: hd no longer allowed",
        f"           {places}",
        "  ok       parameter quality: uhd now allowed",
        "           lemon_ext does not mention it",
        "  ok       model dall-e-3, quality: enum standard, hd -> none",
        "           lemon_ext does not mention it",
    ]


@pytest.mark.parametrize(
    ("module", "mentioned"),
    [
        ("def f(user): ...\n", True),
        ("f(user=1)\n", True),
        ("x.user\n", True),
        ("x['user']\n", True),
        ("from lemon_client.user import x\n", True),
        ("from .user import x\n", True),
        # What only looks alike.
        ("import getpass\ngetpass.user\n", False),
        ("from enum import user\nfrom os import environ as e\ne.user\n", False),
        ("user = 1\n", False),
        ("'a user'\n# user\n", False),
    ],
)
def test_the_report_names_the_lines_that_mention_a_name(tools, tmp_path, module, mentioned):
    gone = "        user:\n          type: string\n          description: An identifier of your end user.\n"
    line = module.count("\n")
    assert report(tools, tmp_path, module, (gone, "")) == [
        "API changes since the last commit: 1 (0 breaking, 1 to check)",
        "  check    parameter user is gone",
        f"           {f'lemon_ext/uses.py:{line}' if mentioned else 'lemon_ext does not mention it'}",
    ]


def test_the_report_says_that_nothing_changed_or_that_there_is_nothing_to_compare_with(tools, tmp_path):
    assert report(tools, tmp_path, "") == ["API changes since the last commit: none."]
    shown = tools.impact.report(None, tools.contract.parse(TEXT), tmp_path)
    assert shown == "API changes: there is no earlier contract to compare with."
