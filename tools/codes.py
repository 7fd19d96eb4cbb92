"""The error codes of the API: `x-lemon-error-codes` says of each what it means and with which status it comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from contract import Contract, Finding, place_of, place_of_ref

#: What a code can mean, and what that tells the one who sent the request.
MEANINGS = {
    "request": "the request is wrong; sending it again does not help",
    "model": "there is no such model, or it cannot be used now",
    "moderation": "the prompt or an image was refused for what it shows",
    "auth": "the key is missing, wrong or expired",
    "money": "the balance or the limit of the key does not cover it",
    "permission": "this key may not do that",
    "task": "there is no such task, or it cannot be changed",
    "size": "the request is too large",
    "rate": "too many requests in this minute",
    "capacity": "no provider is free or reachable; later it may work",
    "server": "the server failed",
}
KEY = "x-lemon-error-codes"

HEAD = '''"""The error codes of the contract: what each means, and with which HTTP status it comes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

'''


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with the table, and the codes in examples that it does not know."""
    table = contract.data.get(KEY, {})
    if not isinstance(table, dict):
        yield Finding(
            KEY, "is a mapping of codes, for example {invalid_api_key: {status: 401, meaning: auth, source: E}}"
        )
        return
    for code, entry in table.items():
        place = place_of([KEY, code])
        if not re.fullmatch(r"[A-Za-z][\w.-]*", code):
            yield Finding(place, f"{code!r} is no code: it has no spaces")
        if isinstance(entry, dict):
            yield from _entry(contract, place, entry)
        else:
            yield Finding(place, "says status, meaning and source")
    for place, status, code in _exampled(contract):
        if code not in table:
            yield Finding(place, f"its code {code!r} is not in {KEY}: add it there, with what it means")
        elif status.isdigit() and int(status) not in _statuses(table[code]):
            yield Finding(place, f"{KEY} does not say that {code!r} comes with {status}")


def error_table(contract: Contract) -> str:
    """Return the module ``error_table``."""
    meanings = ", ".join(map(repr, MEANINGS))
    lines = [HEAD, f"Meaning: TypeAlias = Literal[{meanings}]\n"]
    lines += [f"#: {meaning}: {what}.\n" for meaning, what in MEANINGS.items()]
    lines.append(
        "\n\nclass ErrorCode(NamedTuple):\n"
        '    """What is known of a code. No status: it comes in the error of a failed task alone."""\n\n'
        "    meaning: Meaning\n    statuses: tuple[int, ...]\n    source: str\n\n\n"
        "ERROR_CODES: Final[Mapping[str, ErrorCode]] = MappingProxyType({\n"
    )
    for code, entry in contract.data.get(KEY, {}).items():
        values = f"{entry['meaning']!r}, {_statuses(entry)!r}, {entry['source']!r}"
        lines.append(f"    {code!r}: ErrorCode({values}),\n")
    return "".join([*lines, "})\n"])


def codes_section(contract: Contract) -> str:
    """Return what docs/models.md says of error codes."""
    lines = ["\n## Error codes\n\n| code | HTTP status | meaning | source |\n| --- | --- | --- | --- |\n"]
    for code, entry in contract.data.get(KEY, {}).items():
        status = ", ".join(map(str, _statuses(entry))) or "in a failed task"
        lines.append(
            f"| `{code}` | {status} | {entry['meaning']}: {MEANINGS[entry['meaning']]} | {entry['source']} |\n"
        )
    return "".join(lines) if contract.data.get(KEY) else ""


def _entry(contract: Contract, place: str, entry: dict[str, Any]) -> Iterator[Finding]:
    for word in entry.keys() - {"status", "meaning", "source"}:
        yield Finding(place, f"{word!r} is not known here: write status, meaning and source")
    meaning = entry.get("meaning")
    if meaning not in MEANINGS:
        near = get_close_matches(str(meaning), MEANINGS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(MEANINGS)}"
        yield Finding(f"{place}.meaning", f"{meaning!r} is no meaning: {hint}")
    wrong = [status for status in _statuses(entry) if not isinstance(status, int) or not 400 <= status <= 599]
    for status in wrong:
        yield Finding(
            f"{place}.status", f"{status!r} is no HTTP status of an error; leave it out if only tasks fail with it"
        )
    for reason in contract.unknown_sources(entry.get("source")):
        yield Finding(f"{place}.source", reason)


def _statuses(entry: Any) -> tuple[Any, ...]:
    status = entry.get("status", ()) if isinstance(entry, dict) else ()
    return tuple(status) if isinstance(status, list | tuple) else (status,)


def _exampled(contract: Contract) -> Iterator[tuple[str, str, str]]:
    """Yield the codes in the examples of error answers: place, status, code."""
    for path, method, operation in contract.operations():
        for status, answer in operation["responses"].items():
            place = place_of(["paths", path, method, "responses", str(status)])
            if "$ref" in answer:
                place = place_of_ref(answer["$ref"])
            for kind, media in contract.resolve(answer).get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    value = contract.resolve(example).get("value")
                    error = value.get("error") if isinstance(value, dict) else None
                    if isinstance(error, dict) and isinstance(error.get("code"), str):
                        at = place_of([f"{place}.content", kind])
                        yield f"{at}.examples.{name}", "task" if str(status)[0] == "2" else str(status), error["code"]
