"""Opening files with the system's viewer. Work is never held up or ended by it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Final

from ._screen import screen

#: Of more pictures than that, their folder is opened.
MOST: Final = 4


def view(paths: Sequence[Path]) -> None:
    """Open files, or say that there is nothing here to open them with."""
    for path in paths if len(paths) <= MOST else dict.fromkeys(path.parent for path in paths):
        if not _is_opened(path.absolute()):
            screen.warn(f"There is no viewer here that could open {path}.")
            return


def _is_opened(path: Path) -> bool:
    """Hand a file to the system. Its viewer gets none of our streams: a pipe would stay open as long as it is."""
    if sys.platform == "win32":
        try:
            os.startfile(path)  # noqa: S606 - a picture or a page of ours
        except OSError:
            return False
        return True
    if sys.platform != "darwin" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False  # xdg-open would look for a browser in the terminal
    program = "open" if sys.platform == "darwin" else "xdg-open"
    nothing = subprocess.DEVNULL
    try:
        viewer = subprocess.Popen(  # noqa: S603 - as above
            [program, str(path)], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
        )
    except OSError:
        return False
    Thread(target=viewer.wait, name="lemon-viewer", daemon=True).start()
    return True
