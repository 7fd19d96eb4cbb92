"""What a model can do, and what is wrong with a request, before money is spent on it.

The table is the contract's (``x-lemon-models``); nothing about a model is written here. `violations` is the primitive
and lists everything at once; `check` raises. An unknown model is never an error: it follows the request schema alone,
and a name that looks like a misspelt one is only warned of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from attrs import field, frozen
from lemon_client.model_table import MODELS, PARAMETERS, REQUIRED, ModelRow, Pixels, Rule

from ._warn import warn
from .errors import CapabilityError

__all__ = ("ModelCapabilities", "Violation", "capabilities", "check", "models", "nearest_model", "violations")

#: The row for every model that has none.
ANY_MODEL = "*"


class GeneratedRequest(Protocol):
    """A request of the generated client."""

    def to_dict(self) -> dict[str, Any]: ...


@frozen
class Violation:
    """One thing that is wrong with a request. ``allowed`` lists the values that would do, where they can be listed."""

    parameter: str
    message: str
    allowed: tuple[str | int | float, ...] = ()

    def __str__(self) -> str:
        return f"{self.parameter}: {self.message}"


@frozen
class ModelCapabilities:
    """What is documented of a model.

    ``reply`` says how it usually answers (``"inline"``, ``"task"`` or ``"either"``): a hint, never a promise.
    ``parameters`` maps each parameter of the request to the JSON Schema keywords that bind it, or to False if the
    model does not take it. ``listed`` is False for a model that the contract's table does not name. ``source`` names
    the document.
    """

    id: str
    reply: Literal["inline", "task", "either"]
    summary: str
    source: str
    parameters: Mapping[str, Rule | Literal[False]] = field(repr=False)
    listed: bool = True

    def takes(self, parameter: str) -> bool:
        """Tell whether the model takes a parameter."""
        return self.parameters.get(parameter, False) is not False


def models() -> list[ModelCapabilities]:
    """Return every model that the contract's table names, in its order."""
    return [capabilities(name) for name in MODELS if name != ANY_MODEL]


def capabilities(model: str) -> ModelCapabilities:
    """Return what is known of a model; one without a row gets what holds for any model."""
    row = _row(model)
    return ModelCapabilities(
        id=model,
        reply=row["reply"],
        summary=row["summary"],
        source=row["source"],
        parameters={name: _rule(row, name) for name in PARAMETERS},
        listed=model in MODELS and model != ANY_MODEL,
    )


def _row(model: str) -> ModelRow:
    return MODELS.get(model, MODELS[ANY_MODEL])


def _rule(row: ModelRow, name: str) -> Rule | Literal[False]:
    own = row["parameters"].get(name, {})
    return False if own is False else {**PARAMETERS[name], **own}


def violations(request: Mapping[str, Any] | GeneratedRequest) -> list[Violation]:
    """List all that is wrong with a request, before anything is sent.

    Takes an ``ImageGenerationRequest`` of the generated client, or a mapping with the same names. Parameters that the
    contract does not know are not judged. An empty list means that nothing documented speaks against it.
    """
    fields = dict(request if isinstance(request, Mapping) else request.to_dict())
    found = [Violation(name, "is required") for name in REQUIRED if fields.get(name) is None]
    model = fields.get("model", PARAMETERS["model"].get("default"))
    if not isinstance(model, str):
        return [*found, Violation("model", f"must be a string, not {_kind(model)}")]
    row = _row(model)
    for name in PARAMETERS:
        value = fields.get(name)
        if value is None:
            continue
        if (rule := _rule(row, name)) is False:
            found.append(Violation(name, f"{model} does not take it; leave it out"))
        else:
            allowed = rule.get("enum", rule.get("known", ()))
            found += [Violation(name, message, tuple(allowed)) for message in _broken(value, rule, model)]
    return found


def check(request: Mapping[str, Any] | GeneratedRequest) -> None:
    """Raise CapabilityError, listing every violation, if there is one. Warn of a model name that looks misspelt."""
    if found := violations(request):
        raise CapabilityError(describe(found), violations=found)
    fields = request if isinstance(request, Mapping) else request.to_dict()
    warn_of_near_miss(fields.get("model"))


