"""The contract, loaded strictly and linted: every fault at once, each with its place, its reason and its mend.

The OpenAPI validator knows the standard. It does not know what makes a generated client lose paid images: closed enums,
defaults that go on the wire, a ``oneOf`` in which a task is taken for an empty result. Those rules are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from attrs import frozen
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import ScalarEvent

HERE = Path(__file__).parent
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
#: The operation whose request the model table is about.
GENERATION = "create_image"

#: Plain scalars that a YAML 1.1 reader takes for something else than a 1.2 reader does.
AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off)|[-+]?\d+(:[0-5]?\d)+(\.\d*)?|[-+]?0[0-7]+|\d{4}-\d\d?-\d\d?.*|[-+]?\d+e\d+|\d[\d,]*_[\d_]*"
)


@frozen
class Finding:
    """One fault: where, and why, and what to write instead."""

    place: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        line = f":{self.line}" if self.line is not None else ""
        return f"openapi.yaml{line}: {self.place}: {self.reason}"


class BrokenContractError(Exception):
    """The contract cannot be used. ``findings`` lists every fault."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings


@frozen(slots=False)
class Contract:
    """A contract as plain data."""

    data: dict[str, Any]

    @cached_property
    def _registry(self) -> Any:
        resource = Resource(contents=self.data, specification=DRAFT202012)
        return Registry().with_resource("urn:contract", resource)

    def resolve(self, node: Any) -> Any:
        """Follow a ``$ref``."""
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.data
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def errors(self, value: object, schema: Any) -> list[str]:
        """Return what is wrong with a value under a schema of this contract."""
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:contract#/'))
        validator = Draft202012Validator(absolute, registry=self._registry)
        return [error.message for error in validator.iter_errors(value)]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield (path, method, operation)."""
        for path, item in self.data["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    @property
    def request_schema(self) -> dict[str, Any]:
        """The schema of a generation request."""
        operation = next(op for _, _, op in self.operations() if op.get("operationId") == GENERATION)
        schema: dict[str, Any] = self.resolve(operation["requestBody"]["content"]["application/json"]["schema"])
        return schema

    @property
    def models(self) -> dict[str, Any]:
        """The capability table."""
        table: dict[str, Any] = self.data.get("x-lemon-models", {})
        return table


def load(text: str) -> Contract:
    """Return the contract in a YAML text. Raises BrokenContractError with everything that is wrong."""
    try:
        tree = YAML(typ="rt").load(text)
        ambiguous = list(_ambiguous_scalars(text))
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        reason = " ".join(str(getattr(exc, "problem", None) or exc).split())
        raise BrokenContractError([Finding("YAML", reason, None if mark is None else mark.line + 1)]) from None
    data = json.loads(json.dumps(tree, default=str)) if isinstance(tree, dict) else {}
    contract = Contract(data)
    findings = ambiguous + list(_standard(contract))
    if not findings:
        findings = [*_operations(contract), *_schemas(contract), *_examples(contract), *_models(contract)]
    if findings:
        raise BrokenContractError([Finding(f.place, f.reason, f.line or _line(tree, f.place)) for f in findings])
    return contract


def _ambiguous_scalars(text: str) -> Iterator[Finding]:
    for event in YAML().parse(text):
        if isinstance(event, ScalarEvent) and event.style is None and AMBIGUOUS.fullmatch(event.value):
            yield Finding(event.value, "two YAML readers take this for different things: quote it", event.start_mark.line + 1)


def _standard(contract: Contract) -> Iterator[Finding]:
    for error in OpenAPIV31SpecValidator(contract.data).iter_errors():
        yield Finding(_place(error.absolute_path), error.message.splitlines()[0])


def _operations(contract: Contract) -> Iterator[Finding]:
    seen: set[str] = set()
    for path, method, operation in contract.operations():
        place = _place(["paths", path, method])
        name = operation.get("operationId")
        if not name:
            yield Finding(place, "an operation needs an operationId: it names the generated module")
        elif name in seen:
            yield Finding(place, f"the operationId {name!r} is used twice")
        seen.add(name)
        if "security" not in operation:
            yield Finding(place, "name the security here: the generator ignores the document's own")
        if len(operation.get("tags", [])) != 1:
            yield Finding(place, "give it exactly one tag: it names the generated folder")
    if GENERATION not in seen:
        yield Finding("paths", f"there is no operation {GENERATION!r}, which the model table is about")


def _schemas(contract: Contract) -> Iterator[Finding]:
    requests = [op["requestBody"] for _, _, op in contract.operations() if "requestBody" in op]
    responses = [list(op["responses"].values()) for _, _, op in contract.operations()]
    asked = dict(_reach(contract, requests))
    answered = dict(_reach(contract, responses))
    for place, schema in {**asked, **answered}.items():
        yield from _traps(contract, place, schema)
        if place in asked and "default" in schema:
            yield Finding(place, "a default in a request is sent on the wire: write x-server-default")
        if place in answered and schema.get("type") == "object":
            yield from _nullable(contract, place, schema)


def _traps(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    for keyword in ("oneOf", "discriminator", "const", "nullable"):
        if keyword in schema:
            yield Finding(place, f"{keyword} breaks readers of answers to come: use anyOf, a nullable type, or drop it")
    if schema.get("format") in ("date-time", "date", "uuid"):
        yield Finding(place, f"one bad {schema['format']} would reject the whole answer: write type: string alone")
    if "enum" in schema and not re.fullmatch(r"components\.schemas\.\w+Known", place):
        yield Finding(place, "a closed enum: make a component ...Known of it and use anyOf [that, {type: string}]")
    if "x-server-default" in schema and (wrong := contract.errors(schema["x-server-default"], schema)):
        yield Finding(place, f"its x-server-default does not fit: {wrong[0]}")
    if (known := known_values(contract, schema)) is not None:
        values, rest = known
        for value in values:
            if contract.errors(value, rest):
                yield Finding(place, f"the known value {value!r} does not fit the alternative beside it")


def _nullable(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    for name, prop in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and contract.errors(None, prop):
            yield Finding(f"{place}.properties.{name}", "may be null in an answer some day: allow null, or require it")


def _examples(contract: Contract) -> Iterator[Finding]:
    for path, method, operation in contract.operations():
        media = [(["requestBody"], operation.get("requestBody"))]
        media += [(["responses", status], response) for status, response in operation["responses"].items()]
        for at, holder in media:
            content = contract.resolve(holder or {}).get("content", {}).get("application/json", {})
            for name, example in content.get("examples", {}).items():
                for wrong in contract.errors(example["value"], content["schema"])[:1]:
                    yield Finding(_place(["paths", path, method, *at, "examples", name]), f"does not fit: {wrong}")


def _models(contract: Contract) -> Iterator[Finding]:
    schema = json.loads((HERE / "models.schema.json").read_text())
    for error in Draft202012Validator(schema).iter_errors(contract.models):
        yield Finding(_place(["x-lemon-models", *error.absolute_path]), error.message)
    general = contract.request_schema["properties"]
    for model, row in contract.models.items():
        rules = row.get("parameters", {}) if isinstance(row, dict) else {}
        for name, rule in rules.items() if isinstance(rules, dict) else ():
            place = _place(["x-lemon-models", model, "parameters", name])
            if name not in general:
                yield Finding(place, "the request schema has no such parameter: add it there first")
                continue
            values = [v for key in ("enum", "minimum", "maximum") if isinstance(rule, dict) and key in rule
                      for v in (rule[key] if isinstance(rule[key], list) else [rule[key]])]  # fmt: skip
            for value in values:
                if wrong := contract.errors(value, general[name]):
                    yield Finding(place, f"wider than the request schema: {wrong[0]}")


def known_values(contract: Contract, schema: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """Split ``anyOf [a Known enum, an alternative]`` into its known values and the alternative, or return None."""
    parts = schema.get("anyOf", [])
    if len(parts) != 2 or not str(parts[0].get("$ref", "")).endswith("Known"):
        return None
    return contract.resolve(parts[0])["enum"], parts[1]


def _reach(contract: Contract, start: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema that can be reached from somewhere, with its place."""
    todo: list[tuple[str, Any]] = []

    def push(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                push(item)
        elif isinstance(node, dict):
            if "$ref" in node:
                todo.append((node["$ref"].removeprefix("#/").replace("/", "."), contract.resolve(node)))
            else:
                for key, value in node.items():
                    if key not in ("examples", "example"):
                        push(value)

    push(start)
    seen: set[str] = set()
    while todo:
        place, schema = todo.pop(0)
        if place in seen:
            continue
        seen.add(place)
        push(schema)
        if place.startswith("components.schemas."):
            yield place, schema
            for name, prop in schema.get("properties", {}).items():
                if isinstance(prop, dict) and "$ref" not in prop:
                    yield f"{place}.properties.{name}", prop


def _place(path: Any) -> str:
    text = ""
    for part in path:
        text += f"[{part!r}]" if not str(part).isidentifier() else f".{part}" if text else str(part)
    return text


def _line(tree: Any, place: str) -> int | None:
    """Return the line of a place, or of the nearest one around it."""
    parts = [quoted or bare for quoted, bare in re.findall(r"\['([^']*)'\]|([^.\[\]]+)", place)]
    line = None
    for part in parts:
        key = next((k for k in tree if str(k) == part), None) if isinstance(tree, dict) else None
        if key is None or not hasattr(tree, "lc"):
            break
        line, tree = tree.lc.key(key)[0] + 1, tree[key]
    return line
