"""The account's usage records, as the contract tells of them: `x-lemon-usage`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract import Contract, Finding, hint, is_field_path, keys_of

USAGE = "x-lemon-usage"
#: The operation that reads the records, and the one that lists the keys.
READS, KEYS = "get_api_key_usage", "list_api_keys"
#: What stands where, by part. A part that is read from an answer holds lists of fields.
PARTS = {
    "key": {
        "entries": "Where the list of keys is.",
        "id": "Names the key.",
        "shown": "Is the key, shortened.",
        "name": "Is what people call it.",
    },
    "record": {
        "request_id": "Is what the API calls the request.",
        "billing_id": "Is what it calls the charge.",
        "model": "Is the model that was asked for.",
        "scene": "Is what kind of request it was.",
        "at": "Is when the record was made.",
        "cost": "Is what it cost; the exact amount first.",
        "currency": "Is in which currency.",
    },
    "balance": {
        "left": "Is what is left.",
        "added": "Is what was paid in.",
        "used": "Is what was spent.",
    },
}
#: Of the pages of a list: the parameters that choose one, and the fields that say how many there are.
PAGES = ("page", "limit", "most", "last", "total")
FIELDS = {"entries": "Where the records of a page are.", "sum": "Is what all records cost together."}
NAMES = {"since": "The parameter of the first moment.", "until": "The parameter of the last moment."}
WORDS = (*PARTS, "pages", *FIELDS, *NAMES, "scene")

HEAD = '''"""The account's usage records, as the contract tells of them: how to read them, and which field says what."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

#: Fields in order of preference, each as the keys that lead to it from the outside to the inside.
Paths: TypeAlias = tuple[tuple[str, ...], ...]

'''


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with `x-lemon-usage`."""
    operations = {operation["operationId"]: operation for _, _, operation in contract.operations()}
    given = contract.data.get(USAGE)
    if given is None and READS not in operations:
        return
    if not isinstance(given, dict) or READS not in operations or KEYS not in operations:
        yield Finding(USAGE, f"says how {KEYS} and {READS} are read: {{pages: ..., key: ..., record: ...}}")
        return
    yield from (Finding(f"{USAGE}.{word}", hint(word, WORDS)) for word in given.keys() - set(WORDS))
    yield from (Finding(USAGE, f"{word} is missing") for word in WORDS if word not in given)
    for part, words in PARTS.items():
        yield from _part(part, given.get(part, {}), words)
    for word in FIELDS.keys() & given.keys():
        yield from _fields(word, given[word])
    asked = {
        parameter["name"]: parameter
        for parameter in map(contract.resolve, operations[READS].get("parameters", ()))
        if parameter["in"] == "query"
    }
    yield from _pages(given.get("pages", {}), asked)
    for word in NAMES.keys() & given.keys():
        if given[word] not in asked:
            yield Finding(f"{USAGE}.{word}", f"{READS} takes no parameter {given[word]!r}")


def _part(part: str, given: Any, words: dict[str, str]) -> Iterator[Finding]:
    if not isinstance(given, dict):
        yield Finding(f"{USAGE}.{part}", f"is a mapping of {', '.join(words)} to fields")
        return
    yield from (Finding(f"{USAGE}.{part}.{word}", hint(word, words)) for word in given.keys() - words.keys())
    for word in words.keys() & given.keys():
        yield from _fields(f"{part}.{word}", given[word])


def _fields(at: str, paths: Any) -> Iterator[Finding]:
    if not isinstance(paths, list) or not paths or not all(map(is_field_path, paths)):
        yield Finding(f"{USAGE}.{at}", "is a list of fields, for example [cost_decimal, cost]")


def _pages(given: Any, asked: dict[str, Any]) -> Iterator[Finding]:
    at = f"{USAGE}.pages"
    if not isinstance(given, dict) or given.keys() != set(PAGES):
        yield Finding(at, f"says {', '.join(PAGES)}")
        return
    for word in ("page", "limit"):
        if given[word] not in asked:
            yield Finding(f"{at}.{word}", f"{READS} takes no parameter {given[word]!r}")
    for word in ("last", "total"):
        yield from _fields(f"pages.{word}", given[word])
    if not isinstance(given["most"], int) or given["most"] < 1:
        yield Finding(f"{at}.most", "is how many entries a page can have")


def usage_table(contract: Contract) -> str:
    """Return the module ``usage_table``."""
    given = contract.data.get(USAGE, {})
    lines = [HEAD]
    for part, words in PARTS.items():
        lines += [
            f"\nclass {part.capitalize()}Fields(NamedTuple):\n",
            f'    """Which field of a {part} says what."""\n\n',
        ]
        lines += [f'    {word}: Paths\n    """{what}"""\n' for word, what in words.items()]
        lines.append("\n")
    lines += [
        "\nclass Usage(NamedTuple):\n",
        '    """How the records are read. A page is chosen by `page` and `limit`, which is `most` at most."""\n\n',
        "    page: str\n    limit: str\n    most: int\n    last: Paths\n    total: Paths\n",
        *(f'    {word}: str\n    """{what}"""\n' for word, what in NAMES.items()),
        *(f'    {word}: Paths\n    """{what}"""\n' for word, what in FIELDS.items()),
        *(f"    {part}: {part.capitalize()}Fields\n" for part in PARTS),
        '    scene: str\n    """What the records of images call themselves."""\n',
        '    token: str\n    """How a token begins that may read them."""\n',
        '    keys_begin: tuple[str, ...]\n    """How keys begin that may not."""\n',
        "\n\nUSAGE: Final = Usage(\n",
    ]
    pages = given.get("pages", {})
    lines += [f"    {word}={pages.get(word, '')!r},\n" for word in ("page", "limit")]
    lines += [f"    most={pages.get('most', 1)!r},\n"]
    lines += [f"    {word}={keys_of(pages.get(word, ()))!r},\n" for word in ("last", "total")]
    lines += [f"    {word}={given.get(word, '')!r},\n" for word in NAMES]
    lines += [f"    {word}={keys_of(given.get(word, ()))!r},\n" for word in FIELDS]
    for part, words in PARTS.items():
        fields = ", ".join(f"{word}={keys_of(given.get(part, {}).get(word, ()))!r}" for word in words)
        lines.append(f"    {part}={part.capitalize()}Fields({fields}),\n")
    token, others = _prefixes(contract)
    lines += [f"    scene={given.get('scene', '')!r},\n", f"    token={token!r},\n", f"    keys_begin={others!r},\n)\n"]
    return "".join(lines)


def _prefixes(contract: Contract) -> tuple[str, tuple[str, ...]]:
    """Return how the tokens begin that may read the records, and how other keys do."""
    schemes = contract.data.get("components", {}).get("securitySchemes", {})
    begin = {name: str(scheme.get("x-lemon-prefix", "")) for name, scheme in schemes.items()}
    reads = next((one for _, _, one in contract.operations() if one["operationId"] == READS), {})
    own = next((begin[name] for one in reads.get("security", ()) for name in one), "")
    return own, tuple(dict.fromkeys(prefix for prefix in begin.values() if prefix and prefix != own))
