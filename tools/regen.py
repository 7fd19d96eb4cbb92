"""Write everything that follows from openapi.yaml, or check that it is what would be written.

    python tools/regen.py            write generated/ and docs/models.md, then say what changed in the API
    python tools/regen.py --check    write nothing; show what differs and exit 1 if anything does

A broken contract is refused with every fault and its place, and leaves generated/ as it was; so does a failure or an
interrupt at any other moment.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from codes import codes_section, error_table
from contract import BrokenContractError, Contract
from derive import defaults, image_params, known_models, model_table, models_page, openapi_json
from impact import report
from lint import load
from live import live_table
from money import money_table, prices_section
from pictures import picture_table
from usage import usage_table
from waiting import task_table, tasks_section

ROOT = Path(__file__).resolve().parent.parent
#: Where contracts are, below the root: the API's own, and the frozen one that the tests stand on.
HERE, FROZEN = Path(), Path("tests", "contract")
TOOLS = ("openapi-python-client", "ruff")
#: Isolated: the settings of a repository around it must not change a byte of the output.
POST_HOOKS = (
    "ruff check . --isolated --no-cache --fix-only --select I,F401,UP --target-version py311",
    "ruff format . --isolated --no-cache --target-version py311 --line-length 120",
)
#: Names that nothing defines, fields that stand twice.
UNDEFINED = "ruff check . --isolated --no-cache --select E9,F63,F7,F82,PIE794 --output-format concise"
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
package = importlib.import_module("lemon_client")
for module in pkgutil.walk_packages(package.__path__, "lemon_client."):
    importlib.import_module(module.name)
"""


class RegenError(Exception):
    """The contract is broken, the tools are not the pinned ones, or the generator failed."""


def outputs(contract: Contract, text: str, pins: dict[str, str]) -> dict[str, bytes]:
    """Return every file that follows from the contract, by its path beside it."""
    with tempfile.TemporaryDirectory(prefix="regen-") as scratch:
        package = Path(scratch) / "lemon_client"
        _generate(text, package, Path(scratch))
        modules = {
            "__init__": lazy((package / "__init__.py").read_text(encoding="utf-8")),
            "model_table": model_table(contract) + defaults(contract) + live_table(contract),
            "image_params": image_params(contract) + known_models(contract),
            "task_table": task_table(contract),
            "error_table": error_table(contract),
            "picture_table": picture_table(contract),
            "money_table": money_table(contract),
            "usage_table": usage_table(contract),
        }
        for name, body in modules.items():
            (package / f"{name}.py").write_text(body, encoding="utf-8")
        for path in package.glob("api/*/*.py"):
            path.write_text(with_unset(path.read_text(encoding="utf-8")), encoding="utf-8")
        for hook in POST_HOOKS:
            _run(hook.split(), package)
        try_out(package)
        files = {
            f"generated/lemon_client/{path.relative_to(package).as_posix()}": path.read_bytes()
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    header = f"# @generated from openapi.yaml by openapi-python-client {pins['openapi-python-client']}."
    header += ' Do not edit: change openapi.yaml and run "make regen".\n'
    files = {name: header.encode() + body if name.endswith(".py") else body for name, body in files.items()}
    files["generated/lemon_client/py.typed"] = b""
    files["generated/lemon_client/openapi.json"] = openapi_json(contract).encode()
    lock = {"openapi.yaml": hashlib.sha256(text.encode()).hexdigest(), **pins}
    files["generated/regen.lock"] = (json.dumps(lock, indent=1) + "\n").encode()
    files["docs/models.md"] = _page(contract).encode()
    return files


def _page(contract: Contract) -> str:
    return models_page(contract) + tasks_section(contract) + codes_section(contract) + prices_section(contract)


def lazy(init: str) -> str:
    """Return the package's ``__init__`` so that it imports the client, and with it httpx, where somebody asks for it.

    The tables beside it are read by programs that never make a request. Raises RegenError if the generator writes
    another ``__init__`` than it did.
    """
    found = re.fullmatch(r'\s*("""[^\n]*""")\s+from \.client import (\w+), (\w+)\s+__all__ = \([^)]*\)\s*', init)
    if found is None:
        raise RegenError("openapi-python-client writes another __init__.py than the step `lazy` of regen knows.")
    first, second = found[2], found[3]
    return f'''{found[1]}

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import {first}, {second}

__all__ = ("{first}", "{second}")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
'''


def with_unset(module: str) -> str:
    """Import ``Unset`` where an endpoint uses it: the generator forgets that for a body in more than one form."""
    if re.search(r"\bUnset\b", module) is None or re.search(r"import .*\bUnset\b", module):
        return module
    return re.sub(r"^(from \.\.\.types import .*)$", r"\1, Unset", module, count=1, flags=re.MULTILINE)


def try_out(package: Path) -> None:
    """Import every module of a new package, and look for names that nothing defines. Raises RegenError."""
    try:
        _run([sys.executable, "-W", "error", "-I", "-B", "-c", IMPORT_ALL, str(package.parent)], package)
        _run(UNDEFINED.split(), package)
    except RegenError as exc:
        raise RegenError(f"What the generator wrote cannot be used. {exc}") from None


def differences(wanted: dict[str, bytes], root: Path, place: Path = HERE) -> list[str]:
    """Say how what is there differs from what would be written, in both directions. Writes nothing."""
    found = []
    for name in sorted(wanted.keys() | _present(root / place)):
        path, shown = root / place / name, (place / name).as_posix()
        if name not in wanted:
            found.append(f"stale    {shown}")
        elif not path.exists():
            found.append(f"missing  {shown}")
        elif path.read_bytes() != wanted[name]:
            found.append(f"differs  {shown}\n{_diff(path.read_bytes(), wanted[name])}")
    return found


def write(wanted: dict[str, bytes], root: Path) -> None:
    """Put a complete new generated/ in the place of the old one, or leave the old one."""
    generated, fresh, old = root / "generated", root / "generated.new", root / "generated.old"
    recover(root)
    try:
        for name, body in wanted.items():
            if name.startswith("generated/"):
                _put(fresh / Path(name).relative_to("generated"), body)
        if generated.exists():
            generated.rename(old)
        fresh.rename(generated)
    finally:
        recover(root)
    for name, body in wanted.items():
        if not name.startswith("generated/"):
            _put(root / name, body)


def _put(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def recover(root: Path) -> None:
    """Undo a swap that stopped half-way, and clear away what it left."""
    generated, fresh, old = root / "generated", root / "generated.new", root / "generated.old"
    if old.exists() and not generated.exists():
        old.rename(generated)
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)


def earlier(root: Path) -> Contract | None:
    """Return the contract of the last commit, or None if there is none that can be read."""
    try:
        shown = subprocess.run(["git", "show", "HEAD:./openapi.yaml"], cwd=root, capture_output=True, check=True)  # noqa: S607
        return load(shown.stdout.decode(), house_rules=False)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError, BrokenContractError):
        return None


