"""``lemon gallery``: the page of a batch, made again."""

from __future__ import annotations

from pathlib import Path

import click

from ._screen import screen


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def gallery(folder: Path) -> int:
    """Write the page that shows a batch's images, DIR/index.html, and print its path.

    `lemon batch` writes it at its end; this makes it again, also in the middle of a batch.
    """
    from lemon_ext.batch import export_results
    from lemon_ext.gallery import write_gallery

    export_results(folder)
    screen.out(str(write_gallery(folder)))
    return 0
