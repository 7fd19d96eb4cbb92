"""What a model can do, and what is wrong with a request, before money is spent on it.

The table is the contract's (``x-lemon-models``); nothing about a model is written here. `violations` is the primitive
and lists everything at once; `check` raises. An unknown model is never an error: it follows the request schema alone,
in which known values do not bind, and a name that looks like a misspelt one is only warned of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from attrs import evolve, field, frozen
from lemon_client.model_table import LIVE, MODELS, PARAMETERS, RELATIONS, REQUIRED, ModelRow, Pixels, Retired, Rule

from ._response import value_of
from ._warn import warn
from ._words import NOT_BLANK, TYPES, cut, phrases, relation
from .errors import CapabilityError

__all__ = (
    "ModelCapabilities",
    "Violation",
    "capabilities",
    "cautions",
    "check",
    "families",
    "models",
    "nearest_model",
    "violations",
)

#: The row for every model that has none.
ANY_MODEL = "*"
#: Images that one request is split for at most.
MOST_FANNED_OUT: Final = 1000


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
    model does not take it; ``default`` there is what the server uses, and is never sent. ``listed`` is False for a
    model that the contract's table does not name. ``family`` is the pattern whose row it follows, where it has none of
    its own. ``source`` names the document. ``retired`` says since when it is gone, and what to use instead.

    Where the API was asked (``live=True``), ``origin`` is the address that answered, None for a model that it did not
    name; ``asked_at`` is when, in Unix seconds; ``unit`` is what its price is per; and ``raw`` is all it said. What it
    left open is the table's.
    """

    id: str
    reply: Literal["inline", "task", "either"]
    summary: str
    source: str
    parameters: Mapping[str, Rule | Literal[False]] = field(repr=False)
    listed: bool = True
    family: str | None = None
    retired: Retired | None = None
    origin: str | None = None
    asked_at: float | None = None
    unit: str | None = None
    raw: Mapping[str, Any] | None = field(default=None, repr=False)

    def takes(self, parameter: str) -> bool:
        """Tell whether the model takes a parameter."""
        return self.parameters.get(parameter, False) is not False


def models() -> list[ModelCapabilities]:
    """Return every model that the contract's table names, in its order. Families are no models: see `families`."""
    return [capabilities(name) for name in MODELS if "*" not in name]


def families() -> list[ModelCapabilities]:
    """Return what holds for each family of models; its id is a pattern, in which ``*`` stands for anything."""
    return [capabilities(name) for name in MODELS if "*" in name and name != ANY_MODEL]


def capabilities(model: str) -> ModelCapabilities:
    """Return what is known of a model; one without a row gets its family's, or what holds for any model."""
    key = _key(model)
    row = MODELS[key]
    return ModelCapabilities(
        id=model,
        reply=row["reply"],
        summary=row["summary"],
        source=row["source"],
        parameters={name: _described(row, name) for name in PARAMETERS},
        listed=key != ANY_MODEL,
        family=key if key not in (model, ANY_MODEL) else None,
        retired=row.get("retired"),
    )


class Said(Protocol):
    """What the API answered: its fields, from where, and when."""

    @property
    def fields(self) -> Mapping[str, Any]: ...
    @property
    def origin(self) -> str: ...
    @property
    def at(self) -> float: ...


