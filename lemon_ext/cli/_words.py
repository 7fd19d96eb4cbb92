"""How counts and durations are said, on a drawing and in plain lines alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lemon_ext._duration import roughly, spoken
from lemon_ext._words import count

if TYPE_CHECKING:
    from lemon_ext.batch import Progress
    from lemon_ext.batch.output import Outage


def line(progress: Progress) -> str:
    """Say in one line how far a batch is."""
    parts = [f"{finished(progress):,} of {count(progress.total, 'row')} done", *counts(progress).values()]
    return ", ".join(parts) + pace(progress)


def pace(progress: Progress) -> str:
    """Say how fast a batch is and how long it will take, as far as that is known, after a comma."""
    rate = f", {progress.per_minute:.0f} a minute" if progress.per_minute else ""
    return rate + (f", about {spoken(progress.left_seconds)} left" if progress.left_seconds else "")


def at_work(progress: Progress) -> str:
    """Say that a process works at a batch, and how fast, or that it cannot reach the API."""
    outage = f" {unreachable(progress.outage)}." if progress.outage is not None else ""
    return f"A process is working there{pace(progress)}.{outage}"


def summary(progress: Progress) -> str:
    """Say in one line how a batch stands."""
    parts = [f"{progress.saved:,} of {count(progress.total, 'row')} saved ({count(progress.images, 'image')})"]
    parts += [text for name, text in counts(progress).items() if name != "saved"]
    return ", ".join(parts) + "."


def counts(progress: Progress) -> dict[str, str]:
    """Return the counts that are not zero, in words."""
    return {
        name: f"{number:,} {word}"
        for name, number, word in (
            ("saved", progress.saved, "saved"),
            ("failed", progress.failed, "failed"),
            ("refused", progress.refused, "refused"),
            ("uncertain", progress.uncertain, "uncertain"),
            ("unfetched", progress.unfetched, "not fetched"),
            ("submitting", progress.submitting, "being sent"),
            ("fetching", progress.fetching, "being fetched"),
            ("waiting", progress.waiting - progress.fetching, "waiting"),
            ("unsent", progress.unsent, "not sent"),
        )
        if number
    }


def stopping(progress: Progress) -> str:
    """Say what a batch still does that was told to stop."""
    sent, fetched = progress.submitting, progress.fetching
    parts = [f"{count(sent, 'answer')} {'is' if sent == 1 else 'are'} waited for"] if sent else []
    parts += [f"the pictures of {count(fetched, 'row')} are fetched"] if fetched else []
    return f"Stopping{': ' if parts else ''}{', and '.join(parts)}. Ctrl-C again ends at once."


def finished(progress: Progress) -> int:
    """Return how many rows have ended, one way or the other."""
    return progress.total - progress.open


def unreachable(outage: Outage, passed: float = 0.0) -> str:
    """Say that the API cannot be reached, some seconds after that was known."""
    wait = max(outage.next_try - passed, 0.0)
    due = f"next try in {roughly(wait)}" if round(wait) else "trying now"
    return f"API unreachable for {roughly(outage.seconds + passed)}, {due}"
