"""SIGTERM and SIGHUP are a first Ctrl-C: what is being sent is waited for, what is paid for is named."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from lemon_ext._signals import Terminated, exit_status, hold, patiently, terminations_as_interrupts
from tests.cli import ctrl_c, emulator, lemon, process, server  # noqa: F401 - fixtures

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("how", "code"), SIGNALS)
def test_a_signal_names_every_task_that_is_paid_for(emulator, how, code):
    emulator.task_seconds = 60.0
    with ctrl_c(when=lambda: emulator.charges == 2, how=how):
        result = lemon("generate", "a", "b", "-m", "midjourney", "--json")
    left = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, {one["exit_code"] for one in left}) == (code, {code})
    assert {one["next"].split()[-1] for one in left} == {charge.task_id for charge in emulator.ledger}
    waits = [one["next"].split()[-1] for one in left]
    with ctrl_c(when=lambda: any(one.method == "GET" for one in emulator.requests), how=how):
        assert lemon("task", *waits, "--wait", "--poll-interval", "0.05").exit_code == code


def test_ctrl_c_before_the_command_has_begun_is_no_traceback():
    code = (
        "import signal, lemon_ext.cli as cli\n"
        "cli._is_installed = lambda: signal.raise_signal(signal.SIGINT) or True\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("how", "code"), SIGNALS)
def test_a_signal_loses_no_request_that_is_being_sent(emulator, how, code):
    """With no work left, the exit code is the work's own."""
    emulator.latency = 0.3
    with ctrl_c(when=lambda: emulator.charges == 3, how=how):
        result = lemon("generate", "a", "b", "c", "--json")
    assert result.exit_code == 0
    assert sorted(path for line in result.stdout.splitlines() for path in json.loads(line)["paths"]) == [
        "a.png", "b.png", "c.png"
    ]  # fmt: skip


@pytest.mark.parametrize(("how", "code"), SIGNALS)
def test_a_signal_ends_a_batch_as_ctrl_c_does(emulator, tmp_path, how, code):
    emulator.task_seconds, emulator.latency = 60.0, 0.2
    (tmp_path / "rows.txt").write_text("".join(f"cat {n}\n" for n in range(8)), encoding="utf-8")
    with ctrl_c(when=lambda: emulator.charges == 8, how=how):
        result = lemon("batch", "rows.txt", "-o", "out", "-m", "midjourney")
    assert result.exit_code == code
    assert (
        "lemon: Interrupted. 0 of 8 rows saved (0 images), 8 waiting.\n  next: lemon resume -- out\n" in result.stderr
    )


def test_rows_that_end_while_a_batch_is_stopping_are_told(emulator, tmp_path):
    emulator.latency = 0.5
    (tmp_path / "rows.txt").write_text("one\ntwo [fault:error_400]\nthree\n", encoding="utf-8")
    with ctrl_c(when=lambda: len(emulator.requests) == 3):
        result = lemon("batch", "rows.txt", "-o", "out", "--json")
    told = {row["row"]: row["status"] for row in map(json.loads, result.stdout.splitlines())}
    assert told == {1: "saved", 2: "refused", 3: "saved"}
    assert result.exit_code == 8


@pytest.mark.slow
def test_a_hangup_ends_a_process_unless_it_is_told_not_to_mind(emulator, tmp_path):
    emulator.task_seconds = 0.5
    args = ("generate", "a cat", "-m", "midjourney", "--poll-interval", "0.1")

    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    for ignore, code in ((None, 129), (nohup, 0)):
        with process(*args, cwd=tmp_path, preexec_fn=ignore) as running:
            assert running.stderr.readline().endswith(": pending\n")
            running.send_signal(signal.SIGHUP)
            running.communicate(timeout=60)
        assert running.returncode == code


# ---- the context ----


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_nobody_handles_is_an_interrupt_and_put_back(how):
    with pytest.raises(KeyboardInterrupt) as caught, terminations_as_interrupts(), terminations_as_interrupts():
        signal.raise_signal(how)
    assert isinstance(caught.value, Terminated)
    assert exit_status(caught.value) == 128 + how
    assert signal.getsignal(how) is signal.SIG_DFL


def test_a_signal_that_comes_twice_at_once_is_one():
    """Who closes a terminal sends SIGHUP twice: a second Ctrl-C would cut off what is being sent."""
    with terminations_as_interrupts():
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)


def test_another_termination_changes_nothing_for_work_that_is_ending():
    interrupts = [Terminated(signal.SIGTERM), Terminated(signal.SIGHUP), None]

    def wait() -> None:
        if (interrupt := interrupts.pop(0)) is not None:
            raise interrupt

    patiently(wait)
    assert interrupts == []
    interrupts[:] = [Terminated(signal.SIGTERM), KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt) as caught:
        patiently(wait)
    assert not isinstance(caught.value, Terminated)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_a_signal_that_somebody_handles_is_left_alone(handler):
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with terminations_as_interrupts():
            assert signal.getsignal(signal.SIGTERM) is handler
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_touch_no_signal():
    found = []

    def enter() -> None:
        with terminations_as_interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_where_nobody_catches_it_the_process_exits_quietly():
    code = (
        "import signal; from lemon_ext._signals import terminations_as_interrupts\n"
        "with terminations_as_interrupts(): signal.raise_signal(signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "")


def test_a_signal_waits_until_what_it_must_not_break_is_done():
    """anyio's portal waits for its thread for ever where an interrupt comes while it starts."""
    done = []

    def work():
        release = hold()
        try:
            signal.raise_signal(signal.SIGINT)
            done.append("started")
        finally:
            release()
        done.append("interrupted too late")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["started"]
