"""What changed in the API between two contracts, whether it breaks anyone, and which lines of lemon_ext mention it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from contract import Contract
from derive import parameters

#: Keywords that narrow: adding one, or changing it, can refuse what was accepted before.
_ALLOW_MORE = {"maximum": 1, "maxLength": 1, "maxItems": 1, "minimum": -1, "minLength": -1, "minItems": -1}


@frozen
class Change:
    """One change. ``word`` is what code that depends on it would mention."""

    text: str
    word: str
    breaking: bool = False

    def __str__(self) -> str:
        return f"{'BREAKING' if self.breaking else 'ok':<9}{self.text}"


def changes(old: Contract, new: Contract) -> list[Change]:
    """List what changed, breaking changes first."""
    found = [*_operations(old, new), *_parameters(old, new), *_fields(old, new), *_values(old, new), *_models(old, new)]
    return sorted(found, key=lambda change: not change.breaking)


def mentions(root: Path, word: str) -> list[str]:
    """Return the places in lemon_ext that mention a name: as an attribute, a keyword, an import or a string."""
    found = []
    for path in sorted((root / "lemon_ext").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if word in _names(node):
                found.append(f"{path.relative_to(root).as_posix()}:{node.lineno}")  # type: ignore[attr-defined]
    return list(dict.fromkeys(found))


def unwrapped(contract: Contract, root: Path) -> list[str]:
    """Return the operations that lemon_ext/_operations.py does not import."""
    names = [operation["operationId"] for _, _, operation in contract.operations()]
    return [name for name in names if not any("_operations.py" in place for place in mentions(root, name))]


def report(old: Contract | None, new: Contract, root: Path) -> str:
    """Return the whole report as plain text."""
    lines = []
    if old is None:
        lines.append("API changes: there is no earlier contract to compare with.")
    elif not (found := changes(old, new)):
        lines.append("API changes since the last commit: none.")
    else:
        lines.append(f"API changes since the last commit: {len(found)} ({sum(c.breaking for c in found)} breaking)")
        for change in found:
            places = mentions(root, change.word)
            lines += [f"  {change}", f"           {', '.join(places) if places else 'lemon_ext does not mention it'}"]
    lines += [
        f"NOT WRAPPED: lemon_ext/_operations.py does not use the operation {name}." for name in unwrapped(new, root)
    ]
    return "\n".join(lines)


def _operations(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = ({op["operationId"]: f"{m.upper()} {p}" for p, m, op in c.operations()} for c in (old, new))
    for name in before.keys() | after.keys():
        if name not in after:
            yield Change(f"operation {name} ({before[name]}) is gone", name, True)
        elif name not in before:
            yield Change(f"operation {name} ({after[name]}) is new", name)
        elif before[name] != after[name]:
            yield Change(f"operation {name}: {before[name]} is now {after[name]}", name, True)


def _parameters(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = parameters(old), parameters(new)
    required = [set(contract.request_schema.get("required", ())) for contract in (old, new)]
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Change(f"parameter {name} is gone", name, True)
        elif name not in before:
            yield Change(f"parameter {name} is new", name, name in required[1])
        else:
            yield from _rules(f"parameter {name}", name, before[name], after[name])
            if (name in required[0]) != (name in required[1]):
                needed = name in required[1]
                yield Change(f"parameter {name} is {'now' if needed else 'no longer'} required", name, needed)


def _rules(what: str, word: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in sorted((before.keys() | after.keys()) - {"description"}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key in ("enum", "known") and old is not None and new is not None:
            gone, added = [v for v in old if v not in new], [v for v in new if v not in old]
            if gone:
                yield Change(f"{what}: {', '.join(map(str, gone))} no longer allowed", word, True)
            if added:
                yield Change(f"{what}: {', '.join(map(str, added))} now allowed", word)
        elif key in _ALLOW_MORE:
            wider = new is None or (old is not None and (new - old) * _ALLOW_MORE[key] > 0)
            yield Change(f"{what}: {key} {_show(old)} -> {_show(new)}", word, not wider)
        else:
            yield Change(f"{what}: {key} {_show(old)} -> {_show(new)}", word, key != "default" and new is not None)


def _fields(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = _answer_fields(old), _answer_fields(new)
    for schema in sorted(before.keys() | after.keys()):
        if schema not in after:
            yield Change(f"answer schema {schema} is gone", schema, True)
            continue
        if schema not in before:
            yield Change(f"answer schema {schema} is new", schema)
            continue
        for name in sorted(before[schema].keys() | after[schema].keys()):
            if name not in after[schema]:
                yield Change(f"answer field {schema}.{name} is gone", name, True)
            elif name not in before[schema]:
                yield Change(f"answer field {schema}.{name} is new", name)
            elif before[schema][name] != after[schema][name]:
                yield Change(f"answer field {schema}.{name} has another type", name, True)


def _answer_fields(contract: Contract) -> dict[str, dict[str, Any]]:
    request = contract.request_schema
    schemas = contract.data.get("components", {}).get("schemas", {})
    return {
        name: {field: _without_words(prop) for field, prop in schema.get("properties", {}).items()}
        for name, schema in schemas.items()
        if schema.get("type") == "object" and schema != request
    }


def _values(old: Contract, new: Contract) -> Iterator[Change]:
    asked = {str(part) for c in (old, new) for p in c.request_schema["properties"].values() for part in p.get("anyOf", [])}
    before, after = (
        {name: schema["enum"] for name, schema in c.data["components"]["schemas"].items() if "enum" in schema}
        for c in (old, new)
    )
    for name in sorted(before.keys() & after.keys()):
        if any(f"/{name}'" in part for part in asked):
            continue  # a parameter's values are told of with the parameter
        for value in before[name]:
            if value not in after[name]:
                yield Change(f"value {value} of {name} is gone", value, True)
        for value in after[name]:
            if value not in before[name]:
                yield Change(f"value {value} of {name} is new", value)


def _models(old: Contract, new: Contract) -> Iterator[Change]:
    for name in sorted(old.models.keys() | new.models.keys()):
        if name not in new.models:
            yield Change(f"model {name} is gone", name, True)
        elif name not in old.models:
            yield Change(f"model {name} is new", name)
        else:
            before, after = old.models[name], new.models[name]
            for key in ("reply", "summary", "source"):
                if before[key] != after[key]:
                    yield Change(f"model {name}: {key} {before[key]} -> {after[key]}", name)
            for parameter in sorted(before["parameters"].keys() | after["parameters"].keys()):
                rules = before["parameters"].get(parameter, {}), after["parameters"].get(parameter, {})
                what = f"model {name}, {parameter}"
                if rules[0] != rules[1] and False in rules:
                    refused = rules[1] is False
                    yield Change(f"{what}: {'no longer' if refused else 'now'} taken", name, refused)
                elif rules[0] != rules[1]:
                    yield from _rules(what, name, *rules)


def _without_words(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_words(value) for key, value in node.items() if key not in ("description", "examples")}
    return [_without_words(item) for item in node] if isinstance(node, list) else node


def _show(value: object) -> str:
    return "none" if value is None else str(value)


def _names(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return (name,)
        case ast.Constant(value=str(text)):
            return (text,)
        case ast.ImportFrom(module=module, names=names):
            return (*(alias.name for alias in names), *(module or "").split("."))
    return ()
