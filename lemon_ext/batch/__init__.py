"""Many prompts: nothing lost, nothing paid twice, and as fast as the rate limit allows.

`run_batch` and `arun_batch` take plain dicts and give plain dicts; everything that happens is recorded in the batch's
folder (`journal`), so the same call again goes on where an earlier one ended, however it ended. This module opens and
closes a batch; the work in between is the engine's.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import queue
import re
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from anyio.to_thread import run_sync
from attrs import evolve, field, frozen

from lemon_ext import _flow
from lemon_ext._files import remove_stale_parts
from lemon_ext._operations import Session
from lemon_ext.capabilities import Violation, describe
from lemon_ext.client import AsyncLemon, Lemon, Validation, check_waiting, prepare
from lemon_ext.errors import APIResponse, CapabilityError, JournalError, warn
from lemon_ext.retry import Deadline

from . import journal as record
from .engine import Engine, Progress, names_of
from .journal import FILE, Entry, Journal
from .rows import RowsError

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ("Plan", "Progress", "arun_batch", "batch_status", "export_results", "plan_batch", "run_batch")

T = TypeVar("T")

RESULTS: Final = "results.jsonl"
#: Requests at once through a blocking client, each in a thread of its own.
THREADS: Final = 32
#: Outcomes that wait for their reader before the work does.
UNREAD: Final = 1000

Requests = Iterable[Mapping[str, Any]]
OnProgress = Callable[[Progress], object]


@frozen
class Plan:
    """What a batch would send: ``rows`` requests, ``images`` asked for in all, and the rows of each model."""

    rows: int
    images: int
    models: Mapping[str, int]


def plan_batch(
    requests: Requests, *, defaults: Mapping[str, Any] | None = None, validation: Validation = "strict"
) -> Plan:
    """Check every row and count what would be sent. Nothing is sent, written or billed.

    Raises CapabilityError naming every row that is wrong.
    """
    rows = images = 0
    models: dict[str, int] = {}
    for _, body, asked in _checked(requests, defaults, validation):
        rows, images = rows + 1, images + asked
        models[body["model"]] = models.get(body["model"], 0) + 1
    return Plan(rows, images, models)


def run_batch(
    requests: Requests | None,
    folder: str | os.PathLike[str],
    *,
    client: Lemon | AsyncLemon | None = None,
    defaults: Mapping[str, Any] | None = None,
    deadline: float = 600.0,
    poll_interval: float | None = None,
    concurrency: int = 64,
    max_images: int | None = None,
    resend_uncertain: bool = False,
    gallery: bool = True,
    on_progress: OnProgress | None = None,
) -> Iterator[dict[str, Any]]:
    """Generate the images of many requests into a folder. **Each row is billed once**, however often this is called.

    ``requests`` are dicts with ``prompt`` and any parameters of `Images.generate` (``defaults`` fill in what a row
    leaves out); None goes on with what the folder holds. All rows are checked before the first is sent. The rows
    are worked off while the iterator is read, and each outcome is a dict as it stands in ``results.jsonl``
    (docs/batch.md): row, status (``saved``, ``failed``, ``uncertain``, ``waiting``, ``refused``), paths, task_id, error
    and more. Rows that ended in an earlier run are not repeated, uncertain ones are reported again.

    The folder gets the pictures, ``results.jsonl``, the journal, and, with ``gallery``, ``index.html``. ``client``: a
    client to use (None makes one from the environment). A `Lemon` is left open; an `AsyncLemon` is closed, because its
    connections end with the event loop of this call. A task that runs longer than ``deadline`` seconds stays
    ``waiting`` for another run. ``poll_interval`` fixes the seconds between looks at a task; without it the schedule
    decides (docs/polling.md). ``concurrency`` bounds the submissions that are on their way at once; ``max_images`` ends
    the sending before more images than that have been asked for in this folder. Rows whose answer was lost are sent
    again only with ``resend_uncertain``: they may be billed twice. ``on_progress`` is called with a `Progress` at every
    step, in another thread.

    Leaving the loop early, or Ctrl-C, stops the sending, waits for what is on its way and keeps the rest for another
    run. Rows of a file come from `lemon_ext.rows.read_rows`. Raises CapabilityError for bad rows (nothing was sent),
    JournalError if the folder cannot be used, is used by another process or holds another batch, and MissingKeyError.
    """
    _check_limits(deadline, poll_interval, concurrency, max_images)
    door = _door(AsyncLemon() if client is None else client)
    with _opened(requests, folder, door, defaults, resend_uncertain, gallery) as journal:

        async def emit(entry: Entry) -> None:
            background.outcomes.put(_outcome(entry))

        background = _Background(
            lambda: Engine(
                journal,
                door,
                deadline=deadline,
                poll_interval=poll_interval,
                concurrency=concurrency,
                max_images=max_images,
                emit=emit,
                on_progress=on_progress,
            ),
            None if isinstance(client, Lemon) else door.aclose,  # its connections end with the event loop
        )
        try:
            yield from background.read()
        except BaseException:
            background.stop("interrupted")
            raise
        finally:
            background.wait()


async def arun_batch(
    requests: Requests | None,
    folder: str | os.PathLike[str],
    *,
    client: Lemon | AsyncLemon | None = None,
    defaults: Mapping[str, Any] | None = None,
    deadline: float = 600.0,
    poll_interval: float | None = None,
    concurrency: int = 64,
    max_images: int | None = None,
    resend_uncertain: bool = False,
    gallery: bool = True,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Async twin of `run_batch`. ``on_progress`` is called in the event loop.

    Read it within ``async with contextlib.aclosing(arun_batch(...)) as outcomes`` if you may leave the loop early.
    """
    _check_limits(deadline, poll_interval, concurrency, max_images)
    door = _door(AsyncLemon() if client is None else client)
    send, receive = anyio.create_memory_object_stream[dict[str, Any]](UNREAD)

    async def emit(entry: Entry) -> None:
        with suppress(anyio.BrokenResourceError):  # nobody reads any more; the journal knows
            await send.send(_outcome(entry))

    async def work() -> None:
        async with send:
            try:
                await engine.run()
            except Exception as exc:  # noqa: BLE001 - raised below: a task group would wrap it
                crashes.append(exc)

    crashes: list[Exception] = []
    try:
        opened = _opened(requests, folder, door, defaults, resend_uncertain, gallery)
        journal = await run_sync(opened.__enter__)
        try:
            engine = Engine(
                journal,
                door,
                deadline=deadline,
                poll_interval=poll_interval,
                concurrency=concurrency,
                max_images=max_images,
                emit=emit,
                on_progress=on_progress,
            )
            async with anyio.create_task_group() as group, receive:
                group.start_soon(work)
                try:
                    async for outcome in receive:
                        yield outcome
                except GeneratorExit:  # the group waits for what is on its way
                    engine.stop("the outcomes are not read any more")
            if crashes:
                raise crashes[0]
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(opened.__exit__, None, None, None)
    finally:
        if client is None:
            with anyio.CancelScope(shield=True):
                await door.aclose()


