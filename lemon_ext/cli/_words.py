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


def summary(progress: Progress) -> str:
    """Say in one line how a batch stands."""
    parts = [f"{progress.saved:,} of {count(progress.total, 'row')} saved ({count(progress.images, 'image')})"]
    parts += [text for name, text in counts(progress).items() if name != "saved"]
    return ", ".join(parts) + "."


def counts(progress: Progress) -> dict[str, str]:
    """Return the counts that are not zero, in words."""
    return {
        name: f"{getattr(progress, name):,} {word}"
        for name, word in (
            ("saved", "saved"),
            ("failed", "failed"),
            ("refused", "refused"),
            ("uncertain", "uncertain"),
            ("unfetched", "not fetched"),
            ("submitting", "being sent"),
            ("waiting", "waiting"),
            ("unsent", "not sent"),
        )
        if getattr(progress, name)
    }


def finished(progress: Progress) -> int:
    """Return how many rows have ended, one way or the other."""
    return progress.total - progress.open


def unreachable(outage: Outage, passed: float = 0.0) -> str:
    """Say that the API cannot be reached, some seconds after that was known."""
    wait = max(outage.next_try - passed, 0.0)
    due = f"next try in {roughly(wait)}" if round(wait) else "trying now"
    return f"API unreachable for {roughly(outage.seconds + passed)}, {due}"
