"""Every error of this package, under one root.

::

    LemonError
    ├── MissingKeyError                    no API key was given; nothing was sent
    ├── ConfigurationError(ValueError)     a key, address, proxy or certificate cannot be used; nothing was sent
    ├── CapabilityError(ValueError)        the model does not take this request; nothing was sent
    ├── BudgetError(ValueError)            the budget does not cover it, or a price is not known; nothing was sent
    ├── APIConnectionError                 no response
    │   └── APITimeoutError(TimeoutError)
    ├── APIStatusError                     the API answered with an error
    │   ├── BadRequestError 400            ├── AuthenticationError 401     ├── InsufficientBalanceError 402
    │   ├── PermissionDeniedError 403      ├── NotFoundError 404           ├── ConflictError 409
    │   ├── PayloadTooLargeError 413       ├── UnprocessableEntityError 422
    │   ├── RateLimitError 429             └── ServerError 5xx
    ├── ModerationError                    the prompt or an image was not let through, for what it shows
    │   ├── ModerationStatusError(BadRequestError)   ... at once; nothing was accepted
    │   └── ModerationTaskError(TaskFailedError)     ... when the task ran
    ├── ResponseError                      a reply that cannot be understood; keeps the raw body
    ├── SubmissionUncertainError           the request may have been accepted and billed: look before sending again
    │   └── UnreadableSubmissionError(ResponseError)
    ├── TaskError                          .task is the handle to resume with
    │   ├── TaskFailedError                .reason
    │   │   └── TaskCancelledError
    │   ├── TaskNotFoundError
    │   └── TaskTimeoutError(TimeoutError) the task is still running: resume, do not resubmit
    ├── DownloadError                      the image exists, fetching it failed
    │   └── ImageGoneError                 ... its address is gone, and the API does not know its task
    ├── SaveError(OSError)                 the image exists, it could not be written where it was wanted
    ├── JournalError                       the journal of a batch cannot be used
    └── rows.RowsError(ValueError)         a file of rows cannot be used; nothing was sent

Whatever is raised after a task is known carries it as ``.task``. All of them can be pickled. None holds the key:
``.response`` is a record of the answer, without the request that caused it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = (
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BudgetError",
    "CapabilityError",
    "ConfigurationError",
    "ConflictError",
    "DownloadError",
    "ImageGoneError",
    "InsufficientBalanceError",
    "JournalError",
    "LemonError",
    "LemonWarning",
    "MissingKeyError",
    "ModerationError",
    "ModerationStatusError",
    "ModerationTaskError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "ResponseError",
    "SaveError",
    "ServerError",
    "SubmissionUncertainError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskTimeoutError",
    "UnprocessableEntityError",
    "UnreadableSubmissionError",
)


class LemonWarning(UserWarning):
    """Something worth knowing that stopped nothing: fewer images than asked for, a model name that looks misspelt."""


class LemonError(Exception):
    """The root. ``.task`` is the handle of the task concerned (`ImageTask`, `AsyncImageTask`), where one is known.

    ``.paths`` are the files that were saved before, where one of several images failed. ``.result`` holds images that
    came all the same (`ImageResult`). ``.tasks`` are all handles of a call that sent several requests (``fan_out``).
    ``.code``, ``.type``, ``.param``, ``.body``, ``.status_code`` and ``.request_id`` are what the API said; every error
    has them, None where it said nothing.
    """

    task: Any = None
    tasks: Sequence[Any] = ()
    result: Any = None
    paths: Sequence[Path] = ()
    # As openai's errors have them. Whoever logs them must not meet an AttributeError where something is paid for.
    code: str | None = None
    type: str | None = None
    param: str | None = None
    body: Any = None
    status_code: int | None = None
    request_id: str | None = None
    request: None = None  # openai's have it; here the key would stand in it

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """What it says: ``str(error)``."""
        return str(self)


class MissingKeyError(LemonError):
    """No API key was given and LEMONDATA_API_KEY is not set. Nothing was sent."""


class ConfigurationError(LemonError, ValueError):
    """The key, the address, a proxy or a certificate that was given cannot be used. Nothing was sent."""


class CapabilityError(LemonError, ValueError):
    """The model does not take this request. Nothing was sent. ``.violations`` lists all that is wrong (`Violation`)."""

    def __init__(self, message: str, *, violations: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.violations = list(violations)


class BudgetError(LemonError, ValueError):
    """The budget is no amount, or does not cover what was to be sent, or a price is not known. Nothing was sent."""


class APIConnectionError(LemonError):
    """No response: the API could not be reached. Unless it says otherwise, nothing was accepted or billed."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """No response in the time there was, for a request that had not been sent or is free to send again."""


class APIStatusError(LemonError):
    """The API answered with an error.

    The attributes are the documented hint fields (facts of the error pages; all of them optional) and ``retry_after``,
    in seconds, from the header or the body. ``body`` is the parsed ``error`` object, ``response`` the whole answer
    (`APIResponse`).
    """

    def __init__(
        self,
        message: str,
        *,
        response: Any = None,
        detail: Mapping[str, Any] = MappingProxyType({}),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.response = response
        self.status_code: int = response.status_code if response is not None else 0
        self.body = dict(detail)
        self.code = self.body.get("code")
        self.type = self.body.get("type")
        self.param = self.body.get("param")
        self.hint: str | None = self.body.get("hint")
        self.did_you_mean: str | None = self.body.get("did_you_mean")
        self.suggestions: list[Any] = _list(self.body.get("suggestions"))
        self.alternatives: list[Any] = _list(self.body.get("alternatives"))
        self.retryable: bool | None = self.body.get("retryable")
        self.retry_after = retry_after
        self.balance_usd: float | None = self.body.get("balance_usd")
        self.estimated_cost_usd: float | None = self.body.get("estimated_cost_usd")
        self.request_id = _request_id(response) or self.body.get("request_id")


class BadRequestError(APIStatusError):
    """400: the request is wrong, sending it again does not help."""


class ModerationError(LemonError):
    """The prompt or an image was not let through, for what it shows. Change it; sending it again does not help."""


class ModerationStatusError(ModerationError, BadRequestError):
    """The request was refused for what it shows. Nothing was accepted or billed."""


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong or expired."""