def live_list(said: Said) -> list[ModelCapabilities]:
    """Lay a live list of models over the table: its models with what was said of them, and then the others."""
    entries = value_of(said.fields, LIVE.entries)
    named: dict[str, Mapping[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(name := value_of(entry, LIVE.id), str):
            named[name] = entry
    known = [_laid_over(one, named.pop(one.id, None), said) for one in models()]
    return [*known, *(_laid_over(capabilities(name), entry, said) for name, entry in named.items())]


def live(model: str, said: Said) -> ModelCapabilities:
    """Lay what the API says of a model over the table's row."""
    return _laid_over(capabilities(model), said.fields, said)


def _laid_over(model: ModelCapabilities, entry: Mapping[str, Any] | None, said: Said) -> ModelCapabilities:
    if entry is None:
        return evolve(model, asked_at=said.at)
    rules, takes = dict(model.parameters), value_of(entry, LIVE.takes)
    if isinstance(takes, list) and takes:
        taken = {"model", "prompt", *map(str, takes)}
        for name, rule in PARAMETERS.items():
            is_taken = not taken.isdisjoint({name, rule.get("alias_of", name)})
            rules[name] = (rules[name] or _described(MODELS[ANY_MODEL], name)) if is_taken else False
    for name, paths in LIVE.values.items():
        own, values = rules[name], value_of(entry, paths)
        if own is not False and isinstance(values, list) and values:
            rules[name] = {**own, "enum": tuple(values)}
    retired = model.retired
    if gone := value_of(entry, LIVE.retired):
        retired = {"since": str(gone).partition("T")[0], "source": said.origin}
        if instead := value_of(entry, LIVE.instead):
            retired["instead"] = str(instead)
    unit = value_of(entry, LIVE.unit)
    return evolve(
        model,
        parameters=rules,
        retired=retired,
        origin=said.origin,
        asked_at=said.at,
        unit=unit if isinstance(unit, str) else None,
        raw=entry,
    )


def key_of(model: str, rows: Mapping[str, Any]) -> str | None:
    """Return the key of a model's row: its own, or the longest pattern that fits; of equal ones, the first."""
    if model in rows:
        return model
    return max((name for name in rows if "*" in name and fnmatchcase(model, name)), key=len, default=None)


def _key(model: str) -> str:
    return key_of(model, MODELS) or ANY_MODEL


def _rule(row: ModelRow, name: str) -> Rule | Literal[False]:
    """Return what binds a parameter. A row's rules are whole: what follows from the request schema is in them."""
    if name not in row.get("takes", PARAMETERS):
        return False
    return row["parameters"].get(name, PARAMETERS[name])


def _described(row: ModelRow, name: str) -> Rule | Literal[False]:
    """Return a rule with what people want to know beside it: the description, and the server's default."""
    general, rule = PARAMETERS[name], _rule(row, name)
    if rule is False:
        return False
    default = row.get("defaults", {}).get(name, general.get("default"))
    whole: Rule = {**general, **rule} if rule is general else {"description": general.get("description", ""), **rule}
    whole.pop("default", None)
    if default is not None and default in rule.get("enum", (default,)):
        whole["default"] = default
    return whole


def asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request asks of its pictures: ``pixels``, ``shape``, ``format``, ``count``. Else nothing.

    ``edited`` is true of one that changes a given picture, and is left out otherwise.
    """
    from ._inputs import EDIT, OPERATION  # for those who send: it brings the HTTP library

    model = request.get("model")
    own = MODELS[_key(model if isinstance(model, str) else ANY_MODEL)].get("asks", {})
    given = {name: request[name] for name in PARAMETERS if request.get(name) is not None}
    # A parameter that asks for this by its nature comes before one that only stands for it with this model.
    found: dict[str, Any] = {what: given[name] for name, what in own.items() if name in given}
    for name, value in given.items():
        if name not in own and (what := PARAMETERS[name].get("asks")) is not None:
            found[what] = value
    edited = "edited" in found or request.get(OPERATION) == EDIT
    return {**found, "edited": True} if edited else found


def fanned_out(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split a request for more images than its model gives in one into several, each for as many as it gives.

    That number is the maximum of the count of images in the model's row, and one where the row takes no count.
    """
    model = fields.get("model")
    row = MODELS[_key(model if isinstance(model, str) else ANY_MODEL)]
    counts = [name for name in PARAMETERS if PARAMETERS[name].get("asks") == "count" and fields.get(name) is not None]
    left = fields[counts[0]] if len(counts) == 1 else None
    if not isinstance(left, int) or isinstance(left, bool) or left > MOST_FANNED_OUT:
        return [dict(fields)]  # nothing to split, or for the validation to refuse
    rule = _rule(row, counts[0])
    most = rule.get("maximum", left) if rule else 1
    others = {name: value for name, value in fields.items() if name != counts[0]}
    if most < 1 or left <= most:
        return [dict(fields)]
    sizes = [min(most, left - sent) for sent in range(0, left, int(most))]
    return [{**others, counts[0]: size} if rule else others for size in sizes]


def violations(request: Mapping[str, Any] | GeneratedRequest) -> list[Violation]:
    """List all that is wrong with a request, before anything is sent.

    Takes an ``ImageGenerationRequest`` of the generated client, or a mapping with the same names. Parameters that the
    contract does not know are not judged. An empty list means that nothing documented speaks against it.
    """
    return wrong_fields(request if isinstance(request, Mapping) else request.to_dict(), REQUIRED)


def wrong_fields(fields: Mapping[str, Any], required: Iterable[str]) -> list[Violation]:
    """List what is wrong with the parameters of any billed request, which needs those that are ``required``."""
    given = {name: fields[name] for name in PARAMETERS if fields.get(name) is not None}
    found = [Violation(name, "is required") for name in required if name not in given]
    model = given.get("model", PARAMETERS["model"].get("default", ANY_MODEL))
    row = MODELS[_key(model if isinstance(model, str) else ANY_MODEL)]
    for name, value in given.items():
        if (rule := _rule(row, name)) is False:
            found.append(Violation(name, f"{model} does not take it; leave it out"))
            continue
        allowed = rule.get("enum", rule.get("known", ()))
        found += [Violation(name, message, allowed) for message in _broken(value, rule, model)]
    return [*found, *(Violation(*relation(rule)) for rule in RELATIONS if not _holds(rule, given))]


def _holds(rule: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Tell whether a rule between parameters holds, read as JSON Schema reads it."""

    def has(part: Mapping[str, Any]) -> bool:
        return all(name in given for name in part["required"])

    if "dependentRequired" in rule:
        needs = rule["dependentRequired"].items()
        return all(name not in given or has({"required": needed}) for name, needed in needs)
    if "not" in rule:
        return not has(rule["not"])
    if "oneOf" in rule:
        return sum(map(has, rule["oneOf"])) == 1
    return any(map(has, rule["anyOf"]))


def check(request: Mapping[str, Any] | GeneratedRequest) -> None:
    """Raise CapabilityError, listing every violation, if there is one. Warn of what `cautions` finds."""
    if found := violations(request):
        raise CapabilityError(describe(found), violations=found)
    caution(request if isinstance(request, Mapping) else request.to_dict())


def describe(found: list[Violation]) -> str:
    """Return one message for several violations."""
    if len(found) == 1:
        return f"Nothing was sent. {found[0]}."
    return "\n".join([f"Nothing was sent. {len(found)} things are wrong:", *(f"  - {one}" for one in found)])


def nearest_model(model: str) -> str | None:
    """Return the listed model that a name was probably meant to be, or None if it is listed or like no other.

    A name that a family's pattern takes in may be new, so there only one slip of the finger is taken for a mistake.
    """
    key = _key(model)
    if key == ANY_MODEL:
        return _nearest(model, tuple(MODELS))
    if key == model:
        return None
    return next((name for name in MODELS if "*" not in name and fnmatchcase(name, key) and _slipped(model, name)), None)


def _slipped(given: str, name: str) -> bool:
    """Tell whether a name is another but for one letter, or two that changed places, or how it is spelt.

    Another number or another part is none: those make the names of new models (``flux-2-pro``, ``flux-pro-x``).
    """
    parts = [set(re.split(r"[^a-z0-9]+", text.lower())) for text in (given, name)]
    if parts[0] < parts[1] or parts[1] < parts[0]:
        return False
    one, two = _plain(given), _plain(name)
    same = _alike(one, two)
    one, two = one[same:], two[same:]
    same = _alike(one[::-1], two[::-1])
    one, two = one[: len(one) - same], two[: len(two) - same]
    is_slip = max(len(one), len(two)) <= 1 or (len(one) == 2 and one == two[::-1])
    return is_slip and not any(map(str.isdigit, one + two))


def _alike(one: str, two: str) -> int:
    """Return how many characters two texts begin with alike."""
    return next((place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


@lru_cache(256)  # a batch asks it of the same few names again and again
def _nearest(model: str, names: tuple[str, ...]) -> str | None:
    from difflib import get_close_matches  # for a name that is not listed only

    plain = {_plain(name): name for name in names if "*" not in name}
    matches = get_close_matches(_plain(model), plain, n=1, cutoff=0.85)
    return plain[matches[0]] if matches else None


def cautions(request: Mapping[str, Any]) -> list[str]:
    """Say what is allowed and may still be a mistake: a misspelt or retired model, a deprecated parameter.

    The catalogue grows weekly, so a model that is not listed is no error; neither is one that the vendor retired,
    because the API decides.
    """
    model, found = request.get("model"), []
    if isinstance(model, str) and model != ANY_MODEL:
        if (gone := MODELS[_key(model)].get("retired")) is not None:
            found.append(f"The model {model!r} was retired on {gone['since']} ({gone['source']}). {_instead(gone)}")
        elif near := nearest_model(model):
            late = MODELS[near].get("retired")
            found.append(
                f"The model {model!r} is not a documented one. Did you mean {near!r}?"
                + (f" That was retired on {late['since']}. {_instead(late)}" if late else "")
            )
    for name, rule in PARAMETERS.items():
        if rule.get("deprecated") and request.get(name) is not None:
            found.append(
                f"The parameter {name!r} is deprecated."
                + (f" Use {rule['alias_of']!r} instead." if "alias_of" in rule else "")
            )
    return found


def _instead(gone: Retired) -> str:
    return f"Use {gone['instead']!r} instead." if "instead" in gone else "`lemon models` lists the others."


def caution(request: Mapping[str, Any]) -> None:
    """Warn of all of that."""
    for text in cautions(request):
        warn(text)


def _broken(value: object, rule: Rule, model: object) -> Iterator[str]:
    """Yield what a value breaks of a rule."""
    kind = rule.get("type", "string")
    if not _is(value, kind):
        yield f"must be {TYPES[kind]}, not {_kind(value)}"
    elif "enum" in rule:
        if value not in rule["enum"]:
            yield f"{_show(value)} is not available for {model}; allowed: {phrases(rule)['enum']}"
    elif isinstance(value, str):
        yield from _broken_text(value, rule)
    elif isinstance(value, int | float):
        if not _within(value, rule.get("minimum"), rule.get("maximum")):
            shown = f"{value:g}" if isinstance(value, float) else _show(value)
            yield f"{shown} is out of range; allowed: {phrases(rule)['range']}"
    elif isinstance(value, list | tuple):
        yield from _broken_list(value, rule, model)


def _broken_text(value: str, rule: Rule) -> Iterator[str]:
    pattern = rule.get("pattern", "")
    if not value.strip() and ("minLength" in rule or pattern):
        yield "must not be empty"
        return
    if not _within(len(value), rule.get("minLength"), rule.get("maxLength")):
        yield f"is {len(value):,} characters long; allowed: {phrases(rule)['length']}"
    if pattern not in ("", NOT_BLANK) and not re.search(pattern, value):
        says = phrases(rule)
        known = f", {says['known']}" if "known" in says else ""
        yield f"{_show(value)} is not {says.get('pattern', says.get('form'))}{known}"
    elif "pixels" in rule:
        yield from _broken_pixels(value, rule["pixels"], phrases(rule))


def _broken_list(value: list[object] | tuple[object, ...], rule: Rule, model: object) -> Iterator[str]:
    if not _within(len(value), rule.get("minItems"), rule.get("maxItems")):
        yield f"has {len(value):,} items; allowed: {phrases(rule)['count']}"
    for item in value:
        yield from _broken(item, rule.get("items", {}), model)


def _broken_pixels(value: str, rule: Pixels, says: Mapping[str, str]) -> Iterator[str]:
    if value in rule.get("also", ()):
        return
    if not (match := re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", value)):
        yield f"{_show(value)} is not {says['form']}"
        return
    width, height = int(match[1]), int(match[2])
    long, short, area, step = max(width, height), min(width, height), width * height, rule.get("multipleOf", 1)
    broken = {
        "step": width % step or height % step,
        "edge": long > rule.get("maxEdge", long),
        "ratio": long > rule.get("maxRatio", long) * short,
        "area": not _within(area, rule.get("minPixels"), rule.get("maxPixels")),
    }
    for part in (part for part, is_broken in broken.items() if is_broken):
        yield f"{value} has {area:,} pixels; allowed: {says[part]}" if part == "area" else f"{value}: {says[part]}"


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
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
    try:
        text = repr(value)
    except ValueError:  # Python does not write numbers of thousands of digits
        return "a number of thousands of digits"
    return cut(text, 60)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
