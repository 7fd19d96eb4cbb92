"""Finished images: read, save, show.

Reading an image costs nothing and never carries the key. What is saved is a whole picture, arrives under its name whole
or not at all, gets its suffix from its bytes, says in its metadata what it is, and replaces nothing unless told to.

An image that came with its answer is nowhere else. Whatever goes wrong while it is saved, it is put somewhere, and the
error says where.
"""

from __future__ import annotations

import errno
import math
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar, overload

import attrs
from anyio.to_thread import run_sync
from attrs import define, field

from . import _clock, _flow
from ._address import origin
from ._api import Answer, Session
from ._base64 import Picture, as_text, decoded, is_data_url
from ._delivered import differences
from ._download import checked, download, fresh_url, host_of
from ._files import Buffer, PartFile, Target, as_folder, file_stem, put_aside, refuse_address
from ._flow import Flow, Send, Sleep, Work
from ._metadata import described
from ._openai import RESULT, brought
from ._picture import SUFFIXES, Examined, is_text, kind_of
from ._response import text_of
from ._retry import Deadline
from ._warn import warn
from .errors import DownloadError, LemonError, ResponseError, SaveError
from .notebook import EMBEDDED, PATIENCE, embedded, in_notebook, picture
from .tasks import Task, remarks

if TYPE_CHECKING:
    from lemon_client.models import ImageData

__all__ = ("Image", "ImageResult")

T = TypeVar("T")

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
#: Faults of a disk that may pass, and the seconds after which it is tried again.
_PASSING: Final = frozenset(
    getattr(errno, name, None)
    for name in ("EAGAIN", "EBUSY", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "ESTALE")
)
_PAUSES: Final = (0.5, 1.0, 2.0)


class Runner(Protocol):
    """What an image needs of the client that made it. ``run`` is None on async clients, ``arun`` on blocking ones."""

    @property
    def session(self) -> Session: ...
    @property
    def deadline(self) -> float: ...
    @property
    def prompt_metadata(self) -> bool: ...
    @property
    def run(self) -> Any: ...
    @property
    def arun(self) -> Any: ...
    @property
    def run_here(self) -> Any: ...


