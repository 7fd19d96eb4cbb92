"""How a batch is watched: a bar on a terminal, a line now and then elsewhere, and what to do at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ._errors import DONE, INTERRUPTED, PARTLY, Failure, explain
from ._screen import screen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from lemon_ext.batch import Progress

#: Seconds between two plain lines.
QUIET: Final = 5.0
#: How many rows that went wrong are told one by one; all of them stand in the results.
TOLD: Final = 20


class Watch:
    """Shows a batch while it runs. Entered around the reading of its outcomes; `conclude` gives the exit code."""

    def __init__(self, folder: Path, resume: str) -> None:
        self.folder = folder
        self.resume = resume
        self.progress: Progress | None = None
        self._failure: Failure | None = None
        self._said = time.monotonic()
        self._wrong = 0
        self._stop_told = False
        self._drawing = ExitStack()

    def __enter__(self) -> Self:
        self._drawing.enter_context(screen.drawing(self._draw))
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """End the drawing. What ended the batch early is told by `conclude`, if the batch had begun."""
        self._drawing.close()
        if error is None or self.progress is None:
            return False
        self._failure = explain(error)
        return self._failure is not None

    def update(self, progress: Progress) -> None:
        """Take in how far it is. Called from another thread, at every step."""
        self.progress = progress
        if progress.stopped and not self._stop_told:
            self._stop_told = True
            if progress.stopped == "interrupted":
                screen.warn("Stopping. What is on its way is waited for; Ctrl-C again ends at once.")
            else:
                screen.warn(f"Nothing more is sent: {progress.stopped.rstrip('.')}.")
        now = time.monotonic()
        if not screen.interactive and now - self._said >= QUIET:
            self._said = now
            screen.note(line(progress))

    def ended(self, outcome: Mapping[str, Any]) -> None:
        """Take in how a row ended."""
        if screen.as_json:
            screen.json(outcome)
        if outcome["status"] in ("saved", "waiting"):
            return
        self._wrong += 1
        if self._wrong <= TOLD:
            error = outcome["error"] or {}
            screen.error(
                f"Row {outcome['row']} {_WORDS[outcome['status']]}: {error.get('message') or 'no reason given'}"
            )
        elif self._wrong == TOLD + 1:
            screen.note(f"More rows went wrong; all of them stand in {self.folder / 'results.jsonl'}.")

    def conclude(self) -> int:
        """Say how it ended and what to do next. Returns the exit code."""
        from lemon_ext.batch import batch_status

        progress = batch_status(self.folder)
        if not screen.as_json:
            for page in ("results.jsonl", "index.html"):
                if (self.folder / page).exists():
                    screen.out(str(self.folder / page))
        if self._failure is not None and self._failure.exit_code != INTERRUPTED:
            screen.fail(Failure(self._failure.message, PARTLY, self.resume, self._failure.error))
            return PARTLY
        if progress.saved == progress.total:
            screen.done(summary(progress))
            return DONE
        code = PARTLY if self._failure is None else INTERRUPTED
        lead = "" if self._failure is None else "Interrupted. "
        following = self.resume if progress.open else None
        screen.error(f"{lead}{summary(progress)}", following)
        if progress.uncertain:
            screen.note(
                f"{progress.uncertain:,} may be billed, and the answers were lost. Look at your account; to send "
                f"them again: {self.resume} --resend-uncertain"
            )
        return code

    def _draw(self, console: Console) -> RenderableType:
        from ._draw import batch_under_way

        return batch_under_way(self.progress, console)


_WORDS: Final = {"failed": "failed", "refused": "was refused", "uncertain": "is uncertain"}


def line(progress: Progress) -> str:
    """Say in one line how far a batch is."""
    parts = [f"{finished(progress):,} of {progress.total:,} rows done", *counts(progress).values()]
    if progress.per_minute:
        parts.append(f"{progress.per_minute:.0f} a minute")
    if progress.left_seconds is not None and progress.open:
        parts.append(f"about {duration(progress.left_seconds)} left")
    return ", ".join(parts)


def summary(progress: Progress) -> str:
    """Say in one line how a batch stands."""
    images = f"{progress.images:,} image{'' if progress.images == 1 else 's'}"
    parts = [f"{progress.saved:,} of {progress.total:,} rows saved ({images})"]
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
            ("submitting", "being sent"),
            ("waiting", "waiting"),
            ("unsent", "not sent"),
        )
        if getattr(progress, name)
    }


def finished(progress: Progress) -> int:
    """Return how many rows have ended, one way or the other."""
    return progress.total - progress.open


def duration(seconds: float) -> str:
    """Say a duration as a person would."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
