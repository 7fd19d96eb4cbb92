"""What many requests at once cost: goals C1, C2 and P1-P5 of the design. One command: python benchmarks/connections.py

A thousand tasks, and five thousand, at once: submit, poll each second until done, against a server in another process
of this machine. A task takes 1 to 4 s. Every client is driven alike, one coroutine a task, through its public
face: ours over aiohttp (the extra) and over httpx alone; a whole batch, with its journal and every picture saved,
stands below. Each runs in a fresh process and is stopped after a while, so that one that never ends does not last
for ever. Times on a machine that does other work are worth little.
Needs Linux or macOS, for the memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any, TypeAlias

from _measure import ROOT, ratio, served, table

SERVER = """
import asyncio, json, random, sys, time

opened = asked = port = 0
born = {}

def answer(body):
    body = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
    return head % len(body) + body

INLINE = answer({"created": 1, "data": [{"url": "https://img.example.net/a.png"}]})
PICTURE = b"HTTP/1.1 200 OK\\r\\ncontent-length: 64\\r\\n\\r\\n" + b"\\x89PNG\\r\\n\\x1a\\n" + bytes(56)

def handle(head, body):
    method, path, _ = head.split(b" ", 2)
    if method == b"POST":
        if b"gpt-image" in body:
            return INLINE
        name = f"img_{len(born)}"
        born[name] = time.monotonic() + random.uniform(1, 4)
        return answer({"created": 1, "task_id": name, "status": "pending", "data": []})
    if path.endswith(b"/opened"):
        return answer([opened, asked])
    if path.endswith(b".png"):
        return PICTURE
    name = path.rsplit(b"/", 1)[1].decode()
    if time.monotonic() < born.get(name, 1e99):
        return answer({"task_id": name, "status": "processing", "data": []})
    data = [{"url": f"http://127.0.0.1:{port}/a.png"}]
    return answer({"task_id": name, "status": "completed", "data": data})

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        global opened
        opened += 1
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        head, end, body = self.buffer.partition(b"\\r\\n\\r\\n")
        if not end:
            return
        lines = [line for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:")]
        if len(body) < (int(lines[0][15:]) if lines else 0):
            return
        global asked
        asked += 1
        self.buffer = b""
        reply = handle(head, body)
        if b"/slow/" in head[:40]:
            asyncio.get_running_loop().call_later(0.15, self.transport.write, reply)
        else:
            self.transport.write(reply)

async def main():
    global port
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=8192)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

#: What every client is run by: a coroutine a task.
DRIVER = """
import asyncio, heapq, json, os, resource, sys, time, urllib.request

address, n, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
found = {"done": 0, "errors": 0}
delays, begun = [], []

def note(due):
    delays.append(time.monotonic() - due)

async def one_each(submit, poll):
    async def one():
        try:
            due = time.monotonic()
            name = await submit()
            while True:
                due = time.monotonic() + 1
                await asyncio.sleep(1)
                status = await poll(name)
                note(due)
                if status == "completed":
                    break
            found["done"] += 1
        except Exception:
            found["errors"] += 1
    await asyncio.gather(*(one() for _ in range(n)))

async def steadily(get):
    # An open loop: 167 polls each second, whatever happens to the others.
    async def one(due):
        try:
            await asyncio.sleep(due - time.monotonic())
            await get(f"{address}/slow/v1/images/generations/img_x")
            note(due)
        except Exception:
            found["errors"] += 1
    start = time.monotonic()
    await asyncio.gather(*(one(start + number / 167) for number in range(n)))

def opened():
    return json.load(urllib.request.build_opener().open(f"{address}/opened"))

async def bounded(work):
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=limit)
    if not task.done():  # cancelling thousands of requests takes some clients longer than making them
        report()
        os._exit(0)

def run(main):
    begun.extend((time.monotonic(), time.process_time(), *opened()))
    asyncio.run(main())
    report()

def report():
    wall, cpu, connections, requests = begun
    found.update(wall=time.monotonic() - wall, cpu=time.process_time() - cpu)
    after = opened()
    found.update(connections=after[0] - connections - 1, requests=after[1] - requests - 1)
    found["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "linux" else 1024)
    delays.sort()
    found["p50"], found["p99"] = (delays[int(len(delays) * part)] if delays else None for part in (0.5, 0.99))
    print(json.dumps(found), flush=True)
"""

