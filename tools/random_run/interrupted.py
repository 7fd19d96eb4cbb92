"""Blocking calls that a Ctrl-C ends: at any instruction at which Python lets one in, with other threads beside them."""

from __future__ import annotations

import contextlib
import dis
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from attrs import define, field

from lemon_ext import Lemon, LemonError
from lemon_ext.emulator import KEY

from .evidence import Call, begin, current, dice, report, say
from .leaks import MANY_EPISODES, left, objects, slower, sockets
from .orders import fast, order, short

#: Where this program's own frames are: whoever runs here is no more in a call.
_HERE: Final = str(Path(__file__).parent)
_AROUND: Final = (_HERE, contextlib.__file__)
_OURS: Final = f"{Path(__file__).parents[2] / 'lemon_ext'}/"
#: Threads beside the one that is interrupted.
BESIDE: Final = 2
RESUMED: Final = 100


# ---- interrupts ----


@define
class Interrupter:
    """Raises KeyboardInterrupt at the ``at``-th point of a call at which Python would: where a function begins or a
    generator goes on, where a loop goes round, and after a call to C. With ``ours``, only points in the package count.
    """

    at: float
    ours: bool
    points: int = 0
    where: str = ""
    _called: dict[FrameType, bool] = field(factory=dict)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Trace what is called in the block."""
        sys.settrace(self._begin)
        try:
            yield
        finally:
            sys.settrace(None)
            self._called.clear()

    def _begin(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename.startswith(_HERE):
            return None
        caller = frame.f_back
        if caller is not None and caller in self._called:
            self._called[caller] = False  # what was called is no C
        if _kinds(frame.f_code).get(frame.f_lasti) != "inner":
            self._point(frame)
        if self.ours and not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            kind = _kinds(frame.f_code).get(frame.f_lasti)
            if kind == "call":
                self._called[frame] = True
            elif self._called.pop(frame, False) or kind == "loop":
                self._point(frame)
        elif event == "return":
            self._called.pop(frame, None)
        return self._step

    def _point(self, frame: FrameType) -> None:
        if self.ours and not frame.f_code.co_filename.startswith(_OURS):
            return
        self.points += 1
        if self.points == self.at:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_qualname}"
            raise KeyboardInterrupt


_known: dict[CodeType, dict[int, str]] = {}


def _kinds(code: CodeType) -> dict[int, str]:
    """Return which instructions of a function are calls, which go back in a loop, and which resume what it awaits."""
    if code not in _known:
        kinds = {}
        for each in dis.get_instructions(code):
            if each.opname.startswith(("CALL", "PRECALL")):
                kinds[each.offset] = "call"
            elif each.opname == "JUMP_BACKWARD":
                kinds[each.offset] = "loop"
            elif each.opname == "RESUME" and (each.arg or 0) & 3 > 1:
                kinds[each.offset] = "inner"
        _known[code] = kinds
    return _known[code]


@define
class Alarm:
    """Raises KeyboardInterrupt after some time, once or twice, by a signal."""

    after: float
    again: float = 0.0
    where: str = ""

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Be interrupted within the block, but not in this program's own frames."""
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.after)
        try:
            yield
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _: int, frame: FrameType | None) -> None:
        if frame is None or frame.f_code.co_filename.startswith(_AROUND):
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            return
        if self.again:
            signal.setitimer(signal.ITIMER_REAL, self.again)
            self.again = 0.0
        self.where += f" {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        raise KeyboardInterrupt


# ---- what is interrupted ----


