"""The contract as the judge of what comes in and what goes out. What it means for a client is not known here.

``openapi.json`` is ``openapi.yaml`` as data. Requests are judged with its JSON Schemas and the table
``x-lemon-models``, answers with the schema of their operation and status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import unquote

from attrs import field, frozen
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from .records import JSON

METHODS: Final = ("get", "put", "post", "delete", "patch")
ANY_MODEL: Final = "*"
GENERATION: Final = "create_image"
#: The schema of a parameter that a model does not take. It says what ``false`` says, and its errors know their place.
NOT_TAKEN: Final[Mapping[str, Any]] = {"not": {}}


@frozen
class Operation:
    """One operation: how the key of who may call it begins, the schemas of its requests and answers, by status the
    headers it sends and the examples of what it answers, and the schemas of what stands in its query.
    """

    id: str
    method: str
    prefix: str | None
    takes: Mapping[str, Any] = field(repr=False)
    answers: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, frozenset[str]] = field(repr=False)
    examples: Mapping[str, Sequence[Any]] = field(repr=False)
    query: Mapping[str, Draft202012Validator] = field(repr=False)

    def example(self, status: str, **fields: str) -> Any:
        """Return the first documented answer with this status that has these values among its own; None: there is none.

        A parameter may have another name than the field of the answer that holds it.
        """
        shown = (value for value in self.examples.get(status, ()) if isinstance(value, dict))
        return next((value for value in shown if all(one in value.values() for one in fields.values())), None)

    def problem(self, query: Mapping[str, str]) -> Problem | None:
        """Return what is wrong with a query, None if nothing is. What is not documented is passed over."""
        for name, text in query.items():
            if name in self.query:
                value = int(text) if re.fullmatch(r"-?\d{1,9}", text) and self._is_number(name) else text
                if any(self.query[name].iter_errors(value)):
                    return Problem(name, "invalid_value", f"`{name}` cannot be that")
        return None

    def _is_number(self, name: str) -> bool:
        schema: Any = self.query[name].schema
        return bool(schema.get("type") == "integer")


@frozen
class Problem:
    """One thing that is wrong with a request."""

    param: str | None
    code: str
    message: str
    hint: str | None = None
    suggestions: tuple[str, ...] = ()


class Contract:
    """A contract, ready to judge."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.models: Mapping[str, Any] = data["x-lemon-models"]
        self._routes = [
            (_pattern(path), {m.upper(): self._operation(m.upper(), item[m]) for m in METHODS if m in item})
            for path, item in data["paths"].items()
        ]
        self._request = self._generation_request()
        self._bound = {**data["components"], "schemas": self._bind(data["components"]["schemas"])}
        self._judges = {name: self._judge(name, row) for name, row in self.models.items()}

    @classmethod
    def load(cls) -> Contract:
        """Return the contract this package was made from."""
        return _installed()

    def match(self, path: str) -> tuple[Mapping[str, Operation], dict[str, str]]:
        """Return the operations at a path by method, and the parameters in it. No operation: no such path."""
        for pattern, operations in self._routes:
            if found := pattern.fullmatch(path):
                return operations, {name: unquote(value) for name, value in found.groupdict().items()}
        return {}, {}

    def paths(self) -> list[str]:
        """List what there is, as METHOD /path."""
        return [f"{m.upper()} {path}" for path, item in self.data["paths"].items() for m in METHODS if m in item]

    def path_of(self, operation_id: str) -> str:
        """Return the path of an operation, with its parameters in braces."""
        for path, item in self.data["paths"].items():
            if any(item.get(method, {}).get("operationId") == operation_id for method in METHODS):
                return str(path)
        raise ValueError(f"the contract has no operation {operation_id}")

    def example(self, operation_id: str) -> str:
        """Return the documented example of what stands in the path of an operation."""
        path = self.data["paths"][self.path_of(operation_id)]
        named = [*path.get("parameters", ()), *(p for m in METHODS for p in path.get(m, {}).get("parameters", ()))]
        return next((str(p["example"]) for p in map(self.resolve, named) if p["in"] == "path" and "example" in p), "")

    def completed(self, answer: Any) -> Any:
        """Return a documented list of models with the other models of the table in it; any other answer as it is."""
        live = self.data.get("x-lemon-live", {})
        for entries in live.get("entries", ()):
            shown = answer.get(entries)
            if isinstance(shown, list) and all(isinstance(one, dict) and self._name(one) for one in shown):
                names = [self._name(one) for one in shown]
                own = {name: row for name, row in self.models.items() if "*" not in name and "retired" not in row}
                every = {name: self._described(name) for name in (*names, *own)}
                both = [{**one, **every.pop(self._name(one))} for one in shown]
                return {**answer, entries: [*both, *every.values()]}
        return answer

    def described(self, operation: Operation, params: Mapping[str, str]) -> Any:
        """Return how a model of the table is described that no example is about; None: that is not asked for."""
        (name,) = params.values() if len(params) == 1 else ("",)
        row = self.models.get(name, {"retired": True})
        return self._described(name) if self._models_shown(operation) and "retired" not in row else None

    def _described(self, model: str) -> dict[str, Any]:
        """Return a model as its own example shows it; without one, with what all examples share."""
        shown = [
            one
            for _, operations in self._routes
            for operation in operations.values()
            for one in self._models_shown(operation)
        ]
        if (own := next((one for one in shown if self._name(one) == model), None)) is not None:
            return deepcopy(own)
        first = shown[0] if shown else {}
        shared = {name: value for name, value in first.items() if all(one.get(name) == value for one in shown)}
        return {**shared, **{name: model for name in self.data["x-lemon-live"]["id"] if name in first or not shown}}

    def _models_shown(self, operation: Operation) -> list[dict[str, Any]]:
        """Return the documented answers of an operation, if they are about single models."""
        shown = [one for one in operation.examples.get("200", ()) if isinstance(one, dict)]
        return shown if any(self._name(one) in self.models for one in shown) else []

    def _name(self, entry: Mapping[str, Any]) -> Any:
        return next((entry[name] for name in self.data.get("x-lemon-live", {}).get("id", ()) if name in entry), None)

    def key(self, model: object) -> str:
        """Return which row of the table a model follows: its own, or the longest pattern that fits."""
        if not isinstance(model, str):
            return ANY_MODEL
        patterns = (name for name in self.models if "*" in name and fnmatchcase(model, name))
        return model if model in self.models else max(patterns, key=len)

    def row(self, model: str) -> Mapping[str, Any]:
        """Return the table's row for a model."""
        row: Mapping[str, Any] = self.models[self.key(model)]
        return row

    def default(self, name: str, model: str | None = None) -> Any:
        """Return what the server uses for a parameter that is left out, None if that is not documented."""
        general = self._request["properties"].get(name, {}).get("x-server-default")
        return general if model is None else self.row(model).get("defaults", {}).get(name, general)

    def value(self, fields: Mapping[str, Any], name: str, model: str | None = None) -> Any:
        """Return what counts for a parameter: what was sent, under any of its names, or what the server uses."""
        also = (
            other for other, schema in self._request["properties"].items() if schema.get("x-lemon-alias-of") == name
        )
        given = (fields[one] for one in (name, *also) if one in fields)
        return next(given, self.default(name, model))

    def price(self, fields: Mapping[str, Any]) -> Decimal | None:
        """Return what the contract says that an image of a generation costs, None where it says nothing."""
        model = str(self.value(fields, "model"))
        table: Mapping[str, Any] = self.data.get("x-lemon-prices", {}).get("models", {})
        families = [name for name in table if "*" in name and fnmatchcase(model, name)]
        for entry in table.get(model if model in table else max(families, key=len, default=""), ()):
            allowed = {name: one if isinstance(one, list) else [one] for name, one in entry.get("when", {}).items()}
            if all(self.value(fields, name, model) in some for name, some in allowed.items()):
                return Decimal(entry["usd"]) if "usd" in entry else None
        return None

    def problems(
        self, fields: object, shape: Mapping[str, Any] | None = None, common: Sequence[str] = ()
    ) -> list[Problem]:
        """List what the request schema and the row of the model refuse, one problem for each parameter.

        ``shape``: the schema of a request that is no generation. The row judges what is ``common`` to both.
        """
        model = str(self.value(fields, "model")) if isinstance(fields, dict) else ANY_MODEL
        judge, judged = self._judges[self.key(model)], fields
        errors: list[ValidationError] = []
        if shape is not None:
            errors += self._validator(shape).iter_errors(fields)
            judged = {name: fields[name] for name in common if name in fields} if isinstance(fields, dict) else {}
        for error in judge.iter_errors(judged):
            if shape is None or error.validator != "required":
                errors.append(error)
        found: dict[str | None, Problem] = {}
        for error in errors:
            for problem in self._explain(error, model):
                found.setdefault(problem.param, problem)
        return list(found.values())

    def complaints(self, operation: Operation, status: int, body: bytes) -> list[str]:
        """List where an answer breaks the contract. Values are not shown."""
        schema = operation.answers.get(str(status), operation.answers.get("default"))
        if schema is None:
            return [f"{operation.id} documents no answer with status {status}"]
        try:
            value = json.loads(body)
        except ValueError:
            return ["the body is not JSON"]
        return [f"{error.json_path}: {error.validator}" for error in schema.iter_errors(value)]

    def _operation(self, method: str, node: Mapping[str, Any]) -> Operation:
        content = self.resolve(node.get("requestBody", {})).get("content", {})
        answers = {status: self._validator(self._schema(answer)) for status, answer in node["responses"].items()}
        headers = {
            status: frozenset(name.lower() for name in self.resolve(answer).get("headers", {}))
            for status, answer in node["responses"].items()
        }
        examples = {
            status: [
                shown["value"]
                for media in self.resolve(answer).get("content", {}).values()
                for shown in media.get("examples", {}).values()
            ]
            for status, answer in node["responses"].items()
        }
        prefix = self._prefix(node.get("security", ()))
        takes = {kind: self.resolve(media.get("schema", {})) for kind, media in content.items()}
        query = {
            one["name"]: self._validator(one["schema"])
            for one in map(self.resolve, node.get("parameters", ()))
            if one["in"] == "query"
        }
        return Operation(node["operationId"], method, prefix, takes, answers, headers, examples, query)

    def _prefix(self, security: Sequence[Mapping[str, Any]]) -> str | None:
        """Return how the key begins that an operation wants, None if it wants none."""
        names = [name for one in security for name in one]
        schemes = self.data["components"].get("securitySchemes", {})
        return str(schemes[names[0]].get("x-lemon-prefix", "")) if names else None

    def _schema(self, node: Any) -> Any:
        return self.resolve(node).get("content", {}).get(JSON, {}).get("schema", {})

    def _validator(self, schema: Mapping[str, Any]) -> Draft202012Validator:
        # With the components beside it, "#/components/..." leads somewhere.
        return Draft202012Validator({**schema, "components": self.data["components"]})

    def _generation_request(self) -> Any:
        item = self.data["paths"][self.path_of(GENERATION)]
        return self.resolve(self._schema(item["post"]["requestBody"]))

    def _judge(self, model: str, row: Mapping[str, Any]) -> Any:
        """Return the validator of requests for a row: the request schema, narrowed. A row's own enum replaces the known
        values; without one they bind, except for a model that has no row.
        """
        any_model, properties = model == ANY_MODEL, {}
        for name, general in self._request["properties"].items():
            rule = self._own(row, name, general)
            bound = general if rule is False or "enum" in rule or any_model else self._bind(general)
            properties[name] = NOT_TAKEN if rule is False else {"allOf": [rule, bound]}
        components = self.data["components"] if any_model else self._bound
        return _Judge({**self._request, "properties": properties, "components": components})

    def _own(self, row: Mapping[str, Any], name: str, general: Mapping[str, Any]) -> Any:
        """Return what a row says of a parameter: False if it is not taken. An alias stands for what it is a name of."""
        real: str = general.get("x-lemon-alias-of", name)
        if "takes" in row and real not in ("model", "prompt", *row["takes"]):
            return False
        return row["parameters"].get(real, {})

    def _bind(self, node: Any) -> Any:
        """Close open enums: beside the known values, a bare ``{type: ...}`` only says that more may come."""
        if isinstance(node, list):
            return [self._bind(item) for item in node]
        if not isinstance(node, dict):
            return node
        options = node.get("anyOf", [])
        if any("enum" in self.resolve(option) for option in options):
            node = {**node, "anyOf": [option for option in options if set(option) != {"type"} or _is_null(option)]}
        return {key: self._bind(value) for key, value in node.items()}

    def resolve(self, node: Any) -> Any:
        """Follow a ``$ref``."""
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.data
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def _explain(self, error: ValidationError, model: str) -> Iterator[Problem]:
        """Say what is wrong in words that hold nothing of the request but names: a prompt stays out of messages."""
        param = ".".join(map(str, error.absolute_path)) or None
        kind = str(error.validator)
        rule: Any = error.validator_value
        fields: Any = error.instance
        if kind == "required":
            for name in _missing(rule, fields):
                yield Problem(name, "missing_required_parameter", f"`{name}` is required")
        elif rule == NOT_TAKEN["not"]:
            general = self._request["properties"].get(param, {})
            others = (name for name, row in self.models.items() if self._own(row, str(param), general) is not False)
            yield Problem(
                param,
                "unsupported_parameter",
                f"`{param}` is not supported by {model}",
                f"Leave `{param}` out, or use a model that takes it",
                tuple(name for name in others if "*" not in name and "retired" not in self.models[name]),
            )
        elif kind == "dependentRequired":
            for name, needed in rule.items():
                for other in _missing(needed, fields) if name in fields else ():
                    yield Problem(other, "missing_required_parameter", f"`{name}` needs `{other}`")
        elif param is None and kind in ("not", "oneOf", "anyOf"):
            names = [f"`{name}`" for part in (rule if isinstance(rule, list) else [rule]) for name in part["required"]]
            yield Problem(None, "invalid_value", _TOGETHER[kind].format(", ".join(names)))
        elif kind == "type":
            yield Problem(param, "invalid_type", f"{_name(param)} must be of the type {rule}")
        else:
            values = rule if kind == "enum" else self._known(rule) if kind == "anyOf" else ()
            hint = f"Allowed: {', '.join(map(str, values))}" if values else None
            words = _WORDS.get(kind, "is not as documented").format(rule=rule, model=model)
            detail = f": {error.message}" if kind == "pixels" else ""
            yield Problem(param, "invalid_value", f"{_name(param)} {words}{detail}", hint)

    def _known(self, options: Any) -> list[Any]:
        return [value for option in options for value in self.resolve(option).get("enum", [])]


