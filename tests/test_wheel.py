"""What is installed stands by itself: the wheel holds what its own help points to, and pretends no address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lemon_ext.cli._app import COMMANDS
from tests.cli import lemon

ROOT = Path(__file__).parent.parent
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A folder that holds what a wheel of this checkout does, and nothing else."""
    if not (ROOT / "lemon_ext").is_dir():
        pytest.skip("the sources are out of reach: this is a run on a wheel")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def installed(wheel, *arguments):
    """Run the command of the wheel, far away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    code = "import lemon_ext, sys; print(lemon_ext.__file__, file=sys.stderr); from lemon_ext.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, cwd=wheel, env=environment, capture_output=True, text=True, check=False)
    assert Path(done.stderr.splitlines()[0]).is_relative_to(wheel)
    return done


def test_the_manual_comes_with_the_wheel(wheel):
    assert {path.stem: path.read_text(encoding="utf-8") for path in (wheel / "lemon_ext/docs").iterdir()} == PAGES
    listed = installed(wheel, "docs")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(PAGES)
    assert installed(wheel, "docs", "batch").stdout == PAGES["batch"]


def test_an_installed_command_works_far_from_the_checkout(wheel, tmp_path):
    done = installed(wheel, "generate", "a white cat", "--emulator", "-o", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'a-white-cat.png'}\n")


def test_no_address_is_pretended(wheel):
    metadata = next(wheel.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert not re.findall(r"(?im)^(?:Project-URL|Home-page|Download-URL):.*", metadata)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_points_to_what_is_there(name):
    """To pages that come with the package, and to no file of a checkout."""
    shown = " ".join(lemon(name, "--help").output.split())
    assert set(re.findall(r"lemon docs ([a-z][\w-]*)", shown)) <= PAGES.keys()
    assert not re.search(r"\bdocs/|README", shown)


# ---- lemon docs ----


@pytest.mark.parametrize("asked", ["errors", "errors.md", "docs/errors.md", "errors.md#exit-codes"])
def test_a_page_is_found_as_it_is_linked(asked):
    result = lemon("docs", asked)
    assert (result.exit_code, result.stdout) == (0, PAGES["errors"])


@pytest.mark.parametrize(
    ("asked", "hint"), [("eror", "Did you mean 'errors'?"), ("xyz", f"There are: {', '.join(sorted(PAGES))}.")]
)
def test_a_page_that_there_is_not_is_refused(asked, hint):
    result = lemon("docs", asked)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"lemon: There is no page {asked!r}. {hint}\n  next: lemon docs --help\n"