def batch_status(folder: str | os.PathLike[str]) -> Progress:
    """Return how far the batch in a folder is, also while another process works on it. Raises JournalError."""
    with Journal.read(Path(folder)) as journal:
        counts, images = journal.counts(), journal.saved_images()
    return Progress.of(counts, images=images)


def export_results(folder: str | os.PathLike[str]) -> Path:
    """Write ``results.jsonl`` from the journal, one row per input row and in its order. Returns its path."""
    with Journal.read(Path(folder)) as journal:
        return _export(journal)


@contextmanager
def _opened(
    requests: Requests | None,
    folder: str | os.PathLike[str],
    door: _AsyncDoor | _ThreadDoor,
    defaults: Mapping[str, Any] | None,
    resend_uncertain: bool,
    gallery: bool,
) -> Iterator[Journal]:
    """Open a batch's folder with its rows in it, and leave it with its results."""
    folder = Path(folder)
    with _spooled(requests, defaults, door.validation) as rows:
        if rows is not None:
            _refuse_orphans(folder)
        with Journal.open(folder, create=rows is not None) as journal:
            if rows is not None:
                journal.take_in(rows)
            elif not journal.count():
                raise JournalError(
                    f"The input of {folder} was not read to its end. Give it again: the same `lemon batch`, or "
                    "run_batch with the rows.",
                    path=journal.path,
                )
            remove_stale_parts(folder)
            _recognize(journal)
            _note_address(journal, door.session.base_url)
            journal.release(uncertain=resend_uncertain)
            try:
                yield journal
            finally:
                _show(journal, gallery)


@contextmanager
def _spooled(
    requests: Requests | None, defaults: Mapping[str, Any] | None, validation: Validation
) -> Iterator[Iterator[tuple[int | None, Mapping[str, Any], int]] | None]:
    """Check all rows before anything is made of them; a file holds them meanwhile, however many they are."""
    if requests is None:
        yield None
        return
    if isinstance(requests, str | bytes | os.PathLike | Mapping):
        raise TypeError(
            f"requests are rows, each a dict, and not {type(requests).__name__}. For a file: "
            "run_batch(lemon_ext.rows.read_rows(path), folder)."
        )
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        for row in _checked(requests, defaults, validation):
            spool.write(record.dumps(row) + "\n")
        spool.seek(0)
        yield (tuple(json.loads(line)) for line in spool)


