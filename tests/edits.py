"""What the tests of `make regen` share: the frozen contract as text, and edits of it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

WHOLE = (ROOT / "tests" / "contract" / "openapi.yaml").read_text(encoding="utf-8")
MORE = re.compile(r"^ *# >>> more\n.*?^ *# <<<\n", re.DOTALL | re.MULTILINE)
ANCHORS = re.compile(r"^(        (\w+):) &\2$", re.MULTILINE)
#: The contract without the operations that hardly a test edits, and without what only they refer to.
TEXT = re.sub(r"- &\w+\n +name:", "- name:", ANCHORS.sub(r"\1", MORE.sub("", WHOLE)))


def edit(*replacements: tuple[str, str], whole: bool = False) -> str:
    """Return the contract with texts replaced, each of which stands in it once. ``whole``: with all its operations."""
    text = WHOLE if whole else TEXT
    for old, new in replacements:
        if whole:
            for name in set(ANCHORS.findall(WHOLE)):
                old, new = (part.replace(f"{name[0]}\n", f"{name[0]} &{name[1]}\n") for part in (old, new))
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the contract"
        text = text.replace(old, new)
    return text


def findings(tools: SimpleNamespace, text: str) -> list[Any]:
    """Return what is wrong with a contract."""
    with pytest.raises(tools.contract.BrokenContractError) as caught:
        tools.lint.load(text)
    found: list[Any] = caught.value.findings
    return found