LEMON = """
import httpx
from lemon_ext import AsyncLemon
async def main():
    async with AsyncLemon("sk-x", base_url=address, requests_per_minute=None) as lemon:
        PREPARE
        async def submit():
            return await lemon.images.submit("a cat", model="midjourney")
        async def poll(task):
            return (await task.refresh()).status
        async def get(url):
            await lemon.images.task("img_x", poll_url=url).refresh()
        await bounded(WORK)
run(main)
"""
#: Without the extra, as on a machine that has no aiohttp.
PLAIN = LEMON.replace("PREPARE", "import lemon_ext._connections as http; http.find_spec = lambda name: None")
LEMON = LEMON.replace("PREPARE", "pass")
BATCH = """
import tempfile
from lemon_ext import AsyncLemon, arun_batch
async def main():
    rows = [{"prompt": "a cat", "model": "midjourney"}] * n
    async with AsyncLemon("sk-x", base_url=address, requests_per_minute=None) as lemon:
        with tempfile.TemporaryDirectory() as folder:
            async def work():
                async for row in arun_batch(rows, folder, client=lemon, poll_interval=1.0, gallery=False):
                    found["done" if row["status"] == "saved" else "errors"] += 1
            await bounded(work())
run(main)
"""
HTTPX = """
import httpx
limits = httpx.Limits(**dict(zip(("max_connections", "max_keepalive_connections"), (LIMITS))))
async def main():
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        path = f"{address}/v1/images/generations"
        async def submit():
            return (await client.post(path, json={"model": "midjourney", "prompt": "a cat"})).json()["task_id"]
        async def poll(name):
            return (await client.get(f"{path}/{name}")).json()["status"]
        async def get(url):
            (await client.get(url)).json()
        await bounded(WORK)
run(main)
"""
OPENAI = """
from openai import AsyncOpenAI
async def main():
    async with AsyncOpenAI(api_key="sk-x", base_url=f"{address}/v1") as client:
        async def submit():
            return (await client.images.generate(prompt="a cat", model="midjourney")).task_id
        async def poll(name):
            return (await client.get(f"/images/generations/{name}", cast_to=object))["status"]
        await bounded(WORK)
run(main)
"""
AIOHTTP = """
import aiohttp
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        path = f"{address}/v1/images/generations"
        async def submit():
            async with client.post(path, json={"model": "midjourney", "prompt": "a cat"}) as response:
                return (await response.json())["task_id"]
        async def poll(name):
            async with client.get(f"{path}/{name}") as response:
                return (await response.json())["status"]
        await bounded(WORK)
run(main)
"""

#: CPU per call, one after the other: blocks of each in turn, in one process.
CALLS = """
import asyncio, json, os, sys, time
import httpx
from lemon_ext import AsyncLemon

address, rounds, block = sys.argv[1], 16, 60
path = f"{address}/v1/images/generations"

async def main():
    lemon = AsyncLemon("sk-x", base_url=address, requests_per_minute=None)
    plain = AsyncLemon("sk-x", base_url=address, requests_per_minute=None, http_client=httpx.AsyncClient())
    stock = httpx.AsyncClient()
    name = (await stock.post(path, json={"model": "midjourney"})).json()["task_id"]
    sent = {"model": "gpt-image-2", "prompt": "a cat"}
    calls = {
        "GET httpx": lambda: stock.get(f"{path}/{name}"),
        "poll": lambda: plain.images.task(name).refresh(),
        "POST httpx": lambda: stock.post(path, json=sent),
        "POST lemon": lambda: lemon.images.generate("a cat", model="gpt-image-2"),
    }
    if "openai" in sys.argv:
        from openai import AsyncOpenAI
        openai = AsyncOpenAI(api_key="sk-x", base_url=f"{address}/v1")
        calls["POST openai"] = lambda: openai.images.generate(prompt="a cat", model="gpt-image-2")
    found = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name_, call in calls.items():
            begun = time.process_time()
            for _ in range(block):
                outcome = await call()
                if isinstance(outcome, httpx.Response):
                    outcome.json()
            if turn:
                found[name_].append((time.process_time() - begun) / block)
    print(json.dumps(found))

asyncio.run(main())
"""

#: Looks in the open loop: twelve seconds of them. httpx opens a connection for each, which a fifth of them shows.
LOOKS = 2004

Found: TypeAlias = dict[str, Any]
Row: TypeAlias = tuple[str, str, str, bool | None]


