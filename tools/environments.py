"""Environments other than the project's own: each Python here, each pip that people have, and no lock at all.

    python tools/environments.py pythons    print the version and the path of each Python that can run the project
    python tools/environments.py locks      resolve each lock with old and new pips, on each of them
    python tools/environments.py newest     install as the README says, nothing pinned, and run the tests
    python tools/environments.py lowest     the same with the lowest versions that pyproject.toml allows

Everything is made in throw-away folders. The last one needs uv.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("run", "test", "dev", "docs")
OLDEST: Final = (3, 11)
SUPPORTED: Final = (OLDEST, (3, 12), (3, 13))
#: Pips of Debian 12 and of the releases of Python 3.11. They do not start on a later Python.
OLD_PIPS: Final = ("22.3.1", "23.0.1", "23.2.1")
NEWEST: Final = "newest"
#: What the tests read, but for those of the architecture. Left out is what the wheel brings.
BESIDE: Final = (
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "openapi.yaml",
    "pyproject.toml",
    "tests",
    "tools",
)
#: As in `make test`, without those that look at the sources.
TESTS: Final = (
    *("-q", "-n", "auto", "-m", "not regen and not peers and not browser and not kill and not slow and not scale"),
    *("--ignore", "tests/test_architecture.py"),
)
#: Seconds that one command may take.
LIMIT: Final = 900

_ASK: Final = "import ensurepip, sys, venv; print(*sys.version_info[:2], ensurepip.version())"


class Python(NamedTuple):
    """An interpreter of this machine, and the pip that it brings."""

    version: tuple[int, int]
    path: str
    pip: str

    @property
    def name(self) -> str:
        """Its version as people write it."""
        return "{}.{}".format(*self.version)


def pythons() -> list[Python]:
    """Return one Python for each version: this one, or the first on PATH, or one of pyenv's."""
    on_path = filter(None, (shutil.which(f"python3.{minor}") for minor in range(OLDEST[1], 30)))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    found: dict[tuple[int, int], Python] = {}
    for path in [sys.executable, *on_path, *map(str, sorted(pyenv.glob("3.*/bin/python")))]:
        # One that does not start (a shim of a version that is switched off), or has no venv, is none to us.
        told = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, check=False, timeout=LIMIT)
        if told.returncode == 0:
            major, minor, pip = told.stdout.split()
            found.setdefault((int(major), int(minor)), Python((int(major), int(minor)), path, pip))
    return [found[version] for version in sorted(found) if version >= OLDEST]


def show() -> bool:
    """Print the Pythons of this machine, for a shell to read."""
    for python in pythons():
        print(python.name, python.path)
    return True


def locks() -> bool:
    """Resolve each lock with each pip, and tell whether all of them did."""
    here = pythons()
    for version in set(SUPPORTED) - {python.version for python in here}:
        print("Python {}.{} is not on this machine, so nothing was tried on it.".format(*version))
    tries = [
        (python, pip) for python in here for pip in (*(OLD_PIPS if python.version == OLDEST else (python.pip,)), NEWEST)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return all(list(pool.map(resolve, tries)))


def resolve(one: tuple[Python, str]) -> bool:
    """Let one pip resolve each lock in an empty environment, and say how that went."""
    python, pip = one
    with tempfile.TemporaryDirectory() as folder:
        environment = str(Path(folder, "bin", "python"))
        wanted = ["--upgrade", "pip"] if pip == NEWEST else [f"pip=={pip}"]
        steps = [[python.path, "-m", "venv", "--without-pip", folder]]
        steps += [[python.path, "-m", "pip", "--python", environment, "install", "--quiet", *wanted]]
        resolved = [environment, "-m", "pip", "install", "--quiet", "--dry-run", "--require-hashes", "--requirement"]
        steps += [[*resolved, str(ROOT / f"tools/locks/{lock}.txt")] for lock in LOCKS]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=LIMIT)
            if done.returncode != 0:
                print(f"Python {python.name}, pip {pip}: {step[-1]} fails:\n{done.stdout}{done.stderr}", flush=True)
                return False
    print(f"Python {python.name}, pip {pip}: {', '.join(LOCKS)} resolve", flush=True)
    return True


def newest() -> bool:
    """Install as the README says, with nothing that pins, and run the tests."""
    with tempfile.TemporaryDirectory() as folder:
        environment = f"{folder}/.venv/bin/python"
        pip = [environment, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return _succeed(folder, [
            [pythons()[-1].path, "-m", "venv", ".venv"],
            [*pip, "--upgrade", "pip"],
            [*pip, f"{ROOT}[all]"],
            [*pip, "--group", f"{ROOT}/pyproject.toml:test"],
            [environment, "-m", "pip", "list"],
        ]) and _passes(folder, environment)  # fmt: skip


def lowest() -> bool:
    """Install a wheel with the lowest versions that pyproject.toml allows, and run the tests."""
    with tempfile.TemporaryDirectory() as folder:
        environment = f"{folder}/.venv/bin/python"
        uv = ["uv", "pip", "install", "--quiet", "--python", environment]
        project = f"{ROOT}/pyproject.toml"
        return _succeed(folder, [
            ["uv", "venv", "--quiet", "--python", pythons()[0].path, ".venv"],
            [*uv, "--resolution", "lowest-direct", "-r", project, "--extra", "all", "--group", f"{project}:test"],
            [*uv, "--no-deps", "--no-build-isolation", str(ROOT)],
            ["uv", "pip", "list", "--python", environment],
        ]) and _bounds_hold(environment) and _passes(folder, environment)  # fmt: skip


def _succeed(folder: str, steps: Sequence[Sequence[str]]) -> bool:
    for step in steps:
        if subprocess.run(step, cwd=folder, check=False, timeout=LIMIT).returncode != 0:
            print(f"failed: {' '.join(step)}")
            return False
    return True


def _passes(folder: str, environment: str) -> bool:
    """Run the tests on what is installed: the sources are out of reach."""
    for each in BESIDE:
        copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy2
        copy(ROOT / each, Path(folder, each))
    return _succeed(folder, [[environment, "-m", "pytest", *TESTS]])


def _bounds_hold(environment: str) -> bool:
    """Tell whether the versions that were tried are the lowest that pyproject.toml allows."""
    listed = ["uv", "pip", "list", "--python", environment, "--format", "freeze"]
    tried = subprocess.run(listed, capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in (*project["project"]["optional-dependencies"].values(), project["dependency-groups"]["test"]):
        asked += group
    versions = dict(line.split("==") for line in tried.splitlines() if "==" in line)
    holds = True
    for bound in sorted({found[0] for each in asked if (found := re.match(r"[\w-]+>=[\d.]+", each))}):
        name, lowest = bound.split(">=")
        if _plain(versions[name]) != _plain(lowest):
            print(f"pyproject.toml allows {bound}, and {versions[name]} is the lowest that the others allow")
            holds = False
    return holds


def _plain(version: str) -> str:
    return re.sub(r"(\.0)+$", "", version)


COMMANDS: Final[dict[str, Callable[[], bool]]] = {"pythons": show, "locks": locks, "newest": newest, "lowest": lowest}


def main(arguments: Sequence[str]) -> int:
    """Run the command that is named."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        sys.stderr.write(f"usage: environments.py {{{','.join(COMMANDS)}}}\n")
        return 2
    return 0 if COMMANDS[arguments[0]]() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