def _diff(before: bytes, after: bytes, most: int = 40) -> str:
    lines = list(
        difflib.unified_diff(
            before.decode(errors="replace").splitlines(),
            after.decode(errors="replace").splitlines(),
            "is",
            "would be",
            lineterm="",
            n=1,
        )
    )
    more = [f"... and {len(lines) - most} more lines"] if len(lines) > most else []
    return "\n".join(f"    {line}" for line in lines[:most] + more)


def _present(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in (root / "generated").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def pinned(root: Path) -> dict[str, str]:
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pins = dict(line.split("==") for line in groups["regen"] if "==" in line)
    for tool in TOOLS:
        if version(tool) != pins[tool]:
            found = f"{tool} {version(tool)} is installed and {pins[tool]} is pinned"
            raise RegenError(f"{found}: other versions write other bytes (make clean, then make regen)")
    return {tool: pins[tool] for tool in TOOLS}


def _generate(text: str, package: Path, scratch: Path) -> None:
    source, config = scratch / "openapi.yaml", scratch / "config.json"
    source.write_text(text, encoding="utf-8", newline="\n")
    config.write_text(
        json.dumps({"docstrings_on_attributes": True, "literal_enums": True, "post_hooks": []}), encoding="utf-8"
    )
    command = ["openapi-python-client", "generate", "--path", str(source), "--config", str(config), "--meta", "none"]
    _run([*command, "--fail-on-warning", "--output-path", str(package)], scratch)


def _run(command: list[str], folder: Path) -> None:
    # The tools stand beside this interpreter, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tool = shutil.which(command[0], path=path)
    if tool is None:
        raise RegenError(f"{command[0]} is not installed")
    done = subprocess.run(
        [tool, *command[1:]], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RegenError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def follow(root: Path, place: Path, pins: dict[str, str]) -> tuple[Contract, dict[str, bytes]]:
    """Read the contract of a place. Return it, and every file that follows from it there."""
    # With "\n" alone, so that a checkout with other line ends hashes to the same.
    text = (root / place / "openapi.yaml").read_text(encoding="utf-8")
    try:
        contract = load(text)
    except BrokenContractError as exc:
        folder = "" if place == HERE else f"{place.as_posix()}/"
        faults = "\n".join(f"{folder}{one}" for one in exc.findings)
        raise RegenError(f"{faults}\n\n{len(exc.findings)} fault(s).") from None
    wanted = outputs(contract, text, pins)
    if place == FROZEN:
        del wanted["docs/models.md"]  # a page for people, and nobody uses these models
    return contract, wanted


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    options = parser.parse_args(arguments)
    try:
        pins = pinned(root)
        places = [place for place in (HERE, FROZEN) if place == HERE or (root / place / "openapi.yaml").exists()]
        made = {place: follow(root, place, pins) for place in places}
        found = {place: differences(wanted, root, place) for place, (_, wanted) in made.items()}
        for place in places if not options.check else ():
            if found[place]:
                write(made[place][1], root / place)
    except (RegenError, OSError, UnicodeDecodeError) as exc:
        print(f"{exc}\nNothing was written.", file=sys.stderr)
        return 1
    for place in places:
        name = (place / "openapi.yaml").as_posix()
        if not options.check:
            print(f"{len(made[place][1])} files follow from {name}, {len(found[place])} of them changed.")
        else:
            print("\n".join(found[place]) or f"{(place / 'generated').as_posix()}/ is what {name} makes of it.")
    if not options.check:
        print(report(earlier(root), made[HERE][0], root))
        return 0
    if wrong := any(found.values()):
        print('\nRun "make regen".')
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
