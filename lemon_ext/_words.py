"""Counts, what a rule allows, and texts that fit, in words: one wording for help, docs and messages.

Nothing of ours is imported here, so that the help of a command and the regeneration tool read it without a client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

#: What to do about a request whose answer was lost.
LOST: Final = "ask `lemon reconcile` (in Python: reconcile()), or look at your account, before sending it again"
#: What to do about a request without a model, where the API has no default.
NO_MODEL: Final = (
    "model is missing, and the API has no default: name one with model=... or -m (`lemon models` lists them)."
)
#: What a type allows.
TYPES: Final[Mapping[str, str]] = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}
#: The pattern of a text that is more than blanks.
NOT_BLANK: Final = r"\S"


def count(number: int, one: str, many: str | None = None) -> str:
    """Say how many there are: ``1 image``, ``2,000 images``. ``many`` is where an s does not do."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def cut(text: str, most: int) -> str:
    """Return a text of ``most`` characters at most: a longer one ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def phrases(rule: Mapping[str, Any]) -> dict[str, str]:
    """Say what each part of a rule allows. An error names the part that is broken by the same words."""
    if "enum" in rule:
        return {"enum": listed(rule["enum"])}
    found = {}
    if "minimum" in rule or "maximum" in rule:
        found["range"] = _between(rule.get("minimum"), rule.get("maximum"))
    if rule.get("minLength", 0) > 1 or "maxLength" in rule:
        low = rule.get("minLength", 0)
        found["length"] = _between(low if low > 1 else None, rule.get("maxLength"), " characters")
    if rule.get("pattern") == NOT_BLANK or (rule.get("minLength") == 1 and "pattern" not in rule):
        found["blank"] = "not empty"
    elif "pattern" in rule and "pixels" not in rule:
        found["pattern"] = _form(rule["pattern"])
    if "minItems" in rule or "maxItems" in rule:
        found["count"] = _between(rule.get("minItems"), rule.get("maxItems"), " items")
    if "items" in rule and phrases(rule["items"]):
        found["items"] = f"each {words(rule['items'])}"
    found |= _pixels(rule.get("pixels", {}))
    if "known" in rule and "pixels" not in rule:
        found["known"] = f"for example {listed(rule['known'])}"
    return found


def _form(pattern: str) -> str:
    """Say what a pattern wants, for a person where it is simple: texts, whole numbers, and one of several."""
    simple = re.sub(r"\[1-9\]\[0-9\]\*|\[0-9\]\+|\\d\+", "N", pattern)
    found = re.fullmatch(r"\^(?:\((?P<ways>[^()]*)\)|(?P<one>[^()|$]*))(?P<end>\$?)", simple)
    ways = [] if found is None else (found["ways"] or found["one"] or "").split("|")
    ways = [one for way in ways for one in ([way.replace("s?", ""), way.replace("s?", "s")] if "s?" in way else [way])]
    if found is None or not all(re.fullmatch(r"[\w:/-]+", way) for way in ways):
        return f"of the form {pattern}"
    numbers = " (N is a whole number)" if "N" in simple and "N" not in pattern else ""
    return f"{'' if found['end'] else 'text that begins with '}{' or '.join(ways)}{numbers}"


def words(rule: Mapping[str, Any] | bool) -> str:
    """Say which values a parameter takes. False: it is not taken."""
    if isinstance(rule, bool):
        return TYPES["boolean"] if rule else "not taken"
    return ", ".join(phrases(rule).values()) or TYPES[rule.get("type", "string")]


def marks(rule: Mapping[str, Any]) -> str:
    """Say what else there is to know of a parameter, as a sentence; empty if there is nothing."""
    parts = ["Deprecated."] if rule.get("deprecated") else []
    parts += [f"Another name of {rule['alias_of']}."] if "alias_of" in rule else []
    parts += [f"For example {rule['example']}."] if "example" in rule else []
    return " ".join(parts)


def relation(rule: Mapping[str, Any]) -> tuple[str, str]:
    """Return the parameter that a rule between parameters is told with, and what it says, to be read after a colon."""
    for name, needed in rule.get("dependentRequired", {}).items():
        return name, f"needs {_all(needed)}"
    if "not" in rule:
        name, *others = rule["not"]["required"]
        return name, f"does not go with {_all(others)}"
    word, quantity = ("oneOf", "exactly one") if "oneOf" in rule else ("anyOf", "at least one")
    groups = [option["required"] for option in rule[word]]
    return groups[0][0], f"{quantity} of {', '.join(map(_all, groups))} is needed"


def listed(values: Sequence[object]) -> str:
    """Return values one after the other."""
    return ", ".join(map(str, values))


def _all(names: Sequence[str]) -> str:
    return " and ".join(names)


def _between(low: float | None, high: float | None, unit: str = "") -> str:
    if low is None or high is None:
        return f"at least {_number(low)}{unit}" if low is not None else f"up to {_number(high)}{unit}"
    return f"{_number(low)}{unit}" if low == high else f"{_number(low)} to {_number(high)}{unit}"


def _number(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _pixels(rule: Mapping[str, Any]) -> dict[str, str]:
    found = {"form": " or ".join([*rule.get("also", ()), "WIDTHxHEIGHT"])} if rule else {}
    if "multipleOf" in rule:
        found["step"] = f"both sides multiples of {rule['multipleOf']}"
    if "maxEdge" in rule:
        found["edge"] = f"no side above {rule['maxEdge']}"
    if "maxRatio" in rule:
        found["ratio"] = f"one side at most {rule['maxRatio']:g} times the other"
    if "minPixels" in rule or "maxPixels" in rule:
        found["area"] = _between(rule.get("minPixels"), rule.get("maxPixels"), " pixels")
    return found