@define(eq=False, repr=False)
class Image:
    """One image: its ``url`` or its Base64 data, and the prompt that was really used, where the API tells it.

    ``notes`` says in what it differs from what was asked for (pixels, shape, format), once it was read or saved.
    """

    url: str | None
    revised_prompt: str | None
    #: The image as the answer has it. Large data is a `Picture`.
    _fields: Mapping[str, Any]
    _prompt: str | None = None
    _model: str | None = None
    _task_id: str | None = None
    _index: int = 0
    _asked: Mapping[str, Any] | None = None
    #: Whether a difference is a warning, too.
    _warns: bool = True
    #: Whether the prompt is written into the metadata.
    _tells_prompt: bool = True
    _task: Task | None = None
    _runner: Runner | None = None
    notes: list[str] = field(factory=list, init=False)
    #: Where it was saved last, and what a notebook has shown of one that is not.
    _path: Path | None = field(default=None, init=False)
    _fetched: bytes = field(default=b"", init=False)

    @classmethod
    def of(cls, fields: Mapping[str, Any], **known: Any) -> Image:
        """Make one of the image that an answer has, and what else is ``known``: prompt, model, task_id, index..."""
        return cls(text_of(fields.get("url")), text_of(fields.get("revised_prompt")), fields, **known)

    @property
    def raw(self) -> ImageData:
        """The generated model with every field of the answer."""
        from lemon_client.models import ImageData  # as in `_api`

        return ImageData.from_dict(self.to_dict())

    @property
    def b64_json(self) -> str | None:
        """The data as Base64, if it came with the answer. Large data is encoded anew each time; `read` is cheaper.

        Warns where it is None because an address came: what decodes None would end with the picture paid for.
        """
        data = self._fields.get("b64_json")
        text = data.base64() if isinstance(data, Picture) else text_of(data)
        if text is None and self.url is not None:
            warn("b64_json is None, because the image came as an address: image.read() fetches its bytes.")
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the image as the answer has it, as plain JSON."""
        plain: dict[str, Any] = as_text(dict(self._fields))
        return plain

    def read(self, *, deadline: float | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the image's bytes as they came, fetched if need be, within ``deadline`` seconds (None: the client's).

        Raises DownloadError if it cannot be fetched, comes as no whole picture or is larger than ``max_bytes``,
        ResponseError if it came as Base64 of no whole picture, and TypeError on an image of the async client that has
        to be fetched: use `aread` there. What came is in the error's ``body``.
        """
        return _run(self._runner, self._reading(deadline, max_bytes))

    async def aread(self, *, deadline: float | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Async twin of `read`."""
        return await _arun(self._runner, self._reading(deadline, max_bytes))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        deadline: float | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Path:
        """Save the image and return where: a missing suffix is added, a wrong one replaced, missing folders are made.

        ``path`` may be a folder; the name is then made from the prompt, and a free one is picked. That it is generated,
        prompt, model and task are written into the metadata of PNG, JPEG and WebP (docs/gallery.md); the coded picture
        stays as it came. An existing file is FileExistsError unless ``overwrite`` is true; data that came with the
        answer is then saved under a free name beside it, which the error says. Otherwise raises as `read` does, and
        SaveError, an OSError. Data that is no whole picture is kept beside, and data that came with the answer
        somewhere else if it has to be: the error's ``path`` says where.
        """
        return _run(self._runner, self._saving(path, overwrite, deadline, max_bytes, []))

    async def asave(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        deadline: float | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Path:
        """Async twin of `save`."""
        return await _arun(self._runner, self._saving(path, overwrite, deadline, max_bytes, []))

    @property
    def came_along(self) -> bool:
        """Whether its data came with the answer, so that saving it needs no network."""
        return self._data is not None

    # ---- the flows ----

    def _reading(self, deadline: float | None, max_bytes: int) -> Flow[bytes]:
        with Buffer(max_bytes) as target:
            found, came_along = yield from self._filled(target, self._limit(deadline))
            self._compare(found)
            if found.fault is not None:
                error = self._damage(found.fault, came_along)
                error.body = target.value()
                raise error
            return target.value()

    def _saving(
        self, path: str | os.PathLike[str], overwrite: bool, deadline: float | None, max_bytes: int, saved: list[Path]
    ) -> Flow[Path]:
        """Save the image; where is written into ``saved`` at once, which an interrupt cannot take back."""
        refuse_address(path)
        try:
            limit, pauses = self._limit(deadline), iter((*_PAUSES, math.inf))
            while True:
                try:
                    with PartFile(path, max_bytes) as target:
                        found, came_along = yield from self._filled(target, limit)
                        self._compare(found)
                        yield Work(partial(self._place, target, found, came_along, overwrite, saved))
                        return saved[0]
                except (LemonError, FileExistsError):
                    raise
                except OSError as exc:
                    fault = exc
                pause = next(pauses) if fault.errno in _PASSING else math.inf
                if pause >= limit.left():
                    yield Work(partial(self._give_up, path, fault))
                yield Sleep(pause)
        except Exception:
            raise
        except BaseException as exc:  # an interrupt or a cancellation
            self._rescue(path, overwrite, saved, exc)
            raise

    def _filled(self, target: Target, limit: Deadline) -> Flow[tuple[Examined, bool]]:
        """Fill a target with the image. Returns what it is, which may have a fault, and whether it had come along."""
        found = None
        if self._data is not None:
            found = yield from _examined(partial(self._pour, target))
            if found.fault is None or self._runner is None or self.url is None or is_data_url(self.url):
                return _known(found), True
        session, task = self._bound().session, self._task
        renew = None
        if task is not None and task.id is not None:
            told = task._seen or not task._ours
            renew = partial(fresh_url, session, task.id, task.poll_url, self._index, limit, is_told=told)
        try:
            fetched, self.url = yield from download(session, self.url or "", target, limit, renew)
        except DownloadError as exc:
            exc.task = task
            if found is None:
                raise
            return (yield from _examined(partial(self._pour, target))), True
        return _known(fetched), False

    def _compare(self, found: Examined) -> None:
        """Note, and warn of, what came otherwise than it was asked for."""
        before, self.notes = self.notes, differences(self._asked or {}, found)
        if self._warns and self.notes and self.notes != before:
            task = f" of task {self._task_id}" if self._task_id else ""
            warn(f"Image {self._index + 1}{task}: {'; '.join(self.notes)}.")

    # ---- what is short and blocks ----

    @property
    def _stem(self) -> str:
        """What a file is called. Only a variation has no prompt."""
        return file_stem(self._prompt or self._task_id or "variation")

    def _pour(self, target: Target) -> Examined:
        """Write the data that came with the answer into a target. What cannot be decoded goes there as it came."""
        target.reset()
        for piece in self._pieces():
            target.write(piece)
        if isinstance(self._data, str) and not decoded(self._data):
            return Examined(None, "it cannot be decoded")
        return target.examine()

    def _place(self, target: PartFile, found: Examined, came_along: bool, overwrite: bool, saved: list[Path]) -> None:
        """Give a file its name, or say where data that is no whole picture is kept."""
        stem = self._stem
        if found.fault is None:
            target.change(
                lambda file: described(
                    file,
                    found,
                    prompt=self._prompt if self._tells_prompt else None,
                    model=self._model,
                    revised_prompt=self.revised_prompt if self._tells_prompt else None,
                    task_id=self._task_id,
                    edited="edited" in (self._asked or {}),
                )
            )
            try:
                saved.append(target.place(stem, found.suffix, overwrite=overwrite))
            except FileExistsError as exc:
                if not came_along:
                    raise
                # Whoever does not expect this error ends here, and with the program the only copy.
                saved.append(target.place(stem, found.suffix, free=True))
                raise FileExistsError(
                    f"{exc} The image came with its answer and is nowhere else, so it was saved as {saved[0]}."
                ) from None
            finally:
                self._path = saved[0].absolute() if saved else None
            return
        suffix = found.suffix or (".txt" if is_text(target.head()) else None)
        path = target.place(stem, suffix, overwrite=overwrite, remark=".damaged")
        saved.append(path)
        raise self._damage(found.fault, came_along, path)

    def _damage(self, fault: str, came_along: bool, path: Path | None = None) -> DownloadError | ResponseError:
        """Return the error for what is no whole picture."""
        error: DownloadError | ResponseError
        kept = f" What came was kept as {path}." if path is not None else ""
        if came_along:
            error = ResponseError(
                f"The image came as Base64 and is no whole picture: {fault}. It is paid for, so tell the provider; the "
                f"text that came is in image.raw.{kept}"
            )
        else:
            error = DownloadError(
                f"The image was generated, but what {host_of(self.url)} sends is no whole picture: {fault}. "
                f"Fetch it again; do not generate it again.{kept}",
                url=self.url,
                status_code=200,
            )
        error.task, error.path = self._task, path
        return error

    def _give_up(self, path: str | os.PathLike[str], fault: OSError) -> NoReturn:
        """Say that an image could not be saved, once it is put aside if it is nowhere else."""
        said = f"The image could not be saved in {os.fspath(path)} ({fault.strerror or fault}). It is paid for"
        aside = None
        if self._data is None:
            said += " and still at its address: save it again, do not generate it again."
        elif aside := self._put_aside():
            said += f", came with its answer and is nowhere else: it was put aside as {aside}."
        else:
            said += (
                ", came with its answer, and could not be written anywhere else either. It is in memory as long as "
                "this program runs: make room and save it again."
            )
        error = SaveError(said, path=aside, errno=fault.errno)
        error.task = self._task
        raise error from fault

    def _put_aside(self) -> Path | None:
        pieces = self._pieces()
        suffix = SUFFIXES.get(kind_of(next(iter(pieces), b"")) or "", ".bin")
        return put_aside(pieces, self._stem, suffix)

    def _rescue(
        self, path: str | os.PathLike[str], overwrite: bool, saved: list[Path], interrupt: BaseException
    ) -> None:
        """Save what came with the answer in spite of an interrupt or a cancellation, and note where."""
        if self._data is None:
            return
        if not saved:
            try:
                with PartFile(path) as target:
                    self._place(target, self._pour(target), True, overwrite, saved)
            except ResponseError:
                pass
            except (LemonError, OSError):
                saved += [aside for aside in [self._put_aside()] if aside is not None]
        where = f"saved as {saved[0]}" if saved else "not saved, and is nowhere else"
        interrupt.add_note(f"An image that came with its answer was {where}.")

    # ---- what it consists of ----

    @property
    def _data(self) -> Picture | str | None:
        """The data that came with the answer, if any did: decoded on arrival, or as text."""
        data = self._fields.get("b64_json")
        if isinstance(data, Picture):
            return data
        return text_of(data) or (self.url if self.url is not None and is_data_url(self.url) else None)

    def _pieces(self) -> Iterable[bytes]:
        """Return the bytes of the data, or its text if it is nothing that can be decoded."""
        data = self._data
        return [decoded(data) or data.encode(errors="replace")] if isinstance(data, str) else data or []

    def _bound(self) -> Runner:
        if self._runner is None:
            raise LemonError(
                "This image was unpickled and has lost its client. Fetch image.url, or ask its task again."
            )
        return self._runner

    def _limit(self, deadline: float | None) -> Deadline:
        if self._runner is None:
            return Deadline.after(math.inf if deadline is None else deadline, _clock.monotonic)
        return self._runner.session.deadline(self._runner.deadline if deadline is None else deadline)

    def _address(self) -> str:
        """Return the address to show: none that a browser must not be led to."""
        url = self.url or ""
        try:
            return url if self._runner is None and origin(url) else checked(self._bound().session, url)
        except LemonError:
            return ""

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = brought("Image", "_fields")

    def __repr__(self) -> str:
        return f"<Image {f'at {host_of(self.url)}' if self._data is None else 'with data'}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        data = self._to_show(EMBEDDED)
        kind = kind_of(data) or "png"
        # A notebook takes HTML, which says in words what it shows. In an <img>, an SVG runs no script.
        if in_notebook() or not data or kind == "svg":
            shown = {"text/html": self._html(data, "max-width: 100%")}
        else:
            shown = {f"image/{kind}": b64encode(data).decode()}
        return {**shown, "text/plain": repr(self)}

    def _to_show(self, most: int) -> bytes:
        """Return the picture to put into a notebook: nothing if it is larger than that or not at hand.

        Addresses of pictures do not last and notebooks do, so there it is fetched.
        """
        data = b"".join(self._pieces()) if self._data is not None else self._fetched
        if not data and self._path is not None:
            with suppress(OSError):
                data = self._path.read_bytes() if self._path.stat().st_size <= most else b""
        elif not data and in_notebook() and self._runner is not None:
            with suppress(LemonError, OSError):  # a link will have to do
                data = self._fetched = self._runner.run_here(self._reading(PATIENCE, most))
        return data if len(data) <= most else b""

    def _html(self, data: bytes, style: str) -> str:
        if not data and self._data is not None:
            return "<p>This picture is too large to be shown here. Save it: image.save(...)</p>"
        return picture(embedded(data, kind_of(data) or "png") if data else self._address(), self._prompt, style)

    def __getstate__(self) -> dict[str, Any]:
        known = {one.name: getattr(self, one.name) for one in attrs.fields(Image)}
        # A client is not pickled, and neither is what only it can use.
        return {**known, "_fields": dict(self._fields), "_task": None, "_runner": None, "_path": None, "_fetched": b""}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


@define(eq=False, repr=False)
class ImageResult(Sequence[Image]):
    """The images of one request, in order.

    ``created`` is in Unix seconds; ``prompt``, ``model`` and ``task_id`` are None where they are not known.
    ``request_id`` and ``billing_id`` are what the account's records call the request and its charge, and ``cost`` is
    what the answer says it cost, in US dollars: each is None where no answer said it.

    A call with ``fan_out`` that sent several requests returns the images of all. ``parts`` are then the results one by
    one, with the ids; ``cost`` is their sum, None unless every one is known.
    """

    images: list[Image]
    created: int | None = None
    model: str | None = None
    prompt: str | None = None
    task_id: str | None = None
    _body: dict[str, Any] = field(factory=dict)
    request_id: str | None = None
    billing_id: str | None = None
    cost: Decimal | None = None
    _remarks: tuple[str, ...] = ()
    parts: list[ImageResult] = field(factory=list)

    @classmethod
    def joined(cls, parts: Sequence[ImageResult]) -> ImageResult:
        """Make one of the results of several requests, in order."""
        images = [image for part in parts for image in part.images]
        for index, image in enumerate(images):
            image._index = index
        costs = [part.cost for part in parts]
        cost = None if None in costs else sum((one for one in costs if one is not None), Decimal(0))
        first, remarks = parts[0], tuple(one for part in parts for one in part._remarks)
        return cls(images, first.created, first.model, first.prompt, cost=cost, remarks=remarks, parts=list(parts))

    @classmethod
    def of(cls, answer: Answer, task: Task, runner: Runner | None) -> ImageResult:
        """Make one from a task's answer that holds images."""
        known = {
            "prompt": task.prompt, "model": task.model, "task_id": answer.task_id, "asked": task.asked,
            "task": task if task.id is not None else None, "runner": runner,
            "tells_prompt": runner is None or runner.prompt_metadata,
        }  # fmt: skip
        images = [Image.of(one, index=i, **known) for i, one in enumerate(answer.images)]
        return cls(
            images, answer.created, task.model, task.prompt, answer.task_id, answer.body,
            task.request_id, task.billing_id, task.cost, tuple(remarks(answer, task.n, task.asked)),
        )  # fmt: skip

    @property
    def notes(self) -> list[str]:
        """What came otherwise than it was asked for, as far as the images were read or saved."""
        return [*self._remarks, *noted(self.images)]

    @property
    def raw(self) -> dict[str, Any]:
        """The answer as it came."""
        raw: dict[str, Any] = as_text(self._body)
        return raw

    @property
    def data(self) -> list[Image]:
        """The images, under the name the ``openai`` package uses."""
        return self.images

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as it came, as plain JSON: `raw`. With ``fan_out``, ``parts`` holds each answer."""
        return {"parts": [part.raw for part in self.parts]} if self.parts else self.raw

    def save(self, folder: str | os.PathLike[str] = ".", *, deadline: float | None = None) -> list[Path]:
        """Save every image in a folder, made if missing, under free names made from the prompt. Returns where.

        Without a folder they are saved in the working directory.
        Each image takes ``deadline`` seconds at most (None: the client's). An image that cannot be saved does not keep
        the others from it. Its error, of the kinds that `Image.save` raises, comes at the end: it names every image
        that is missing, and its ``paths`` are the others. Raises ValueError for a folder that looks like a file.
        """
        return _run(self._runner, self._saving(folder, deadline))

    async def asave(self, folder: str | os.PathLike[str] = ".", *, deadline: float | None = None) -> list[Path]:
        """Async twin of `save`."""
        return await _arun(self._runner, self._saving(folder, deadline))

    def _saving(self, folder: str | os.PathLike[str], deadline: float | None) -> Flow[list[Path]]:
        place = f"{as_folder(folder)}/"
        saved: list[list[Path]] = [[] for _ in self.images]
        missing: dict[int, LemonError | OSError] = {}
        try:
            for index, image in enumerate(self.images):
                try:
                    yield from image._saving(place, False, deadline, MAX_IMAGE_BYTES, saved[index])
                except (LemonError, OSError) as exc:
                    missing[index] = exc
        except Exception:
            raise
        except BaseException as exc:
            for index, image in enumerate(self.images):
                if not saved[index] and index not in missing:
                    image._rescue(place, False, saved[index], exc)
            raise
        paths = [path for index, found in enumerate(saved) if index not in missing for path in found]
        if missing:
            raise self._partly(paths, missing)
        return paths

    def _partly(self, paths: list[Path], missing: Mapping[int, LemonError | OSError]) -> LemonError | OSError:
        """Return the first error, which says what became of all images."""
        error = next(iter(missing.values()))
        if len(self.images) > 1:
            said = " ".join(f"Image {index + 1}, result[{index}]: {exc}" for index, exc in missing.items())
            error.args = (f"{len(paths)} of {len(self.images)} images were saved. {said}",)
        if isinstance(error, LemonError):
            error.paths = paths
        return error

    @property
    def _runner(self) -> Runner | None:
        return self.images[0]._runner if self.images else None

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    @overload
    def __getitem__(self, index: str) -> Any: ...
    def __getitem__(self, index: int | slice | str) -> Any:
        return self.raw[index] if isinstance(index, str) else self.images[index]  # result["data"]: openai before 1.0

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        task = f", task_id={self.task_id!r}" if self.task_id else ""
        return f"<ImageResult {len(self)} image{'' if len(self) == 1 else 's'}, model={self.model!r}{task}>"

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = brought("ImageResult", "_body", *RESULT)

    def _repr_html_(self) -> str:
        left, shown = EMBEDDED, []
        for image in self.images:
            data = image._to_show(left)
            left -= len(data)
            # Beside each other: the style of notebooks makes a block of each picture.
            shown.append(image._html(data, "display: inline-block; max-width: 24em; margin: 2px"))
        return "".join(shown)


def noted(images: Iterable[Image]) -> list[str]:
    """Say of which image what is noted."""
    return [f"Image {image._index + 1}: {'; '.join(image.notes)}." for image in images if image.notes]


def _run(runner: Runner | None, flow: Flow[T]) -> T:
    if runner is None or runner.run is None:
        return _flow.run(flow, _not_here)
    result: T = runner.run(flow)
    return result


async def _arun(runner: Runner | None, flow: Flow[T]) -> T:
    if runner is None:
        return await run_sync(_run, runner, flow)
    result: T = await (run_sync(runner.run, flow) if runner.arun is None else runner.arun(flow))
    return result


def _not_here(request: Send) -> NoReturn:
    raise TypeError("This image belongs to an async client: use `await image.aread()` or `await image.asave(...)`.")


def _examined(look: Callable[[], Examined]) -> Flow[Examined]:
    found: Examined = yield Work(look)
    return found


def _known(found: Examined) -> Examined:
    if found.kind is None and found.fault is None:
        warn(
            "An image is of a kind that is not known here, so nobody looked whether it is whole. It is kept as it came."
        )
    return found
