"""The fixture `lemon_emulator`. pytest loads this module in every run, so it imports nothing of weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import Emulator


@pytest.fixture
def lemon_emulator() -> Iterator[Emulator]:
    """A fresh local API for one test: ``.transport`` in this process, ``.url`` over a socket. Tasks take no time."""
    from . import Emulator

    with Emulator(task_seconds=0.0) as emulator:
        yield emulator
