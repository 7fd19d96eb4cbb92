"""Write everything that follows from openapi.yaml, or check that it is what would be written.

    python tools/regen.py            write generated/ and docs/models.md, then say what changed in the API
    python tools/regen.py --check    write nothing; show what differs and exit 1 if anything does

A broken contract is refused with every fault and its place, and leaves generated/ as it was.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

from contract import BrokenContractError, Contract, load
from derive import image_params, model_table, models_page, openapi_json
from impact import report

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("openapi-python-client", "ruff")
#: Isolated: the settings of a repository around it must not change a byte of the output.
POST_HOOKS = (
    "ruff check . --isolated --no-cache --fix-only --select I,F401,UP --target-version py311",
    "ruff format . --isolated --no-cache --target-version py311 --line-length 120",
)


class RegenError(Exception):
    """The tools are not the pinned ones, or the generator failed."""


def outputs(contract: Contract, source: bytes, root: Path) -> dict[str, bytes]:
    """Return every file that follows from the contract, by its path below the root."""
    pins = _pins(root)
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "lemon_client"
        _generate(root / "openapi.yaml", package, Path(scratch))
        (package / "model_table.py").write_text(model_table(contract), encoding="utf-8")
        (package / "image_params.py").write_text(image_params(contract), encoding="utf-8")
        for hook in POST_HOOKS:
            _run(hook.split(), package)
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
    lock = {"openapi.yaml": hashlib.sha256(source).hexdigest(), **pins}
    files["generated/regen.lock"] = (json.dumps(lock, indent=1) + "\n").encode()
    files["docs/models.md"] = models_page(contract).encode()
    return files


def differences(wanted: dict[str, bytes], root: Path) -> list[str]:
    """Say how what is there differs from what would be written, in both directions. Writes nothing."""
    found = []
    for name in sorted(wanted.keys() | _present(root)):
        path = root / name
        if name not in wanted:
            found.append(f"stale    {name}")
        elif not path.exists():
            found.append(f"missing  {name}")
        elif path.read_bytes() != wanted[name]:
            before, after = path.read_bytes().decode().splitlines(), wanted[name].decode().splitlines()
            diff = difflib.unified_diff(before, after, "is", "would be", lineterm="", n=1)
            found.append(f"differs  {name}\n" + "\n".join(f"    {line}" for line in list(diff)[:40]))
    return found


def write(wanted: dict[str, bytes], root: Path) -> None:
    """Put a complete new generated/ in the place of the old one."""
    generated, fresh, old = root / "generated", root / "generated.new", root / "generated.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, body in wanted.items():
        path = fresh / Path(name).relative_to("generated") if name.startswith("generated/") else root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    if generated.exists():
        generated.rename(old)
    fresh.rename(generated)
    shutil.rmtree(old, ignore_errors=True)


def earlier(root: Path) -> Contract | None:
    """Return the contract of the last commit, or None if there is none that can be read."""
    try:
        shown = subprocess.run(["git", "show", "HEAD:./openapi.yaml"], cwd=root, capture_output=True, check=True)  # noqa: S607
        return load(shown.stdout.decode())
    except (OSError, subprocess.CalledProcessError, BrokenContractError):
        return None


def _present(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in (root / "generated").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _pins(root: Path) -> dict[str, str]:
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pins = dict(line.split("==") for line in groups["regen"] if "==" in line)
    for tool in TOOLS:
        if version(tool) != pins[tool]:
            raise RegenError(f"{tool} {version(tool)} is installed and {pins[tool]} is pinned: other versions write other bytes")
    return {tool: pins[tool] for tool in TOOLS}


def _generate(source: Path, package: Path, scratch: Path) -> None:
    config = scratch / "config.json"
    config.write_text(json.dumps({"docstrings_on_attributes": True, "post_hooks": []}), encoding="utf-8")
    command = ["openapi-python-client", "generate", "--path", str(source), "--config", str(config), "--meta", "none"]
    _run([*command, "--fail-on-warning", "--output-path", str(package)], scratch)


def _run(command: list[str], folder: Path) -> None:
    # The tools stand beside this interpreter, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tool = shutil.which(command[0], path=path)
    if tool is None:
        raise RegenError(f"{command[0]} is not installed")
    done = subprocess.run([tool, *command[1:]], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise RegenError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if anything would change")
    options = parser.parse_args(arguments)
    source = (root / "openapi.yaml").read_bytes()
    try:
        contract = load(source.decode())
        wanted = outputs(contract, source, root)
    except BrokenContractError as exc:
        print(exc, file=sys.stderr)
        print(f"\n{len(exc.findings)} fault(s); nothing was written.", file=sys.stderr)
        return 1
    except RegenError as exc:
        print(f"{exc}\nNothing was written.", file=sys.stderr)
        return 1
    found = differences(wanted, root)
    if options.check:
        print("\n".join(found) or "generated/ is what openapi.yaml makes of it.")
        if found:
            print('\nRun "make regen".')
        return int(bool(found))
    write(wanted, root)
    print(f"{len(wanted)} files follow from openapi.yaml, {len(found)} of them changed.")
    print(report(earlier(root), contract, root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
