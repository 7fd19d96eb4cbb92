"""``lemon sheet``: the pictures of a batch as one picture."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import Place, journal_address_option, open_option
from ._screen import screen


@click.command()
@click.argument("folder", metavar="DIR", type=Place(file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file: .jpg, .png or .webp. [default: DIR/sheet.jpg, and ./sheet.jpg for a store]",
)
@click.option(
    "--columns", metavar="N", type=click.IntRange(1, 100), help="Pictures in a row. [default: as many as rows]"
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(16, 2048),
    default=256,
    help="The side of the frame of each picture. [default: 256]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file, if it is there.")
@journal_address_option
@open_option
def sheet(
    folder: Path | str,
    output: Path | None,
    columns: int | None,
    size: int,
    overwrite: bool,
    journal: str | None,
    opened: bool,
) -> int:
    """Draw the pictures of a batch as one picture, a contact sheet, and print its path.

    Below each picture stand the row's id or number and the prompt. A long batch makes several files: sheet-2.jpg and so
    on. The batch may be running.
    """
    from lemon_ext.batch.sheet import write_sheet

    try:
        paths = write_sheet(folder, output, size=size, columns=columns, overwrite=overwrite, journal=journal)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    for path in paths:
        screen.path(path)
    if opened:
        from ._viewer import view

        view(paths[:1])
    return 0
