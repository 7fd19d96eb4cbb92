"""A billed request, checked before anything is sent: what the call was given becomes what goes over the wire."""

from __future__ import annotations

import json
import keyword
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen
from lemon_client.model_table import DEFAULT_MODEL, PARAMETERS
from lemon_client.picture_table import FORMS

from ._api import Body, request_body
from ._inputs import form, read_pictures
from ._openai import CALL, sentence
from ._warn import warn
from ._words import NO_MODEL
from .capabilities import Violation, caution, describe, fanned_out, violations, wrong_fields
from .errors import CapabilityError

Validation: TypeAlias = Literal["strict", "warn", "off"]
#: As httpx writes a body.
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@frozen(eq=False, repr=False)
class Request:
    """A billed request that was checked: what to send, and what is needed to make sense of its answer."""

    body: Body
    model: str
    prompt: str | None
    n: int


def prepare(
    prompt: str,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
) -> Request:
    """Check a generation and return it ready to send. Raises TypeError for an unknown parameter, CapabilityError."""
    given, model = _named(params, PARAMETERS, extra_body), _model(model)
    fields = {"model": model, "prompt": prompt, **given}
    if validation != "off":
        _judge(violations(fields), fields, validation)
    body = request_body(fields, extra_body)
    _check_json(body)
    return Request(body, model, prompt, _count(given.get("n", 1)))


def prepare_parts(
    prompt: str,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
    fan_out: bool,
) -> list[Request]:
    """Check a generation and return the requests that it takes: one, or several with ``fan_out``. As `prepare`."""
    given = {**params, "model": _model(model)}
    parts = fanned_out(given) if fan_out else [given]
    return [prepare(prompt, part.pop("model"), part, extra_body, validation) for part in parts]


def prepare_pictures(
    operation: str,
    pictures: Mapping[str, object],
    prompt: str | None,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
) -> Request:
    """Read the pictures of an edit or a variation, check everything, and return it ready to send.

    Raises as `prepare` does, and OSError for a file that cannot be read. What is no whole picture is never sent.
    """
    shape = FORMS[operation]
    given, model = _named(params, shape.parameters, extra_body), _model(model)
    fields = {"model": model, **({} if prompt is None else {"prompt": prompt}), **given}
    read, wrong = read_pictures(operation, pictures)
    if found := [Violation(name, reason) for name, reason in wrong]:
        raise CapabilityError(describe(found), violations=found)
    if validation != "off":
        _judge(wrong_fields(fields, shape.required), fields, validation)
    fields.update(extra_body or {})
    _check_json(fields)
    return Request(form(operation, fields, read), model, prompt, _count(given.get("n", 1)))


def _named(params: Mapping[str, Any], known: Collection[str], extra_body: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what was given, under the API's names. Raises TypeError for what is unknown, or in the wrong place."""
    given = {_wire_name(name, known): value for name, value in params.items() if value is not None}
    if extra_body and (twice := sorted({*known} & extra_body.keys())):
        raise TypeError(f"{', '.join(twice)} in extra_body: give the API's own parameters as arguments of their own.")
    return given


def _model(model: str | None) -> str:
    model = DEFAULT_MODEL if model is None else model
    if model is None:
        raise TypeError(NO_MODEL)
    return model


def _judge(found: list[Violation], fields: Mapping[str, Any], validation: Validation) -> None:
    if found and validation == "strict":
        raise CapabilityError(describe(found), violations=found)
    for one in found:
        warn(f"{one}. It is sent all the same, because validation='warn'.")
    caution(fields)


def _check_json(body: Mapping[str, Any]) -> None:
    try:
        _JSON.encode(body).encode()
    except UnicodeEncodeError:
        raise ValueError("The request holds half a character (a lone surrogate), so nothing was sent.") from None
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"The request cannot be sent as JSON ({exc}), so nothing was sent.") from None


def _count(n: Any) -> int:
    """Return how many images are asked for; with validation off, ``n`` may be anything."""
    try:
        return max(int(n), 1)
    except (TypeError, ValueError, OverflowError):
        return 1


def _wire_name(name: str, known: Collection[str]) -> str:
    """Return the API's name of a parameter: ``async_`` is Python's way to write ``async``."""
    bare = name.removesuffix("_")
    wire = bare if keyword.iskeyword(bare) else name
    if wire in known:
        return wire
    if told := sentence(name, CALL):
        raise TypeError(told.strip())
    from difflib import get_close_matches  # for a mistake only

    near = get_close_matches(name, known, n=1)
    raise TypeError(
        f"{name!r} is not a parameter of the API{' for this request' if name in PARAMETERS else ''}."
        + (f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}.")
        + " What the contract does not know yet goes into extra_body={...}."
    )
