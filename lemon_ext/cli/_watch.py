"""The progress of a batch: a bar on a terminal, a line every few seconds elsewhere, and a summary at the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from lemon_ext._duration import roughly
from lemon_ext._words import count
from lemon_ext.errors import SaveError

from ._errors import DONE, ENDED, PARTLY, REJECTED, UNCERTAIN, Failure, command, explain, for_shell, one_line
from ._options import placed
from ._screen import QUIET, screen
from ._words import at_work, stopping, summary, unreachable

if TYPE_CHECKING:
    from decimal import Decimal

    from rich.console import Console, RenderableType

    from lemon_ext.batch import Progress
    from lemon_ext.batch.output import Outage

#: What a batch writes beside its pictures, in the order in which it is printed.
PAGES: Final = ("results.jsonl", "results.csv", "results.parquet", "metadata.jsonl", "index.html")
#: An outage is told again when it has lasted so many times longer.
LONGER: Final = 1.5
#: How many kinds of failures are reported. The results list every row.
TOLD: Final = 20
#: Rows that are named where many ended alike.
NAMED: Final = 5


class Watch:
    """Shows a batch while it runs. Entered around the reading of its outcomes; `conclude` gives the exit code.

    ``resume`` returns the command to go on with, with the options that it is given.
    """

    def __init__(self, folder: Path | str, resume: Callable[..., str], journal: str | None = None) -> None:
        from lemon_ext.batch.destination import Destination

        self.folder, self.place = folder, Destination.of(folder)
        self.journal = journal
        self.resume = resume
        self.progress: Progress | None = None
        self._failure: Failure | None = None
        self._unpublished: SaveError | None = None
        self._began = time.time()
        self._told: set[int] = set()
        self._said = time.monotonic()
        #: The rows that went wrong, by what became of them and why.
        self._wrong: dict[tuple[str, str], list[str]] = {}
        self._stop_told = False
        self._updated = time.monotonic()
        #: The outage as it was known last, and the seconds of it when it was told.
        self._outage: Outage | None = None
        self._outage_told = 0.0
        self._drawing = ExitStack()

    def __enter__(self) -> Self:
        self._drawing.enter_context(screen.drawing(self._draw))
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """End the drawing. If the batch had begun, `conclude` reports what ended it early."""
        self._drawing.close()
        if error is None or self.progress is None:
            return False
        self.failed(error)
        return self._failure is not None

    def failed(self, error: BaseException) -> None:
        """Take note of what ended the batch early, or kept its results from a store: `conclude` reports it."""
        self._failure = explain(error)
        self._unpublished = next((one for one in (error, error.__cause__) if isinstance(one, SaveError)), None)

    def update(self, progress: Progress) -> None:
        """Show new progress. Called from another thread, at every step."""
        passed = time.monotonic() - self._updated
        if self.progress is None:
            say_where(self.folder)
        self.progress, self._updated = progress, self._updated + passed
        self._tell_outage(progress, passed)
        if progress.stopped and not self._stop_told:
            self._stop_told = True
            if progress.stopped == "interrupted":
                screen.warn(stopping(progress))
            else:
                screen.warn(f"Nothing more is sent: {one_line(progress.stopped).rstrip('.')}.")
        now = time.monotonic()
        if not screen.interactive and now - self._said >= QUIET:
            self._said = now
            screen.note(str(progress))

    def _tell_outage(self, progress: Progress, passed: float) -> None:
        """Say that the API cannot be reached: at first, now and then, and when it is over. ``passed``: the seconds
        since the last progress.
        """
        told, outage = self._outage, progress.outage
        if progress.stopped:
            return
        if outage is None:
            if told is not None:
                screen.note(f"API reachable again after {roughly(told.seconds + passed)}.")
            self._outage = None
        elif told is None:
            limit = f" for up to {roughly(outage.seconds + outage.left)}" if outage.left < math.inf else ""
            screen.warn(
                f"API unreachable: {one_line(outage.reason).rstrip('.')}. It is tried again{limit}. Ctrl-C ends the "
                "batch, and nothing is lost."
            )
            self._outage, self._outage_told = outage, max(outage.seconds, QUIET)
        else:
            again = not screen.interactive and outage.seconds >= self._outage_told * LONGER
            if again:
                screen.note(f"{unreachable(outage)}.")
            self._outage = outage
            self._outage_told = outage.seconds if again else self._outage_told

    def ended(self, outcome: Mapping[str, Any]) -> None:
        """Report how a row ended."""
        self._told.add(outcome["row"])
        if screen.as_json:
            screen.json(outcome)
        error = outcome["error"] or {}
        # A running task needs no report. One that the API does not know does.
        if outcome["status"] == "saved" or (outcome["status"] == "waiting" and error.get("type") in _PATIENCE):
            return
        message = error.get("message")
        reason = one_line(for_shell(message)) if message else "no reason given"
        status = "unsent" if _is_unsent(outcome) else outcome["status"]
        name = f"{outcome['row']}" + ("" if outcome["id"] is None else f" ({outcome['id']})")
        alike = self._wrong.setdefault((status, reason.replace(outcome["task_id"] or "", "")), [])
        alike.append(name)
        if len(alike) == 1 and len(self._wrong) <= TOLD:
            reason = reason.replace("lemon reconcile DIR", command("reconcile", *placed(str(self.place), self.journal)))
            screen.error(f"Row {name} {_WORDS[status][0]}: {reason}")
        elif len(alike) == 1 and len(self._wrong) == TOLD + 1:
            screen.note(f"Others went wrong in other ways. {self.place.where('results.jsonl')} lists all of them.")

    def _tell_those_alike(self) -> None:
        """Say how many rows ended as one that was reported."""
        for (status, _), (first, *others) in list(self._wrong.items())[:TOLD]:
            if others:
                more = len(others) - NAMED
                named = f"{', '.join(others[:NAMED])}{f' and {more:,} more' if more > 0 else ''}"
                screen.error(f"{len(others):,} more {_WORDS[status][len(others) > 1]} like row {first}: {named}")

    def conclude(self) -> int:
        """Print the summary and the next command. Returns the exit code."""
        from lemon_ext.batch import batch_needs, batch_status

        if self._failure is not None:
            self._tell_the_rest()
        progress = batch_status(self.folder, journal=self.journal)
        failure = self._failure
        self._tell_those_alike()
        self._list_pages()
        interrupted = failure is not None and isinstance(failure.error, KeyboardInterrupt)
        if failure is not None and not interrupted:
            if self._unpublished is not None:
                screen.note(summary(progress))
            screen.fail(Failure(failure.message, PARTLY, self.resume(), failure.error))
            return PARTLY
        if progress.saved == progress.total and self._unpublished is None:
            screen.done(summary(progress))
            return DONE
        lead = "Interrupted. " if interrupted else ""
        limited = self.progress is not None and self.progress.limited
        goes_on = (
            progress.open - progress.unknown - (progress.unsent if limited else 0) or self._unpublished is not None
        )
        screen.error(f"{lead}{summary(progress)}", self.resume() if goes_on else None)
        if limited and progress.unsent:
            tell_limit(progress, batch_needs(self.folder, journal=self.journal), self.resume)
        needs = partial(batch_needs, self.folder, journal=self.journal)
        advise(progress, placed(str(self.place), self.journal), self.resume, needs)
        if failure is not None and (goes_on or progress.open or progress.uncertain):
            return failure.exit_code
        if goes_on and self.progress is not None and self.progress.rejected:
            screen.note("The key was refused: another run needs another key.")
            return REJECTED
        return PARTLY if goes_on else UNCERTAIN if progress.uncertain else ENDED

    def _list_pages(self) -> None:
        """Print where the results are, or say that they could not be put into the store."""
        from lemon_ext.batch.gallery import is_ours

        if self._unpublished is not None:
            if self._unpublished is not getattr(self._failure, "error", None):  # that one is reported
                screen.warn(str(self._unpublished))
        elif not screen.as_json:
            for page in PAGES:
                if is_ours(self.place.folder / page):
                    screen.path(self.place.where(page))

    def _tell_the_rest(self) -> None:
        """Report the rows that ended while the batch was stopping: their outcomes were not read any more."""
        try:
            with (self.place.folder / "results.jsonl").open(encoding="utf-8") as results:
                outcomes = [json.loads(result) for result in results]
        except (OSError, ValueError):  # it could not be written; that has been told
            return
        for outcome in outcomes:
            if outcome["row"] not in self._told and (outcome["finished_at"] or 0.0) >= self._began:
                self.ended(outcome)

    def _draw(self, console: Console) -> RenderableType:
        from ._draw import batch_under_way

        return batch_under_way(self.progress, console, time.monotonic() - self._updated)


def say_where(folder: Path | str, journal: str | None = None) -> None:
    """Say where the journal is of a batch whose pictures are in a store, if it is in no database."""
    from lemon_ext.batch.address import is_address, known_address
    from lemon_ext.batch.destination import Destination

    if is_address(folder) or (place := Destination.of(folder)).store is None:
        return
    if known_address(place.folder, journal) is None:
        screen.note(f"The journal stays on this machine, in {place.folder}")


def tell_limit(progress: Progress, needs: tuple[int, Decimal], resume: Callable[..., str]) -> None:
    """Say with which limit the rest would be sent."""
    command = resume(max_images=needs[0], budget=str(needs[1]))
    screen.note(f"{progress.unsent:,} not sent, because of the limit. To send them, raise it: {command}")


def _is_unsent(outcome: Mapping[str, Any]) -> bool:
    return outcome["status"] == "waiting" and outcome["task_id"] is None


def advise(
    progress: Progress,
    place: tuple[list[str], list[str]],
    resume: Callable[..., str],
    needs: Callable[..., tuple[int, Decimal]],
) -> None:
    """Say who works at the batch. If nobody does, how rows that have ended can be sent again, and what that may cost.
    ``place`` is how a command finds the batch, ``needs`` the limits with which rows could be sent ``again``.
    """

    def once_more(status: str) -> str:
        images, budget = needs(again=status)
        return resume(f"--resend-{status}", max_images=images, budget=str(budget))

    if progress.working:
        screen.note(at_work(progress))
        return
    if progress.unknown:
        screen.note(
            f"The API does not know the tasks of {count(progress.unknown, 'paid row')}. It may with another key, or at "
            f"another address: {resume()}"
        )
        screen.note(f"To give them up: {resume('--drop-unknown')}")
    if progress.uncertain:
        screen.note(
            f"{progress.uncertain:,} may be billed, because the answers were lost. Look at your account. With a "
            f"management token, `{command('reconcile', *place)}` does that. To send them again: "
            f"{once_more('uncertain')}"
        )
    if progress.refused:
        screen.note(
            f"{progress.refused:,} refused, and not billed. If the rows were not to blame, send them again: "
            f"{once_more('refused')}"
        )
    if progress.failed:
        screen.note(
            f"{progress.failed:,} failed. A failed task may have been billed. To send them again all the same: "
            f"{once_more('failed')}"
        )


_PATIENCE: Final = (None, "TaskTimeoutError")
#: What is said of one row, and of several.
_WORDS: Final = {
    "failed": ("failed", "failed"), "unfetched": ("was not fetched", "were not fetched"),
    "refused": ("was refused", "were refused"), "uncertain": ("is uncertain", "are uncertain"),
    "waiting": ("is still waiting", "are still waiting"), "unsent": ("was not sent", "were not sent"),
}  # fmt: skip
