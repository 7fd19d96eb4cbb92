"""In a notebook: pictures that stay in it, and progress.

::

    from lemon_ext.notebook import progress

    lemon.images.generate("a white cat", on_update=progress())
    for outcome in run_batch(rows, "out/", on_progress=progress()): ...
"""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any, Final

from ._words import cut

__all__ = ("progress",)

#: Bytes of the pictures that one output of a cell holds. The others are linked.
EMBEDDED: Final = 8 * 1024 * 1024
#: Seconds to fetch a picture that is to be shown.
PATIENCE: Final = 10.0
#: Characters of a prompt that stand for its picture.
_LONGEST: Final = 250
#: Seconds between two updates of a batch: in a notebook, and of lines elsewhere.
_PAUSE, _LINES = 0.25, 5.0


def in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    return "ipykernel" in sys.modules


def picture(source: str, prompt: str | None, style: str) -> str:
    """Return the HTML of a picture."""
    text = " ".join((prompt or "a generated picture").split())
    return f'<img src="{escape(source)}" alt="{escape(cut(text, _LONGEST))}" style="{style}">'


def embedded(data: bytes, kind: str) -> str:
    """Return an address that is the picture itself."""
    return f"data:image/{'svg+xml' if kind == 'svg' else kind};base64,{b64encode(data).decode()}"


def progress() -> Callable[[Any], None]:
    """Return an ``on_update`` for a task or an ``on_progress`` for a batch. It draws in a notebook.

    Elsewhere it writes lines to stderr. Make one for each call.
    """
    return _Display()


class _Display:
    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = -_LINES
        self._text = ""

    def __call__(self, update: Any) -> None:
        """Show how far a task or a batch is."""
        text, part, ended = _of_batch(update) if hasattr(update, "total") else _of_task(update)
        now = time.monotonic()
        if text == self._text or (not ended and now - self._shown < (_PAUSE if in_notebook() else _LINES)):
            return
        self._text, self._shown = text, now
        if not in_notebook():
            sys.stderr.write(f"{text}\n")
            return
        bar = (
            "" if part is None else f'<progress max="1" value="{part:.4f}" style="vertical-align: middle"></progress> '
        )
        display = import_module("IPython.display")
        shown = display.HTML(f"{bar}{escape(text)}")
        if self._handle is None:
            self._handle = display.display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _of_task(task: Any) -> tuple[str, float | None, bool]:
    """Return what to say of a task, how much is done of it, and whether that must not be left out."""
    known = None if task.progress is None else min(max(task.progress / 100, 0.0), 1.0)
    per_cent = "" if task.progress is None or task.done else f", {task.progress:.0f} %"
    return f"{task.id or 'request'}: {task.status or 'sent'}{per_cent}", 1.0 if task.done else known or 0.0, True


def _of_batch(batch: Any) -> tuple[str, float | None, bool]:
    """Do the same for a batch."""
    told = f"{batch}, stopped: {batch.stopped}" if batch.stopped else str(batch)
    done = (batch.total - batch.open) / batch.total if batch.total else 1.0
    return told, done, not batch.open or bool(batch.stopped)
