"""What large pictures cost: goals B1, B2 and B3 of the design. One command: python benchmarks/payloads.py

Four images of 4 MiB as Base64 (22 MB of JSON), and two of 50 MiB behind addresses, served by another process on this
machine. Every figure comes from a fresh process that has made one small request before: CPU, and the peak of its
memory above where it stood. Needs Linux, for the peak.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from statistics import median
from typing import TypeAlias

from _measure import ROOT, Ratio, ratio, served, table

ROUNDS = 7
MIB = 1024 * 1024

SERVER = """
import asyncio, base64, json, os, struct, zlib

def answer(body, kind):
    head = "HTTP/1.1 200 OK\\r\\ncontent-type: %s\\r\\ncontent-length: %d\\r\\n\\r\\n" % (kind, len(body))
    return head.encode() + body

def part(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

def picture(size):
    head = part(b"IHDR", struct.pack(">IIBBBBB", 1000, 1000, 8, 2, 0, 0, 0))
    return b"\\x89PNG\\r\\n\\x1a\\n" + head + part(b"IDAT", os.urandom(size)) + part(b"IEND", b"")

def bitmap(size):
    return b"BM" + struct.pack("<IIIIiiHHI20x", size, 0, 54, 40, 1000, -1000, 1, 24, 0) + os.urandom(size - 54)

def inline(size, count):
    data = [{"b64_json": base64.b64encode(picture(size)).decode()} for _ in range(count)]
    return answer(json.dumps({"created": 1, "data": data}).encode(), "application/json")

def elsewhere(host):
    data = [{"url": "http://%s/f.bmp" % host.decode()}, {"url": "http://%s/f.png" % host.decode()}]
    return answer(json.dumps({"created": 1, "data": data}).encode(), "application/json")

SMALL, LARGE = inline(64, 1), inline(4 << 20, 4)
FILES = {b"bmp": answer(bitmap(50 << 20), "image/bmp"), b"png": answer(picture(50 << 20), "image/png")}

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\\r\\n") if b": " in line)
            body = await reader.readexactly(int(fields.get(b"content-length", 0)))
            if head.startswith(b"GET"):
                writer.write(FILES[head.split()[1][-3:]])
            elif b"at an address" in body:
                writer.write(elsewhere(fields[b"host"]))
            else:
                writer.write(LARGE if b"large" in body else SMALL)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

#: A fresh process: `first` is the small request, `work` what is measured.
CHILD = """
import base64, gc, json, sys, time
from pathlib import Path

address, folder = sys.argv[1], Path(sys.argv[2])

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

{setup}

first()
gc.collect()
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS:")
begun = time.process_time()
kept = work()
cpu = time.process_time() - begun
print(json.dumps([cpu, max(memory("VmHWM:") - before, 1)]))
"""

HTTPX = """
import httpx
client = httpx.Client(timeout=60)
def generate(prompt):
    return client.post(f"{address}/v1/images/generations", json={"model": "m", "prompt": prompt}).json()["data"]
"""
OPENAI = """
from openai import OpenAI
client = OpenAI(api_key="sk-x", base_url=f"{address}/v1")
def generate(prompt):
    return [{"b64_json": image.b64_json} for image in client.images.generate(prompt=prompt, model="m").data]
"""
PEER = """
def decoded(prompt):
    return [base64.b64decode(image["b64_json"]) for image in generate(prompt)]
def saved(prompt):
    for number, data in enumerate(decoded(prompt)):
        (folder / f"{number}.png").write_bytes(data)
first = lambda: decoded("small")
"""
OURS = """
from lemon_ext import Lemon
lemon = Lemon("sk-x", base_url=address, validation="off")
def decoded(prompt):
    return [image.read() for image in lemon.images.generate(prompt, model="m")]
def saved(prompt):
    lemon.images.generate(prompt, model="m").save(folder)
first = lambda: saved("small")
"""
#: The file is generated before the peak is reset: only the download counts.
DOWNLOAD = """
bmp, png = lemon.images.generate("at an address", model="m", n=2)
"""
STREAM = """
import httpx
client = httpx.Client()
def work():
    with client.stream("GET", f"{address}/f.bmp") as response, open(folder / "f.bmp", "wb") as file:
        for chunk in response.iter_bytes():
            file.write(chunk)
first = lambda: client.post(f"{address}/small", json={})
"""

Cost: TypeAlias = tuple[float, float]
Row: TypeAlias = tuple[str, str, str, bool | None]


def main() -> None:
    """Measure and print."""
    work = {
        "httpx": HTTPX + PEER,
        **({"openai": OPENAI + PEER} if importlib.util.find_spec("openai") else {}),
        "lemon_ext": OURS,
    }
    with served(SERVER) as address:
        to_disk = measure(address, {name: f'{code}\nwork = lambda: saved("large")' for name, code in work.items()})
        to_memory = measure(address, {name: f'{code}\nwork = lambda: decoded("large")' for name, code in work.items()})
        fetched = measure(
            address,
            {
                "lemon_ext": f'{OURS}{DOWNLOAD}work = lambda: bmp.save(folder / "f")',
                "lemon_ext, a PNG that gets its metadata": f'{OURS}{DOWNLOAD}work = lambda: png.save(folder / "f")',
                "httpx, streamed": STREAM,
                **({"curl": ""} if shutil.which("curl") else {}),
            },
        )
    rows: list[Row] = []
    for goal, found, most, what in (
        ("B1", to_disk, 0.03, "Base64 to files"),
        ("B2", to_memory, None, "Base64 to memory"),
    ):
        rows += [(f"{what}: {name}", shown(costs), "", None) for name, costs in found.items()]
        for peer in found.keys() - {"lemon_ext"}:
            cpu, peak = compared(found, peer)
            rows.append((f"{goal} CPU / {peer}", str(cpu), "<= 0.7x", cpu.middle <= 0.7 if peer == "httpx" else None))
            met = None if most is None else peak.middle <= most
            rows.append((f"{goal} peak / {peer}", str(peak), "" if most is None else f"<= {most}x", met))
    share = median(peak for _, peak in to_memory["lemon_ext"]) / (16 * MIB)
    rows.append(("B2 peak / bytes of the images", f"{share:.2f}x", "<= 1.1x", share <= 1.1))
    rows += [(f"50 MiB to a file: {name}", shown(costs), "", None) for name, costs in fetched.items()]
    peak = median(peak for _, peak in fetched["lemon_ext"]) / MIB
    rows.append(("B3 peak", f"{peak:.1f} MiB", "<= 2 MB", peak <= 2))
    for peer, most in (("curl", 1.1), ("httpx, streamed", None)):
        if peer in fetched:
            cpu, _ = compared(fetched, peer)
            goal = "" if most is None else f"<= {most}x"
            rows.append((f"B3 CPU / {peer}", str(cpu), goal, None if most is None else cpu.middle <= most))
    table("Large pictures (medians; ratios of pairs, and their middle half)", rows)


def measure(address: str, codes: dict[str, str]) -> dict[str, list[Cost]]:
    """Run each in turn, in fresh processes. ``curl`` stands for itself."""
    found: dict[str, list[Cost]] = {name: [] for name in codes}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(run_child(code, address, folder) if code else run_curl(address, folder))
    return found


def run_child(setup: str, address: str, folder: str) -> Cost:
    """Return what one run cost in seconds of CPU and bytes at the peak."""
    command = [sys.executable, "-c", CHILD.replace("{setup}", setup), address, folder]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "generated")))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    cpu, peak = json.loads(done.stdout)
    return cpu, peak


def run_curl(address: str, folder: str) -> Cost:
    """Return what a download with curl cost, its start included."""
    with subprocess.Popen(["curl", "-s", "-o", f"{folder}/f.bmp", f"{address}/f.bmp"]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("curl failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def compared(found: dict[str, list[Cost]], peer: str) -> tuple[Ratio, Ratio]:
    """Return the ratios of CPU and of peaks."""
    ours, theirs = list(zip(*found["lemon_ext"], strict=True)), list(zip(*found[peer], strict=True))
    return ratio(ours[0], theirs[0]), ratio(ours[1], theirs[1])


def shown(costs: list[Cost]) -> str:
    """Show the medians."""
    cpu, peak = (median(values) for values in zip(*costs, strict=True))
    return f"{cpu * 1000:.0f} ms, {peak / MIB:.1f} MiB"


if __name__ == "__main__":
    main()