def main() -> None:
    """Measure and print."""
    clients = {"lemon_ext": LEMON, "lemon_ext, httpx alone": PLAIN, "lemon_ext, as a batch": BATCH}
    clients = {name: code.replace("WORK", "one_each(submit, poll)") for name, code in clients.items()}
    for name, code in {"aiohttp": AIOHTTP, "openai": OPENAI, "httpx2": HTTPX.replace("httpx", "httpx2")}.items():
        if importlib.util.find_spec(name):
            clients[name] = code.replace("WORK", "one_each(submit, poll)")
    clients["httpx 64/64"] = HTTPX.replace("WORK", "one_each(submit, poll)")
    clients = {name: code.replace("LIMITS", "64, 64") for name, code in clients.items()}
    with served(SERVER) as address:
        thousand = {
            name: run(code, address, 1000, 12 if name != "httpx 64/64" else 4) for name, code in clients.items()
        }
        large = [name for name in clients if name in ("lemon_ext", "lemon_ext, httpx alone", "aiohttp", "openai")]
        more = {name: run(clients[name], address, 5000, 28) for name in large}
        open_loop = {
            "lemon_ext": run(LEMON.replace("WORK", "steadily(get)"), address, LOOKS, 20),
            "httpx": run(HTTPX.replace("WORK", "steadily(get)").replace("LIMITS", "100, 20"), address, LOOKS // 5, 20),
        }
        calls = child(CALLS, address, *(["openai"] if "openai" in clients else []))
    show("1,000 tasks at once", 1000, thousand)
    show("5,000 tasks at once", 5000, more)
    table(
        "Goals (CPU per call: median of blocks in turn, and their middle half)", goals(thousand, more, open_loop, calls)
    )


def goals(thousand: dict[str, Found], more: dict[str, Found], steady: dict[str, Found], calls: Found) -> list[Row]:
    """Set the figures against the goals."""
    ours, ours_more = thousand["lemon_ext"], more["lemon_ext"]
    rows: list[Row] = []

    def add(what: str, value: float, most: float, kind: str = "x") -> None:
        rows.append((what, f"{value:.3g}{kind}", f"<= {most:g}{kind}", value <= most))

    def add_pairs(what: str, one: str, other: str, most: float) -> None:
        if other in calls:
            pairs = ratio(calls[one], calls[other])
            rows.append((what, str(pairs), f"<= {most:g}x", pairs.middle <= most))

    add_pairs("C1 a poll, whole layer / httpx, same transport", "poll", "GET httpx", 1.10)
    add_pairs("C2 images.generate / openai", "POST lemon", "POST openai", 0.65)
    add("P1 1,000 tasks: not done", 1000 - ours["done"], 0, "")
    add("P2 5,000 tasks: not done", 5000 - ours_more["done"], 0, "")
    if "aiohttp" in more:
        theirs, theirs_more = thousand["aiohttp"], more["aiohttp"]
        add("P1 CPU of a request / aiohttp, 1,000", per_request(ours) / per_request(theirs), 2.5)
        add("P1 wall / aiohttp, 1,000", ours["wall"] / theirs["wall"], 1.15)
        add("P4 p99 of a poll's delay / aiohttp, 1,000", ours["p99"] / theirs["p99"], 2.0)
        add("P2 wall / aiohttp, 5,000", ours_more["wall"] / theirs_more["wall"], 1.4)
        add("P4 p99 of a poll's delay / aiohttp, 5,000", ours_more["p99"] / theirs_more["p99"], 3.5)
    if "openai" in more:
        add("P1 wall / openai, 1,000", ours["wall"] / thousand["openai"]["wall"], 0.85)
        add("P2 wall / openai, 5,000 (stopped after 28 s)", ours_more["wall"] / more["openai"]["wall"], 0.5)
    add("P3 CPU of a request, 5,000 / 1,000", per_request(ours_more) / per_request(ours), 1.2)
    if "openai" in more:
        add("P3 CPU of a request / openai, 5,000", per_request(ours_more) / per_request(more["openai"]), 0.25)
    add("P5 connections, 167 polls/s that take 150 ms", steady["lemon_ext"]["connections"], 2 * 167 * 0.15, "")
    share = steady["lemon_ext"]["connections"] / LOOKS / (steady["httpx"]["connections"] / (LOOKS // 5))
    add("P5 connections per poll / httpx", share, 0.03)
    return rows


def per_request(found: Found) -> float:
    """Return the microseconds of CPU."""
    return float(found["cpu"]) * 1e6 / max(found["requests"], 1)


def show(title: str, n: int, found: dict[str, Found]) -> None:
    """Print what each client did."""
    print(f"\n{title}")
    print(
        f"  {'':<24}{'wall s':>8}{'done':>7}{'errors':>8}{'us/req':>8}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}{'conns':>7}"
    )
    for name, one in found.items():
        delays = "".join(f"{'-' if one[part] is None else f'{one[part] * 1000:.0f}':>8}" for part in ("p50", "p99"))
        stopped = "" if one["done"] + one["errors"] >= n else "  stopped"
        print(
            f"  {name:<24}{one['wall']:>8.1f}{one['done']:>7}{one['errors']:>8}{per_request(one):>8.0f}{delays}"
            f"{one['rss'] / 1024:>6.0f}{one['connections']:>7}{stopped}"
        )


def run(code: str, address: str, n: int, limit: float) -> Found:
    """Run a client in a fresh process."""
    return child(DRIVER + code, address, str(n), str(limit))


def child(code: str, *arguments: str) -> Found:
    """Run a script in a fresh process and return the JSON that it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "generated")))}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: Found = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
