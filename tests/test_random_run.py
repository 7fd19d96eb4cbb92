"""The random run of tools/random_run, in short, and that its judge can find fault. The long one is for people."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


KINDS = ["cancel-aiohttp", "cancel-trio", "interrupt", "fork"]
SHORT = ["--episodes", "100", "--seed", "3", "--jobs", "4", "--kinds", *KINDS]


@pytest.mark.slow
def test_a_hundred_random_interruptions_pay_nothing_twice_and_lose_nothing():
    path = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
    command = [sys.executable, str(ROOT / "tools/random_run"), *SHORT]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    zeros = re.search(r"^all +[\d,]+ .* 0 +0 +0 +0$", done.stdout, re.MULTILINE)
    assert (done.returncode, zeros is not None) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("known", "charges", "found"),
    [
        ({}, [], "calls=1"),
        ({"result": True}, ["img_1"], "calls=1 charged=1 results=1"),
        ({"ids": ["img_1"]}, ["img_1"], "calls=1 charged=1 handles=1"),
        ({"doubt": True}, ["img_1"], "calls=1 charged=1 doubts=1"),
        ({"doubt": True}, [], "calls=1"),
        ({"ids": ["img_2"]}, ["img_1"], "calls=1 charged=1 lost=1"),
        ({}, ["img_1"], "calls=1 charged=1 lost=1"),
        ({"result": True}, ["img_1", "img_2"], "calls=1 charged=1 results=1 twice=1"),
        ({"result": True}, [], "calls=1 results=1 wrong=1"),
        ({"result": True, "wrong": "another's"}, ["img_1"], "calls=1 charged=1 results=1 wrong=1"),
    ],
)
def test_the_judge_tells_what_was_paid_twice_lost_or_mixed_up(known, charges, found, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from random_run.evidence import Call, Tally

    tally, call = Tally("kind"), Call(7, "a cat")
    for name, value in known.items():
        setattr(call, name, value)
    tally.judge(vars_of(call), [{"prompt": "a cat", "task_id": one} for one in charges], "kind --episode 7")
    names = ("calls", "charged", "results", "handles", "doubts", "twice", "lost", "wrong", "leaked")
    assert " ".join(f"{name}={getattr(tally, name)}" for name in names if getattr(tally, name)) == found
    assert [fault.partition(":")[0] for fault in tally.faults] == ["kind --episode 7"] * (
        tally.twice + tally.lost + tally.wrong
    )


def vars_of(call):
    return {name: getattr(call, name) for name in ("result", "ids", "among", "doubt", "wrong")}
