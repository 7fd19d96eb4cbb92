"""What is said of a batch, on a drawing and in plain lines alike, and of times."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from lemon_ext._duration import roughly
from lemon_ext._words import count

if TYPE_CHECKING:
    from lemon_ext.batch import Progress
    from lemon_ext.batch.output import Outage


def moment(at: float) -> str:
    """Say when something was, on the clock of this machine. ``at`` is in Unix seconds."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def at_work(progress: Progress) -> str:
    """Say that a process works at a batch, and how fast, or that it cannot reach the API."""
    outage = f" {unreachable(progress.outage)}." if progress.outage is not None else ""
    return f"A process is working there{progress.pace()}.{outage}"


def summary(progress: Progress) -> str:
    """Say in one line how a batch stands."""
    parts = [f"{progress.saved:,} of {count(progress.total, 'row')} saved ({count(progress.images, 'image')})"]
    parts += [text for name, text in progress.counts().items() if name != "saved"]
    return ", ".join(parts) + "."


def stopping(progress: Progress) -> str:
    """Say what a batch still does that was told to stop."""
    sent, fetched = progress.submitting, progress.fetching
    parts = [f"{count(sent, 'answer')} {'is' if sent == 1 else 'are'} waited for"] if sent else []
    parts += [f"the pictures of {count(fetched, 'row')} are fetched"] if fetched else []
    return f"Stopping{': ' if parts else ''}{', and '.join(parts)}. Ctrl-C again ends at once."


def unreachable(outage: Outage, passed: float = 0.0) -> str:
    """Say that the API cannot be reached, some seconds after that was known."""
    wait = max(outage.next_try - passed, 0.0)
    due = f"next try in {roughly(wait)}" if round(wait) else "trying now"
    return f"API unreachable for {roughly(outage.seconds + passed)}, {due}"
