"""What is said of a batch, on a drawing and in plain lines alike, and of times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lemon_ext._duration import roughly
from lemon_ext._words import count

from ._errors import one_line

if TYPE_CHECKING:
    from lemon_ext.batch import Progress
    from lemon_ext.batch.output import Outage, Worker

#: How many machines are named.
HOSTS: Final = 5
#: Seconds after which it is told that a worker was not heard of: it may be dead.
SILENT: Final = 15.0


def moment(at: float) -> str:
    """Say when something was, on the clock of this machine. ``at`` is in Unix seconds."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def at_work(progress: Progress) -> str:
    """Say who works at a batch, and how fast, and who cannot reach the API, or was not heard of for long."""
    workers = progress.workers
    outage = f" {unreachable(progress.outage)}." if progress.outage is not None else ""
    if not workers:
        return f"A process is working there{progress.pace()}.{outage}"
    hosts = Counter(worker.host for worker in workers)
    named = [host if number == 1 else f"{host} ({number})" for host, number in hosts.most_common(HOSTS)]
    more = f" and {len(hosts) - HOSTS:,} more machines" if len(hosts) > HOSTS else ""
    said = f"Working there: {', '.join(named)}{more}{progress.pace()}.{outage}"
    cut_off = [worker for worker in workers if worker.outage is not None]
    if cut_off and cut_off[0].outage is not None and progress.outage is None:
        reason = one_line(cut_off[0].outage.reason).rstrip(".")
        said += f" {_some(cut_off, workers)} cannot reach the API: {reason}."
    if silent := [worker for worker in workers if worker.silent > SILENT]:
        were, are = ("was", "is") if len(silent) == 1 else ("were", "are")
        since = roughly(min(one.silent for one in silent))
        said += f" {_some(silent, workers)} {were} not heard of for {since}, and {are} taken for dead after a minute."
    return said


def _some(which: Sequence[Worker], workers: Sequence[Worker]) -> str:
    hosts = {worker.host for worker in which}
    return f"{len(which):,} of {len(workers):,}{f' ({hosts.pop()})' if len(hosts) == 1 else ''}"


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
