"""The progress display on a terminal. Only this module draws with rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment, Segments
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lemon_ext._duration import roughly

from ._streams import plain
from ._words import unreachable

if TYPE_CHECKING:
    from lemon_ext.batch import Progress

    from ._job import Job

#: Columns below which only the essential ones are drawn.
NARROW: Final = 72
#: Columns left empty at the right.
MARGIN: Final = 3
#: Colours only where a person has to act.
_COLOURS: Final = {"saved": "green", "failed": "red", "unfetched": "red", "refused": "red", "uncertain": "yellow"}
#: Spinners turn by the clock, so one object serves all frames.
_SPINNERS: Final[dict[str, Spinner]] = {}


def live(render: Callable[[Console], RenderableType], failed: Callable[[Exception], object]) -> Live:
    """Return what keeps drawing at the bottom of stderr. If that fails, ``failed`` is called, and nothing is drawn."""
    console = Console(stderr=True, highlight=False)
    broken = False

    def draw() -> RenderableType:
        nonlocal broken
        try:
            # Rendered here: an error in rich's own thread would be printed into the drawing, again and again.
            return _rendered(render(console), console) if not broken else Text()
        except Exception as exc:  # noqa: BLE001 - paid requests are under way, whatever a terminal makes of it
            broken = True
            failed(exc)
            return Text()

    return Live(
        console=console,
        get_renderable=draw,
        refresh_per_second=8,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _rendered(drawing: RenderableType, console: Console) -> RenderableType:
    lines = console.render_lines(drawing, pad=False)
    return Segments([segment for line in lines for segment in (*line, Segment.line())][:-1])


def jobs_under_way(jobs: Sequence[Job], console: Console) -> RenderableType:
    """Return a line for each job that is under way, and one for those that do not fit."""
    active = [job for job in jobs if job.phase in ("sending", "waiting", "saving")]
    room = max(console.height - 3, 1)
    wide = console.width >= NARROW
    grid = _grid(console)
    grid.add_column(width=1)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis", min_width=8)
    for _ in range(2 if wide else 1):
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=28)
    grid.add_column(justify="right", no_wrap=True, min_width=5)
    if wide:
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=24, style="dim")
    for job in active[:room]:
        state = Text(plain(_state(job)), style="cyan")
        middle = [Text(plain(job.model or ""), style="dim"), state] if wide else [state]
        tail = [Text(plain(job.id or ""))] if wide else []
        grid.add_row(_spinner(console), Text(plain(job.label)), *middle, Text(f"{job.seconds:.0f} s"), *tail)
    more = len(jobs) - sum(job.phase == "ended" for job in jobs) - len(active[:room])
    return Group(grid, Text(f"  and {more} more", style="dim")) if more else grid


def _grid(console: Console) -> Table:
    # The terminal echoes ^C where the cursor is. On a full line that would wrap, and the drawing would be off by one.
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.width = max(console.width - MARGIN, 1)
    return grid


def _state(job: Job) -> str:
    if job.phase != "waiting" or job.task is None:
        return job.phase
    progress = "" if job.task.progress is None else f" {job.task.progress:.0f} %"
    return f"{job.task.status or 'waiting'}{progress}"


def _spinner(console: Console) -> Spinner:
    name = "dots" if console.encoding.startswith("utf") else "line"
    return _SPINNERS.setdefault(name, Spinner(name, style="cyan"))


def batch_under_way(progress: Progress | None, console: Console, age: float = 0.0) -> RenderableType:
    """Return a bar, and below it the counts. ``age``: the seconds since the progress was reported."""
    if progress is None:
        return Text("checking the rows", style="dim")
    done = progress.total - progress.open
    grid = _grid(console)
    grid.add_column(width=1)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True, style="dim")
    bar = ProgressBar(total=max(progress.total, 1), completed=done, complete_style="cyan", finished_style="green")
    left = "" if progress.left_seconds is None else f"{roughly(progress.left_seconds)} left"
    if progress.stopped:
        left = "stopping"
    grid.add_row(_spinner(console), bar, f"{done:,}/{progress.total:,}", left)
    words = [Text(text, style=_COLOURS.get(name, "")) for name, text in progress.counts().items()]
    if progress.per_minute:
        together = f" by {len(progress.workers)} workers" if len(progress.workers) > 1 else ""
        words.append(Text(f"{progress.per_minute:.0f}/min{together}", style="dim"))
    below = _grid(console)
    if progress.outage is not None:
        below.add_row(
            Text(f"   {unreachable(progress.outage, age)}", style="yellow", overflow="ellipsis", no_wrap=True)
        )
    for line in _filled(words, console.width - MARGIN):
        below.add_row(line)
    return Group(grid, below)


def _filled(words: Sequence[Text], width: int) -> list[Text]:
    """Put texts beside each other, in as many lines as that takes: a number that is cut off is another number."""
    lines: list[Text] = []
    for word in words:
        if not lines or lines[-1].cell_len + 3 + word.cell_len > width:
            lines.append(Text("", overflow="ellipsis", no_wrap=True))
        lines[-1].append("   ").append_text(word)
    return lines
