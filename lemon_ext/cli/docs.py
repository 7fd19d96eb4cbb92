"""``lemon docs``: the manual that came with the package. It is read where there is no checkout."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

import click

from ._screen import screen

_PACKAGE = Path(__file__).parent.parent
#: Where the wheel has the pages, and where a checkout has them.
_FOLDERS = (_PACKAGE / "docs", _PACKAGE.parent / "docs")


@click.command()
@click.argument("page", required=False, shell_complete=lambda _ctx, _param, begun: _named(begun))
def docs(page: str | None) -> int:
    """Print a page of the manual, or list the pages.

    The pages are Markdown, and can be read as they are. A link such as errors.md is `lemon docs errors`.
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
    screen.out(
        re.sub(r"^<!-- .*? -->\n+", "", pages[name].read_text(encoding="utf-8"), flags=re.MULTILINE).rstrip("\n")
    )
    return 0


def _named(begun: str) -> list[str]:
    return [name for name in _pages() if name.startswith(begun)]


def _pages() -> dict[str, Path]:
    folder = next(folder for folder in _FOLDERS if folder.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.md"), key=lambda path: path.stem)}


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return next(line.removeprefix("# ").strip() for line in file if line.startswith("# "))
