"""Finished images: read, save, show.

Reading an image costs nothing and never carries the key. What is saved arrives whole under its name or not at all,
gets its suffix from its bytes, and replaces nothing unless told to.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, overload
from urllib.parse import urljoin, urlsplit

from anyio.to_thread import run_sync
from attrs import define, field

from ._files import Buffer, PartFile, Target, as_folder, file_stem, suffix_of
from . import _clock
from ._address import origin
from ._api import TRANSIENT, Answer, acquire, poll
from ._base64 import Picture, as_text
from ._flow import Flow, Send, Sleep, TransportFault, send
from ._response import APIResponse
from ._retry import Deadline, retry_after, wait_before
from .errors import APIStatusError, DownloadError, LemonError, ResponseError

if TYPE_CHECKING:
    from lemon_client.models import ImageData

    from ._api import Session
    from .tasks import Task

__all__ = ("Image", "ImageResult")

T = TypeVar("T")

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
MAX_REDIRECTS: Final = 5
#: Seconds without a byte after which a fetch is begun anew. As long as some come, it has the time until the deadline.
_STALL_SECONDS: Final = 30.0
#: An address that has expired or was never valid: only its task can tell a fresh one.
_EXPIRED: Final = (403, 404, 410)


class Runner(Protocol):
    """What an image needs of the client that made it. ``run`` is None on async clients, ``arun`` on blocking ones."""

    @property
    def session(self) -> Session: ...
    @property
    def deadline(self) -> float: ...
    @property
    def run(self) -> Any: ...
    @property
    def arun(self) -> Any: ...


@define(eq=False, repr=False)
class Image:
    """One image: its ``url`` or its Base64 data, and the prompt that was really used, where the API tells it."""

    url: str | None
    revised_prompt: str | None
    #: The image as it stands in the answer.
    _fields: Mapping[str, Any]
    #: What a file name is made of: the prompt, or else the task's id.
    _called: str | None = None
    _index: int = 0
    _task: Task | None = None
    _runner: Runner | None = None

    @classmethod
    def of(
        cls,
        fields: Mapping[str, Any],
        *,
        called: str | None = None,
        index: int = 0,
        task: Task | None = None,
        runner: Runner | None = None,
    ) -> Image:
        """Make one from an answer."""
        return cls(_text(fields.get("url")), _text(fields.get("revised_prompt")), fields, called, index, task, runner)

    @property
    def raw(self) -> ImageData:
        """The generated model with every field of the answer."""
        from lemon_client.models import ImageData  # as in `_api`

        return ImageData.from_dict(as_text(self._fields))

    @property
    def b64_json(self) -> str | None:
        """The data as Base64, if it came with the answer. Large data is encoded anew each time; `read` is cheaper."""
        return _text(as_text(self._fields.get("b64_json")))

    def read(self, *, deadline: float | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the image's bytes, fetching them if need be, within ``deadline`` seconds (None: the client's).

        Raises DownloadError if it cannot be fetched or is larger than ``max_bytes``, ResponseError for broken Base64,
        and TypeError on an image of the async client that has to be fetched: use `aread` there.
        """
        with Buffer(max_bytes) as target:
            self._fill(target, deadline)
            return target.value()

    async def aread(self, *, deadline: float | None = None, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Async twin of `read`."""
        with Buffer(max_bytes) as target:
            await self._afill(target, deadline)
            return target.value()

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        deadline: float | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Path:
        """Save the image and return where: a missing suffix is added, a wrong one replaced, missing folders are made.

        ``path`` may be a folder; the name is then made from the prompt, and a free one is picked. An existing file is
        FileExistsError unless ``overwrite`` is true. Otherwise raises as `read` does, and OSError.
        """
        with PartFile(path, max_bytes) as target:
            self._fill(target, deadline)
            return target.place(file_stem(self._called), overwrite=overwrite)

    async def asave(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        deadline: float | None = None,
        max_bytes: int = MAX_IMAGE_BYTES,
    ) -> Path:
        """Async twin of `save`."""
        return await self._aplace(path, overwrite=overwrite, deadline=deadline, max_bytes=max_bytes)

    async def _aplace(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        deadline: float | None,
        max_bytes: int = MAX_IMAGE_BYTES,
        finish: Callable[[Path], object] | None = None,
    ) -> Path:
        """Save the image; ``finish`` is called with the whole file before it gets its name."""
        with PartFile(path, max_bytes) as target:
            await self._afill(target, deadline)
            return await run_sync(lambda: target.place(file_stem(self._called), overwrite=overwrite, finish=finish))

    def _fill(self, target: Target, deadline: float | None) -> None:
        if self._came_along and self._decode(target):
            return
        runner = self._bound()
        if runner.run is None:
            raise TypeError(
                "This image belongs to an async client: use `await image.aread()` or `await image.asave(...)`."
            )
        runner.run(self._download(runner, target, deadline))

    async def _afill(self, target: Target, deadline: float | None) -> None:
        if self._came_along and await run_sync(self._decode, target):
            return
        runner = self._bound()
        if runner.arun is None:
            await run_sync(self._fill, target, deadline)
        else:
            await runner.arun(self._download(runner, target, deadline))

    def _download(self, runner: Runner, target: Target, deadline: float | None) -> Flow[None]:
        seconds = runner.deadline if deadline is None else deadline
        return download(runner.session, self, target, runner.session.deadline(seconds))

    def _bound(self) -> Runner:
        if self._runner is None:
            raise LemonError(
                "This image was unpickled and has lost its client. Fetch image.url, or ask its task again."
            )
        return self._runner

    @property
    def _came_along(self) -> bool:
        return self._picture is not None or self._data is not None

    @property
    def _picture(self) -> Picture | None:
        data = self._fields.get("b64_json")
        return data if isinstance(data, Picture) else None

    @property
    def _data(self) -> str | None:
        """The text of the data, where there is any. Not for a picture that was decoded already."""
        return _text(self._fields.get("b64_json")) or (self.url if self.url and _is_data(self.url) else None)

    def _decode(self, target: Target) -> bool:
        """Write the image that came with the answer to the target. False: its data is broken, but it has an address."""
        if self._picture is not None:
            for piece in self._picture:
                target.write(piece)
            return True
        try:
            data = base64.b64decode(_payload(self._data or ""), validate=True)
        except ValueError:
            data = b""
        if data:
            target.write(data)
        elif origin(self.url or "") is None:
            raise ResponseError(
                "The image came as Base64 that cannot be decoded. It is paid for: the text that came is in image.raw."
            )
        return bool(data)

    def __repr__(self) -> str:
        return f"<Image {'with data' if self._came_along else f'at {_host(self.url)}'}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # A notebook is handed the data or the address: showing an image never waits for one.
        data = self.b64_json
        if data is None or (kind := _kind(data)) == "svg+xml":  # notebooks want that one as text
            shown = {"text/html": _img(self, "max-width: 100%")}
        else:
            shown = {f"image/{kind}": _payload(data)}
        return {**shown, "text/plain": repr(self)}

    def __getstate__(self) -> tuple[Any, ...]:
        return (self._fields, self.url, self.revised_prompt, self._called, self._index)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._fields, self.url, self.revised_prompt, self._called, self._index = state
        self._task, self._runner = None, None


@define(eq=False, repr=False)
class ImageResult(Sequence[Image]):
    """The images of one request, in order.

    ``created`` is in Unix seconds; ``prompt``, ``model`` and ``task_id`` are None where they are not known.
    """

    images: list[Image]
    created: int | None = None
    model: str | None = None
    prompt: str | None = None
    task_id: str | None = None
    _body: dict[str, Any] = field(factory=dict)

    @classmethod
    def of(
        cls, answer: Answer, *, model: str | None, prompt: str | None, task: Task | None, runner: Runner | None
    ) -> ImageResult:
        """Make one from an answer that holds images."""
        called = prompt or answer.task_id
        images = [
            Image.of(fields, called=called, index=i, task=task, runner=runner) for i, fields in enumerate(answer.images)
        ]
        return cls(images, answer.created, model, prompt, answer.task_id, answer.body)

    @property
    def raw(self) -> dict[str, Any]:
        """The answer as it came."""
        raw: dict[str, Any] = as_text(self._body)
        return raw

    @property
    def data(self) -> list[Image]:
        """The images, under the name the ``openai`` package uses."""
        return self.images

    def save(self, folder: str | os.PathLike[str], *, deadline: float | None = None) -> list[Path]:
        """Save every image in a folder, made if missing, under free names made from the prompt. Returns where.

        Each image takes ``deadline`` seconds at most (None: the client's). Raises ValueError for a name that looks like
        a file's, and what `Image.save` raises; images saved before that stay.
        """
        place = f"{as_folder(folder)}/"
        return [image.save(place, deadline=deadline) for image in self.images]

    async def asave(self, folder: str | os.PathLike[str], *, deadline: float | None = None) -> list[Path]:
        """Async twin of `save`."""
        place = f"{as_folder(folder)}/"
        return [await image.asave(place, deadline=deadline) for image in self.images]

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        task = f", task_id={self.task_id!r}" if self.task_id else ""
        return f"<ImageResult {len(self)} image{'' if len(self) == 1 else 's'}, model={self.model!r}{task}>"

    def _repr_html_(self) -> str:
        return "".join(_img(image, "max-width: 24em; margin: 2px") for image in self.images)


def download(session: Session, image: Image, target: Target, deadline: Deadline) -> Flow[None]:
    """Fetch an image into a target, trying until the deadline. An expired address is asked of the image's task, once.

    Raises DownloadError. Nothing of this is billed.
    """
    attempt = 0
    task = image._task
    while True:
        target.reset()
        outcome = yield from _fetch(image.url or "", target, deadline)
        status = outcome.status_code if isinstance(outcome, APIResponse) else None
        if status == 200 and target.size:
            if suffix_of(target.head) is None and target.head.lstrip()[:1] in (b"<", b"{"):
                raise _failed(image, "what came is a page, not a picture", status)
            return
        if status in _EXPIRED and task is not None:
            image.url = (yield from _fresh_url(session, task, image._index, deadline)) or image.url
            task = None
            continue
        wait = None
        if isinstance(outcome, APIResponse):
            wait = retry_after(outcome, _clock.wall())
            if status != 200 and not (outcome.status_code in TRANSIENT or outcome.status_code >= 500):
                raise _failed(image, f"HTTP {status}", status)
        attempt += 1
        delay = wait_before(attempt, wait)
        if delay >= deadline.left():
            why = str(outcome) if isinstance(outcome, TransportFault) else f"HTTP {status}, {target.size} bytes"
            raise _failed(image, why, status)
        yield Sleep(delay)


def _fetch(url: str, target: Target, deadline: Deadline) -> Flow[APIResponse | TransportFault]:
    """Request without the key, following up to 5 redirects: to http(s) only, and never from https to http."""
    for _ in range(MAX_REDIRECTS + 1):
        if origin(url) is None:
            raise DownloadError("The image's address is not a plain http(s) one, so it was not fetched.", url=url)
        try:
            response = yield from send(
                Send("GET", url, kind="picture", within=deadline.left(), sink=target, stall=_STALL_SECONDS)
            )
        except TransportFault as exc:
            return exc
        location = response.headers.get("location")
        if not 300 <= response.status_code < 400 or location is None:
            return response
        try:
            following = urljoin(url, location)
        except ValueError:
            raise DownloadError("The image's address redirects to what is no address.", url=url) from None
        if url[:6].lower() == "https:" and following[:6].lower() != "https:":
            raise DownloadError("The image's address redirects away from https, so it was not fetched.", url=url)
        url = following
    raise DownloadError(f"The image's address redirects more than {MAX_REDIRECTS} times.", url=url)


def _fresh_url(session: Session, task: Task, index: int, deadline: Deadline) -> Flow[str | None]:
    """Ask a task for the present address of one of its images. Free, and never a new generation."""
    if task.id is None:
        return None
    try:
        yield from acquire(session, deadline)
        answer = yield from poll(session, task.id, task.poll_url, deadline)
    except (APIStatusError, ResponseError):
        return None  # the failed download is what gets reported
    return _text(answer.images[index].get("url")) if isinstance(answer, Answer) and index < len(answer.images) else None


def _failed(image: Image, why: str, status_code: int | None) -> DownloadError:
    error = DownloadError(
        f"The image was generated, but fetching it from {_host(image.url)} failed ({why}). "
        "Fetch it again; do not generate it again.",
        url=image.url,
        status_code=status_code,
    )
    error.task = image._task
    return error


def _img(image: Image, style: str) -> str:
    from html import escape  # for notebooks only

    data = image.b64_json
    source = image.url if data is None else f"data:image/{_kind(data)};base64,{_payload(data)}"
    return f'<img src="{escape(source or "")}" style="{style}">'


def _is_data(url: str) -> bool:
    return url[:64].lstrip()[:5].lower() == "data:"


def _payload(data: str) -> str:
    """Return plain Base64, however it came: in lines, in the alphabet of addresses, without its padding."""
    text = data.partition(",")[2] if _is_data(data) else data
    text = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    return text + "=" * (-len(text) % 4)


def _kind(data: str) -> str:
    try:
        suffix = suffix_of(base64.b64decode(_payload(data[:2048])[:1024])) or ".png"
    except ValueError:
        suffix = ".png"
    return {".jpg": "jpeg", ".svg": "svg+xml"}.get(suffix, suffix[1:])


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or "nowhere"
    except ValueError:
        return "nowhere"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
