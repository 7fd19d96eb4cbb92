"""``lemon generate``: submit prompts, wait, and save the images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lemon_ext._words import count

from ._billed import EPILOG, billed_fields, billed_options, plan, prompt_of, run
from ._contract import ApiCommand, api_options
from ._options import fan_out_option
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext._request import Request
    from lemon_ext.capabilities import Violation


@click.command(cls=ApiCommand, epilog=EPILOG)
@click.argument("prompts", metavar="PROMPT...", nargs=-1, required=True)
@api_options
@fan_out_option
@billed_options
def generate(prompts: tuple[str, ...], **options: Any) -> int:
    """Generate images, wait until they are done, and save them.

    Prints the paths of the files. All PROMPTs are checked before the first is sent, and then processed at the same
    time. `-` reads one prompt from stdin. Put `--` before a prompt that begins with a dash.
    """
    texts = [prompt_of(prompt) for prompt in prompts]
    fields, extra = billed_fields(options)
    requests = _checked(texts, fields, extra, options["validation"], fan_out=options["fan_out"])
    if options["fan_out"]:
        _say_fanned_out(texts, requests)
    if options["dry_run"]:
        return plan(requests, options)
    _ask_about_words(texts)
    return run(requests, options)


def _checked(
    texts: Sequence[str], fields: Mapping[str, Any], extra: Mapping[str, Any], validation: Any, *, fan_out: bool
) -> list[Request]:
    """Return the requests, ready to send. Raises CapabilityError with all that is wrong with any of them."""
    from attrs import evolve

    from lemon_ext._request import prepare_parts
    from lemon_ext.capabilities import describe
    from lemon_ext.errors import CapabilityError

    params = {name: value for name, value in fields.items() if name != "model"}
    requests: list[Request] = []
    found: list[Violation] = []
    for number, text in enumerate(texts, 1):
        try:
            requests += prepare_parts(text, fields.get("model"), params, extra, validation, fan_out)
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


def _say_fanned_out(texts: Sequence[str], requests: Sequence[Request]) -> None:
    """Say how many requests --fan-out makes before they are sent."""
    model, images = requests[0].model, sum(request.n for request in requests)
    if len(requests) == len(texts):
        screen.note(f"--fan-out changes nothing: the contract names no lower number of images a request for {model}.")
    else:
        screen.note(
            f"{model} gives at most {requests[0].n} a request: {count(len(requests), 'request')} "
            f"for {count(images, 'image')}."
        )


def _ask_about_words(texts: Sequence[str]) -> None:
    """Ask before `lemon generate a white cat` becomes three pictures. Scripts are not asked."""
    asked = sys.stdin is not None and sys.stdin.isatty()
    if asked and len(texts) > 2 and all(len(text.split()) == 1 for text in texts):
        question = (
            f"{len(texts)} prompts of one word each, so {len(texts)} requests. Send them (or are quotes missing)?"
        )
        if not click.confirm(question, err=True):
            raise click.ClickException("Nothing was sent.")