@cache
def _installed() -> Contract:
    return Contract(json.loads(files("lemon_client").joinpath("openapi.json").read_bytes()))


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts)))


def _missing(required: Any, fields: Any) -> list[str]:
    return [name for name in required if name not in fields]


def _is_null(option: Mapping[str, Any]) -> bool:
    return option.get("type") == "null"


def _name(param: str | None) -> str:
    return f"`{param}`" if param else "The request"


_TOGETHER: Final = {
    "not": "{} cannot be used together",
    "oneOf": "Exactly one of these is needed: {}",
    "anyOf": "At least one of these is needed: {}",
}
_WORDS: Final = {
    "enum": "is none of the values that {model} takes",
    "anyOf": "is none of the documented values",
    "minimum": "must be at least {rule}",
    "maximum": "must be at most {rule}",
    "minLength": "must not be empty",
    "maxLength": "must not be longer than {rule} characters",
    "pattern": "does not match {rule}",
    "minItems": "must have at least {rule} items",
    "maxItems": "must have at most {rule} items",
    "pixels": "is no size that {model} takes",
}


def _pixels(validator: object, rule: Mapping[str, Any], value: object, schema: object) -> Iterator[ValidationError]:
    """Judge the keyword ``pixels``: rules for WIDTHxHEIGHT."""
    if not isinstance(value, str) or value in rule.get("also", ()):
        return
    found = re.fullmatch(r"([1-9][0-9]{0,8})x([1-9][0-9]{0,8})", value)
    if found is None:
        yield ValidationError("it must be WIDTHxHEIGHT")
        return
    width, height = int(found[1]), int(found[2])
    long, short, step = max(width, height), min(width, height), rule.get("multipleOf", 1)
    for broken, words in (
        (width % step or height % step, f"both sides must be multiples of {step}"),
        (long > rule.get("maxEdge", long), f"no side may be longer than {rule.get('maxEdge')}"),
        (long > rule.get("maxRatio", long) * short, f"the sides may be at most {rule.get('maxRatio')} to 1"),
        (width * height < rule.get("minPixels", 0), f"it must have at least {rule.get('minPixels')} pixels"),
        (width * height > rule.get("maxPixels", width * height), f"it has more than {rule.get('maxPixels')} pixels"),
    ):
        if broken:
            yield ValidationError(words)


_Judge: Any = extend(Draft202012Validator, {"pixels": _pixels})  # type: ignore[no-untyped-call]  # its stub says so
