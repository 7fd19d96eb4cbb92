"""The locks hold on any day: what they pin is asked for with no extra that its line lacks.

Before 23.3, pip takes a line without the extra for another package, which is then not pinned: from the day on which
that package has a newer release, nothing can be installed.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lemon_ext

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "tools" / "locks"


def locked(text):
    """Return the requirements of a lock that hold on this machine, by their names."""
    lines = (Requirement(line.rstrip(" \\")) for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))
    return {canonicalize_name(line.name): line for line in lines if line.marker is None or line.marker.evaluate()}


def wanted(requirement, extras):
    """Tell whether a package asks for a requirement, itself being installed with these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**default_environment(), "extra": extra}) for extra in ("", *extras))


def lacking(lock, requirements_of):
    """Say which extras the lines of a lock lack. ``requirements_of``: what packages ask for, by their names."""
    return [
        f"{name} asks for {requirement.name}[{','.join(sorted(missing))}]"
        for name, line in lock.items()
        for requirement in map(Requirement, requirements_of.get(name, ()))
        if wanted(requirement, line.extras)
        if (pinned := lock.get(canonicalize_name(requirement.name))) is not None
        if (missing := requirement.extras - pinned.extras)
    ]


def installed():
    return {canonicalize_name(one.name): one.requires or () for one in distributions()}


PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def ours():
    """Return all that the project itself asks for of others."""
    groups = [PYPROJECT["project"]["dependencies"], *EXTRAS.values(), *PYPROJECT["dependency-groups"].values()]
    return [each for group in groups for each in group if isinstance(each, str) and not each.startswith("lemon-ext")]


@pytest.mark.parametrize(
    ("line", "asks", "said"),
    [
        ("coverage==7.17.3", "coverage[toml]>=7.10.6", ["pytest-cov asks for coverage[toml]"]),
        ("coverage[toml]==7.17.3", "coverage[toml]>=7.10.6", []),
        ("coverage==7.17.3", "coverage>=7.10.6", []),
        ("Coverage[a]==7.17.3", "coverage[toml,a]>=7.10.6", ["pytest-cov asks for coverage[toml]"]),
        ("coverage==7.17.3", "coverage[toml] ; python_version < '3'", []),
        ("coverage==7.17.3", "coverage[toml] ; extra == 'testing'", []),
        ("coverage==7.17.3", "coverage[toml] ; extra == 'all'", ["pytest-cov asks for coverage[toml]"]),
    ],
)
def test_an_extra_that_a_line_lacks_is_found(line, asks, said):
    lock = locked(f"{line} \\\n    --hash=sha256:00\npytest-cov[all]==7.1.0 \\\n    --hash=sha256:00\n")
    assert lacking(lock, {"pytest-cov": [asks]}) == said


@pytest.mark.parametrize("name", ["run", "test", "dev"])
def test_no_line_lacks_an_extra_that_an_installed_package_asks_for(name):
    lock = locked((LOCKS / f"{name}.txt").read_text(encoding="utf-8"))
    lock["lemon-ext"] = Requirement("lemon-ext")
    assert lacking(lock, {**installed(), "lemon-ext": ours()}) == []


@pytest.mark.regen
def test_the_whole_of_the_largest_lock_is_installed_here_and_so_was_examined():
    """The marker is for the environment: only the one for development has everything."""
    assert locked((LOCKS / "dev.txt").read_text(encoding="utf-8")).keys() - installed().keys() == set()


# ---- extras ----


def imports(folder):
    """Return the top-level packages that the modules of a folder import, wherever in them that stands."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8")) for path in Path(lemon_ext.__file__).with_name(folder).glob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"lemon_ext", "lemon_client"}


@pytest.mark.parametrize(("folder", "extra"), [("cli", "cli"), ("emulator", "emulator")])
def test_an_extra_names_all_that_its_modules_import(folder, extra):
    """What another package happens to bring may be older than what is needed, or gone one day."""
    named = {Requirement(each).name for each in [*PYPROJECT["project"]["dependencies"], *EXTRAS[extra]]}
    used = {{"PIL": "pillow"}.get(name, name) for name in imports(folder)}
    assert used - named - {"pytest"} == set()  # the plugin is loaded by pytest alone
    assert used


def test_every_extra_that_brings_the_command_brings_it_whole():
    """With the click alone that uvicorn brings, `lemon` was there and broke at the first wrong call."""
    assert set(EXTRAS["cli"]) - set(EXTRAS["aiohttp"]) <= set(EXTRAS["emulator"])


def marks(tree, names):
    """Return the marks of the module, and of the functions and classes of these names in it."""
    held = [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
            held += node.decorator_list
    return set(re.findall(r"pytest\.mark\.(\w+)", " ".join(map(ast.unparse, held))))


def importorskips(tree, within=()):
    """Yield what a test needs installed, and the names of the classes and functions around that."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        yield from importorskips(node, (*within, node.name) if named else within)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            yield node.args[0].value.partition(".")[0], within


@pytest.mark.slow
def test_what_only_the_development_environment_can_run_is_left_to_it():
    """CI runs there what `make test` leaves out by its mark. What that skips for want of a tool would never run."""
    quick = re.search(r"^QUICK := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    left_out = set(quick.replace("not ", "").split(" and "))
    light, full = (locked((LOCKS / f"{name}.txt").read_text(encoding="utf-8")) for name in ("test", "dev"))
    brought_by = packages_distributions()
    seen = set()
    for path in sorted((ROOT / "tests").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for module, within in importorskips(tree):
            if {canonicalize_name(name) for name in brought_by.get(module, ())} & (full.keys() - light.keys()):
                seen.add(module)
                assert marks(tree, within) & left_out, f"{path.name} needs {module}"
    assert seen >= {"jedi", "moto", "openai", "schemathesis", "yaml"}
