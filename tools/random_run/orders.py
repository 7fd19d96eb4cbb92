"""What episodes ask for: requests with the server's faults in them, and a clock that makes the client's waits short."""

from __future__ import annotations

import math
import random
import time
from contextlib import AbstractContextManager
from typing import Any, Final

import anyio

from lemon_ext.testing import instant

from .evidence import Call

#: So much faster does time go by for the client: a backoff of half a second takes 12 ms.
FAST: Final = 40.0
#: What the server does wrong, in the emulator's words.
FAULTS: Final = (
    "drop_before@submit:1", "drop_after@submit:1", "no_connection@submit:2", "html_502@submit:1", "error_504@submit:1",
    "error_429@submit:1,seconds=1", "error_503_retryable@submit:1,seconds=1", "error_503@submit:1",
    "malformed_json@submit:1", "empty_body@submit:1", "slow@submit:1,seconds=0.03", "reply_task", "reply_inline",
    "task_failed", "tasks_poll_url", "fewer_images", "empty_url",
    "drop_before@look:1", "html_502@look:2", "error_429@look:1,seconds=1", "error_404@look:1", "malformed_json@look:1",
    "slow@look:2,seconds=0.03", "unknown_status@look:1",
    "drop_before@image:1", "image_truncated:1", "error_500@image:1", "image_expired:1", "slow@image:1,seconds=0.03",
)  # fmt: skip
MODELS: Final = ("flux-schnell", "midjourney", "midjourney", "flux-pro")


def order(
    chance: random.Random, kind: str, seed: int, episode: int, number: int = 1, faulty: float = 0.4
) -> tuple[Call, dict[str, Any]]:
    """Return a call with a prompt of its own, and what else it asks for."""
    prompt = f"{kind} {seed} {episode} call {number}"
    while chance.random() < faulty:
        prompt += f" [fault:{chance.choice(FAULTS)}]"
    options: dict[str, Any] = {"model": chance.choice(MODELS)}
    if chance.random() < 0.3:
        options["response_format"] = "b64_json"
    if chance.random() < 0.2:
        options["n"] = 2
    return Call(episode, prompt), options


def short(chance: random.Random, low: float = 0.0003, high: float = 0.3) -> float:
    """Return a time in seconds; each order of magnitude is as likely as another."""
    return math.exp(chance.uniform(math.log(low), math.log(high)))


def fast() -> AbstractContextManager[None]:
    """Let time go by faster for the client."""

    async def asleep(seconds: float) -> None:
        await anyio.sleep(seconds / FAST)

    return instant(
        clock=lambda: time.monotonic() * FAST,
        sleep=lambda seconds: time.sleep(seconds / FAST),  # noqa: TID251 - for the blocking driver, which does the sleeping
        asleep=asleep,
    )
