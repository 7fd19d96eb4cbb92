"""What a program was told of each paid request, and the judgement over it, by the emulator's ledger."""

from __future__ import annotations

import faulthandler
import json
import os
import random
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from attrs import asdict, define, field

from lemon_ext import LemonWarning, SubmissionUncertainError

#: How the emulator names its tasks.
TASK_ID: Final = re.compile(r"img_[0-9a-f]{12}")
#: Words that say that a request is billed, or may be.
DOUBT: Final = re.compile(r"\b(may|is|are|likely|probably)\b[^.:;]*\bbilled\b|\bwas generated, but\b")


def dice(*of: object) -> random.Random:
    """Return the dice of one episode: the same for the same seed, kind and number."""
    return random.Random(" ".join(map(str, of)))


@define(eq=False)
class Call:
    """One request that is paid once, and what its caller knows of it in the end."""

    episode: int
    prompt: str
    #: The pictures are in hand or on disk.
    result: bool = False
    #: Ids of tasks that were named.
    ids: set[str] = field(factory=set)
    #: Ids that were named together with those of other calls.
    among: set[str] = field(factory=set)
    #: It was said that the request may be billed.
    doubt: bool = False
    #: What belongs to somebody else, or is broken.
    wrong: str | None = None
    ended: str = ""

    def took(self, pictures: Iterable[bytes], task_id: str | None = None) -> None:
        """Take the pictures of this request, each of which holds its prompt."""
        self.result = True
        self.ids.update([task_id] if task_id else [])
        for picture in pictures:
            if self.prompt.encode() not in picture:
                self.wrong = "a picture of another request came"
            elif not picture.endswith(b"IEND\xaeB`\x82"):
                self.wrong = "half a picture came"

    def read(self, text: object) -> None:
        """Take in what was said."""
        self.ids.update(TASK_ID.findall(str(text)))
        self.doubt = self.doubt or DOUBT.search(str(text)) is not None

    def caught(self, error: BaseException, *, alone: bool = True) -> None:
        """Take in an exception as a traceback shows it: notes, causes and members of groups included.

        Doubts of one that several calls share (not ``alone``) may be about another of them.
        """
        doubt, ids = self.doubt, set(self.ids)
        self.ended = self.ended or type(error).__name__
        for each in chain(error):
            self.doubt = self.doubt or isinstance(each, SubmissionUncertainError)
            task = getattr(each, "task", None)
            self.ids.update([task.id] if task is not None and task.id else [])
            for text in (each, *getattr(each, "__notes__", ())):
                self.read(text)
        if not alone:
            self.doubt, self.ids, self.among = doubt, ids, self.ids - ids


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that a traceback shows with it."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        hidden = None if each.__suppress_context__ else each.__context__
        waiting += [more for more in (each.__cause__, hidden) if more is not None]
        waiting += getattr(each, "exceptions", ())


#: The call that this thread or task makes just now: warnings are about it.
current: Final[ContextVar[Call | None]] = ContextVar("current", default=None)


def hear_warnings(*, leftovers: bool) -> None:
    """Let each call hear the warnings that are about it. Whether what is left for the garbage collector is a leak: an
    interrupt can come in the instant in which a socket has no owner yet.
    """

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        call = current.get()
        if isinstance(message, LemonWarning) and call is not None:
            call.read(message)
        elif issubclass(category, ResourceWarning):
            say(leak=f"ResourceWarning: {message}")

    warnings.simplefilter("always")
    if not leftovers:
        warnings.filterwarnings("ignore", category=ResourceWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.showwarning = show


# ---- what a worker says to the program that started it ----

#: Seconds after which an episode hangs.
PATIENCE: Final = 30.0


def say(**line: Any) -> None:
    """Print a line of JSON."""
    os.write(1, (json.dumps(line, default=sorted) + "\n").encode())  # whole, and without a lock that a fork could keep


def begin(number: int, seconds: float = PATIENCE) -> None:
    """Say that an episode begins. A program that hangs in one for so long shows where, and ends."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    say(begin=number)


def report(*calls: Call) -> None:
    """Report calls that are over."""
    for call in calls:
        say(call=asdict(call))


@define
class Tally:
    """The judgement over the episodes of one kind."""

    kind: str
    episodes: int = 0
    calls: int = 0
    charged: int = 0
    results: int = 0
    handles: int = 0
    doubts: int = 0
    twice: int = 0
    lost: int = 0
    wrong: int = 0
    leaked: int = 0
    faults: list[str] = field(factory=list)

    def judge(self, call: Mapping[str, Any], charges: Sequence[Mapping[str, Any]], where: str) -> None:
        """Compare what the caller of one request knows with what was charged for it."""
        ids = {charge["task_id"] for charge in charges}
        self.calls += 1
        self.charged += bool(charges)
        if len(charges) > 1:
            self.twice += 1
            self.faults.append(f"{where}: charged {len(charges)} times: {call}")
        if call["wrong"]:
            self.wrong += 1
            self.faults.append(f"{where}: {call['wrong']}: {call}")
        if call["result"]:
            self.results += 1
            if not charges:
                self.wrong += 1
                self.faults.append(f"{where}: pictures came that were not charged: {call}")
        elif charges and ids & {*call["ids"], *call["among"]}:
            self.handles += 1
        elif charges and call["doubt"]:
            self.doubts += 1
        elif charges:
            self.lost += 1
            self.faults.append(f"{where}: charged as {ids}, and nobody was told: {call}")

    def leak(self, what: str, where: str) -> None:
        """Note something that stayed behind."""
        self.leaked += 1
        self.faults.append(f"{where}: {what}")
