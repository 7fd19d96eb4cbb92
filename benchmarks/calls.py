"""What the layer costs per call: goal C1. One command: python benchmarks/calls.py

CPU per call of the full client (validation, rate limit, schedule, typed result) against bare httpx as people use it,
in alternating blocks in one process; the server answers from another one. ``openai`` is measured beside them if it is
there, with the HTTP library that it brings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any

import httpx
from _measure import Row, ratio, served, table

from lemon_ext import AsyncLemon, Lemon

BLOCKS = 24
CALLS = 60
GOAL = 1.10
#: So many that the budget is kept and never waited for.
PER_MINUTE = 1e9
BODY = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}
HEADERS = {"Authorization": "Bearer sk-x"}
REPEAT = range(CALLS)


def blocking(address: str) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Yield (what, who, one call)."""
    raw = httpx.Client()
    lemon = Lemon("sk-x", base_url=address, requests_per_minute=PER_MINUTE)
    task = lemon.images.task("img_1")
    posts, polls = f"{address}/v1/images/generations", f"{address}/v1/images/generations/img_1"
    yield "POST", "httpx", lambda: raw.post(posts, json=BODY, headers=HEADERS).json()["data"][0]["url"]
    yield "POST", "lemon_ext", lambda: lemon.images.generate("a cat", model="gpt-image-2", size="1024x1024")[0].url
    yield "GET poll", "httpx", lambda: raw.get(polls, headers=HEADERS).json()["status"]
    yield "GET poll", "lemon_ext", lambda: task.refresh().status
    if find_spec("openai"):
        from openai import OpenAI

        other: Any = OpenAI(api_key="sk-x", base_url=f"{address}/v1")
        yield "POST", "openai", lambda: other.images.generate(model="gpt-image-2", prompt="a cat", size="1024x1024")


def not_blocking(address: str) -> Iterator[tuple[str, str, Callable[[], Awaitable[object]]]]:
    """Async twin of `blocking`."""
    raw = httpx.AsyncClient()
    lemon = AsyncLemon("sk-x", base_url=address, requests_per_minute=PER_MINUTE)
    task = lemon.images.task("img_1")
    posts, polls = f"{address}/v1/images/generations", f"{address}/v1/images/generations/img_1"

    async def raw_post() -> object:
        return (await raw.post(posts, json=BODY, headers=HEADERS)).json()["data"][0]["url"]

    async def post() -> object:
        return (await lemon.images.generate("a cat", model="gpt-image-2", size="1024x1024"))[0].url

    async def raw_poll() -> object:
        return (await raw.get(polls, headers=HEADERS)).json()["status"]

    async def poll() -> object:
        return (await task.refresh()).status

    yield "POST", "httpx", raw_post
    yield "POST", "lemon_ext", post
    yield "GET poll", "httpx", raw_poll
    yield "GET poll", "lemon_ext", poll
    if find_spec("openai"):
        from openai import AsyncOpenAI

        other: Any = AsyncOpenAI(api_key="sk-x", base_url=f"{address}/v1")
        yield "POST", "openai", lambda: other.images.generate(model="gpt-image-2", prompt="a cat", size="1024x1024")


def run_blocking(address: str) -> dict[tuple[str, str], list[float]]:
    """Return the CPU seconds of each block."""
    calls = {(what, who): call for what, who, call in blocking(address)}
    found: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for turn in range(BLOCKS + 1):
        for key in _order(calls, turn):
            call = calls[key]
            start = time.process_time()
            for _ in REPEAT:
                call()
            found[key].append(time.process_time() - start)
    return {key: values[1:] for key, values in found.items()}


async def run_async(address: str) -> dict[tuple[str, str], list[float]]:
    """Async twin of `run_blocking`."""
    calls = {(what, who): call for what, who, call in not_blocking(address)}
    found: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for turn in range(BLOCKS + 1):
        for key in _order(calls, turn):
            call = calls[key]
            start = time.process_time()
            for _ in REPEAT:
                await call()
            found[key].append(time.process_time() - start)
    return {key: values[1:] for key, values in found.items()}


def _order(calls: dict[tuple[str, str], Any], turn: int) -> list[tuple[str, str]]:
    """Turn the order around every time: nobody always runs after the same one."""
    return list(calls) if turn % 2 else list(reversed(calls))


def rows(colour: str, found: dict[tuple[str, str], list[float]]) -> list[Row]:
    """Return the lines of the table."""
    lines: list[Row] = []
    for (what, who), values in found.items():
        base = found[what, "httpx"]
        if who == "httpx":
            lines.append((f"{colour} {what}, httpx", f"{median(values) / CALLS * 1e6:.0f} us", "", None))
        else:
            compared = ratio(values, base)
            goal = (f"<= {GOAL:.2f}x", compared.middle <= GOAL) if who == "lemon_ext" else ("", None)
            lines.append((f"{colour} {what}, {who} / httpx", str(compared), *goal))
    return lines


def main() -> None:
    """Measure and print."""
    with served() as address:
        lines = rows("blocking", run_blocking(address)) + rows("async", asyncio.run(run_async(address)))
    table(f"CPU per call (C1; {BLOCKS} blocks of {CALLS} calls each, in turns; median of pairs and middle half)", lines)


if __name__ == "__main__":
    main()
