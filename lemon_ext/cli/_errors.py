"""What went wrong, as people and shells hear it: a message, the safe next step, and an exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import define, frozen

from lemon_ext import errors

if TYPE_CHECKING:
    from pathlib import Path

    from lemon_ext.polling import Task

DONE: Final = 0
BUG: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
FAILED: Final = 4
RUNNING: Final = 5
UNCERTAIN: Final = 6
PARTLY: Final = 7
INTERRUPTED: Final = 130

#: One class, one code; a class without a line has that of its nearest parent.
EXIT_CODES: Final = MappingProxyType(
    {
        errors.MissingKeyError: USAGE,
        errors.CapabilityError: USAGE,
        errors.JournalError: USAGE,
        # Of ours, these are errors about what was given: the rows of a file.
        ValueError: USAGE,
        errors.APIConnectionError: REFUSED,
        errors.APIStatusError: REFUSED,
        errors.ResponseError: REFUSED,
        errors.TaskNotFoundError: REFUSED,
        errors.TaskError: FAILED,
        errors.TaskTimeoutError: RUNNING,
        # The image exists and is paid for; as with a running task, the next step is to fetch it, not to make it again.
        errors.DownloadError: RUNNING,
        errors.SubmissionUncertainError: UNCERTAIN,
        KeyboardInterrupt: INTERRUPTED,
        OSError: USAGE,
        errors.LemonError: BUG,
    }
)
#: The longest handle that is offered as an argument; one with images in it is far longer.
_LONGEST_ARGUMENT: Final = 4000


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error."""
    kinds = [kind for kind in type(error).__mro__ if kind in EXIT_CODES]
    # The root says the least, wherever it stands among the parents.
    return EXIT_CODES[min(kinds, key=lambda kind: kind is errors.LemonError)] if kinds else BUG


@define
class Failure:
    """An error, ready to be told. ``next`` is the command that is safe to run now, where there is one."""

    message: str
    exit_code: int
    next: str | None = None
    error: BaseException | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON for programs."""
        return {"error": describe(self.error, self.message), "exit_code": self.exit_code, "next": self.next}


@frozen
class Resume:
    """What a command to go on with has to repeat of this one."""

    folder: Path | None = None
    base_url: str | None = None
    #: False for an emulator's tasks, which end with the command.
    alive: bool = True

    def task(self, handles: Iterable[Task]) -> str | None:
        """Return the command that waits for tasks and saves their images. It makes no new ones."""
        if not self.alive or not (names := [name for handle in handles if (name := _argument(handle))]):
            return None
        return shlex.join(["lemon", "task", *names, "--wait", *self.options()])

    def options(self) -> list[str]:
        """Return the options to repeat."""
        folder = ["-o", str(self.folder)] if self.folder is not None and str(self.folder) != "." else []
        return [*folder, *(["--base-url", self.base_url] if self.base_url else [])]


def explain(error: BaseException, resume: Resume | None = None, task: Task | None = None) -> Failure | None:
    """Return what to say of an error, or None if it is none that was foreseen: a bug."""
    if not isinstance(error, errors.LemonError | OSError | KeyboardInterrupt):
        return None
    code = exit_code(error)
    task = getattr(error, "task", None) or task
    if isinstance(error, OSError) and not isinstance(error, errors.LemonError) and task is not None:
        code = RUNNING  # the images are made; only saving them failed
    following = None
    if code in (RUNNING, INTERRUPTED) and task is not None and resume is not None:
        following = resume.task([task])
    return Failure(_message(error), code, following, error)


def describe(error: BaseException | None, message: str) -> dict[str, Any]:
    """Return an error as JSON, in the form that the rows of a batch have too."""
    described = {
        "type": type(error).__name__ if error is not None else "Error",
        "message": message,
        "code": getattr(error, "code", None),
        "status_code": getattr(error, "status_code", None),
    }
    if isinstance(error, errors.CapabilityError):
        described["violations"] = [
            {"parameter": one.parameter, "message": one.message, "allowed": list(one.allowed)}
            for one in error.violations
        ]
    return described


def _message(error: BaseException) -> str:
    match error:
        case errors.MissingKeyError():
            return "No API key: set LEMONDATA_API_KEY. To try things without one, add --emulator."
        case errors.TaskTimeoutError():
            return str(error).partition(" Resume it:")[0]  # the command line has its own way to resume
        case errors.LemonError():
            return " ".join([str(error), *getattr(error, "__notes__", ())])
        case OSError(strerror=str(why), filename=name) if name is not None:
            return f"{name}: {why}."
        case _:
            return str(error) or type(error).__name__


def _argument(task: Task) -> str | None:
    if task.id is not None:
        return task.id
    handle = json.dumps(task.to_dict())
    return handle if len(handle) <= _LONGEST_ARGUMENT else None