class InsufficientBalanceError(APIStatusError):
    """402, or another status with a code that says so: not enough money, or the key's limit is reached.

    See ``balance_usd`` and ``estimated_cost_usd``.
    """


class PermissionDeniedError(APIStatusError):
    """403: this key may not do that."""


class NotFoundError(APIStatusError):
    """404: there is no such thing."""


class ConflictError(APIStatusError):
    """409: not possible in the present state."""


class PayloadTooLargeError(APIStatusError):
    """413: the request is too large."""


class UnprocessableEntityError(APIStatusError):
    """422: the request is well formed and cannot be carried out; sending it again does not help."""


class RateLimitError(APIStatusError):
    """429: too many requests. ``retry_after`` says for how long, in seconds."""


class ServerError(APIStatusError):
    """5xx: the server did not accept the request, and said so."""


class ResponseError(LemonError):
    """A reply that cannot be understood. ``body`` is what came, ``response`` the whole record.

    ``path`` is where data that is no whole picture was kept.
    """

    path: Path | None = None

    def __init__(self, message: str, *, response: Any = None) -> None:
        super().__init__(message)
        self.response = response
        self.body = response.body if response is not None else b""
        self.request_id = _request_id(response)


class SubmissionUncertainError(LemonError):
    """The request left and its answer was lost: it may have been accepted and billed.

    Look at your account before sending it again. ``status_code`` and ``response`` are None where nothing came back.
    """

    def __init__(self, message: str, *, response: Any = None) -> None:
        super().__init__(message)
        self.response = response
        self.status_code = response.status_code if response is not None else None
        self.request_id = _request_id(response)


class UnreadableSubmissionError(SubmissionUncertainError, ResponseError):
    """The request was answered with success, in words that cannot be understood: very likely billed."""

    def __init__(self, message: str, *, response: Any = None) -> None:
        SubmissionUncertainError.__init__(self, message, response=response)
        self.body = response.body if response is not None else b""


class TaskError(LemonError):
    """Something is wrong with a task that was accepted. ``.task`` is the handle to resume with."""

    def __init__(self, message: str, *, task: Any = None) -> None:
        super().__init__(message)
        self.task = task
        self.request_id = getattr(task, "request_id", None)


class TaskFailedError(TaskError):
    """The API ended the task without success. ``reason`` is what it said; ``result`` holds images that came with it."""

    def __init__(self, message: str, *, task: Any = None, reason: str | None = None) -> None:
        super().__init__(message, task=task)
        self.reason = reason
        self.result: Any = None


class ModerationTaskError(ModerationError, TaskFailedError):
    """The task was accepted, and failed for what it shows."""


class TaskCancelledError(TaskFailedError):
    """The task was cancelled, by whoever may."""


class TaskNotFoundError(TaskError):
    """The API does not know the task: a wrong id, one of another key, or too long ago."""


class TaskTimeoutError(TaskError, TimeoutError):
    """The deadline passed and the task is still running. It is paid for: resume it, do not submit it again.

    ``retry_after`` is how many seconds the server asked to wait when it was last polled, None if it did not.
    """

    def __init__(self, message: str, *, task: Any = None, retry_after: float | None = None) -> None:
        super().__init__(message, task=task)
        self.retry_after = retry_after


class DownloadError(LemonError):
    """The image was made, fetching it failed. Fetch it again; do not generate it again.

    ``url`` is its address and ``status_code`` what was answered there, each None where there was none. Where data came
    that is no whole picture, ``path`` is where `save` kept it, ``body`` what `read` got.
    """

    path: Path | None = None
    body: bytes = b""

    def __init__(self, message: str, *, url: str | None = None, status_code: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status_code = status_code


class ImageGoneError(DownloadError):
    """The image was made and paid for, and its address is gone and cannot be renewed: no task of it is known.

    Another try helps only with the key and at the address of the API that it was made with.
    """


class SaveError(LemonError, OSError):
    """The image was made, and could not be written where it was wanted. ``errno`` says why.

    ``path`` is where it was put aside, if it came with the answer and is nowhere else.
    """

    def __init__(self, message: str, *, path: Path | None = None, errno: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.errno = errno

    def __reduce__(self) -> Any:
        return partial(type(self), errno=self.errno), self.args, self.__dict__


class JournalError(LemonError):
    """The journal of a batch cannot be used or does not fit. ``path`` is the file."""

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


_BY_STATUS: Mapping[int, type[APIStatusError]] = MappingProxyType(
    {
        400: BadRequestError,
        401: AuthenticationError,
        402: InsufficientBalanceError,
        403: PermissionDeniedError,
        404: NotFoundError,
        409: ConflictError,
        413: PayloadTooLargeError,
        422: UnprocessableEntityError,
        429: RateLimitError,
    }
)


def _request_id(response: Any) -> str | None:
    from lemon_client.money_table import BILLING  # whoever imports an error alone loads nothing else

    headers = response.headers if response is not None else {}
    return next((headers[name] for name in BILLING.request_id.headers if name in headers), None)


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def status_error_class(status_code: int) -> type[APIStatusError]:
    """Return the class for an HTTP status."""
    return ServerError if status_code >= 500 else _BY_STATUS.get(status_code, APIStatusError)
