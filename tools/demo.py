"""What `make demo` runs: pictures, a refusal and a batch that is killed and resumed, without a key or a network."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lemon_ext import CapabilityError, ImageTask, Lemon, LemonError
from lemon_ext.batch import batch_status
from lemon_ext.emulator import KEY, Emulator

FOLDER = Path("demo-output")
PROMPTS = (
    "a white cat on a windowsill, watching the rain",
    "a lighthouse in a storm",
    "a bowl of lemons on a blue table",
    "a beautiful sunset over mountains",
)
MODELS = ("flux-pro", "nano-banana-2", "ideogram-v3", "gpt-image-2")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def pictures(lemon: Lemon) -> None:
    title("1. Two pictures through the Python API")
    result = lemon.images.generate(PROMPTS[0], model="gpt-image-2", size="1792x1024", quality="high")
    print(f"gpt-image-2 answered at once: {result.save(FOLDER)[0]}")

    began = time.monotonic()

    def progress(task: ImageTask) -> None:
        print(f"flux-pro  {time.monotonic() - began:4.1f} s  {task.id}  {task.status}", flush=True)

    result = lemon.images.generate(PROMPTS[1], model="flux-pro", on_update=progress)
    print(f"flux-pro answered with a task, which was waited for: {result.save(FOLDER)[0]}")


def refusal(lemon: Lemon) -> None:
    title("2. A request that the model does not take is refused before anything is sent")
    try:
        lemon.images.generate(PROMPTS[0], model="gpt-image-2", size="512x512", n=20)
    except CapabilityError as error:
        print(error)


def batch(emulator: Emulator) -> None:
    title("3. A batch on the command line, killed half-way")
    rows = [(f"{prompt}, variation {number}", model) for number, model in enumerate(MODELS, 1) for prompt in PROMPTS]
    with (FOLDER / "prompts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "model"), *rows])
    before = emulator.charges
    folder = FOLDER / "batch"
    with lemon_command(emulator, "batch", str(FOLDER / "prompts.csv"), "-o", str(folder)) as child:
        while saved(folder) < len(rows) // 2:
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=0.05)
                break
    print(f"\nkilled with {saved(folder)} of {len(rows)} rows saved; charges so far: {emulator.charges - before}")

    title("4. lemon resume: what is paid for is fetched, nothing is paid for twice")
    with lemon_command(emulator, "resume", str(folder)) as child:
        code = child.wait()
    print(f"\nexit code {code}; charges for {len(rows)} rows: {emulator.charges - before}")
    print(f"\nThe pictures are in {FOLDER}/. The gallery: {(folder / 'index.html').absolute().as_uri()}")


@contextmanager
def lemon_command(emulator: Emulator, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command line beside the block. At the end of the block it is killed."""
    print(f"$ lemon {' '.join(arguments)}", flush=True)
    environment = {**os.environ, "LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url, "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen([sys.executable, "-m", "lemon_ext", *arguments], env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def saved(folder: Path) -> int:
    try:
        return batch_status(folder).saved
    except LemonError:  # not begun yet
        return 0


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    print("A local emulator stands in for the API: no key, no network, nothing is billed.")
    with Emulator(task_seconds=lambda model, chance: chance.uniform(1.0, 7.0)) as emulator:
        with Lemon(KEY, base_url=emulator.url) as lemon:
            pictures(lemon)
            refusal(lemon)
        batch(emulator)


if __name__ == "__main__":
    main()
