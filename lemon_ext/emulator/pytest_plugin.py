"""The fixture `lemon_emulator`. pytest loads this module in every run, so it imports nothing of weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import Emulator


@pytest.fixture
def lemon_emulator() -> Iterator[Emulator]:
    """A fresh local API for one test: ``.transport`` in this process, ``.url`` over a socket.

    Neither tasks nor polling take time: see `lemon_ext.testing.instant`, whose clock both sides share.
    """
    from lemon_ext import _clock
    from lemon_ext.testing import instant

    from . import Emulator

    with instant(), Emulator(task_seconds=0.0, clock=_clock.monotonic, wall=_clock.wall) as emulator:
        yield emulator
