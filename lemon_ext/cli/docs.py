"""``lemon docs``: the manual that came with the package. It is read where there is no checkout."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import click

from ._screen import screen

#: Columns; longer lines are hard to read.
WIDEST: Final = 110
_PACKAGE = Path(__file__).parent.parent
#: Where the wheel has the pages, and where a checkout has them.
_FOLDERS = (_PACKAGE / "docs", _PACKAGE.parent / "docs")


@click.command()
@click.argument("page", required=False, shell_complete=lambda _ctx, _param, begun: _named(begun))
def docs(page: str | None) -> int:
    """Print a page of the manual, or list the pages.

    On a terminal a page is laid out for it and shown in $PAGER; in a pipe it is Markdown, as it was written. A link
    such as errors.md is `lemon docs errors`.
    """
    pages = _pages()
    if page is None:
        width = max(map(len, pages))
        for name, path in pages.items():
            screen.out(f"{name:<{width}}  {_title(path)}")
        screen.next("lemon docs PAGE")
        return 0
    name = Path(page).name.partition("#")[0].removesuffix(".md")
    if name not in pages:
        near = get_close_matches(name, pages, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(pages)}."
        raise click.UsageError(f"There is no page {page!r}. {hint}")
    # Notes to who writes the pages are left out.
    text = re.sub(r"^<!-- .*? -->\n+", "", pages[name].read_text(encoding="utf-8"), flags=re.MULTILINE).rstrip("\n")
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        os.environ.setdefault("LESS", "FRX")  # as git has it: colours, and no pager for what fits on the screen
        click.echo_via_pager(_laid_out(text, min(shutil.get_terminal_size().columns, WIDEST)), color=True)
    else:
        screen.out(text)
    return 0


def _laid_out(text: str, width: int) -> str:
    """Return a page for a terminal of a width: headings, tables and code as they are meant."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    theme = Theme({"markdown.code": "bold cyan"})  # without a background
    console = Console(file=io.StringIO(), width=width, force_terminal=True, highlight=False, theme=theme)
    with console.capture() as laid_out:
        # Addresses stand behind the words: they name the other pages.
        console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    return laid_out.get()


def _named(begun: str) -> list[str]:
    return [name for name in _pages() if name.startswith(begun)]


def _pages() -> dict[str, Path]:
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.md"), key=lambda path: path.stem)}


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return next(line.removeprefix("# ").strip() for line in file if line.startswith("# "))
