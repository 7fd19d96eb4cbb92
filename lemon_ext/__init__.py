"""A client for LemonData's image API: it validates first, waits until done, and never pays twice.

Importing this package costs next to nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` itself would cost more than all the rest of this module
if TYPE_CHECKING:
    from ._api import Record as Record
    from ._response import APIResponse as APIResponse
    from .batch import arun_batch as arun_batch
    from .batch import run_batch as run_batch
    from .capabilities import ModelCapabilities as ModelCapabilities
    from .capabilities import Violation as Violation
    from .capabilities import check as check
    from .capabilities import violations as violations
    from .client import AsyncImageTask as AsyncImageTask
    from .client import AsyncLemon as AsyncLemon
    from .client import ImageTask as ImageTask
    from .client import Lemon as Lemon
    from .errors import APIConnectionError as APIConnectionError
    from .errors import APIStatusError as APIStatusError
    from .errors import APITimeoutError as APITimeoutError
    from .errors import AuthenticationError as AuthenticationError
    from .errors import BadRequestError as BadRequestError
    from .errors import BudgetError as BudgetError
    from .errors import CapabilityError as CapabilityError
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConflictError as ConflictError
    from .errors import DownloadError as DownloadError
    from .errors import InsufficientBalanceError as InsufficientBalanceError
    from .errors import JournalError as JournalError
    from .errors import LemonError as LemonError
    from .errors import LemonWarning as LemonWarning
    from .errors import MissingKeyError as MissingKeyError
    from .errors import ModerationError as ModerationError
    from .errors import ModerationStatusError as ModerationStatusError
    from .errors import ModerationTaskError as ModerationTaskError
    from .errors import NotFoundError as NotFoundError
    from .errors import PayloadTooLargeError as PayloadTooLargeError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import RateLimitError as RateLimitError
    from .errors import ResponseError as ResponseError
    from .errors import SaveError as SaveError
    from .errors import ServerError as ServerError
    from .errors import SubmissionUncertainError as SubmissionUncertainError
    from .errors import TaskCancelledError as TaskCancelledError
    from .errors import TaskError as TaskError
    from .errors import TaskFailedError as TaskFailedError
    from .errors import TaskNotFoundError as TaskNotFoundError
    from .errors import TaskTimeoutError as TaskTimeoutError
    from .errors import UnreadableSubmissionError as UnreadableSubmissionError
    from .interop import apoll_until_done as apoll_until_done
    from .interop import poll_until_done as poll_until_done
    from .reconciliation import Reconciliation as Reconciliation
    from .reconciliation import areconcile as areconcile
    from .reconciliation import reconcile as reconcile
    from .results import Image as Image
    from .results import ImageResult as ImageResult
    from .rows import read_rows as read_rows

__version__ = "0.1.0"

_HOMES = {
    "capabilities": ("ModelCapabilities", "Violation", "check", "violations"),
    "client": ("AsyncImageTask", "AsyncLemon", "ImageTask", "Lemon"),
    "interop": ("apoll_until_done", "poll_until_done"),
    "_api": ("Record",),
    "_response": ("APIResponse",),
    "errors": (
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
        "UnreadableSubmissionError",
    ),
    "reconciliation": ("Reconciliation", "areconcile", "reconcile"),
    "results": ("Image", "ImageResult"),
    "batch": ("arun_batch", "run_batch"),
    "rows": ("read_rows",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = (*sorted(_HOME), "__version__")


if not TYPE_CHECKING:  # a type checker would take any name for granted

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
