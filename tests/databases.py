"""A PostgreSQL server of the tests: in a folder of its own, on a socket of its own, without a port."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.children import child

psycopg = pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed", exc_type=ImportError)


def _program(name: str) -> str | None:
    """Return a program of PostgreSQL's. Debian keeps those of the server out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return shutil.which(name) or (str(found[-1]) if found else None)


class Server:
    """A PostgreSQL server that can be stopped, killed and started again. `address` is where a batch has its journal."""

    def __init__(self, folder: Path, fsync: str = "off") -> None:
        self.folder, self.fsync, self.numbers = folder, fsync, count(1)
        self.data, self.sockets = folder / "data", folder / "s"
        # The server refuses to run for root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.sockets.mkdir()
        if self._as:
            shutil.chown(folder, "postgres")
            shutil.chown(self.sockets, "postgres")
        self._run("initdb", "-D", str(self.data), "-U", "lemon", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, _program(name), *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        settings = f"-k {self.sockets} -c listen_addresses= -c fsync={self.fsync} -c max_connections=40"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-o", settings, "-w", "-t", "60", "-l", log, "start")

    def stop(self, how: str = "fast") -> None:
        """``immediate`` is as if the machine had lost its power."""
        self._run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def address(self, batch: str | None = None, **more: str) -> str:
        batch = {} if batch is None else {"batch": batch}
        query = {"host": str(self.sockets), **more, **batch}
        return "postgresql://lemon@/postgres?" + "&".join(f"{name}={quote(one)}" for name, one in query.items())

    @contextmanager
    def clock(self) -> Iterator[Callable[[float], None]]:
        """Put a clock that is set by hand in the place of the one of shared rate limits."""
        with psycopg.connect(self.address(), autocommit=True) as database:
            database.execute(
                "CREATE TABLE lemon.now AS SELECT now() AS at; CREATE OR REPLACE FUNCTION lemon.clock() "
                "RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS 'SELECT at FROM lemon.now'"
            )
            yield lambda now: database.execute("UPDATE lemon.now SET at = to_timestamp(%s)", (1e9 + now,)) and None

    def ask(self, sql: str, batch: str = "batch") -> list[tuple]:
        """Run a statement in the schema of a batch."""
        writing = self.address(options="-c default_transaction_read_only=off")
        with psycopg.connect(writing, autocommit=True) as database:
            database.execute(f"SET search_path TO lemon_{batch}, lemon")
            found = database.execute(sql)
            return found.fetchall() if found.description else []


@contextmanager
def server(fsync: str = "off") -> Iterator[Server]:
    """Start one, and end it. A test that needs it is skipped where it is not installed."""
    if _program("initdb") is None:
        pytest.skip("PostgreSQL is not installed")
    # The path of a socket is short. Where files are held in memory, a server is made in no time.
    folder = Path(tempfile.mkdtemp(prefix="lemon-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    made = None
    try:
        made = Server(folder, fsync)
        yield made
    finally:
        if made is not None and (made.data / "postmaster.pid").exists():
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pooler(behind: Server, mode: str) -> Iterator[Callable[[str], str]]:
    """Put PgBouncer before a server. Gives what makes the address of a batch. Skips the test where it is missing."""
    if (program := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.skip("PgBouncer is not installed")
    folder = Path(tempfile.mkdtemp(prefix="lemon-pool-"))
    settings = folder / "settings"
    settings.write_text(
        f"[databases]\npostgres = host={behind.sockets} user=lemon\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
        f"unix_socket_dir = {folder}\nauth_type = any\npool_mode = {mode}\nlogfile = {folder / 'log'}\n"
    )
    if behind._as:
        shutil.chown(folder, "postgres")
    try:
        with child(*behind._as, program, "-q", str(settings), stderr=subprocess.DEVNULL) as process:
            while not (folder / ".s.PGSQL.6432").exists():
                assert process.poll() is None, (folder / "log").read_text()
            yield lambda batch: f"postgresql://lemon@/postgres?host={folder}&port=6432&batch={batch}"
            process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
