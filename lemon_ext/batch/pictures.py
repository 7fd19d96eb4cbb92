"""The pictures of a row on their way to its folder: what they are called, which are there, and what stopped others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from glob import escape
from pathlib import Path
from typing import Any, TypeAlias

from anyio import CapacityLimiter
from attrs import define, field
from lemon_client.task_table import FIELDS

from lemon_ext import _clock
from lemon_ext._api import Answer
from lemon_ext._aside import run_aside
from lemon_ext._base64 import as_text, without_pictures
from lemon_ext._download import MAY_LAG, image_gone
from lemon_ext._files import put_aside, write_whole
from lemon_ext._response import APIResponse, value_of
from lemon_ext.capabilities import asked
from lemon_ext.errors import DownloadError, ImageGoneError, LemonError
from lemon_ext.results import Image, noted
from lemon_ext.tasks import Task, remarks

from .columns import stem
from .journal import Entry, Journal, change, dumps

#: Keeps a picture of a row elsewhere, before the row counts as saved. Raises OSError or LemonError.
Keep: TypeAlias = Callable[[int, Path], None]


@define(eq=False)
class Pictures:
    """The pictures of one row. ``paths`` has the name of each one that is saved, and None for the others."""

    entry: Entry
    images: list[Image]
    #: What else is odd about the answer.
    remarks: list[str] = field(factory=list)
    #: Whether they are of an earlier run: then no cache lags behind any more.
    is_old: bool = False
    paths: list[str | None] = field(init=False)
    #: What stopped those that are missing, where it was tried.
    errors: dict[int, Exception] = field(factory=dict, init=False)
    #: Files of those that are here and could not be kept yet.
    held: dict[int, Path] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        known = self.entry.paths or []
        self.paths = [known[index] if index < len(known) else None for index in range(len(self.images))]

    @classmethod
    def of(cls, entry: Entry, answer: Answer, task: Task, runner: Any) -> Pictures:
        """Those of an answer that came just now."""
        return cls(
            entry, _images(entry, answer.images, task, runner), remarks(answer, entry.images, asked(entry.request))
        )

    @classmethod
    def known(cls, entry: Entry, task: Task, runner: Any, folder: Path | None) -> Pictures:
        """Those of an answer that an earlier run wrote down. ``folder`` has the files of what it could not keep."""
        images = _images(entry, entry.answered, task, runner)
        made = cls(entry, images, [entry.note] if entry.note else [], is_old=True)
        if folder is not None:
            for index, name in enumerate(names_of(entry, len(images))):
                if made.paths[index] is None and (path := _file_of(entry, name, folder)) is not None:
                    made.held[index] = path
        return made

    @property
    def fetchable(self) -> bool:
        """Whether all that is missing has an address, or is here."""
        missing = (index for index, path in enumerate(self.paths) if path is None)
        return bool(self.images) and all(self.images[index].url or index in self.held for index in missing)

    def places(self) -> list[str]:
        """Return where each picture is, for a person who has to look for it."""
        aside = {index: getattr(error, "path", None) for index, error in self.errors.items()}
        return [
            str(path or aside.get(index) or image.url or "data that could not be saved")
            for index, (path, image) in enumerate(zip(self.paths, self.images, strict=True))
        ]

    @property
    def note(self) -> str | None:
        """What came otherwise than it was asked for."""
        return " ".join([*self.remarks, *noted(self.images)]) or None

    @property
    def error(self) -> Exception | None:
        """What stopped the first one that is missing, or the first that another run may get after all."""
        found = [self.errors[index] for index in sorted(self.errors)]
        return next((error for error in found if not isinstance(error, ImageGoneError)), found[0] if found else None)

    async def save(
        self, folder: Path, deadline: float, *, data: bool, keep: Keep | None, threads: CapacityLimiter
    ) -> None:
        """Save those that came as data, which needs no network, or those that have to be fetched. One that fails does
        not keep the others. ``keep`` is given each that is saved, to have it elsewhere, too: once in a run,
        and by as few at once as ``threads`` allows. A store that hangs is left behind by who is cancelled.
        """
        names = names_of(self.entry, len(self.images))
        for index, (name, image) in enumerate(zip(names, self.images, strict=True)):
            path = self.held.get(index)
            if self.paths[index] is not None or (index in self.errors if path else image.came_along != data):
                continue
            try:
                path = path or await image.asave(folder / name, overwrite=True, deadline=deadline)
                if keep is not None:
                    self.held[index] = path
                    async with threads:
                        await run_aside(keep, self.entry.row, path)
            except (LemonError, OSError) as exc:
                self.errors[index] = self._judged(exc)
            else:
                self.paths[index] = path.name
                self.errors.pop(index, None)
                self.held.pop(index, None)

    def _judged(self, error: Exception) -> Exception:
        """Return what an error amounts to: without a task, nothing can renew an address that is gone."""
        if not isinstance(error, DownloadError) or error.status_code not in MAY_LAG:
            return error
        if not self.is_old or self.entry.task_id is not None:
            return error
        return image_gone(error.url or "", f"HTTP {error.status_code}", error.status_code)


def _images(entry: Entry, fields: Iterable[Mapping[str, Any]], task: Task, runner: Any) -> list[Image]:
    owner = task if task.id is not None else None
    known = {
        "prompt": str(entry.request.get("prompt")),
        "model": entry.request.get("model"),
        "task_id": task.id,
        "asked": asked(entry.request),
        "warns": False,  # a batch notes it in its results
        "task": owner,
        "runner": runner,
        "tells_prompt": runner is None or runner.prompt_metadata,
    }
    return [Image.of(one, index=i, **known) for i, one in enumerate(fields)]


def names_of(entry: Entry, images: int) -> list[str]:
    """Return the names of a row's files, without suffix: the last word is the image's number."""
    first = stem(entry.id or entry.row, entry.request.get("prompt"))
    return [f"{first}-{number}" for number in range(1, images + 1)]


def _file_of(entry: Entry, name: str, folder: Path) -> Path | None:
    """Return the file of a picture with this name, if it is of the row's last submission."""
    found = [path for path in folder.glob(f"{escape(name)}.*") if path.stem == name]  # no .damaged.png, no part
    since = (entry.submitted_at or math.inf) - 1.0
    return found[0] if len(found) == 1 and found[0].stat().st_mtime >= since else None


