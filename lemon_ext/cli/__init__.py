"""The command line, ``lemon``. What it draws, prints and returns is in docs/command-line.md.

Each command is a module of its own, imported when it is called for. ``lemon --help`` imports click and nothing else.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ("exit_code", "main")


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        if not _is_installed():
            sys.stderr.write("lemon: The command line is an extra. Install it with: pip install 'lemon-ext[cli]'\n")
            sys.exit(2)
        from ._app import app

        app(prog_name="lemon")
    except KeyboardInterrupt:  # before the command began, or behind its end
        sys.exit(130)


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error ends the command with (docs/command-line.md)."""
    from ._errors import exit_code

    return exit_code(error)


def _is_installed() -> bool:
    """Tell whether the extra is there. Another package may have brought click alone, or one that is too old."""
    try:
        from click.exceptions import NoArgsIsHelpError  # noqa: F401 - it came with the oldest click that will do
    except ImportError as exc:
        if exc.name not in ("click", "click.exceptions"):
            raise
        return False
    return find_spec("rich") is not None
