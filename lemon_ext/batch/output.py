"""What a batch shows of itself: outcomes of rows, progress, and the files that people and programs read.

The journal holds it all; whatever is written here can be written again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import asdict, field, frozen

from lemon_ext._duration import roughly
from lemon_ext._files import write_whole
from lemon_ext._words import count
from lemon_ext.errors import JournalError

from .journal import OUTAGE, UNKNOWN, Entry, Journal, Statement, dumps, state
from .last_run import LastRun
from .outage import Outage

__all__ = ("Outage", "Progress")

RESULTS: Final = "results.jsonl"
PAGE: Final = "index.html"
#: What tells our page from one that somebody else put there, and how much of a page is read for that.
GALLERY: Final = b'<meta name="generator" content="lemon-ext gallery">'
HEAD: Final = 64 * 1024
#: For how many seconds an outage is believed that was noted: every failed try notes it anew.
HEARD: Final = 120.0
#: The states in which a row stays until somebody says otherwise.
ENDS: Final = ("saved", "failed", "refused", "uncertain")


@frozen
class Worker:
    """One of several that work at a batch: the name of its machine, the seconds since it was heard of, which are few
    (after a minute without a sign it counts as dead), and its outage, where the API cannot be reached from there.
    """

    host: str
    silent: float = 0.0
    outage: Outage | None = None


@frozen
class Progress:
    """How far a batch is, in rows. ``images`` are saved ones; ``per_minute`` rows have ended a minute in this run, and
    ``left_seconds`` is what is left at that rate, None until that can be told. ``elapsed`` is the seconds since this
    run began; the rate leaves out times in which the API could not be reached, and ``outage`` is the present one.
    ``stopped`` says why nothing more is sent, and ``limited`` that it is a limit of yours, which another run would meet
    at once. Of `batch_status` alone are ``working``, whether a process is working there, ``billed``, how many of the
    uncertain rows are billed, as `reconcile` has found, and ``unknown``, how many of the waiting and unfetched rows
    have tasks that the API does not know: only ``drop_unknown`` ends these. There ``limited`` says that the limits of
    the last run, which are ``last_run``, keep the next row from being sent. ``rejected``: the API refused the key.
    ``fetching`` are those of the waiting rows whose pictures are being fetched. ``workers`` are those who work at it
    where the journal is in a database: then rate and time left are of all together, and so is ``outage`` of
    `batch_status`.
    """

    total: int
    unsent: int = 0
    submitting: int = 0
    waiting: int = 0
    unfetched: int = 0
    saved: int = 0
    failed: int = 0
    refused: int = 0
    uncertain: int = 0
    images: int = 0
    elapsed: float = 0.0
    per_minute: float = 0.0
    left_seconds: float | None = None
    stopped: str | None = None
    limited: bool = False
    working: bool = False
    outage: Outage | None = None
    billed: int = 0
    unknown: int = 0
    fetching: int = 0
    rejected: bool = False
    last_run: LastRun = field(factory=LastRun)
    workers: tuple[Worker, ...] = ()

    @classmethod
    def of(
        cls,
        counts: Mapping[str, int],
        images: int,
        *,
        ended: int = 0,
        elapsed: float = 0.0,
        idle: float = 0.0,
        stopped: str | None = None,
        limited: bool = False,
        rejected: bool = False,
        outage: Outage | None = None,
        workers: tuple[Worker, ...] = (),
    ) -> Progress:
        """Make one of a journal's counts, and of how many rows have ended in this run. ``idle``: seconds of outages."""
        known: dict[str, Any] = {name: counts.get(name, 0) for name in ("unsent", "submitting", "unfetched", *ENDS)}
        known["fetching"] = counts.get("completed", 0)
        known["waiting"] = counts.get("waiting", 0) + known["fetching"]
        if ended and outage is None and (worked := elapsed - idle) > 0:
            left = known["unsent"] + known["submitting"] + known["waiting"]
            known |= {"per_minute": 60.0 * ended / worked, "left_seconds": left * worked / ended}
        known |= {"elapsed": elapsed, "stopped": stopped, "limited": limited, "rejected": rejected, "outage": outage}
        return cls(sum(counts.values()), images=images, workers=workers, **known)

    @property
    def open(self) -> int:
        """The rows that another run goes on with."""
        return self.unsent + self.submitting + self.waiting + self.unfetched

    def __str__(self) -> str:
        """Say in one line how far the batch is."""
        done = f"{self.total - self.open:,} of {count(self.total, 'row')} done"
        return ", ".join([done, *self.counts().values()]) + self.pace()

    def counts(self) -> dict[str, str]:
        """Return the counts that are not zero, in words."""
        return {
            name: f"{number:,} {word}"
            for name, number, word in (
                ("saved", self.saved, "saved"),
                ("failed", self.failed, "failed"),
                ("refused", self.refused, "refused"),
                ("uncertain", self.uncertain, "uncertain"),
                ("unfetched", self.unfetched, "not fetched"),
                ("submitting", self.submitting, "being sent"),
                ("fetching", self.fetching, "being fetched"),
                ("waiting", self.waiting - self.fetching, "waiting"),
                ("unsent", self.unsent, "not sent"),
            )
            if number
        }

    def pace(self) -> str:
        """Say how fast the batch is and how long it will take, as far as that is known, after a comma."""
        together = f" by {len(self.workers)} workers" if len(self.workers) > 1 else ""
        rate = f", {self.per_minute:.0f} a minute{together}" if self.per_minute else ""
        return rate + (f", about {roughly(self.left_seconds)} left" if self.left_seconds else "")