def recognize(found: Journal, keep: Keep | None = None) -> None:
    """Take rows for saved whose pictures are all there: the process ended before it could write that down. Raises what
    ``keep`` raises.
    """
    for entry in list(found.entries("uncertain")):
        names = names_of(entry, entry.images)
        files = [path for name in names if (path := _file_of(entry, name, found.folder)) is not None]
        if not entry.damage and len(files) == len(names):
            if keep is not None:
                for path in files:
                    keep(entry.row, path)
            saved = [path.name for path in files]
            found.commit([change(entry.row, status="saved", paths=saved, error=None, finished_at=_clock.wall())])


def without_data(answer: Answer) -> dict[str, Any]:
    """Return an answer without its pictures: they are saved as files, and the journal stays small."""
    rest = {name: value for name, value in answer.body.items() if value is not value_of(answer.body, FIELDS.images)}
    return {**rest, "images": [without_pictures(dict(image)) for image in answer.images]}


def keep_reply(folder: Path, row: int, response: APIResponse) -> Path | None:
    """Keep an answer that was paid for and that nobody understands. Returns where, or None if it cannot be written."""
    try:
        text, suffix = dumps(as_text(response.json())), ".json"
    except ValueError:
        text, suffix = response.text, ".txt"
    stem = f"{row:05d}-reply"
    try:
        write_whole(folder / f"{stem}{suffix}", text)
    except OSError:
        return put_aside([text.encode("utf-8", "replace")], stem, suffix)
    return folder / f"{stem}{suffix}"
