"""The emulator in a process of its own. Its ledger is asked for over its standard input, never over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from io import BytesIO
from typing import IO, Any, Self

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lemon_ext.emulator import Emulator

#: Seconds that a task takes.
TASK_SECONDS = 0.02
#: Seconds in which requests that were broken off still arrive.
SETTLE = 0.5


class Quick(Emulator):
    """Draws one pixel, with the prompt in the file: so it can be told whose picture it is, and it takes no time."""

    def _draw(self, job: Any, index: int) -> bytes:
        text, file = PngInfo(), BytesIO()
        text.add_text("lemon-random-run", job.prompt.encode("latin-1", "replace"))
        Image.new("RGB", (1, 1)).save(file, "PNG", pnginfo=text)
        return file.getvalue()


class Server:
    """Starts the process, and asks it for its charges."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.url = self._lines.readline().strip()
        return self

    @property
    def _lines(self) -> IO[str]:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        return self._process.stdout

    def charges(self) -> list[dict[str, Any]]:
        """Return the charges since the last time: prompt and task id. Requests that were broken off still arrive."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        print(file=self._process.stdin, flush=True)
        charges: list[dict[str, Any]] = json.loads(self._lines.readline())
        return charges

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Serve until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Quick(task_seconds=TASK_SECONDS) as emulator:
        print(emulator.url, flush=True)
        told = 0
        for _ in sys.stdin:
            time.sleep(SETTLE)  # noqa: TID251 - for what is still on its way
            new = emulator.ledger[told:]
            told += len(new)
            emulator.requests.clear()
            print(json.dumps([{"prompt": one.request["prompt"], "task_id": one.task_id} for one in new]), flush=True)


if __name__ == "__main__":
    main()
