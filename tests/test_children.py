"""The suite itself never hangs: a program that a test starts ends with it, and so does a test that waits for ever."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.children import python

ROOT = Path(__file__).parent.parent
FOR_EVER = "import time; print('ready', flush=True); time.sleep(3600)"


def test_a_program_ends_with_the_block_that_fails():
    def block():
        with python("-c", FOR_EVER) as running:
            started.append(running)
            assert running.stdout.readline() != "ready\n", "as it happens"

    started = []
    with pytest.raises(AssertionError, match="as it happens"):
        block()
    assert started[0].returncode < 0


def test_a_program_that_ends_by_itself_is_waited_for():
    with python("-c", "import sys; print(sys.stdin.read()); sys.exit(3)", stdin=subprocess.PIPE) as running:
        running.stdin.write("spoken")
        running.stdin.close()
    assert running.returncode == 3


def test_nothing_else_starts_a_program_that_runs_beside_the_test():
    """`subprocess.run` ends what it started when it is left; `Popen` does not. test_ray.py has a fixture for that."""
    files = sorted((ROOT / "tests").glob("*.py"))
    found = {path.name for path in files if re.search(r"\bPopen\(", path.read_text(encoding="utf-8"))}
    assert found == {"children.py", "browser.py", "test_ray.py"}


HANGING = """
    import subprocess, sys, threading
    import pytest
    from tests.children import python

    def test_a_program(tmp_path):
        with python("-c", "input()", stdin=subprocess.PIPE) as running:
            running.stdout.read()

    def test_a_thread():
        threading.Event().wait()

    @pytest.fixture
    def fixture():
        yield
        threading.Event().wait()

    def test_a_fixture(fixture):
        pass

    def test_the_next_one():
        pass
"""


STUBBORN = """
    import time

    def test_stubborn():
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""


def suite(tmp_path, text, *options):
    """Run tests with the settings of this project."""
    file = tmp_path / "test_hanging.py"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*command, "--timeout", "0.5", *options, str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_test_that_hangs_is_ended_and_the_others_go_on(tmp_path):
    done = suite(tmp_path, HANGING)
    assert "2 failed, 2 passed, 1 error" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_what_no_exception_ends_is_ended_with_its_process(tmp_path):
    done = suite(tmp_path, STUBBORN, "-o", "faulthandler_timeout=1")
    assert "test_stubborn" in done.stderr
    assert "passed" not in done.stdout