def outcome(entry: Entry) -> dict[str, Any]:
    """Return a row as it stands in the results."""
    pairs = zip(entry.paths or (), entry.answered, strict=False)
    revised = [image.get("revised_prompt") for path, image in pairs if path is not None]
    began, ended = entry.submitted_at, entry.finished_at
    return {
        "row": entry.row,
        "id": entry.id,
        "status": _status(entry),
        "model": entry.request.get("model"),
        "prompt": entry.request.get("prompt"),
        "request": entry.request,
        "extra": entry.extra or {},
        "paths": [path for path in entry.paths or () if path is not None],
        "task_id": entry.task_id,
        "revised_prompt": next((text for text in revised if text), None),
        "revised_prompts": revised,
        "error": described(damage(entry)) if entry.damage else entry.error,
        "note": entry.note,
        "request_id": entry.request_id,
        "billing_id": entry.billing_id,
        "cost": entry.cost,
        "submitted_at": began,
        "finished_at": ended,
        "seconds": None if began is None or ended is None else round(max(ended - began, 0.0), 3),
    }


def _status(entry: Entry) -> str:
    known = state(entry.status, entry.error, entry.finished_at)
    return known if known in (*ENDS, "unfetched") else "waiting"


def is_unknown(told: Mapping[str, Any]) -> bool:
    """Tell of a row's `outcome` whether the API does not know its task, so that only ``drop_unknown`` ends it."""
    return told["status"] in ("waiting", "unfetched") and (told["error"] or {}).get("type") in UNKNOWN


#: Whoever looks up a lost answer of a batch has to name its folder.
_OF_A_BATCH: Final = (
    "`lemon reconcile` (in Python: reconcile())",
    "`lemon reconcile DIR` (in Python: reconcile(folder))",
)


def described(error: Exception) -> dict[str, Any]:
    """Return an error as it stands in the journal and in the results."""
    told = str(error).removesuffix(" The answer is in .body.").replace(*_OF_A_BATCH)
    return {
        "type": type(error).__name__,
        "message": " ".join([told, *getattr(error, "__notes__", ())]),
        "code": getattr(error, "code", None),
        "status_code": getattr(error, "status_code", None),
    }


def damage(*entries: Entry, path: Path | None = None) -> JournalError:
    """Return the error for cells of a journal that cannot be read."""
    cells = "; ".join(f"row {entry.row}, column {column}" for entry in entries for column in entry.damage)
    return JournalError(
        f"The journal is damaged and cannot be read there: {cells}. Nothing is sent or fetched for such a row until it "
        "is mended; the other rows go on.",
        path=path,
    )


def noted(journal: Journal, outage: Outage | None, now: float) -> Statement:
    """Return the change of a journal that tells of an outage, or that there is none."""
    return journal.note_outage("" if outage is None else dumps({"at": now, **asdict(outage)}))


def outage_of(journal: Journal, now: float) -> Outage | None:
    """Return the outage that a process at work has noted."""
    return _outage(journal.meta(OUTAGE) or "", now)


def workers_of(journal: Journal) -> tuple[Worker, ...]:
    """Return who works at a batch, where several can."""
    return tuple(Worker(one.host, one.silent, _outage(one.outage, passed=one.passed)) for one in journal.signs())


def outage_of_all(workers: tuple[Worker, ...]) -> Outage | None:
    """Return since when none of the workers can reach the API. None: one of them can."""
    found = [one.outage for one in workers if one.outage is not None]
    return min(found, key=lambda one: one.seconds) if len(found) == len(workers) else None


def _outage(noted: str, now: float = 0.0, passed: float | None = None) -> Outage | None:
    """Read an outage that was noted. One of which nothing is heard any more is none."""
    try:
        known = json.loads(noted or "null") or {}
        at = known.pop("at", -math.inf)
        since = now - at if passed is None else passed  # else by the clock of the database
        found = Outage(**known) if 0 <= since < HEARD else None
    except (ValueError, TypeError, AttributeError):
        return None
    if found is None:
        return None
    return Outage(found.seconds + since, max(found.next_try - since, 0.0), found.left - since, found.reason)


def export(journal: Journal) -> Path:
    """Write ``results.jsonl``, whole or not at all: one line per row of the input, in its order."""
    path = journal.folder / RESULTS

    def lines() -> Iterator[str]:
        for entry in journal.entries():
            yield dumps(outcome(entry)) + "\n"

    write_whole(path, lines())
    return path