@define
class Run:
    """The episodes of one client, which its threads share."""

    lemon: Lemon
    folder: Path
    kind: str
    seed: int
    #: How many points each act has, with and without those of the libraries.
    points: dict[tuple[str, bool], int] = field(factory=dict)
    known: list[Call] = field(factory=list)

    def acts(self) -> list[Callable[[Call, dict[str, Any]], None]]:
        """Return what may be interrupted."""
        return [self.generate, self.submit, self.wait, self.updates, self.save]

    def measure(self) -> None:
        """Count the points of each act."""
        for act in self.acts():
            for ours in (True, False):
                call = Call(-1, f"{self.kind} {self.seed} measure {os.getpid()} {act.__name__} {ours}")
                interrupter = Interrupter(-1, ours)
                self._do(act, call, {"model": "midjourney"}, interrupter)
                self.points[act.__name__, ours] = interrupter.points
                report(call)

    def episode(self, number: int) -> None:
        """Make a call and interrupt it."""
        chance = dice(self.kind, self.seed, number)
        call, options = order(chance, self.kind, self.seed, number)
        act = chance.choice(self.acts())
        interrupter: Interrupter | Alarm
        if chance.random() < 0.7:
            ours = chance.random() < 0.6
            interrupter = Interrupter(int(chance.random() * 1.1 * self.points[act.__name__, ours]) + 1, ours)
        else:
            interrupter = Alarm(short(chance), short(chance, high=0.01) if chance.random() < 0.3 else 0.0)
        self._do(act, call, options, interrupter)
        report(call)
        if call.ids and not call.result:
            self.known.append(call)

    def _do(
        self, act: Callable[..., None], call: Call, options: dict[str, Any], interrupter: Interrupter | Alarm
    ) -> None:
        current.set(call)
        self._guard = interrupter
        try:
            act(call, options)
        except (KeyboardInterrupt, LemonError) as exc:
            call.caught(exc)
        self._look_for_parts(call)
        call.ended = f"{act.__name__}: {call.ended} {interrupter.where}"

    _guard: Any = None

    def generate(self, call: Call, options: dict[str, Any]) -> None:
        with self._guard.armed():
            result = self.lemon.images.generate(call.prompt, **options)
        call.took([], result.task_id)

    def submit(self, call: Call, options: dict[str, Any]) -> None:
        with self._guard.armed():
            task = self.lemon.images.submit(call.prompt, **options)
        call.took([], task.id)

    def wait(self, call: Call, options: dict[str, Any]) -> None:
        task = self.lemon.images.submit(call.prompt, **options)
        call.took([], task.id)
        with self._guard.armed():
            result = task.result()
        if result.task_id != task.id:
            call.wrong = "the result of another task came"

    def updates(self, call: Call, options: dict[str, Any]) -> None:
        task = self.lemon.images.submit(call.prompt, **options)
        call.took([], task.id)
        with self._guard.armed():
            for _ in task.updates():
                pass

    def save(self, call: Call, options: dict[str, Any]) -> None:
        result = self.lemon.images.generate(call.prompt, **options)
        call.took([], result.task_id)
        with self._guard.armed():
            paths = result.save(self.folder)
        call.took([path.read_bytes() for path in paths])

    def _look_for_parts(self, call: Call) -> None:
        for path in self.folder.iterdir():
            if path.name.endswith(".part"):
                say(leak=f"{path.name} was left: {self._guard.where}")
            elif not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
                call.wrong = "half a picture was left"
            path.unlink()

    def resume(self) -> None:
        """Get what is paid for: the named tasks give their pictures."""
        for call in self.known[-RESUMED:]:
            if "fault:" in call.prompt:
                continue
            for task_id in call.ids:
                result = self.lemon.images.task(task_id).result()
                call.took([image.read() for image in result])
                if call.wrong:
                    report(call)


def _beside(run: Run, number: int, over: threading.Event) -> None:
    """Be another thread that uses the client: it is not to feel the interrupts."""
    chance = dice(run.kind, run.seed, "beside", os.getpid(), number)
    count = 0
    while not over.is_set():
        count += 1
        call, options = order(chance, f"{run.kind} {os.getpid()}", run.seed, -number, count, faulty=0.0)
        current.set(call)
        try:
            result = run.lemon.images.generate(call.prompt, **options)
            call.took([image.read() for image in result], result.task_id)
        except BaseException as exc:  # noqa: BLE001 - reported
            call.caught(exc)
            call.wrong = f"a thread beside was hit: {type(exc).__name__}: {exc}"
        report(call)
        over.wait(short(chance))


# ---- a worker ----


def _speed(lemon: Lemon, name: str) -> float:
    """Return the seconds of CPU of some plain submissions."""
    began = time.thread_time()
    for number in range(15):
        call = Call(-1, f"{name} {number}")
        call.took([], lemon.images.submit(call.prompt, model="flux-schnell").id)
        report(call)
    return time.thread_time() - began


def _check(run: Run, url: str, before: Any) -> None:
    for what in left(run.lemon, before):
        say(leak=what)
    name = f"{run.kind} {run.seed} speed {os.getpid()}"
    with Lemon(KEY, base_url=url, requests_per_minute=None) as new:
        pairs = [(_speed(run.lemon, f"{name} old {i}"), _speed(new, f"{name} new {i}")) for i in range(6)]
    note, leaks = slower(pairs)
    for what in leaks:
        say(leak=what)
    say(note=note)


def main(kind: str, seed: int, url: str, numbers: range) -> None:
    """Run the episodes, with and without threads beside them."""
    with tempfile.TemporaryDirectory() as folder, fast():
        none = sockets()
        with Lemon(KEY, base_url=url, requests_per_minute=100_000) as lemon:
            run = Run(lemon, Path(folder), kind, seed)
            run.measure()
            over = threading.Event()
            count = BESIDE if "threads" in kind else 0
            threads = [threading.Thread(target=_beside, args=(run, i + 2, over)) for i in range(count)]
            for thread in threads:
                thread.start()
            before = objects()
            for done, number in enumerate(numbers):
                begin(number)
                run.episode(number)
                if done == MANY_EPISODES // 2:
                    before = objects()
            over.set()
            for thread in threads:
                thread.join()
            run.resume()
            if len(numbers) >= MANY_EPISODES:
                _check(run, url, before)
        if sockets() > none:
            say(leak=f"{sockets() - none} sockets are open after close()")
