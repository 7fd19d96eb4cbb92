"""The documents: their examples run, against the emulator, and their links lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT, run_live

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def examples(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "number", "made"),
    [
        ("README.md", 0, "out/a-white-cat.png"),
        ("README.md", 1, "out/a-white-cat.png"),
        ("docs/openai.md", 0, "out/a-white-cat.png"),
        ("docs/batch.md", 0, "out/index.html"),
    ],
)
def test_an_example_runs_as_it_stands(tmp_path, page, number, made):
    around = f"""
import os
from lemon_ext.emulator import KEY, Emulator
from lemon_ext.testing import instant
with Emulator(task_seconds=0) as emulator, instant():
    os.environ |= {{"LEMONDATA_API_KEY": KEY, "LEMONDATA_BASE_URL": emulator.url}}
    exec(compile({examples(page)[number]!r}, "{page}:{number}", "exec"), {{"__name__": "__main__"}})
"""
    assert ".png" in run_live(around, tmp_path)
    assert (tmp_path / made).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target


def test_the_readme_shows_its_two_commands_and_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
    assert {page.name for page in PAGES if page.parent.name == "docs"} == set(re.findall(r"docs/([\w-]+\.md)\)", text))


def test_every_failure_names_tests_that_there_are():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    rows = [line for line in (ROOT / "docs/failures.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    rows = [row for row in rows if row.count("|") == 7 and not row.startswith(("| failure", "| ---"))]
    assert len(rows) > 40
    for row in rows:
        names = re.findall(r"test_\w+", row.split("|")[-2])
        assert names, row
        assert all(f"def {name}(" in pages for name in names), row
