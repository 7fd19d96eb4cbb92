"""What changed in the API between two contracts, whether it breaks anyone, and which lines of lemon_ext mention it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from contract import Contract
from derive import parameters, relations

from lemon_ext._words import relation

#: Keywords that narrow: adding one, or changing it, can refuse what was accepted before.
_ALLOW_MORE = {"maximum": 1, "maxLength": 1, "maxItems": 1, "minimum": -1, "minLength": -1, "minItems": -1}


@frozen
class Change:
    """One change. ``words`` are what code that depends on it would mention."""

    text: str
    words: tuple[str, ...]
    breaking: bool = False

    def __str__(self) -> str:
        return f"{'BREAKING' if self.breaking else 'ok':<9}{self.text}"


def changes(old: Contract, new: Contract) -> list[Change]:
    """List what changed, breaking changes first."""
    parts = (_operations, _parameters, _relations, _fields, _values, _models, _rest)
    found = [change for part in parts for change in part(old, new)]
    return sorted(found, key=lambda change: not change.breaking)


def mentions(root: Path, *words: str) -> list[str]:
    """Return where lemon_ext mentions a name, as an attribute, a keyword, an import or a string: ``file:line,line``."""
    found = []
    for path in sorted((root / "lemon_ext").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lines = {getattr(node, "lineno", 0) for node in ast.walk(tree) if not set(words).isdisjoint(_names(node))}
        if lines:
            found.append(f"{path.relative_to(root).as_posix()}:{','.join(map(str, sorted(lines)))}")
    return found


def unwrapped(contract: Contract, root: Path) -> list[str]:
    """Return the operations that lemon_ext/_api.py, the only door to generated endpoints, does not import."""
    tree = ast.parse((root / "lemon_ext" / "_api.py").read_text(encoding="utf-8"))
    imported = {name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in _names(node)}
    return [op["operationId"] for _, _, op in contract.operations() if op["operationId"] not in imported]


def how_to_wrap(name: str) -> str:
    """Say what to do about an operation that nothing handwritten uses."""
    return (
        f"NOT WRAPPED: the operation {name}. Import it in lemon_ext/_api.py, write a flow for it there, and "
        'give Lemon and AsyncLemon a method that runs the flow (docs/regenerating.md, "A new operation").'
    )


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
            places = mentions(root, *change.words)
            lines += [f"  {change}", f"           {' '.join(places) if places else 'lemon_ext does not mention it'}"]
    return "\n".join([*lines, *map(how_to_wrap, unwrapped(new, root))])


def _operations(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = ({op["operationId"]: (f"{m.upper()} {p}", op) for p, m, op in c.operations()} for c in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Change(f"operation {name} ({before[name][0]}) is gone", (name,), True)
        elif name not in before:
            yield Change(f"operation {name} ({after[name][0]}) is new", (name,))
        else:
            if before[name][0] != after[name][0]:
                yield Change(f"operation {name}: {before[name][0]} is now {after[name][0]}", (name,), True)
            yield from _shape(old, new, name, before[name][1], after[name][1])


def _shape(old: Contract, new: Contract, name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Compare what is asked for beside the body, and what may be answered."""
    asked = [
        {str(p["name"]): bool(p.get("required")) for p in map(contract.resolve, operation.get("parameters", []))}
        for contract, operation in ((old, before), (new, after))
    ]
    for part in sorted(asked[0].keys() | asked[1].keys()):
        if part not in asked[1]:
            yield Change(f"operation {name}: its {part} is gone", (part,), True)
        elif asked[0].get(part) != asked[1][part]:
            needed = asked[1][part]
            said = ("now" if part in asked[0] else "new and") + (" required" if needed else " optional")
            yield Change(f"operation {name}: its {part} is {said}", (part,), needed)
    for status in sorted(before["responses"].keys() ^ after["responses"].keys()):
        is_new = status in after["responses"]
        gone = "new" if is_new else "gone"
        yield Change(f"operation {name}: the answer {status} is {gone}", (name,), is_new and status.startswith("2"))
    if before.get("security") != after.get("security"):
        yield Change(f"operation {name}: its security is another", (name,), True)


