"""Commands that are killed, find no room, or have nobody to talk to, and go on afterwards until they end."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from lemon_ext.emulator import KEY

from .evidence import DOUBT, TASK_ID, Call, begin, dice, report, say
from .orders import order, short

#: Seconds after which a command hangs.
PATIENCE: Final = 60.0
#: Runs until a batch has ended.
RUNS: Final = 6
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: States of a row that was sent, or may have been, and has no picture.
TOLD: Final = ("uncertain", "failed", "unfetched")
#: Exit codes that say so: a task failed, one is left, an answer was lost.
DOUBTS: Final = (4, 5, 6)
#: Ctrl-C while Python loads the program.
LOADING: Final = re.compile(r"\A(Fatal Python error: init|Traceback)|importlib._bootstrap")
#: A program that reads run_batch, as people write them.
READER: Final = """
import sys
from lemon_ext import read_rows, run_batch
for outcome in run_batch(read_rows(sys.argv[1]), sys.argv[2], poll_interval=0.05):
    print(outcome["row"], outcome["status"], outcome["task_id"], outcome["error"])
"""


@define
class Scene:
    """One episode: a folder that holds all that its commands write, and what they said."""

    folder: Path
    url: str
    number: int
    calls: list[Call] = field(factory=list)
    said: str = ""
    #: Nobody hears what is said on stderr, so that the exit code alone says that something may be billed.
    deaf: bool = False
    doubted: bool = False

    def command(self, *arguments: str) -> list[str]:
        """Return a lemon command."""
        name, *rest = arguments
        return [sys.executable, "-m", "lemon_ext", name, "--base-url", self.url, *rest]

    def run(self, command: list[str], insult: Callable[[subprocess.Popen[bytes]], None], **options: Any) -> int:
        """Run a command and insult it. Whatever can be read of what it says is remembered."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environment = {**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": self.url}
        environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONWARNINGS": "default", "PYTHONFAULTHANDLER": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running = subprocess.Popen(command, cwd=self.folder, env=environment, **{**pipes, **options})
        try:
            insult(running)
            out, errors = running.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGABRT)  # faulthandler says where
            out, errors = running.communicate()
            where = (errors or b"").decode(errors="replace")[-3000:]
            say(leak=f"it hangs: {shlex.join(command[2:])}: {where}", episode=self.number)
        said = (out or b"").decode(errors="replace") + (errors or b"").decode(errors="replace")
        self.said += said
        if "Traceback" in said and command[1] != "-c" and not LOADING.search(said):
            say(leak=f"a traceback: {said[-1500:]}", episode=self.number)
        return running.returncode

    def judge(self) -> None:
        """Tell what is known in the end: on disk, in the journal's results, and by what was said."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        pictures = [data for data in (path.read_bytes() for path in files) if data.startswith(b"\x89PNG")]
        texts = [path.read_text(errors="replace") for path in files if path.suffix in (".json", ".jsonl", ".txt")]
        ids = set(TASK_ID.findall("\n".join([self.said, *texts])))
        doubted = [line for line in self.said.splitlines() if DOUBT.search(line)]
        rows = {row["prompt"]: row for row in self._results()}
        for call in self.calls:
            found = [picture for picture in pictures if call.prompt.encode() in picture]
            if found:
                call.took(found)
            call.among |= ids
            row = rows.get(call.prompt)
            call.doubt = row is not None and row["status"] in TOLD if rows else bool(doubted) or self.doubted
            call.ended = str(row and row["status"])
        report(*self.calls)

    def _results(self) -> list[dict[str, Any]]:
        path = self.folder / "out" / "results.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _let(_: object) -> None:
    """Insult nobody."""


def _signals(chance: random.Random, *which: signal.Signals) -> Callable[[subprocess.Popen[bytes]], None]:
    """Send signals at random moments after the program has started."""
    naps = [short(chance, 0.3, 4.0), *(short(chance, 0.001, 1.0) for _ in which[1:])]

    def insult(running: subprocess.Popen[bytes]) -> None:
        for nap, each in zip(naps, which, strict=True):
            try:
                running.wait(nap)
            except subprocess.TimeoutExpired:
                running.send_signal(each)

    return insult


# ---- episodes ----


def _batch(scene: Scene, chance: random.Random, insult: Callable[[Any], None], **options: Any) -> None:
    """Run a batch with insults, then without, until it has ended."""
    rows = []
    for number in range(chance.randint(3, 20)):
        call, fields = order(chance, f"row {number} of", 0, scene.number, number, faulty=0.25)
        scene.calls.append(call)
        rows.append({"prompt": call.prompt, **fields})
    _name(scene)
    for call, row in zip(scene.calls, rows, strict=True):
        row["prompt"] = call.prompt
    (scene.folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    more = ["--poll-interval", "0.05", "-o", "out"]
    first = scene.command("batch", "rows.jsonl", *more)
    if chance.random() < 0.3:
        first = [sys.executable, "-c", READER, "rows.jsonl", "out"]
    scene.run(first, insult, **options)
    if chance.random() < 0.3:
        scene.run(first, insult, **options)
    for _ in range(RUNS):
        code = scene.run(scene.command("batch", "rows.jsonl", *more), _let)
        # One that waits with an error has said why, and does so each time.
        if code == 0 or not any(row["status"] == "waiting" and row["error"] is None for row in scene._results()):
            break
    else:
        say(leak=f"rows wait for ever: {scene.said[-500:]}", episode=scene.number)


def _generate(scene: Scene, chance: random.Random, insult: Callable[[Any], None], **options: Any) -> None:
    """Generate some images with insults, and do what the command says is next."""
    orders = [order(chance, "", 0, scene.number, number, faulty=0.2) for number in range(chance.randint(1, 4))]
    scene.calls += [call for call, _ in orders]
    _name(scene)
    given = ["--model", orders[0][1]["model"], "-o", "out/"]
    if "response_format" in orders[0][1]:
        given += ["--response-format", "b64_json"]
    if chance.random() < 0.3:
        given.append("--json")
    prompts = [call.prompt for call in scene.calls]
    code = scene.run(scene.command("generate", *given, "--deadline", "30", "--", *prompts), insult, **options)
    scene.doubted = scene.deaf and code in DOUBTS
    for line in re.findall(r"^(?:lemon: )?next: lemon (.+)$", scene.said, re.MULTILINE)[:1]:
        scene.run([sys.executable, "-m", "lemon_ext", *shlex.split(line)], _let)


def _name(scene: Scene) -> None:
    """Give every prompt a name that nobody else has, in this run of the episode."""
    for number, call in enumerate(scene.calls):
        call.prompt = f"{scene.folder.name} {number} {call.prompt}"


def _kill(scene: Scene, chance: random.Random) -> None:
    signals = chance.choice(SIGNALS)
    if chance.random() < 0.6:
        which = (signal.SIGKILL,) if chance.random() < 0.5 else (signals,) * chance.choice((1, 1, 2))
        _batch(scene, chance, _signals(chance, *which))
    else:  # after a SIGKILL, only a batch has a journal to look into
        _generate(scene, chance, _signals(chance, *(signals,) * chance.choice((1, 1, 2))))


def _disk(scene: Scene, chance: random.Random) -> None:
    if chance.random() < 0.7:
        size = int(short(chance, 500, 200_000))
        limit, bounds = resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
    else:
        limit, bounds = resource.RLIMIT_NOFILE, (chance.randint(12, 60),) * 2
    chance.choice((_batch, _batch, _generate))(
        scene, chance, _let, preexec_fn=lambda: resource.setrlimit(limit, bounds)
    )


def _outputs(scene: Scene, chance: random.Random) -> None:
    work = chance.choice((_batch, _generate))
    full = os.open("/dev/full", os.O_WRONLY)
    closed = chance.choice(((1,), (2,), (1, 2), (0, 1, 2)))

    def close() -> None:
        for number in closed:
            os.close(number)

    reading, writing = os.pipe()
    threading.Timer(short(chance, 0.3, 4.0), os.close, [reading]).start()
    options: dict[str, Any] = chance.choice(
        (
            {"stdout": full}, {"stderr": full}, {"stdout": full, "stderr": full}, {"preexec_fn": close},
            {"stdout": writing}, {"stderr": writing}, {"stdout": writing, "stderr": writing},
        )
    )  # fmt: skip
    scene.deaf = "stderr" in options or ("preexec_fn" in options and 2 in closed)
    work(scene, chance, _let, **options)
    for number in (full, writing):
        os.close(number)


def main(kind: str, seed: int, url: str, numbers: range) -> None:
    """Run the episodes of one kind."""
    episode = {"kill": _kill, "disk": _disk, "outputs": _outputs}[kind]
    for number in numbers:
        begin(number, seconds=300)
        with tempfile.TemporaryDirectory(prefix=f"{kind}-{seed}-{number}-") as folder:
            scene = Scene(Path(folder), url, number)
            episode(scene, dice(kind, seed, number))
            scene.judge()
