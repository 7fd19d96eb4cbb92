"""Fetching a picture: free, without the key, whole, and from nowhere that an answer must not lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import urljoin, urlsplit

from . import _clock
from ._address import is_private_host, leads_inside, origin
from ._api import TRANSIENT, Answer, Session, Transient, absolute, acquire, poll
from ._files import Target
from ._flow import Flow, Send, Sleep, TransportFault, Work, send
from ._picture import Examined
from ._response import APIResponse, error_detail, text_of
from ._retry import Deadline, retry_after, wait_before
from ._warn import warn
from .errors import DownloadError, ImageGoneError, LemonError, NotFoundError

MAX_REDIRECTS: Final = 5
#: Seconds without a byte after which a fetch is begun anew. As long as some come, it has the time until the deadline.
STALL_SECONDS: Final = 30.0
#: Seconds in which what is not there, not allowed or not whole may be a cache that lags behind.
LAG_SECONDS: Final = 15.0
MAY_LAG: Final = (403, 404, 410)

#: Asks for the present address of an image. Raises NotFoundError where the API does not know its task.
Renew: TypeAlias = Callable[[], Flow[str | None]]


def download(
    session: Session, url: str, target: Target, deadline: Deadline, renew: Renew | None = None
) -> Flow[tuple[Examined, str]]:
    """Fetch a picture into a target. Returns what it is, and its address, which may be a newer one by then.

    What breaks off, and a server that is busy, is tried again until the deadline; what is not there or not whole for
    some seconds; and an address that is gone is renewed once. A picture that never came whole is returned with its
    ``fault``; everything else that fails is a DownloadError, an ImageGoneError where no task is known that could renew
    the address.
    """
    attempt, lagging, gone = 0, None, False
    while True:
        target.reset()
        reply = yield from _fetch(session, url, target, deadline)
        found = None
        if isinstance(reply, APIResponse) and reply.status_code == 200 and target.size:
            found = yield from _examined(target)
            if found.fault is None and (found.kind is not None or not _is_short(reply, target)):
                return found, url
        if renew is not None and _is_final(reply, found):
            (newer, gone), renew = (yield from _renewed(renew)), None
            if newer is not None and newer != url:
                url, lagging = newer, None
                continue
        left = deadline.left()
        if _may_lag(reply, found, gone):
            lagging = lagging or session.deadline(LAG_SECONDS)
            left = min(left, lagging.left())
        elif _is_final(reply, found):
            left = 0.0
        attempt += 1
        wait = retry_after(reply, _clock.wall()) if isinstance(reply, APIResponse) else None
        delay = wait_before(attempt, wait)
        if delay >= left:
            if found is not None and found.kind is not None:
                return found, url
            raise _failed(session, url, reply, target, found, gone=gone)
        yield Sleep(delay)


def _renewed(renew: Renew) -> Flow[tuple[str | None, bool]]:
    """Return the present address, if there is one, and whether there will be none."""
    try:
        return (yield from renew()), False
    except NotFoundError:
        return None, True


def _examined(target: Target) -> Flow[Examined]:
    found: Examined = yield Work(target.examine)
    return found


def _is_short(reply: APIResponse, target: Target) -> bool:
    """Tell whether less came than was announced. Not every HTTP library looks."""
    length = reply.headers.get("content-length", "")
    return "content-encoding" not in reply.headers and length.isdecimal() and target.size < int(length)


def _may_lag(reply: APIResponse | TransportFault, found: Examined | None, gone: bool) -> bool:
    if found is not None:
        return found.fault is not None
    return not gone and isinstance(reply, APIResponse) and reply.status_code in MAY_LAG


def _is_final(reply: APIResponse | TransportFault, found: Examined | None) -> bool:
    """Tell whether the same request is not worth another try."""
    if isinstance(reply, TransportFault):
        return reply.local
    if found is not None:
        return found.fault is not None
    return reply.status_code not in (200, 202, *TRANSIENT) and reply.status_code < 500


def _fetch(session: Session, url: str, target: Target, deadline: Deadline) -> Flow[APIResponse | TransportFault]:
    """Request without the key, following up to 5 redirects."""
    step = checked(session, url)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = yield from send(
                Send("GET", step, kind="picture", within=deadline.left(), sink=target, stall=STALL_SECONDS)
            )
        except TransportFault as exc:
            return exc
        location = response.headers.get("location")
        if not 300 <= response.status_code < 400 or location is None:
            return response
        try:
            following = urljoin(step, location.strip())
        except ValueError:
            raise DownloadError("The image's address redirects to what is no address.", url=url) from None
        if step[:6].lower() == "https:" and following[:6].lower() != "https:":
            raise DownloadError("The image's address redirects away from https, so it was not fetched.", url=url)
        step = checked(session, following)
    raise DownloadError(f"The image's address redirects more than {MAX_REDIRECTS} times.", url=url)


def checked(session: Session, address: str) -> str:
    """Return the address to fetch, whole. Raises DownloadError for one that an answer must not lead to.

    Where names lead to is seen when they are resolved, by the connection.
    """
    url = absolute(session.base_url, address) or ""
    place, home = origin(url), origin(session.base_url)
    if place is None or home is None:
        raise DownloadError("The image's address is not a plain http(s) one, so it was not fetched.", url=address)
    scheme, host, port = place
    if is_private_host(host):
        if not session.allow_private_images and not is_private_host(home[1]):
            raise DownloadError(leads_inside(host, home[1]), url=address)
    elif scheme == "http" and home[0] == "https":
        if port != 80:
            raise DownloadError(
                f"The image's address (http, {host}) is not encrypted, and that of the API is: it was not fetched. "
                "If you trust that network, fetch image.url yourself.",
                url=address,
            )
        parts = urlsplit(url)
        url = parts._replace(scheme="https", netloc=parts.netloc.removesuffix(":80")).geturl()
        warn(f"An image's address (http, {host}) was not encrypted, and that of the API is: it is fetched with https.")
    return url


def fresh_url(
    session: Session, task_id: str, poll_url: str | None, index: int, deadline: Deadline, *, is_told: bool
) -> Flow[str | None]:
    """Ask a task for the present address of one of its images. Free, and never a new generation.

    With ``is_told``, raises NotFoundError where the API does not know the task. An id that came with the images, and
    was never polled, may be none of a task.
    """
    try:
        yield from acquire(session, deadline)
        answer = yield from poll(session, task_id, poll_url, deadline)
    except LemonError:
        return None  # the failed download is what gets reported
    if isinstance(answer, Transient) and answer.status_code == 404 and is_told:
        raise NotFoundError(answer.reason)
    return (
        text_of(answer.images[index].get("url")) if isinstance(answer, Answer) and index < len(answer.images) else None
    )


def _failed(
    session: Session,
    url: str,
    reply: APIResponse | TransportFault,
    target: Target,
    found: Examined | None,
    *,
    gone: bool,
) -> DownloadError:
    status = reply.status_code if isinstance(reply, APIResponse) else None
    if isinstance(reply, TransportFault):
        why = str(reply)
    elif found is not None:
        said = error_detail(session.mask(APIResponse(reply.status_code, reply.headers, target.head()))).get("message")
        why = (found.fault or "less came than was announced") + (f": {said}" if said and found.kind is None else "")
    else:
        said = error_detail(reply).get("message")
        why = f"HTTP {status}: {said}" if said else f"HTTP {status}" if status != 200 else "an empty answer"
    if gone and found is None:
        return image_gone(url, why, status)
    return DownloadError(
        f"The image was generated, but fetching it from {host_of(url)} failed ({why}). "
        "Fetch it again; do not generate it again.",
        url=url,
        status_code=status,
    )


def image_gone(url: str, why: str, status: int | None) -> ImageGoneError:
    """Return the error for an image that nobody can fetch any more, as far as is known here."""
    return ImageGoneError(
        f"The image was generated and is paid for, but {host_of(url)} does not give it out ({why.rstrip('.')}), and "
        "the API knows no task of it that could tell another address. Try it again with the key and the base URL that "
        "it was made with; otherwise it is gone.",
        url=url,
        status_code=status,
    )


def host_of(url: str | None) -> str:
    """Return the host of an address, for messages: the rest may hold a signature."""
    try:
        return urlsplit((url or "").strip()).hostname or "nowhere"
    except ValueError:
        return "nowhere"
