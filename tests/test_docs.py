"""The documents: their examples run, against the emulator, and their links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import click
import pytest

import lemon_ext
from lemon_ext.cli._app import COMMANDS, app
from tests.cli import lemon
from tests.conftest import ROOT, run_live
from tests.pages import BLOCK, OPTIONS, PAGES, READ, RUN, blocks, options_table

BLOCKS = [block for page in PAGES for block in blocks(page)]


@pytest.mark.live
@pytest.mark.slow
def test_every_block_runs_as_it_is_pasted():
    *faults, told = map(json.loads, run_live("from tests.pages import main; main()").splitlines())
    assert [fault["block"] + "\n" + fault["fault"] for fault in faults] == []
    assert told == {"ran": sum(block.runs for block in BLOCKS)}
    assert told["ran"] > 30


def test_every_block_says_what_it_is_and_why_it_is_not_run():
    assert [str(block) for block in BLOCKS if block.language not in (*RUN, *READ)] == []
    assert [str(block) for block in BLOCKS if block.why is not None and block.language not in RUN] == []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```") == 2 * sum(block.page == page for block in BLOCKS), page
        assert text.count("<!-- not run") == sum(block.page == page and block.why is not None for block in BLOCKS), page
        assert re.search(r"^\n {4}\S", BLOCK.sub("", text), re.MULTILINE) is None, f"{page}: a block without a fence"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_json(block):
    assert all(json.loads(line) for line in block.text.splitlines())


def commands():
    for block in BLOCKS:
        for line in block.text.splitlines():
            if found := re.search(r"^(?:\$ |lemon: .*|  next: )?(lemon [a-z].*)$", line.strip("\n")):
                yield block, found[1]


def test_every_command_that_is_shown_has_the_options_that_are_shown():
    shown = list(commands())
    assert len(shown) > 40
    for block, line in shown:
        name, *arguments = shlex.split(re.split(r" [|<>&;]", line)[0], comments=True)[1:]
        if name in COMMANDS:
            command = app.get_command(click.Context(app), name)
            command.make_parser(click.Context(command)).parse_args([one for one in arguments if one != "..."])
        else:
            assert name in ("COMMAND", "lemon"), f"{block}: {line}"


def test_the_options_on_the_page_are_those_of_the_commands():
    found = OPTIONS.search((ROOT / "docs" / "command-line.md").read_text(encoding="utf-8"))
    assert found[0] == options_table(), "python -m tests.pages --options writes it"


def test_notes_to_who_writes_a_page_are_not_printed():
    shown = lemon("docs", "servers").stdout
    assert shown.startswith("# In a server\n")
    assert "```sh\nuvicorn app:app" in shown
    assert "<!--" not in shown


def test_every_public_name_is_on_a_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in lemon_ext.__all__ if re.search(rf"\b{name}\b", text) is None] == []


def anchors(page):
    """Return the headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", text):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_the_readme_shows_its_two_commands_and_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
    assert {page.name for page in PAGES if page.parent.name == "docs"} == set(re.findall(r"docs/([\w-]+\.md)\)", text))


def test_the_readme_names_every_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Use\n")[0]
    assert [extra for extra in extras if re.search(rf"\b{extra}\b", told) is None] == []


def test_every_failure_names_tests_that_there_are():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    rows = [line for line in (ROOT / "docs/failures.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    rows = [row for row in rows if row.count("|") == 7 and not row.startswith(("| failure", "| ---"))]
    assert len(rows) > 40
    for row in rows:
        names = re.findall(r"test_\w+", row.split("|")[-2])
        assert names, row
        assert all(f"def {name}(" in pages for name in names), row
