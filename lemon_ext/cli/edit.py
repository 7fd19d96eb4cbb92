"""``lemon edit`` and ``lemon vary``: submit pictures, wait, and save what came of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
from lemon_client.picture_table import FORMS

from ._billed import EPILOG, billed_fields, billed_options, plan, prompt_of, run
from ._contract import ApiCommand, api_options_of
from ._options import check_stdin

#: Completed as a path, and taken as it is.
_PATH = click.Path()
_IMAGE = "A picture: a path, an http(s) address where the API takes one, or - for stdin."


@click.command(cls=ApiCommand, epilog=EPILOG)
@click.argument("prompt")
@click.option(
    "--image", "images", metavar="FILE_OR_URL", multiple=True, required=True, type=_PATH, help=f"{_IMAGE} Repeatable."
)
@click.option(
    "--mask", metavar="FILE_OR_URL", type=_PATH, help="A picture of the same size, transparent where changes go."
)
@api_options_of(FORMS["edit_image"].parameters)
@billed_options
def edit(prompt: str, images: tuple[str, ...], mask: str | None, **options: Any) -> int:
    """Change pictures by a prompt, wait until that is done, and save what came of it.

    The pictures are all files or all addresses. They are read and checked before anything is sent. Everything else is
    as with `lemon generate`.
    """
    given = {"image": [_picture(image) for image in images], "mask": None if mask is None else _picture(mask)}
    return _run("edit_image", given, prompt_of(prompt), options)


@click.command(cls=ApiCommand, epilog=EPILOG)
@click.option("--image", metavar="FILE", required=True, type=_PATH, help="The picture: a path, or - for stdin.")
@api_options_of(FORMS["create_variation"].parameters)
@billed_options
def vary(image: str, **options: Any) -> int:
    """Make variations of a picture, wait until they are done, and save them. Otherwise as `lemon edit`."""
    return _run("create_variation", {"image": _picture(image)}, None, options)


def _run(operation: str, pictures: Mapping[str, object], prompt: str | None, options: Mapping[str, Any]) -> int:
    from lemon_ext._request import prepare_pictures

    fields, extra = billed_fields(options)
    model = fields.pop("model", None)
    request = prepare_pictures(operation, pictures, prompt, model, fields, extra, options["validation"])
    return plan([request], options) if options["dry_run"] else run([request], options)


def _picture(given: str) -> str | bytes:
    if given != "-":
        return given
    check_stdin()
    return sys.stdin.buffer.read()