def _parameters(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = parameters(old), parameters(new)
    required = [set(contract.request_schema.get("required", ())) for contract in (old, new)]
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield Change(f"parameter {name} is gone", (name,), True)
        elif name not in before:
            yield Change(f"parameter {name} is new", (name,), name in required[1])
        else:
            yield from _rules(f"parameter {name}", name, before[name], after[name])
            if (name in required[0]) != (name in required[1]):
                needed = name in required[1]
                yield Change(f"parameter {name} is {'now' if needed else 'no longer'} required", (name,), needed)


def _relations(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare the rules between parameters. One that is about a new parameter breaks nobody."""
    before, after, known = relations(old), relations(new), parameters(old)
    for rule in after:
        if rule not in before:
            name, says = relation(rule)
            yield Change(f"between parameters, new: {name}: {says}", (name,), all(one in known for one in _named(rule)))
    for rule in before:
        if rule not in after:
            name, says = relation(rule)
            yield Change(f"between parameters, gone: {name}: {says}", (name,))


def _named(rule: dict[str, Any]) -> list[str]:
    """Return the parameters that a request must hold to break a rule; none where it may be for lack of one."""
    if "dependentRequired" in rule:
        return list(rule["dependentRequired"])
    return list(rule["not"]["required"]) if "not" in rule else []


def _rest(old: Contract, new: Contract) -> Iterator[Change]:
    was, now = (contract.data.get("x-lemon-default-model") for contract in (old, new))
    if was != now:
        yield Change(f"default model: {_show(was)} -> {_show(now)}", tuple(filter(None, (was, now))))


def _rules(what: str, word: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in sorted((before.keys() | after.keys()) - {"description"}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key in ("enum", "known") and old is not None and new is not None:
            gone, added = [v for v in old if v not in new], [v for v in new if v not in old]
            if gone:
                yield Change(f"{what}: {', '.join(map(str, gone))} no longer allowed", tuple(map(str, gone)), True)
            if added:
                yield Change(f"{what}: {', '.join(map(str, added))} now allowed", tuple(map(str, added)))
        elif key in _ALLOW_MORE:
            wider = new is None or (old is not None and (new - old) * _ALLOW_MORE[key] > 0)
            yield Change(f"{what}: {key} {_show(old)} -> {_show(new)}", (word,), not wider)
        else:
            yield Change(
                f"{what}: {key} {_show(old)} -> {_show(new)}",
                (word,),
                key not in ("default", "known") and new is not None,
            )


def _fields(old: Contract, new: Contract) -> Iterator[Change]:
    before, after = _answer_fields(old), _answer_fields(new)
    for schema in sorted(before.keys() | after.keys()):
        if schema not in after:
            yield Change(f"answer schema {schema} is gone", (schema,), True)
            continue
        if schema not in before:
            yield Change(f"answer schema {schema} is new", (schema,))
            continue
        for name in sorted(before[schema].keys() | after[schema].keys()):
            if name not in after[schema]:
                yield Change(f"answer field {schema}.{name} is gone", (name,), True)
            elif name not in before[schema]:
                yield Change(f"answer field {schema}.{name} is new", (name,))
            else:
                was, now = before[schema][name], after[schema][name]
                if was[0] != now[0]:
                    yield Change(f"answer field {schema}.{name} has another type", (name,), True)
                if was[1] != now[1]:
                    yield Change(
                        f"answer field {schema}.{name} is {'now' if now[1] else 'not'} always there", (name,), was[1]
                    )


def _answer_fields(contract: Contract) -> dict[str, dict[str, tuple[Any, bool]]]:
    """Return, for each schema and field, what it is and whether it is always there."""
    request = contract.request_schema
    schemas = contract.data.get("components", {}).get("schemas", {})
    return {
        name: {
            field: (_without_words(prop), field in schema.get("required", ()))
            for field, prop in schema.get("properties", {}).items()
        }
        for name, schema in schemas.items()
        if schema.get("type") == "object" and schema != request
    }


def _values(old: Contract, new: Contract) -> Iterator[Change]:
    asked = {
        str(part) for c in (old, new) for p in c.request_schema["properties"].values() for part in p.get("anyOf", [])
    }
    before, after = (
        {name: schema["enum"] for name, schema in c.data["components"]["schemas"].items() if "enum" in schema}
        for c in (old, new)
    )
    for name in sorted(before.keys() & after.keys()):
        if any(f"/{name}'" in part for part in asked):
            continue  # a parameter's values are told of with the parameter
        for value in before[name]:
            if value not in after[name]:
                yield Change(f"value {value} of {name} is gone", (str(value),), True)
        for value in after[name]:
            if value not in before[name]:
                yield Change(f"value {value} of {name} is new", (str(value),))


def _models(old: Contract, new: Contract) -> Iterator[Change]:
    for name in sorted(old.models.keys() | new.models.keys()):
        if name not in new.models:
            yield Change(f"model {name} is gone", (name,), True)
        elif name not in old.models:
            yield Change(f"model {name} is new", (name,))
        else:
            both = [name for name in old.request_schema["properties"] if name in new.request_schema["properties"]]
            yield from _row(name, old.models[name], new.models[name], both)


def _row(model: str, before: dict[str, Any], after: dict[str, Any], both: list[str]) -> Iterator[Change]:
    """Compare two rows; of their parameters, those that both contracts have."""
    for key in ("reply", "summary", "source"):
        if before.get(key) != after.get(key):
            yield Change(f"model {model}: {key} {_show(before.get(key))} -> {_show(after.get(key))}", (model,))
    if "retired" in after and "retired" not in before:
        gone = after["retired"]
        instead = f"; use {gone['instead']}" if "instead" in gone else ""
        yield Change(f"model {model}: retired on {gone['since']}{instead}", (model,), True)
    for name in sorted(before.get("defaults", {}).keys() | after.get("defaults", {}).keys()):
        values = [row.get("defaults", {}).get(name) for row in (before, after)]
        if values[0] != values[1]:
            yield Change(f"model {model}, {name}: default {_show(values[0])} -> {_show(values[1])}", (model,))
    own = {parameter: (_own(before, parameter), _own(after, parameter)) for parameter in sorted(both)}
    if fresh := [parameter for parameter, (was, now) in own.items() if was is False and now is not False]:
        yield Change(f"model {model} now takes {', '.join(fresh)}", (model,))
    for parameter, (was, now) in own.items():
        what = f"model {model}, {parameter}"
        if was is not False and now is False:
            yield Change(f"{what}: no longer taken", (model,), True)
        elif was is not False and was != now:
            yield from _rules(what, model, was, now)


def _own(row: dict[str, Any], parameter: str) -> Any:
    """Return what a row says of a parameter."""
    taken = parameter in ("model", "prompt", *row.get("takes", (parameter,)))
    return row["parameters"].get(parameter, {}) if taken else False


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
