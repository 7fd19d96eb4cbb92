"""The command line, ``lemon``. What it draws, prints and returns is in docs/command-line.md.

Each command is a module of its own, imported when it is called for. ``lemon --help`` imports click and nothing else.
"""

from __future__ import annotations

import sys

__all__ = ("exit_code", "main")


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        import click  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as exc:
        if exc.name != "click":
            raise
        sys.stderr.write("lemon: The command line is an extra. Install it with: pip install 'lemon-ext[cli]'\n")
        sys.exit(2)
    from ._app import app

    app(prog_name="lemon")


def exit_code(error: BaseException) -> int:
    """Return the exit code that an error ends the command with (docs/command-line.md)."""
    from ._errors import exit_code

    return exit_code(error)
