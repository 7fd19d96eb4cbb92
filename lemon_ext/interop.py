"""For users of the generated client: waiting for what its operations returned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from . import _generate
from ._api import read_answer, settled
from ._core import AsyncCore, BlockingCore, Core, borrowed
from ._http import AsyncHttp, Http
from ._response import APIResponse
from .client import AsyncImageTask, ImageTask
from .errors import ResponseError
from .results import ImageResult

if TYPE_CHECKING:
    from lemon_client import AuthenticatedClient, Client

    from .client import AsyncOnUpdate, OnUpdate

__all__ = ("apoll_until_done", "poll_until_done")

TaskT = TypeVar("TaskT", ImageTask, AsyncImageTask)


def poll_until_done(
    client: AuthenticatedClient | Client, task: object, *, deadline: float = 300.0, on_update: OnUpdate | None = None
) -> ImageResult:
    """Wait for what the generated ``create_image`` returned and return the images.

    ``task`` is its result (a task or finished images, or the detailed response around one) or a task id. Free of
    charge; the client's own key and timeout-less connection are used within ``deadline`` seconds. Raises as
    `ImageTask.result` does; TypeError for what create_image cannot have returned, ValueError for what cannot be a task
    id, and ResponseError if the API did not accept the request.
    """
    http = client.get_httpx_client()
    session, seconds, validation, credentials = borrowed(http, deadline)
    core = BlockingCore(session, seconds, validation, Http(credentials, http))
    handle = _handle(core, ImageTask, task)
    return core.call(_generate.adopted(core, handle, core.waiting(None, None, on_update)))


async def apoll_until_done(
    client: AuthenticatedClient | Client,
    task: object,
    *,
    deadline: float = 300.0,
    on_update: AsyncOnUpdate | None = None,
) -> ImageResult:
    """Async twin of `poll_until_done`."""
    http = client.get_async_httpx_client()
    session, seconds, validation, credentials = borrowed(http, deadline)
    core = AsyncCore(session, seconds, validation, AsyncHttp(credentials, http))
    handle = _handle(core, AsyncImageTask, task)
    return await core.acall(_generate.adopted(core, handle, core.waiting(None, None, on_update)))


def _handle(core: Core, kind: type[TaskT], given: object) -> TaskT:
    """Return a handle for what the generated client returned."""
    if isinstance(given, str):
        return _generate.handle(core, kind, given, None)
    given = getattr(given, "parsed", given)
    to_dict = getattr(given, "to_dict", None)
    if to_dict is None:
        raise TypeError(
            f"Expected what create_image returned, or a task id, not {type(given).__name__}. "
            "If it is None, the API answered with something undocumented: use create_image.sync_detailed to see it."
        )
    response = APIResponse(200, {}, json.dumps(to_dict()).encode())
    answer = read_answer(response)
    if answer is None:
        raise ResponseError(f"The API did not accept the request: {response.text}", response=response)
    handle = kind(None, core=core)  # type: ignore[arg-type]  # the core of its colour
    handle.submitted(settled(answer), core.session.clock())
    return handle