def _refuse_orphans(folder: Path) -> None:
    """Refuse to begin where pictures lie whose record is gone: they would be paid for again, and replaced."""
    if (folder / FILE).exists() or not folder.is_dir():
        return
    found = next((path for path in folder.iterdir() if path.name == RESULTS or re.match(r"\d{5,}-", path.name)), None)
    if found is not None:
        raise JournalError(
            f"{folder} holds {found.name}, and not the record it belongs to ({FILE}). Another run would pay for its "
            "pictures again and replace them. Choose another folder, or move them away.",
            path=folder / FILE,
        )


def _note_address(journal: Journal, base_url: str) -> None:
    before = journal.meta("base_url")
    if before is None:
        journal.commit([record.fact("base_url", base_url)])
    elif before != base_url:
        warn(f"This batch began at {before} and goes on at {base_url}, which may not know its tasks.")


def _recognize(journal: Journal) -> None:
    """Take rows for saved whose pictures are all there: the process ended before it could write that down."""
    for entry in list(journal.entries("uncertain")):
        found = [list(journal.folder.glob(f"{escape(name)}.*")) for name in names_of(entry, entry.images)]
        since = (entry.submitted_at or math.inf) - 1.0
        if all(len(paths) == 1 and paths[0].stat().st_mtime >= since for paths in found):
            journal.commit([record.saved(entry.row, [paths[0].name for paths in found], time.time())])


def _show(journal: Journal, gallery: bool) -> None:
    """Write what people and programs look at. The journal holds it all, so a failure is no more than a warning."""
    from .gallery import write_gallery

    try:
        _export(journal)
        if gallery:
            write_gallery(journal.folder)
    except OSError as exc:
        warn(f"The results could not be written: {exc}.")


def _export(journal: Journal) -> Path:
    path = journal.folder / RESULTS
    part = path.with_name(f".{RESULTS}.new")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for entry in journal.entries():
            file.write(record.dumps(_outcome(entry)) + "\n")
    part.replace(path)
    return path


def _outcome(entry: Entry) -> dict[str, Any]:
    """Return a row as it stands in the results."""
    data = (entry.answer or {}).get("data") or []
    revised = [image.get("revised_prompt") for image in data if isinstance(image, dict)][: len(entry.paths)]
    began, ended = entry.submitted_at, entry.finished_at
    return {
        "row": entry.row,
        "status": _status(entry),
        "model": entry.request.get("model"),
        "prompt": entry.request.get("prompt"),
        "request": entry.request,
        "paths": entry.paths,
        "task_id": entry.task_id,
        "revised_prompt": next((text for text in revised if text), None),
        "revised_prompts": revised,
        "error": entry.error,
        "note": entry.note,
        "submitted_at": entry.submitted_at,
        "finished_at": entry.finished_at,
        "seconds": None if began is None or ended is None else round(max(ended - began, 0.0), 3),
    }


def _status(entry: Entry) -> str:
    if entry.status == "completed" and entry.error is not None:
        return "failed"
    return entry.status if entry.status in ("saved", "failed", "uncertain", "refused") else "waiting"


def _checked(
    requests: Requests, defaults: Mapping[str, Any] | None, validation: Validation
) -> Iterator[tuple[int | None, Mapping[str, Any], int]]:
    """Yield (line, what is sent, images) of each row. Raises CapabilityError at the end, naming all that is wrong."""
    wrong: list[Violation] = []
    row = 0
    try:
        for row, request in enumerate(requests, 1):
            line = getattr(request, "line", None)
            try:
                body, images = _prepared(request, defaults, validation)
            except CapabilityError as exc:
                wrong += [evolve(one, parameter=f"{_where(row, line)}: {one.parameter}") for one in exc.violations]
            except (TypeError, ValueError) as exc:
                wrong.append(Violation(_where(row, line), str(exc)))
            else:
                yield line, body, images
    except RowsError as exc:
        if not exc.faults:
            raise
        wrong += [Violation(f"line {fault.line}", fault.message) for fault in exc.faults]
    if wrong:
        raise CapabilityError(describe(wrong), violations=wrong)
    if not row:
        raise CapabilityError("There are no rows. Nothing was sent.")


def _prepared(
    request: Mapping[str, Any], defaults: Mapping[str, Any] | None, validation: Validation
) -> tuple[Mapping[str, Any], int]:
    if not isinstance(request, Mapping):
        raise TypeError(f"a row is a dict of parameters, not {type(request).__name__}")
    fields = {"model": "dall-e-3", **(defaults or {}), **{k: v for k, v in request.items() if v is not None}}
    prompt, model, extra = fields.pop("prompt", None), fields.pop("model"), fields.pop("extra_body", None)
    prepared = prepare(prompt, model, fields, extra, validation)
    return prepared.body, prepared.n


def _where(row: int, line: int | None) -> str:
    return f"row {row}" if line is None else f"row {row} (line {line})"


