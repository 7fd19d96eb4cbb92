"""What a row of a batch costs: CPU, requests and memory. One command: python benchmarks/batches.py

The same tasks through the documented loop (a thread for each), through loops as the `openai` and `replicate` packages
have them (a coroutine for each, one poll a second or two), and through `run_batch`, which also writes its journal and
fetches and saves every picture. A server in another process holds the tasks; there is no rate limit here, so the price
of a poll stays at its lowest and `run_batch` polls often. What the schedule does under a limit: polling_policy.py.
Needs Linux, for the peak of the memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from _measure import ROOT, Row, served, table

ROWS = 500
MANY = 10_000

SERVER = """
import asyncio, itertools, json, random, sys, time

number, ends, polls = itertools.count(), {}, 0
PICTURE = b"\\x89PNG\\r\\n\\x1a\\n" + bytes(2000)

def answer(body, kind=b"application/json"):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\\r\\ncontent-type: %s\\r\\ncontent-length: %d\\r\\n\\r\\n" % (kind, len(body)) + body

def respond(head, host):
    global polls
    method, path, _ = head.split(b" ", 2)
    name = path.rpartition(b"/")[2].decode()
    if method == b"POST":
        name = f"img_{next(number)}"
        ends[name] = time.monotonic() + random.uniform(3, 9)
        return answer({"task_id": name, "status": "pending", "data": [{"url": ""}]})
    if name.endswith(".png"):
        return answer(PICTURE, b"image/png")
    if name == "polls":
        return answer({"polls": polls})
    polls += 1
    if time.monotonic() < ends[name]:
        return answer({"task_id": name, "status": "processing", "data": []})
    return answer({"task_id": name, "status": "completed", "data": [{"url": f"http://{host}/{name}.png"}]})

class Tasks(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\\r\\n\\r\\n")
            if not end:
                return
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\\r\\n") if b": " in line)
            length = int(fields.get(b"content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(respond(head, fields[b"host"].decode()))

async def main():
    server = await asyncio.get_running_loop().create_server(Tasks, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

COMMON = """
import json, resource, sys, time
url, rows, extra = sys.argv[1], int(sys.argv[2]), sys.argv[3]
KEY = {"Authorization": "Bearer sk-x"}

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

def measured(work):
    base, cpu, wall = resident(), time.process_time(), time.monotonic()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"cpu": (time.process_time() - cpu) * 1000 / rows, "peak": peak - base, "wall": time.monotonic() - wall}
    print(json.dumps(figures))
"""

DOCUMENTED = """
import threading, httpx
client = httpx.Client(headers=KEY, timeout=60, limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))

def one(row):
    body = client.post(f"{url}/v1/images/generations", json={"model": "midjourney", "prompt": f"cat {row}"}).json()
    while True:
        task = client.get(f"{url}/v1/images/generations/{body['task_id']}").json()
        if task["status"] == "completed":
            return
        time.sleep(3)

def work():
    threads = [threading.Thread(target=one, args=(row,)) for row in range(rows)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

measured(work)
"""

COROUTINES = """
import asyncio, httpx

async def main():
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(headers=KEY, timeout=60, limits=limits) as client:
        async def one(row):
            asked = {"model": "midjourney", "prompt": f"cat {row}"}
            body = (await client.post(f"{url}/v1/images/generations", json=asked)).json()
            while True:
                await asyncio.sleep(float(extra))
                task = (await client.get(f"{url}/v1/images/generations/{body['task_id']}")).json()
                if task["status"] == "completed":
                    return
        await asyncio.gather(*map(one, range(rows)))

measured(lambda: asyncio.run(main()))
"""

OURS = """
from lemon_ext import AsyncLemon, Lemon, run_batch

def work():
    client = (AsyncLemon if extra.endswith("async") else Lemon)("sk-x", base_url=url, requests_per_minute=None)
    requests = ({"model": "midjourney", "prompt": f"cat {row}"} for row in range(rows))
    saved = sum(outcome["status"] == "saved" for outcome in run_batch(requests, extra, client=client, gallery=False))
    assert saved == rows, saved

measured(work)
"""


def run(code: str, rows: int, extra: str) -> dict[str, float]:
    """Run one way in a fresh process against a fresh server."""
    with served(SERVER) as url:
        command = [sys.executable, "-c", COMMON + code, url, str(rows), extra]
        environment = {"PYTHONPATH": f"{ROOT / 'generated'}:{ROOT}"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        import httpx

        polls = httpx.get(f"{url}/polls").json()["polls"]
    return {**json.loads(done.stdout), "polls": polls / rows}


def shown(one: dict[str, float]) -> str:
    return f"{one['cpu']:6.2f} ms CPU a row  {one['polls']:4.1f} polls  {one['peak']:5.1f} MB  {one['wall']:5.1f} s"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ways = {
            "documented loop, a thread each": (DOCUMENTED, ""),
            "openai-style, 1 s": (COROUTINES, "1"),
            "replicate-style, 0.5 s": (COROUTINES, "0.5"),
            "run_batch, blocking client": (OURS, f"{folder}/blocking"),
            "run_batch, async client": (OURS, f"{folder}/async"),
        }
        found = {name: run(code, ROWS, extra) for name, (code, extra) in ways.items()}
        lines: list[Row] = [(name, shown(one), "", None) for name, one in found.items()]
        table(f"{ROWS} tasks of 3 to 9 s at once; ours fetch, save and journal as well", lines)
        many = run(OURS, MANY, f"{folder}/many-async")
        table(
            f"run_batch with {MANY:,} rows",
            [
                ("CPU a row", f"{many['cpu']:.2f} ms", "", None),
                ("peak over the base", f"{many['peak']:.1f} MB", "<= 40 MB", many["peak"] <= 40),
                ("wall", f"{many['wall']:.0f} s", "", None),
            ],
        )


if __name__ == "__main__":
    main()