def describe(found: list[Violation]) -> str:
    """Return one message for several violations."""
    if len(found) == 1:
        return f"Nothing was sent. {found[0]}."
    return "\n".join([f"Nothing was sent. {len(found)} things are wrong:", *(f"  - {one}" for one in found)])


def nearest_model(model: str) -> str | None:
    """Return the listed model that a name was probably meant to be, or None if it is listed or like no other."""
    if model in MODELS:
        return None
    from difflib import get_close_matches  # for a name that is not listed only

    plain = {_plain(name): name for name in MODELS if name != ANY_MODEL}
    matches = get_close_matches(_plain(model), plain, n=1, cutoff=0.85)
    return plain[matches[0]] if matches else None


def warn_of_near_miss(model: object) -> None:
    """Warn of a model name that looks like a misspelt one. The catalogue grows weekly, so it is not an error."""
    if isinstance(model, str) and (near := nearest_model(model)):
        warn(f"The model {model!r} is not a documented one. Did you mean {near!r}?")


def _broken(value: object, rule: Rule, model: str) -> Iterator[str]:
    """Yield what a value breaks of a rule."""
    kind = rule.get("type", "string")
    if not _is(value, kind):
        yield f"must be {_ARTICLES[kind]}, not {_kind(value)}"
        return
    if "enum" in rule:
        if value not in rule["enum"]:
            yield f"{_show(value)} is not available for {model}; allowed: {_list(rule['enum'])}"
    elif isinstance(value, str):
        yield from _broken_text(value, rule)
    elif isinstance(value, int | float):
        yield from _broken_number(value, rule)
    elif isinstance(value, list | tuple):
        yield from _broken_list(value, rule, model)


def _broken_text(value: str, rule: Rule) -> Iterator[str]:
    if not value.strip() and ("minLength" in rule or "pattern" in rule):
        yield "must not be empty"
        return
    if len(value) > rule.get("maxLength", len(value)):
        yield f"is {len(value):,} characters long; {rule['maxLength']:,} are allowed"
    if len(value) < rule.get("minLength", 0):
        yield f"is {len(value):,} characters long; at least {rule['minLength']:,} are needed"
    if "pattern" in rule and not re.search(rule["pattern"], value):
        known = f", for example {_list(rule['known'])}" if "known" in rule else ""
        yield f"{_show(value)} does not have the form {rule['pattern']}{known}"
    elif "pixels" in rule:
        yield from _broken_pixels(value, rule["pixels"])


def _broken_list(value: list[object] | tuple[object, ...], rule: Rule, model: str) -> Iterator[str]:
    low, high = rule.get("minItems", 0), rule.get("maxItems", len(value))
    if not low <= len(value) <= high:
        yield f"has {len(value):,} items; {low:,} to {high:,} are allowed"
    for item in value:
        yield from _broken(item, rule.get("items", {}), model)


def _broken_number(value: float, rule: Rule) -> Iterator[str]:
    low, high = rule.get("minimum"), rule.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = " and ".join(
            f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
        )
        yield f"{value:g} is out of range: {bounds}"


def _broken_pixels(value: str, rule: Pixels) -> Iterator[str]:
    also = rule.get("also", ())
    if value in also:
        return
    if not (match := re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", value)):
        yield f"{_show(value)} is not WIDTHxHEIGHT in pixels" + (f", nor {_list(also)}" if also else "")
        return
    width, height = int(match[1]), int(match[2])
    long, short, area = max(width, height), min(width, height), width * height
    step = rule.get("multipleOf", 1)
    if width % step or height % step:
        yield f"{value}: both sides must be multiples of {step}"
    if long > rule.get("maxEdge", long):
        yield f"{value}: no side may be longer than {rule['maxEdge']}"
    if long > rule.get("maxRatio", long) * short:
        yield f"{value}: one side may be at most {rule['maxRatio']:g} times the other"
    if not rule.get("minPixels", area) <= area <= rule.get("maxPixels", area):
        yield f"{value}: {area:,} pixels; {rule.get('minPixels', 1):,} to {rule.get('maxPixels', area):,} are allowed"


_ARTICLES = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": (list, tuple),
}


def _is(value: object, kind: str) -> bool:
    # True is an int to Python, and a mistake to the API.
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _list(values: tuple[str | int | float, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
