"""``lemon generate``: submit prompts, wait, and save the images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ._billed import EPILOG, billed_options, extra_fields, plan, prompt_of, run
from ._contract import ApiCommand, api_fields, api_options

if TYPE_CHECKING:
    from lemon_ext._core import Request


@click.command(cls=ApiCommand, epilog=EPILOG)
@click.argument("prompts", metavar="PROMPT...", nargs=-1, required=True)
@api_options
@billed_options
def generate(prompts: tuple[str, ...], **options: Any) -> int:
    """Generate images, wait until they are done, and save them.

    Prints the paths of the files. All PROMPTs are checked before the first is sent, and then processed at the same
    time. `-` reads one prompt from stdin. Put `--` before a prompt that begins with a dash.
    """
    texts = [prompt_of(prompt) for prompt in prompts]
    requests = _checked(texts, api_fields(options), extra_fields(options["extra"]), options["validation"])
    if options["dry_run"]:
        return plan(requests)
    _ask_about_words(texts)
    return run(requests, options)


def _checked(
    texts: Sequence[str], fields: Mapping[str, Any], extra: Mapping[str, Any], validation: Any
) -> list[Request]:
    """Return the requests, ready to send. Raises CapabilityError with all that is wrong with any of them."""
    from attrs import evolve

    from lemon_ext._core import prepare
    from lemon_ext.capabilities import describe
    from lemon_ext.errors import CapabilityError

    params = {name: value for name, value in fields.items() if name != "model"}
    requests, found = [], []
    for number, text in enumerate(texts, 1):
        try:
            requests.append(prepare(text, fields.get("model"), params, extra, validation))
        except CapabilityError as exc:
            for one in exc.violations:
                if one.parameter == "prompt" and len(texts) > 1:
                    found.append(evolve(one, parameter=f"prompt {number}"))
                elif one not in found:
                    found.append(one)
        except ValueError as exc:
            raise click.UsageError(str(exc)) from None
    if found:
        raise CapabilityError(describe(found), violations=found)
    return requests


def _ask_about_words(texts: Sequence[str]) -> None:
    """Ask before `lemon generate a white cat` becomes three pictures. Scripts are not asked."""
    asked = sys.stdin is not None and sys.stdin.isatty()
    if asked and len(texts) > 2 and all(len(text.split()) == 1 for text in texts):
        question = (
            f"{len(texts)} prompts of one word each, so {len(texts)} requests. Send them (or are quotes missing)?"
        )
        if not click.confirm(question, err=True):
            raise click.ClickException("Nothing was sent.")
