"""``lemon inspect``: what a picture is, and what it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ._options import json_option
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext._inspect import Inspected


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@json_option("Print one JSON object per file.")
def inspect(files: tuple[str, ...]) -> int:
    """Show what pictures are, and what they say of themselves: model, prompt, task, marks.

    No network and no key are needed. Content credentials (C2PA) are named, not checked. The exit code is 2 if a file
    cannot be read or is no whole picture.
    """
    from lemon_ext._inspect import inspected

    from ._errors import USAGE, explain

    code = 0
    for number, name in enumerate(files):
        try:
            found = inspected(name)
        except OSError as exc:
            code = USAGE
            if (failure := explain(exc)) is not None:
                screen.fail(failure, {"path": name})
            continue
        code = USAGE if found.fault is not None else code
        if screen.as_json:
            screen.json(_to_dict(name, found))
        else:
            _describe(name, found, apart=number > 0)
    return code


def _describe(name: str, found: Inspected, *, apart: bool) -> None:
    if apart:
        screen.out("")
    screen.title(name)
    pixels = "" if found.size is None else f", {found.size[0]}x{found.size[1]}"
    screen.out(f"{'picture':<14}  {found.kind or 'of no known kind'}{pixels}, {found.bytes:,} bytes")
    if found.fault is not None:
        screen.out(f"{'no picture':<14}  {found.fault}")
        return
    if found.signed is None:
        screen.out(f"{'metadata':<14}  not read: only of PNG, JPEG and WebP")
        return
    told = {
        "source type": found.digital_source_type or "none",
        "model": found.model,
        "task": found.task_id,
        "prompt": found.prompt,
        "revised prompt": found.revised_prompt,
        "credentials": "C2PA, not checked here" if found.signed else "none",
    }
    for what, text in told.items():
        if text is not None:
            screen.out(f"{what:<14}  {' '.join(text.split())}")


def _to_dict(name: str, found: Inspected) -> dict[str, Any]:
    width, height = found.size or (None, None)
    return {
        "path": name,
        "format": found.kind,
        "width": width,
        "height": height,
        "bytes": found.bytes,
        "fault": found.fault,
        "digital_source_type": found.digital_source_type,
        "model": found.model,
        "task_id": found.task_id,
        "prompt": found.prompt,
        "revised_prompt": found.revised_prompt,
        "c2pa": found.signed,
    }
