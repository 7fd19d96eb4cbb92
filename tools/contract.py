"""The contract as data: one YAML file, read strictly. What is wrong with it as a contract is for `lint` to say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from attrs import field, frozen
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
#: The operation whose request the model table is about.
GENERATION = "create_image"


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
    """A contract as plain data, and the tree it was read from, which remembers its lines."""

    data: dict[str, Any]
    tree: Any = field(default=None, repr=False, eq=False)

    @cached_property
    def _registry(self) -> Any:
        return Registry().with_resource("urn:contract", DRAFT202012.create_resource(self.data))

    def resolve(self, node: Any) -> Any:
        """Follow a ``$ref``. Raises LookupError for one that leads nowhere."""
        seen = set()
        while isinstance(node, dict) and "$ref" in node:
            ref = node["$ref"]
            if ref in seen or not str(ref).startswith("#/"):
                raise LookupError(ref)
            seen.add(ref)
            target: Any = self.data
            for part in ref.removeprefix("#/").split("/"):
                key = part.replace("~1", "/").replace("~0", "~")
                if not isinstance(target, dict) or key not in target:
                    raise LookupError(ref)
                target = target[key]
            node = target
        return node

    def errors(self, value: object, schema: Any) -> list[str]:
        """Return what is wrong with a value under a schema of this contract."""
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:contract#/'))
        validator = Draft202012Validator(absolute, registry=self._registry)
        return [error.message for error in validator.iter_errors(value)]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield (path, method, operation)."""
        for path, item in self.data.get("paths", {}).items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    @property
    def _request(self) -> Any:
        operation = next(op for _, _, op in self.operations() if op.get("operationId") == GENERATION)
        return operation["requestBody"]["content"]["application/json"]["schema"]

    @property
    def request_schema(self) -> dict[str, Any]:
        """The schema of a generation request."""
        schema: dict[str, Any] = self.resolve(self._request)
        return schema

    @property
    def request_place(self) -> str:
        """Where that schema stands."""
        return place_of_ref(str(self._request["$ref"]))

    @property
    def models(self) -> dict[str, Any]:
        """The capability table."""
        table: dict[str, Any] = self.data.get("x-lemon-models", {})
        return table

    def unknown_sources(self, source: object) -> list[str]:
        """Return what is wrong with a ``source``: one name of `x-lemon-sources`, or several with ", " between."""
        if not isinstance(source, str) or not source:
            return [f"where is it from? Name a document of x-lemon-sources, for example E, and not {source!r}"]
        legend = self.data.get("x-lemon-sources", {})
        names = [name for name in source.split(", ") if name not in legend] if legend else []
        return [f"x-lemon-sources does not say what {name!r} is" for name in names]

    def line(self, place: str) -> int | None:
        """Return the line of a place, or of the nearest one around it."""
        line, tree = None, self.tree
        for quoted, bare in re.findall(r"\['([^']*)'\]|([^.\[\]]+)", place):
            key = next((k for k in tree if str(k) == (quoted or bare)), None) if isinstance(tree, dict) else None
            if key is None or not hasattr(tree, "lc"):
                break
            line, tree = tree.lc.key(key)[0] + 1, tree[key]
        return line


def parse(text: str) -> Contract:
    """Read a YAML text; duplicate keys are refused. Raises BrokenContractError."""
    try:
        tree = YAML(typ="rt").load(text)
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        reason = " ".join(str(getattr(exc, "problem", None) or exc).split())
        raise BrokenContractError([Finding("YAML", reason, None if mark is None else mark.line + 1)]) from None
    if not isinstance(tree, dict):
        raise BrokenContractError([Finding("YAML", "this is not a mapping of names to values")])
    return Contract(json.loads(json.dumps(tree, default=str)), tree)


def known_values(contract: Contract, schema: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """Split ``anyOf [a Known enum, an alternative]`` into its known values and the alternative, or return None."""
    parts = schema.get("anyOf", [])
    if len(parts) != 2 or not str(parts[0].get("$ref", "")).endswith("Known"):
        return None
    return contract.resolve(parts[0])["enum"], parts[1]


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a value may be one of."""
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def is_taken(row: dict[str, Any], parameter: str) -> bool:
    """Tell whether a model takes a parameter, by its row: without ``takes``, every one."""
    return parameter in ("model", "prompt", *row.get("takes", (parameter,)))


def place_of_ref(ref: str) -> str:
    """Return the place that a ``$ref`` leads to."""
    return ref.removeprefix("#/").replace("/", ".")


def is_field_path(path: object) -> bool:
    """Tell whether this is a field of an answer, by its keys: ``data`` or ``output.images``."""
    return isinstance(path, str) and re.fullmatch(r"[\w-]+(\.[\w-]+)*", path) is not None


def keys_of(paths: Any) -> tuple[tuple[str, ...], ...]:
    """Return the keys of fields, from the outside to the inside."""
    return tuple(tuple(path.split(".")) for path in paths)


def hint(word: str, words: Any) -> str:
    """Return what to write in the place of a word that is none of these."""
    near = get_close_matches(word, words, n=1)
    return f"did you mean {near[0]}?" if near else f"can be: {', '.join(words)}"


def place_of(path: Any) -> str:
    """Return a path into the contract as text."""
    first, *rest = path
    return str(first) + "".join(f".{part}" if str(part).isidentifier() else f"[{part!r}]" for part in rest)
