"""``lemon gallery``: write the page of a batch again."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import Place, journal_address_option, open_option, title_option
from ._screen import screen


@click.command()
@click.argument("folder", metavar="DIR", type=Place(file_okay=False, path_type=Path))
@title_option
@journal_address_option
@open_option
def gallery(folder: Path | str, title: str | None, journal: str | None, opened: bool) -> int:
    """Write the gallery page of a batch, DIR/index.html, and print its path.

    `lemon batch` writes the page at its end. This command writes it again, also while the batch runs.
    """
    from lemon_ext.batch import export_results
    from lemon_ext.gallery import write_gallery

    if opened and isinstance(folder, str):
        raise click.UsageError("--open opens files. Open the page of a store in your browser, by its web address.")
    export_results(folder, journal=journal)
    page = write_gallery(folder, title=title, journal=journal)
    screen.out(str(page))
    if opened and isinstance(page, Path):
        from ._viewer import view

        view([page])
    return 0
