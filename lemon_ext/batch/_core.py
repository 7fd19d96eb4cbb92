# ruff: noqa
"""Between the core as it is and as it is going to be. Goes away with the next merge."""

from attrs import frozen
from lemon_ext._operations import Answer, Refused, Session, State, post, read_answer
from lemon_ext.errors import *
from lemon_ext.errors import warn
from lemon_ext.polling import Task, adopt, ending, look_once as poll_once, next_delay, remarks, timed_out, with_images
from lemon_ext.retry import Deadline, wait_before
from lemon_ext.schedule import Agenda, Durations, Schedule


@frozen
class Accepted:
    answer: Answer


@frozen
class TryLater:
    error: LemonError
    wait: float | None


@frozen
class Rejected:
    error: LemonError
    scope: str


@frozen
class Unknown:
    error: LemonError


def submit_once(session, body, deadline):
    try:
        got = yield from post(session, body, deadline)
    except SubmissionUncertainError as exc:
        return Unknown(exc)
    except TaskFailedError:
        raise
    except (AuthenticationError, InsufficientBalanceError) as exc:
        return Rejected(exc, "account")
    except ResponseError as exc:
        if exc.response is not None and exc.response.status_code == 303:
            return Unknown(exc)
        return Rejected(exc, "request")
    except APIStatusError as exc:
        return Rejected(exc, "request")
    if isinstance(got, Refused):
        return TryLater(got.error, got.wait)
    return Accepted(got)


def image_of(fields, index, entry, task, runner):
    from lemon_client.models import ImageData

    from lemon_ext.results import Image

    return Image.of(
        ImageData.from_dict(fields),
        called=str(entry.request.get("prompt")),
        index=index,
        task=task if task.id is not None else None,
        runner=runner,
    )
