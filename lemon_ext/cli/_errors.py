"""Errors for people and shells: a message, the command that is safe to run next, and an exit code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import define, frozen

from lemon_ext import errors
from lemon_ext._duration import CALL, written
from lemon_ext._signals import exit_status

if TYPE_CHECKING:
    from pathlib import Path

    from lemon_ext.tasks import Task

DONE: Final = 0
BUG: Final = 1
USAGE: Final = 2
REJECTED: Final = 3
FAILED: Final = 4
RUNNING: Final = 5
UNCERTAIN: Final = 6
PARTLY: Final = 7
#: A batch has ended, and not all of its rows were saved. Another run would change nothing.
ENDED: Final = 8
#: Everything went well, only a line of output could not be written (EX_IOERR).
OUTPUT: Final = 74

#: One class, one code; a class without a line has that of its nearest parent.
EXIT_CODES: Final = MappingProxyType(
    {
        errors.MissingKeyError: USAGE,
        errors.ConfigurationError: USAGE,
        errors.CapabilityError: USAGE,
        errors.JournalError: USAGE,
        # Of ours, these are errors about what was given: the rows of a file.
        ValueError: USAGE,
        errors.APIConnectionError: REJECTED,
        errors.APIStatusError: REJECTED,
        errors.ResponseError: REJECTED,
        errors.TaskNotFoundError: REJECTED,
        errors.TaskError: FAILED,
        errors.TaskTimeoutError: RUNNING,
        # The image exists and is paid for; as with a running task, the next step is to fetch it, not to make it again.
        errors.DownloadError: RUNNING,
        errors.ImageGoneError: FAILED,
        errors.SaveError: RUNNING,
        errors.SubmissionUncertainError: UNCERTAIN,
        OSError: USAGE,
        errors.LemonError: BUG,
    }
)
#: The longest handle that is offered as an argument; one with images in it is far longer.
_LONGEST_ARGUMENT: Final = 4000
#: How Python code goes on. The command line has its own way, or has done it already.
_FOR_PYTHON: Final = re.compile(
    r" \(see \.body\)| The answer is in \.body\.|: \.result holds them|, result\[\d+\](?=:)|; the text that came is in "
    r"image\.raw|, or lower requests_per_minute| \(in Python: reconcile\((?:folder)?\)\)| Resume it: .*",
    re.DOTALL,
)


def exit_code(error: BaseException, task: Task | None = None, *, submitted: bool = False) -> int:
    """Return the exit code for an error.

    Where a task is known, it is paid for, whatever the error: the code says so, unless the task itself has ended.
    ``submitted``: this command has submitted it, so it exists even if the API says that it does not.
    """
    if isinstance(error, KeyboardInterrupt):
        return exit_status(error)
    kinds = [kind for kind in type(error).__mro__ if kind in EXIT_CODES]
    if not kinds:
        return BUG
    if isinstance(error, errors.TaskError | errors.ImageGoneError):
        paid = submitted and isinstance(error, errors.TaskNotFoundError)
    else:
        paid = (task or getattr(error, "task", None)) is not None
    # The root says the least, wherever it stands among the parents.
    return RUNNING if paid else EXIT_CODES[min(kinds, key=lambda kind: kind is errors.LemonError)]


@define
class Failure:
    """An error to report. ``next`` is the command that is safe to run now, where there is one."""

    message: str
    exit_code: int
    next: str | None = None
    error: BaseException | None = None
    #: Where an answer was kept that is paid for and could not be used.
    answer: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON for programs."""
        error = _describe(self.error, self.message)
        if self.answer is not None:
            error["answer_file"] = str(self.answer)
        return {"error": error, "exit_code": self.exit_code, "next": self.next}


@frozen
class Resume:
    """The options that a command to go on with repeats."""

    folder: Path | None = None
    base_url: str | None = None
    #: False for an emulator's tasks, which end with the command.
    alive: bool = True
    private_images: bool = False
    prompt_metadata: bool = True
    deadline: float = CALL
    poll_interval: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any], folder: Path | None = None) -> Resume:
        """Make one of the options of a command."""
        return cls(
            folder,
            options["base_url"],
            not options.get("emulator"),
            options["allow_private_images"],
            options["prompt_metadata"],
            options["deadline"],
            options["poll_interval"],
        )

    def task(self, handles: Iterable[Task]) -> str | None:
        """Return the command that waits for tasks and saves their images. It makes no new ones."""
        names = [name for handle in handles if (name := _argument(handle))]
        return command("task", ["--wait", *self._options()], names) if self.alive and names else None

    def file(self, path: Path) -> str | None:
        """Return the command that takes a handle from a file, as `task` does from an argument."""
        if not self.alive:
            return None
        return f"{command('task', ['--wait', *self._options()], ['-'])} < {shlex.quote(str(path))}"

    def _options(self) -> list[str]:
        folder = ["-o", str(self.folder)] if self.folder is not None and str(self.folder) != "." else []
        # A shorter deadline than usual has passed, or would again.
        deadline = ["--deadline", written(self.deadline)] if self.deadline > CALL else []
        interval = ["--poll-interval", written(self.poll_interval)] if self.poll_interval is not None else []
        prompts = [] if self.prompt_metadata else ["--no-prompt-metadata"]
        kept = [*prompts, *address(self.base_url, self.private_images)]
        return [*folder, *deadline, *interval, *kept]


def address(base_url: str | None, private_images: bool) -> list[str]:
    """Return the options that say where the API is, and what its answers may lead to."""
    given = ["--base-url", base_url] if base_url else []
    return [*given, *(["--allow-private-images"] if private_images else [])]


def command(name: str, options: Iterable[str], arguments: Iterable[str]) -> str:
    """Return a command for a shell. After ``--`` nothing is an option, so an id that begins with a dash is none."""
    return shlex.join(["lemon", name, *options, "--", *arguments])


def explain(
    error: BaseException, resume: Resume | None = None, task: Task | None = None, *, submitted: bool = False
) -> Failure | None:
    """Return the failure for an error, or None for an unexpected one: a bug."""
    if not isinstance(error, errors.LemonError | OSError | KeyboardInterrupt):
        return None
    task = getattr(error, "task", None) or task
    code = exit_code(error, task, submitted=submitted)
    following = None
    if code == RUNNING and task is not None and resume is not None:
        following = resume.task([task])
    return Failure(_message(error), code, following, error)


def for_shell(text: str) -> str:
    """Return the text of an error without what only Python code can do."""
    return _FOR_PYTHON.sub("", text)


def one_line(text: str) -> str:
    """Return a text without line breaks: a server's words must not look like a line of ours."""
    return " ".join(text.split())


def _describe(error: BaseException | None, message: str) -> dict[str, Any]:
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
        case errors.LemonError():
            notes: Sequence[str] = getattr(error, "__notes__", ())
            text = " ".join(map(for_shell, (str(error), *notes)))
            return text if isinstance(error, ValueError) else one_line(text)  # what was given is listed in lines
        case OSError(strerror=str(why), filename=name) if name is not None:
            return f"{name}: {why}."
        case OSError(strerror=str(why)):
            return f"{why}."
        case _:
            return str(error) or type(error).__name__


def _argument(task: Task) -> str | None:
    """Return the argument of `lemon task` that names a task: its id, or the JSON of its handle."""
    if task.id is not None and task.id != "-" and not task.id.startswith("{"):
        return task.id
    handle: str = json.dumps({"id": task.id} if task.id is not None else task.to_dict())
    return handle if len(handle) <= _LONGEST_ARGUMENT else None
