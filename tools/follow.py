"""What a vendor's own OpenAPI document says that openapi.yaml does not, and an edit that would follow it.

    python tools/follow.py FILE     (make follow SPEC=FILE)

Only what both describe is compared: our operations, found by method and path, and the paths beside them. Nothing is
written: a person decides, because documents contradict each other. Exit code 1 where there is a difference.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attrs import field, frozen
from contract import (
    GENERATION,
    BrokenContractError,
    Contract,
    alternatives,
    known_values,
    parse,
    place_of,
    place_of_ref,
)
from lint import load
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

ROOT = Path(__file__).resolve().parent.parent
LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "multipleOf")
SCALARS = ("string", "integer", "number", "boolean")


@frozen
class Edit:
    """Lines of openapi.yaml that would be put in the place of others: at a line, counted from 0, so many."""

    at: int
    instead: int
    lines: tuple[str, ...]


@frozen
class Difference:
    """One thing that the two say differently, and the edits that would follow theirs. None: that is for a person."""

    text: str
    edits: tuple[Edit, ...] = field(default=(), repr=False)


class Page:
    """The text of our contract, as lines in which places can be found."""

    def __init__(self, text: str, contract: Contract) -> None:
        self.lines, self.contract = text.splitlines(), contract

    def line(self, place: str) -> int:
        return (self.contract.line(place) or 1) - 1

    def indent(self, at: int) -> int:
        return _indent(self.lines[at])

    def end(self, at: int) -> int:
        """Return the line after the block that begins at a line."""
        last = at
        for number in range(at + 1, len(self.lines)):
            if self.lines[number].strip() and self.indent(number) <= self.indent(at):
                break
            if self.lines[number].strip():
                last = number
        return last + 1

    def append(self, place: str, lines: list[str]) -> Edit | None:
        """Add lines at the end of a mapping that is written as a block."""
        at = self.line(place)
        if not self.lines[at].split("#")[0].rstrip().endswith(":"):
            return None
        indent = " " * (self.indent(at) + 2)
        return Edit(self.end(at), 0, tuple(indent + line for line in lines))

    def set(self, place: str, key: str, value: object) -> Edit | None:
        """Set a key of a mapping that is written as a block."""
        at = self.line(place)
        for number in range(at + 1, self.end(at)):
            if re.match(rf"\s{{{self.indent(at) + 2}}}{re.escape(key)}:", self.lines[number]):
                comment = re.search(r"\s+#.*$", self.lines[number])
                kept = comment[0] if comment else ""
                return Edit(number, 1, (f"{' ' * (self.indent(at) + 2)}{key}: {written(value)}{kept}",))
        return self.append(place, [f"{key}: {written(value)}"])

    def proposal(self, edits: list[Edit]) -> str:
        lines = list(self.lines)
        # The last one first, so that the others keep their lines. At one line, what stands deepest leads.
        for edit in sorted(edits, key=lambda edit: (edit.at, -_indent(edit.lines[0])))[::-1]:
            lines[edit.at : edit.at + edit.instead] = edit.lines
        return "\n".join(lines) + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def written(value: object) -> str:
    """Return a value as YAML on one line, with texts that could be read as something else in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z_-]*", value) and value.lower() not in _READ_OTHERWISE:
        return value
    return json.dumps(value, ensure_ascii=False)


_READ_OTHERWISE = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


