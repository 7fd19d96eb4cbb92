"""After a fork: a client that is used in a child process has connections and locks of its own.

The programs run in processes of their own: this one has threads, and a fork must not take them along.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.sockets import listening, reply, request_line

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

START = """
import multiprocessing, os, signal, sys, tempfile, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of a fork with threads, which is the point
signal.alarm(90)
import anyio
from lemon_ext import AsyncLemon, Lemon
from lemon_ext._flow import Send

address = sys.argv[1]

def ask(http, path):
    answer = http.exchange(Send("GET", f"{address}/{path}"))
    assert answer.text == f"GET /{path} HTTP/1.1", (path, answer.text)

def outcome(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        try:
            work()
        except BaseException as exc:
            print(repr(exc), flush=True)
            os._exit(1)
        os._exit(0)
    return pid

"""


def run(program, serve, *arguments):
    connections = []

    def served(connection, number):
        connections.append(number)
        serve(connection, number)

    with listening(served, threads=32) as address:
        command = [sys.executable, "-c", START + program, address, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, connections


def echo(connection, number):
    while (line := request_line(connection)) is not None:
        reply(connection, line.encode())


def test_two_processes_that_share_a_warm_client_get_their_own_answers():
    """10 of 18 were swapped, silently."""
    program = """
lemon = Lemon("sk-x", base_url=address)
http = lemon._core.http
for number in range(3):
    ask(http, f"warm-{number}")

def work():
    for number in range(40):
        ask(http, f"{os.getpid()}-{number}")

pids = [child(work) for _ in range(2)]
work()
assert [outcome(pid) for pid in pids] == [0, 0]
lemon.close()
"""
    _, connections = run(program, echo)
    assert len(connections) == 3


def test_a_child_that_ends_leaves_its_parent_s_connections_open():
    program = """
lemon = Lemon("sk-x", base_url=address)
ask(lemon._core.http, "parent")
assert outcome(child(lambda: (ask(lemon._core.http, "child"), lemon.close()))) == 0
ask(lemon._core.http, "parent")
"""
    _, connections = run(program, echo)
    assert len(connections) == 2


def test_workers_of_a_pool_that_were_forked_from_a_warm_client_work():
    """multiprocessing with "fork", gunicorn --preload, Celery prefork."""
    program = """
lemon = Lemon("sk-x", base_url=address)
ask(lemon._core.http, "warm")

def work(number):
    ask(lemon._core.http, f"{os.getpid()}-{number}")
    return number

with multiprocessing.get_context("fork").Pool(3) as pool:
    assert pool.map(work, range(30)) == list(range(30))
"""
    run(program, echo)


def test_a_process_that_was_forked_while_a_thread_held_every_lock_does_not_hang():
    program = """
lemon = Lemon("sk-x", base_url=address, ledger=os.path.join(tempfile.mkdtemp(), "calls.sqlite3"))
changed = lemon.with_options(requests_per_minute=7)
held = threading.Event()

def hold():
    lemon._core.ledger._lock.acquire()
    for core in (lemon._core, changed._core):
        core.session.rate_limit._lock.acquire()
        core.session.schedule._lock.acquire()
    for kind in lemon._core.http.connections.values():
        client = kind.take()
        client._transport._pool._optional_thread_lock.acquire()
        kind.put(client)
    held.set()

threading.Thread(target=hold, daemon=True).start()
held.wait()

def work():
    for client in (lemon, changed):
        task = client.images.submit("x", model="midjourney", deadline=5)
        assert task.id == "img_1"
        task.refresh()

assert outcome(child(work)) == 0
"""

    def serve(connection, number):
        while request_line(connection) is not None:
            reply(connection, b'{"task_id": "img_1", "status": "pending"}')

    run(program, serve)


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def test_an_async_client_starts_anew_in_the_loop_of_a_child(backend):
    program = """
lemon = AsyncLemon("sk-x", base_url=address)

async def work(name):
    for number in range(10):
        answer = await lemon._core.http.exchange(Send("GET", f"{address}/{name}-{number}"))
        assert answer.text == f"GET /{name}-{number} HTTP/1.1", answer.text

async def main():
    await work("warm")
    pid = child(lambda: os._exit(0))  # a fork in the middle of a loop
    await work("parent")
    assert outcome(pid) == 0

anyio.run(main, backend=sys.argv[2])
pid = child(lambda: anyio.run(work, "child", backend=sys.argv[2]))
assert outcome(pid) == 0
"""
    run(program, echo, backend)
