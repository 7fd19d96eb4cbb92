"""Requests that carry pictures, as the contract describes them: multipart forms and `x-lemon-files`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract import GENERATION, Contract, Finding, is_field_path, place_of

FORM = "multipart/form-data"
JSON = "application/json"
WORDS = {"formats", "maxBytes", "source", "url", "sameSizeAs"}
NEEDED = ("formats", "maxBytes", "source")

HEAD = '''"""Requests that carry pictures: what a file may be, and which parameters go with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Files(NamedTuple):
    """What a field of a form holds: up to `most` files of these formats and bytes.

    `url` is where an address stands in the JSON form instead, as keys from the outside to the inside; empty: nowhere.
    `same_size` names the field whose picture has as many pixels. `source` says which document has it.
    """

    most: int
    many: bool
    required: bool
    formats: tuple[str, ...]
    max_bytes: int
    url: tuple[str, ...]
    same_size: str | None
    source: str


class Form(NamedTuple):
    """A request with pictures: its files, its parameters besides, and which of these it needs."""

    files: Mapping[str, Files]
    parameters: tuple[str, ...]
    required: tuple[str, ...]


#: By operation.
FORMS: Final[Mapping[str, Form]] = MappingProxyType({
'''


def forms(contract: Contract) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the operations that take files: where, the operation's name, and the schema of the form.

    A generation's own form is left out: it says what its JSON says.
    """
    for path, method, operation in contract.operations():
        media = contract.resolve(operation.get("requestBody", {})).get("content", {}).get(FORM)
        if media is not None and operation["operationId"] != GENERATION:
            place = place_of(["paths", path, method])
            yield f"{place}.requestBody", operation["operationId"], contract.resolve(media["schema"])


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with the forms."""
    known = contract.request_schema["properties"]
    for place, name, schema in forms(contract):
        properties = schema.get("properties", {})
        files = {field: one for field, one in properties.items() if _is_file(one)}
        if not files:
            yield Finding(place, "a form is for files: no property is of format binary, so write JSON")
        for field in properties.keys() - files.keys():
            if contract.resolve(properties[field]) != contract.resolve(known.get(field, {})):
                reason = f"{field} is not a generation's: the rows speak of those, so share it by an anchor (*{field})"
                yield Finding(place, reason)
        json = _json_schema(contract, name)
        for field, one in files.items():
            yield from _wrong_file(place_of([f"{place}.{field}"]), one.get("x-lemon-files"), files, json, contract)


def _wrong_file(
    place: str, given: Any, files: dict[str, Any], json: dict[str, Any] | None, contract: Contract
) -> Iterator[Finding]:
    if not isinstance(given, dict) or any(word not in given for word in NEEDED) or given.keys() - WORDS:
        yield Finding(place, "say what the file may be: x-lemon-files: {formats: [png], maxBytes: 4194304, source: E}")
        return
    formats, most = given["formats"], given["maxBytes"]
    if not isinstance(formats, list) or not formats or not all(isinstance(one, str) for one in formats):
        yield Finding(place, f"formats is a list of kinds of files, for example [png], not {formats!r}")
    if not isinstance(most, int) or isinstance(most, bool) or most <= 0:
        yield Finding(place, f"maxBytes is a number of bytes, for example 4194304, not {most!r}")
    yield from (Finding(place, reason) for reason in contract.unknown_sources(given["source"]))
    if str(given.get("sameSizeAs", next(iter(files)))) not in files:
        yield Finding(place, f"sameSizeAs: there is no file {given['sameSizeAs']!r}")
    if "url" in given and (
        json is None or not is_field_path(given["url"]) or not _leads(contract, json, given["url"].split("."))
    ):
        yield Finding(place, f"url: the JSON form has no field {given['url']!r}")


def _leads(contract: Contract, schema: dict[str, Any], keys: list[str]) -> bool:
    found: Any = schema
    for key in keys:
        found = contract.resolve(found.get("properties", {}).get(key)) if isinstance(found, dict) else None
    return found is not None


def _json_schema(contract: Contract, name: str) -> dict[str, Any] | None:
    (operation,) = (one for _, _, one in contract.operations() if one["operationId"] == name)
    media = contract.resolve(operation["requestBody"])["content"].get(JSON)
    return None if media is None else contract.resolve(media["schema"])


def _is_file(schema: dict[str, Any]) -> bool:
    return bool(schema.get("items", schema).get("format") == "binary")


def parameters_of(schema: dict[str, Any]) -> list[str]:
    """Return the names of a form's parameters, model and prompt included."""
    return [name for name, one in schema.get("properties", {}).items() if not _is_file(one)]


def picture_table(contract: Contract) -> str:
    """Return the module ``picture_table``."""
    lines = [HEAD]
    for _, name, schema in forms(contract):
        required = schema.get("required", ())
        lines.append(f"    {name!r}: Form(\n        MappingProxyType({{\n")
        for field, one in schema["properties"].items():
            if _is_file(one):
                rule, many = one["x-lemon-files"], one.get("type") == "array"
                url = tuple(rule["url"].split(".")) if "url" in rule else ()
                lines.append(
                    f"            {field!r}: Files({one.get('maxItems', 1)}, {many}, {field in required}, "
                    f"{tuple(rule['formats'])!r}, {rule['maxBytes']}, {url!r}, {rule.get('sameSizeAs')!r}, "
                    f"{rule['source']!r}),\n"
                )
        names = parameters_of(schema)
        needed = tuple(name for name in names if name in required)
        lines.append(f"        }}),\n        {tuple(names)!r},\n        {needed!r},\n    ),\n")
    return "".join([*lines, "})\n"])
