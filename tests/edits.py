"""What the tests of `make regen` share: the frozen contract as text, and edits of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "tests" / "contract" / "openapi.yaml").read_text(encoding="utf-8")


def edit(*replacements: tuple[str, str]) -> str:
    """Return the contract with texts replaced, each of which stands in it once."""
    text = TEXT
    for old, new in replacements:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the contract"
        text = text.replace(old, new)
    return text


def findings(tools: SimpleNamespace, text: str) -> list[Any]:
    """Return what is wrong with a contract."""
    with pytest.raises(tools.contract.BrokenContractError) as caught:
        tools.lint.load(text)
    found: list[Any] = caught.value.findings
    return found
