"""What the tests share: both colours of the client behind one face, and a clock that nobody waits for."""

from __future__ import annotations

import importlib
import inspect
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from lemon_ext import AsyncLemon, Lemon
from tests.play import Clock, setups

KEY = "sk-secret-0123456789"
ROOT = Path(__file__).parent.parent
#: The lemon_client of the frozen contract. pyproject.toml puts it first in this process, this line in those it starts.
FROZEN = ROOT / "tests" / "contract" / "generated"
os.environ["PYTHONPATH"] = os.pathsep.join([str(FROZEN), str(ROOT)])
#: Journals are synced to disk at every step, which takes no time where files are held in memory.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def run_live(code: str, cwd: Path = ROOT) -> str:
    """Run a program that sees the real contract. Warnings are errors, but for those of lemon_ext itself."""
    path = os.pathsep.join([str(ROOT / "generated"), str(ROOT)])
    command = [sys.executable, "-W", "error", "-W", "default::UserWarning", "-c", code]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def awaited(value: Any) -> Any:
    """Return what a method of either colour came to."""
    return await value if inspect.isawaitable(value) else value


class Colour:
    """Runs the same test against the blocking or the async client: ``call`` awaits what has to be awaited.

    Sleeps only move the clock. ``requests`` is every request that was made.
    """

    def __init__(self, portal: BlockingPortal | None) -> None:
        self.portal = portal
        self.blocking = portal is None
        self.clock = Clock()
        self.clock.rule()
        self.requests: list[httpx.Request] = []

    def client(self, handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
        def record(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return handler(request)

        transport = httpx.MockTransport(record)
        kind, http = (Lemon, httpx.Client) if self.blocking else (AsyncLemon, httpx.AsyncClient)
        return kind(options.pop("api_key", KEY), http_client=http(transport=transport), **options)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.portal is None:
            return function(*args, **kwargs)

        fault: BaseException | None = None

        async def main() -> Any:
            nonlocal fault
            try:
                outcome = function(*args, **kwargs)
                if inspect.isasyncgen(outcome):
                    return [item async for item in outcome]
                return await outcome
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as exc:  # noqa: BLE001 - an interrupt would end the loop of the portal
                fault = exc

        result = self.portal.call(main)
        if fault is not None:
            raise fault
        return result

    def twin(self, thing: Any, name: str) -> Any:
        """Return ``thing.name`` or its async twin ``thing.aname``."""
        return getattr(thing, name if self.blocking else f"a{name}")


@pytest.fixture(autouse=True)
def _no_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests, and the programs that they start, out of the user's own ledger."""
    monkeypatch.setenv("LEMONDATA_LEDGER", "off")


@pytest.fixture(autouse=True)
def _setups() -> Iterator[None]:
    yield
    setups.close()


@pytest.fixture(scope="session")
def tools() -> Iterator[SimpleNamespace]:
    """The regeneration tool. Not imported at the top: it needs the generator, which the light environment lacks."""
    sys.path.insert(0, str(ROOT / "tools"))
    names = ("codes", "contract", "derive", "drift", "follow", "impact", "lint", "money", "regen", "waiting")
    modules = SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    from tests.edits import TEXT  # it asks this module where the project is

    modules.present = modules.contract.parse(TEXT)
    yield modules
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    if request.param == "blocking":
        yield Colour(None)
    else:
        with start_blocking_portal(request.param) as portal:
            yield Colour(portal)


@pytest.fixture(scope="module")
def pg() -> Iterator[Any]:
    """A PostgreSQL server. Its tests are skipped where there is none."""
    from tests import databases

    with databases.server() as made:
        yield made


@pytest.fixture
def shop(pg: Any) -> str:
    """Return the address of a batch that nobody else has."""
    return pg.address(f"shop{next(pg.numbers)}")


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    # A shell's background job ignores Ctrl-C, and nohup the end of a terminal; so would every program they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LEMONDATA_API_KEY",
        "LEMONDATA_BASE_URL",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def limited() -> Callable[..., Any]:
    """Return a context manager that sets limits of this process: a file's size stands for a full disk."""
    import resource

    @contextmanager
    def setting(**limits: int) -> Iterator[None]:
        before = {name: resource.getrlimit(getattr(resource, name)) for name in limits}
        try:
            for name, limit in limits.items():
                resource.setrlimit(getattr(resource, name), (limit, before[name][1]))
            yield
        finally:
            for name, both in before.items():
                resource.setrlimit(getattr(resource, name), both)

    return setting
