"""Saved pictures in the terminal (extra ``preview``): by the graphics of kitty, or of sixel, or as half blocks.

It comes after the work, so that it shares the terminal with nothing, and it never decides about anything.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ._screen import screen

#: Pictures that are shown, and lines that one takes.
MOST: Final = 4
HIGHEST: Final = 24


def preview(paths: Sequence[Path]) -> None:
    """Show the first pictures on a terminal, and nothing anywhere else."""
    if not paths or not _is_possible():
        return
    try:
        from rich.console import Console

        # Imported here and not before: it asks the terminal what it can show, and reads the answer from stdin.
        kind = import_module("textual_image.renderable").Image
        console = Console(file=sys.stdout, highlight=False)
        if "cell" in kind.__module__ and console.color_system not in ("truecolor", "256"):
            return  # in sixteen colours, blocks show nothing
        height = min(HIGHEST, max(shutil.get_terminal_size().lines // 2, 4))
        for path in paths[:MOST]:
            if len(paths) > 1:
                screen.out(path.name)
            console.print(kind(path, width="auto", height="auto"), width=console.width, height=height)
    except Exception as exc:  # noqa: BLE001 - whatever a terminal, a library or a picture does, the work is done
        screen.note(f"The picture cannot be shown here ({type(exc).__name__}).")


def _is_possible() -> bool:
    """Tell whether both ends are a terminal that knows more than text, and the extra is there."""
    if screen.as_json or screen.quiet or os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "dumb"):
        return False
    streams = (sys.__stdin__, sys.__stdout__, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and find_spec("textual_image") is not None