@frozen
class _AsyncDoor:
    """An async client, as the engine uses it."""

    runner: Any

    @property
    def session(self) -> Session:
        return self.runner.session  # type: ignore[no-any-return]  # a core of `client`

    @property
    def validation(self) -> Validation:
        return self.runner.validation  # type: ignore[no-any-return]  # as above

    @property
    def sleep(self) -> Callable[[float], Awaitable[object]]:
        return self.runner.sleep  # type: ignore[no-any-return]  # as above

    async def aclose(self) -> None:
        await self.runner.wire.aclose()

    async def arun(self, flow: _flow.Flow[T]) -> T:
        return await self.runner.arun(flow)  # type: ignore[no-any-return]  # as above


@frozen
class _ThreadDoor(_AsyncDoor):
    """A blocking client, as the engine uses it: each request in a thread, and no thread for one that waits."""

    _threads: anyio.CapacityLimiter = field(factory=lambda: anyio.CapacityLimiter(THREADS))

    @property
    def sleep(self) -> Callable[[float], Awaitable[object]]:
        return anyio.sleep

    async def arun(self, flow: _flow.Flow[T]) -> T:
        return await _flow.arun(flow, self._exchange, anyio.sleep)

    async def _exchange(self, effect: _flow.Send) -> APIResponse:
        return await run_sync(self.runner.wire.exchange, effect, limiter=self._threads)


def _door(client: Lemon | AsyncLemon) -> _AsyncDoor:
    return _ThreadDoor(client._core) if isinstance(client, Lemon) else _AsyncDoor(client._core)


def _check_limits(deadline: float, poll_interval: float | None, concurrency: int, max_images: int | None) -> None:
    if Deadline.after(deadline, lambda: 0.0).at <= 0:
        raise ValueError("a batch needs a deadline above zero: no request could be sent.")
    check_waiting(poll_interval)
    for name, value, least in (("concurrency", concurrency, 1), ("max_images", max_images, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be a whole number, {least} or more, not {value!r}.")


class _Background:
    """Runs an engine in a thread with an event loop of its own, so that Ctrl-C reaches the thread that reads."""

    def __init__(self, make_engine: Callable[[], Engine], aclose: Callable[[], Awaitable[None]] | None) -> None:
        self.outcomes: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._make_engine, self._aclose = make_engine, aclose
        self._engine: Engine | None = None
        self._portal: BlockingPortal | None = None
        self._scope: anyio.CancelScope | None = None
        self._stopped: str | None = None
        self._crash: BaseException | None = None
        self._lock = threading.Lock()
        # As a daemon it cannot keep a program alive that was interrupted again and again.
        self._thread = threading.Thread(target=self._run, name="lemon-batch", daemon=True)

    def read(self) -> Iterator[dict[str, Any]]:
        """Start the work and yield its outcomes."""
        atexit.register(self._at_exit)
        self._thread.start()
        while True:
            try:
                outcome = self.outcomes.get(timeout=0.5)  # without a timeout, Windows would not hear Ctrl-C
            except queue.Empty:
                continue
            if outcome is None:
                return
            yield outcome

    def stop(self, reason: str) -> None:
        """End the work gently."""
        with self._lock:
            self._stopped = reason
            if self._portal is not None and self._engine is not None:
                self._portal.start_task_soon(self._engine.stop, reason)

    def wait(self) -> None:
        """Wait for the work to end, and raise what it raised. Ctrl-C cuts off what is on its way: it is uncertain."""
        try:
            self._join()
        except KeyboardInterrupt:
            with self._lock:
                if self._portal is not None and self._scope is not None:
                    self._portal.start_task_soon(self._scope.cancel)
            self._join()
            raise
        if self._crash is not None:
            raise self._crash

    def _join(self) -> None:
        # When the interpreter is going down, the thread stands still and would never end.
        while self._thread.is_alive() and not sys.is_finalizing():
            self._thread.join(timeout=0.5)
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        """End gently when the program ends with the outcomes half read."""
        self.stop("the program ended")
        self._join()

    def _run(self) -> None:
        try:
            anyio.run(self._work)
        except BaseException as exc:  # noqa: BLE001 - raised again by `wait`
            self._crash = exc
        finally:
            self.outcomes.put(None)

    async def _work(self) -> None:
        from anyio.from_thread import BlockingPortal  # brings threads and futures with it: only to run

        try:
            async with BlockingPortal() as portal:
                engine = self._make_engine()
                with anyio.CancelScope() as scope:
                    with self._lock:
                        self._portal, self._engine, self._scope = portal, engine, scope
                        if self._stopped is not None:
                            engine.stop(self._stopped)
                    try:
                        await engine.run()
                    except Exception as exc:  # noqa: BLE001 - raised by `wait`: the portal would wrap it in a group
                        self._crash = exc
                with self._lock:
                    self._portal = None
        finally:
            if self._aclose is not None:
                await self._aclose()