class Document:
    """The vendor's document. References lead inside of it; `allOf`, `anyOf`, `oneOf` are read as all their fields."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.contract = Contract(data)

    def operations(self) -> dict[str, dict[str, Any]]:
        """Return the operations by method and path; what a parameter of a path is called does not count."""
        return {_route(method, path): operation for path, method, operation in self.contract.operations()}

    def schema(self, holder: Any) -> dict[str, Any]:
        """Return the JSON schema of a request body or an answer."""
        media = self.resolve(holder).get("content", {}).get("application/json", {})
        return self.flat(media.get("schema", {}))

    def resolve(self, node: Any) -> dict[str, Any]:
        try:
            found = self.contract.resolve(node)
        except LookupError:
            return {}
        return found if isinstance(found, dict) else {}

    def flat(self, node: Any, depth: int = 0) -> dict[str, Any]:
        schema: dict[str, Any] = {**self.resolve(node)}
        parts = [part for word in ("allOf", "anyOf", "oneOf") for part in schema.pop(word, ())]
        for part in parts if depth < 8 else ():
            other = self.flat(part, depth + 1)
            if other.get("type") == "null":
                continue
            properties = {**schema.get("properties", {}), **other.pop("properties", {})}
            schema = {**other, **schema, **({"properties": properties} if properties else {})}
        if isinstance(schema.get("type"), list):
            schema["type"] = next((kind for kind in schema["type"] if kind != "null"), "null")
        return schema


def differences(page: Page, theirs: Document) -> list[Difference]:
    """List what the two say differently, in the order of our contract."""
    ours = page.contract
    shared = theirs.operations()
    found: list[Difference] = []
    routes = {_route(method, path): (path, op) for path, method, op in ours.operations()}
    for route, (_, operation) in routes.items():
        if route not in shared:
            found.append(Difference(f"operation {operation['operationId']} ({route}): not in theirs"))
            continue
        if operation["operationId"] == GENERATION:
            found += _parameters(page, theirs, theirs.schema(shared[route].get("requestBody", {})))
        found += _queries(page, theirs, operation, shared[route])
        found += _bodies(page, theirs, operation, shared[route])
        found += _answers(page, theirs, operation, shared[route])
    folders = {"/".join(path.split("/")[:3]) for path, _ in routes.values()}
    for route in sorted(shared.keys() - routes.keys()):
        if any(f" {folder}/" in route or route.endswith(f" {folder}") for folder in folders):
            found.append(Difference(f"operation {route}: not in ours"))
    found += _models(page, theirs, [shared[route] for route in routes if route in shared])
    servers = [server["url"].rstrip("/") for server in theirs.contract.data.get("servers", ()) if "url" in server]
    known = [server["url"] for server in ours.data.get("servers", ())]
    found += [Difference(f"server {url}: not in ours") for url in servers if url not in known]
    return list({one.text: one for one in found}.values())  # what two operations share is told once


def _route(method: str, path: str) -> str:
    return f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"


def _parameters(page: Page, theirs: Document, schema: dict[str, Any]) -> Iterator[Difference]:
    ours, place = page.contract.request_schema, page.contract.request_place
    before, after = ours["properties"], schema.get("properties", {})
    if not after:
        yield Difference("the request of a generation: theirs describes no fields")
        return
    for name in after:
        rule = theirs.flat(after[name])
        if name not in before:
            yield _new_parameter(page, theirs, name, rule)
        else:
            yield from _parameter(page, f"{place}.properties.{name}", name, before[name], rule)
    yield from (Difference(f"parameter {name}: only ours") for name in before if name not in after)
    required = [set(ours.get("required", ())), set(schema.get("required", ()))]
    for name in sorted(required[0] ^ required[1]):
        if name in before and name in after:
            said = "required there" if name in required[1] else "not required there"
            names = [name for name in before if name in required[1]]
            edit = page.set(place, "required", names)
            yield Difference(f"parameter {name}: {said}", (edit,) if edit else ())


def _queries(page: Page, theirs: Document, ours: dict[str, Any], there: dict[str, Any]) -> Iterator[Difference]:
    before, after = (
        [one["name"] for one in map(resolve, operation.get("parameters", ())) if one.get("in") == "query"]
        for resolve, operation in ((page.contract.resolve, ours), (theirs.resolve, there))
    )
    for name in after:
        if name not in before:
            yield Difference(f"operation {ours['operationId']}: the query {name}: only theirs")
    for name in before:
        if name not in after:
            yield Difference(f"operation {ours['operationId']}: the query {name}: only ours")


def _bodies(page: Page, theirs: Document, ours: dict[str, Any], there: dict[str, Any]) -> Iterator[Difference]:
    """Compare the forms of a request, and the parameters of those that are no generation.

    They are told and not proposed: a form shares most of its parameters with others by aliases.
    """
    what = ours["operationId"]
    before = page.contract.resolve(ours.get("requestBody", {})).get("content", {})
    after = theirs.resolve(there.get("requestBody", {})).get("content", {})
    yield from (Difference(f"operation {what}: it takes {kind} too, there") for kind in after if kind not in before)
    yield from (Difference(f"operation {what}: it takes {kind} only here") for kind in before if kind not in after)
    for kind in [kind for kind in before if kind in after and what != GENERATION]:
        own = page.contract.resolve(before[kind].get("schema", {})).get("properties", {})
        other = theirs.flat(after[kind].get("schema", {})).get("properties", {})
        at = f"operation {what}, {kind}"
        yield from (Difference(f"{at}: parameter {name}: only theirs") for name in other if name not in own)
        yield from (Difference(f"{at}: parameter {name}: only ours") for name in own if name not in other)
        for name in [name for name in own if name in other]:
            for one in _parameter(page, "", name, own[name], theirs.flat(other[name]), edits=False):
                yield Difference(f"{at}: {one.text}")


def _new_parameter(page: Page, theirs: Document, name: str, rule: dict[str, Any]) -> Difference:
    text = f"parameter {name}: only theirs"
    plain = {key: rule[key] for key in LIMITS if key in rule and key != "multipleOf"}
    description = " ".join(str(rule.get("description", "")).split()).partition(". ")[0]
    said = [f"description: {written(description)}"] if description else []
    if "default" in rule:
        said.append(f"x-server-default: {written(rule['default'])}")
    kind, place = rule.get("type"), page.contract.request_place
    edits = []
    if kind == "string" and "enum" in rule:
        component = f"Image{''.join(part.capitalize() for part in name.split('_'))}Known"
        lines = ["anyOf:", f'  - {{$ref: "#/components/schemas/{component}"}}', "  - {type: string}"]
        values = [f"    {component}:", "      type: string", f"      enum: {written(rule['enum'])}"]
        edits.append(Edit(page.end(page.line(place)), 0, tuple(values)))
    elif kind in SCALARS:
        lines = [f"type: {kind}", *(f"{key}: {written(value)}" for key, value in plain.items())]
    elif kind == "array" and (inner := theirs.flat(rule.get("items", {}))).get("type") in SCALARS:
        item = {"type": inner["type"], **{key: inner[key] for key in LIMITS if key in inner}}
        lines = [
            "type: array",
            f"items: {written(item)}",
            *(f"{key}: {written(value)}" for key, value in plain.items()),
        ]
    else:
        return Difference(f"{text}; it is {kind or 'of no single type'}, which no keyword argument can be: extra_body")
    added = page.append(f"{place}.properties", [f"{name}:", *(f"  {line}" for line in (*lines, *said))])
    return Difference(text, (*edits, added) if added else ())


def _parameter(
    page: Page, place: str, name: str, ours: dict[str, Any], theirs: dict[str, Any], *, edits: bool = True
) -> Iterator[Difference]:
    known = known_values(page.contract, ours)
    own = known[1] if known else page.contract.resolve(ours)
    if "enum" in theirs and known:
        values = known[0]
        more = [value for value in theirs["enum"] if value not in values]
        if more:
            component = place_of_ref(ours["anyOf"][0]["$ref"])
            edit = page.set(component, "enum", [*values, *more]) if edits else None
            yield Difference(f"parameter {name}: {', '.join(map(str, more))} only there", (edit,) if edit else ())
        for value in [value for value in values if value not in theirs["enum"]]:
            yield Difference(f"parameter {name}: {value} only ours")
    elif "enum" in theirs:
        yield Difference(f"parameter {name}: only {', '.join(map(str, theirs['enum']))} there")
    if theirs.get("type", own.get("type")) != own.get("type"):
        yield Difference(f"parameter {name}: {theirs['type']} there, {own.get('type')} here")
    for key in LIMITS:
        if key in theirs and theirs[key] != own.get(key):
            edit = page.set(place, key, theirs[key]) if edits and not known else None
            said = f"{key} {theirs[key]} there, {own.get(key, 'none')} here"
            yield Difference(f"parameter {name}: {said}", (edit,) if edit else ())
    if "default" in theirs and theirs["default"] != ours.get("x-server-default"):
        edit = page.set(place, "x-server-default", theirs["default"]) if edits else None
        said = f"default {theirs['default']} there, {ours.get('x-server-default', 'none')} here"
        yield Difference(f"parameter {name}: {said}", (edit,) if edit else ())


def _answers(page: Page, theirs: Document, ours: dict[str, Any], there: dict[str, Any]) -> Iterator[Difference]:
    for status, answer in there.get("responses", {}).items():
        # The other errors share one form, so what is new in any of them is told once.
        own = ours["responses"].get(status, None if str(status).startswith("2") else ours["responses"].get("default"))
        if own is None:
            yield Difference(f"operation {ours['operationId']}: it may answer {status} there")
            continue
        media = page.contract.resolve(own).get("content", {}).get("application/json", {})
        yield from _fields(page, theirs, media.get("schema", {}), theirs.schema(answer), ours["operationId"])


def _fields(page: Page, theirs: Document, schema: Any, there: dict[str, Any], what: str) -> Iterator[Difference]:
    """Compare the fields of an answer. A field that several of our shapes could get goes to the last one."""
    shapes = [part for part in schema.get("anyOf", [schema]) if "$ref" in part]
    fields = [page.contract.resolve(part).get("properties", {}) for part in shapes]
    for name, rule in there.get("properties", {}).items():
        owner = next((has for has in fields if name in has), None)
        flat = theirs.flat(rule)
        if owner is None:
            where = place_of_ref(shapes[-1]["$ref"]) if shapes else ""
            kind = flat.get("type") if flat.get("type") in SCALARS else None
            line = f'{name}: {{type: [{kind}, "null"]}}'
            edit = page.append(f"{where}.properties", [line]) if where and kind else None
            yield Difference(f"field {where.rpartition('.')[2] or what}.{name}: only theirs", (edit,) if edit else ())
            continue
        inner = page.contract.resolve(owner[name])
        if "items" in inner and "items" in flat:
            yield from _fields(page, theirs, inner["items"], theirs.flat(flat["items"]), f"{what}.{name}")
        else:
            objects = [part for part in (owner[name], *alternatives(inner)) if "$ref" in part]
            yield from _fields(page, theirs, {"anyOf": objects}, flat, f"{what}.{name}") if objects else ()


def _models(page: Page, theirs: Document, operations: list[dict[str, Any]]) -> Iterator[Difference]:
    """Compare the models that their examples and values name with the rows of our table."""
    names: dict[str, None] = {}
    for operation in operations:
        body = theirs.resolve(operation.get("requestBody", {})).get("content", {})
        for media in body.values():
            shown = [theirs.resolve(one).get("value") for one in media.get("examples", {}).values()]
            rule = theirs.flat(theirs.flat(media.get("schema", {})).get("properties", {}).get("model", {}))
            named = [*rule.get("enum", ()), rule.get("default"), rule.get("example")]
            named += [value.get("model") for value in (media.get("example"), *shown) if isinstance(value, dict)]
            names |= dict.fromkeys(name for name in named if isinstance(name, str))
    rows = [row for row in page.contract.models if row != "*"]
    for name in names:
        if not any(fnmatchcase(name, row) for row in rows):
            edit = Edit(
                page.line(place_of(["x-lemon-models", "*"])),
                0,
                (f"  {name}:", "    reply: either", "    summary: TODO", "    source: TODO", "    parameters: {}"),
            )
            yield Difference(f"model {name}: only theirs", (edit,))


def edits_of(found: list[Difference]) -> list[Edit]:
    """Return the edits that would follow all of them."""
    return [edit for one in found for edit in one.edits]


def read(path: Path) -> Document:
    """Read a document, JSON or YAML. Raises ValueError for anything else."""
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, OSError) as exc:
        raise ValueError(f"{path.name} cannot be read: {' '.join(str(exc).split())}") from None
    if not isinstance(data, dict) or not isinstance(data.get("paths"), dict) or "openapi" not in data:
        raise ValueError(f"{path.name} is no OpenAPI document: it has no `openapi` or no `paths`")
    return Document(json.loads(json.dumps(data, default=str)))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line. Returns the exit code: 1 for differences, 2 for a document that cannot be read."""
    parser = argparse.ArgumentParser(prog="follow", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("spec", type=Path, metavar="FILE", help="the vendor's document, JSON or YAML")
    path = parser.parse_args(arguments).spec
    text = (root / "openapi.yaml").read_text(encoding="utf-8")
    try:
        page, theirs = Page(text, parse(text)), read(path)
    except (ValueError, BrokenContractError) as exc:
        print(exc, file=sys.stderr)
        return 2
    found = differences(page, theirs)
    if not found:
        print(f"{path.name} says nothing that openapi.yaml does not.")
        return 0
    print(f"{len(found)} differences between {path.name} and openapi.yaml:")
    print("\n".join(f"  {one.text}" for one in found))
    proposal = page.proposal(edits_of(found))
    shown = difflib.unified_diff(text.splitlines(), proposal.splitlines(), "openapi.yaml", "proposed", lineterm="", n=2)
    if lines := list(shown):
        print("\nWhat would follow it; nothing was written:\n")
        print("\n".join(lines))
        try:
            load(proposal)
        except BrokenContractError as exc:
            print(f"\n`make regen` would refuse this as it is:\n{exc}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
