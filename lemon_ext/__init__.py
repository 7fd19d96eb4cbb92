"""A client for LemonData's image API: it validates first, waits until done, and never pays twice.

Importing this package costs next to nothing: each public name is loaded when it is first used. Editors and type
checkers read ``__init__.pyi``.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

# A new name stands here and in __init__.pyi: `typing.TYPE_CHECKING` would cost more than all the rest of this module.

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
    ),
    "reconciliation": ("Reconciliation", "areconcile", "reconcile"),
    "results": ("Image", "ImageResult"),
    "batch": ("arun_batch", "run_batch"),
    "rows": ("read_rows",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = (*sorted(_HOME), "__version__")


def __getattr__(name: str) -> object:
    if name not in _HOME:
        return import_module("._openai", __name__).of_module(name)
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
