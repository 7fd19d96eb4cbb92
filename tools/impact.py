"""What changed in the API between two contracts, whether it breaks anyone, and which lines of lemon_ext mention it.

Breaking or not is judged as oasdiff judges it (its published list of checks, as of version 1.31): its errors are
BREAKING, its warnings `check`, the rest `ok`. Where this differs, tests/api_changes.yaml says why.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import frozen
from contract import GENERATION, Contract, alternatives, is_taken
from derive import relations

from lemon_ext._words import relation

Level: TypeAlias = Literal["BREAKING", "check", "ok"]
Direction: TypeAlias = Literal["asked", "answered"]
LEVELS: tuple[Level, ...] = ("BREAKING", "check", "ok")
#: How many lines are listed for a change; the rest is counted.
MOST = 10
#: A larger value allows more (1) or less (-1).
BOUNDS = {
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), 1),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), -1),
}
#: Keywords that narrow and have no larger or smaller.
RULES = ("pattern", "format", "multipleOf", "uniqueItems", "const", "not", "dependentRequired", "allOf", "pixels")
#: Those that are rules between the parameters of a generation: they are told of in words.
RELATIONS = ("not", "dependentRequired", "allOf")


@frozen
class Change:
    """One change. ``names`` and ``values`` are what code that depends on it would mention."""

    text: str
    level: Level = "ok"
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level:<9}{self.text}"


def changes(old: Contract, new: Contract) -> list[Change]:
    """List what changed, breaking changes first. What several operations share is told once."""
    found = {change.text: change for change in Comparison(old, new).everything()}
    return sorted(found.values(), key=lambda change: LEVELS.index(change.level))


def mentions(root: Path, change: Change) -> list[str]:
    """Return where lemon_ext mentions what changed: ``file:line,line``.

    A name counts as an attribute, a keyword, an argument, an import from the generated client or a string; a value as a
    string alone. What is called the same in another library (`enum.auto`) does not count.
    """
    found = []
    for path in sorted((root / "lemon_ext").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        foreign = set(_foreign(tree))
        lines = {
            getattr(node, "lineno", 0)
            for node in ast.walk(tree)
            if not set(change.names).isdisjoint(_names(node, foreign))
            or (isinstance(node, ast.Constant) and node.value in (*change.names, *change.values))
        }
        found += [(path.relative_to(root).as_posix(), line) for line in sorted(lines)]
    shown: dict[str, list[str]] = {}
    for name, line in found[:MOST]:
        shown.setdefault(name, []).append(str(line))
    more = [f"and {len(found) - MOST} more lines"] if len(found) > MOST else []
    return [f"{name}:{','.join(lines)}" for name, lines in shown.items()] + more


def unwrapped(contract: Contract, root: Path) -> list[str]:
    """Return the operations that lemon_ext/_api.py, the only door to generated endpoints, does not import."""
    tree = ast.parse((root / "lemon_ext" / "_api.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return [op["operationId"] for _, _, op in contract.operations() if op["operationId"] not in imported]


def how_to_wrap(name: str) -> str:
    """Say what to do about an operation that nothing handwritten uses."""
    return (
        f"NOT WRAPPED: the operation {name}. Import it in lemon_ext/_api.py, write a function for it there, and "
        'give Lemon and AsyncLemon a method that asks it (docs/regenerating.md, "A new operation").'
    )


def report(old: Contract | None, new: Contract, root: Path) -> str:
    """Return the whole report as plain text."""
    lines = []
    if old is None:
        lines.append("API changes: there is no earlier contract to compare with.")
    elif not (found := changes(old, new)):
        lines.append("API changes since the last commit: none.")
    else:
        levels = [change.level for change in found]
        counts = f"{levels.count('BREAKING')} breaking, {levels.count('check')} to check"
        lines.append(f"API changes since the last commit: {len(found)} ({counts})")
        for change in found:
            places = mentions(root, change)
            lines += [f"  {change}", f"           {' '.join(places) if places else 'lemon_ext does not mention it'}"]
    return "\n".join([*lines, *map(how_to_wrap, unwrapped(new, root))])


@frozen
class Open:
    """Known values, and what else may come beside them."""

    values: tuple[Any, ...]
    name: str


class Comparison:
    """Two contracts, side by side."""

    def __init__(self, old: Contract, new: Contract) -> None:
        self.old, self.new = old, new
        self._seen: set[tuple[Direction, str]] = set()

    def everything(self) -> Iterator[Change]:
        yield from self._operations()
        yield from self._relations()
        yield from self._models()
        yield from self._document()

    # ---- operations ----

    def _operations(self) -> Iterator[Change]:
        before, after = (
            {op["operationId"]: (f"{method.upper()} {path}", op) for path, method, op in contract.operations()}
            for contract in (self.old, self.new)
        )
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                yield Change(f"operation {name} ({before[name][0]}) is gone", "BREAKING", (name,))
            elif name not in before:
                yield Change(f"operation {name} ({after[name][0]}) is new", "ok", (name,))
            else:
                if before[name][0] != after[name][0]:
                    yield Change(f"operation {name}: {before[name][0]} is now {after[name][0]}", "BREAKING", (name,))
                yield from self._operation(name, before[name][1], after[name][1])

    def _operation(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        what = f"operation {name}"
        yield from _deprecation(what, (name,), before, after)
        yield from self._parameters(name, before, after)
        yield from self._bodies(name, before, after)
        yield from self._answers(name, before, after)
        security = [op.get("security", c.data.get("security", [])) for c, op in ((self.old, before), (self.new, after))]
        for gone in [one for one in security[0] if one not in security[1]]:
            yield Change(f"{what}: the security {_show(gone)} is gone", "BREAKING", (name,))
        for added in [one for one in security[1] if one not in security[0]]:
            # One more way to get in harms nobody; the first one shuts out all who came without.
            yield Change(f"{what}: the security {_show(added)} is new", "ok" if security[0] else "BREAKING", (name,))
        if before.get("tags") != after.get("tags"):
            yield Change(f"{what}: its module is in another folder, by its tag", "check", (name,))
        if before.get("x-lemon-task") != after.get("x-lemon-task"):
            yield from _task_fields(before.get("x-lemon-task") or {}, after.get("x-lemon-task") or {})

    def _parameters(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        asked = [
            {str(p["name"]): p for p in map(contract.resolve, operation.get("parameters", []))}
            for contract, operation in ((self.old, before), (self.new, after))
        ]
        for part in sorted(asked[0].keys() | asked[1].keys()):
            what, old, new = f"operation {name}: its {part}", asked[0].get(part), asked[1].get(part)
            if new is None:
                yield Change(f"{what} is gone", "check", (part,))
                continue
            needed = bool(new.get("required"))
            said = "required" if needed else "optional"
            if old is None:
                yield Change(f"{what} is new and {said}", "BREAKING" if needed else "ok", (part,))
                continue
            if bool(old.get("required")) != needed:
                yield Change(f"{what} is now {said}", "BREAKING" if needed else "ok", (part,))
            yield from _deprecation(what, (part,), old, new)
            yield from self._schema("asked", what, part, old.get("schema", {}), new.get("schema", {}))

    def _bodies(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        what = f"operation {name}"
        old, new = self.old.resolve(before.get("requestBody")), self.new.resolve(after.get("requestBody"))
        if old is None and new is None:
            return
        if old is None or new is None:
            needed = new is not None and bool(new.get("required"))
            level: Level = "BREAKING" if new is None or needed else "ok"
            said = "is gone" if new is None else f"is new and {'required' if needed else 'optional'}"
            yield Change(f"{what}: its body {said}", level, (name,))
            return
        if bool(old.get("required")) != bool(new.get("required")):
            needed = bool(new.get("required"))
            level = "BREAKING" if needed else "ok"
            yield Change(f"{what}: its body is now {'required' if needed else 'optional'}", level, (name,))
        for kind in sorted(old["content"].keys() | new["content"].keys()):
            if kind not in new["content"]:
                yield Change(f"{what}: it no longer takes {kind}", "BREAKING", (name,), (kind,))
            elif kind not in old["content"]:
                yield Change(f"{what}: it takes {kind} too", "ok", (name,), (kind,))
            else:
                schemas = [content["content"][kind].get("schema", {}) for content in (old, new)]
                whose = "" if name == GENERATION and kind == "application/json" else f"{name}: "
                yield from self._schema("asked", f"{whose}the request", name, *schemas)

    def _answers(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        old, new = ({str(status): answer for status, answer in op["responses"].items()} for op in (before, after))
        for status in sorted(old.keys() | new.keys()):
            what, good = f"operation {name}: the answer {status}", status.startswith("2")
            if status not in new:
                yield Change(f"{what} is gone", "BREAKING" if good else "ok", (name,))
            elif status not in old:
                yield Change(f"{what} is new", "ok", (name,))
            elif (shared := old[status].get("$ref")) is None or shared != new[status].get("$ref"):
                yield from self._answer(name, what, self.old.resolve(old[status]), self.new.resolve(new[status]))
            elif self._first("answered", shared):
                what = f"the answer {shared.rpartition('/')[2]}"
                yield from self._answer(name, what, self.old.resolve(old[status]), self.new.resolve(new[status]))

    def _answer(self, name: str, what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
        contents = old.get("content", {}), new.get("content", {})
        for kind in sorted(contents[0].keys() | contents[1].keys()):
            if kind not in contents[1]:
                yield Change(f"{what} no longer comes as {kind}", "BREAKING", (name,), (kind,))
            elif kind not in contents[0]:
                yield Change(f"{what} may come as {kind} too", "ok", (name,), (kind,))
            else:
                schemas = [content[kind].get("schema", {}) for content in contents]
                yield from self._schema("answered", what, name, *schemas)
        headers = [
            {key.lower(): contract.resolve(header) for key, header in answer.get("headers", {}).items()}
            for contract, answer in ((self.old, old), (self.new, new))
        ]
        for header in sorted(headers[0].keys() | headers[1].keys()):
            which = f"{what}, header {header}"
            if header not in headers[1]:
                level: Level = "BREAKING" if headers[0][header].get("required") else "ok"
                yield Change(f"{which} is gone", level, (), (header,))
            elif header not in headers[0]:
                yield Change(f"{which} is new", "ok", (), (header,))
            else:
                pair = headers[0][header], headers[1][header]
                if pair[0].get("required") and not pair[1].get("required"):
                    yield Change(f"{which} is not always there", "BREAKING", (), (header,))
                yield from self._schema("answered", which, header, *(it.get("schema", {}) for it in pair))
        if (links := (old.get("links", {}), new.get("links", {})))[0] != links[1]:
            yield Change(f"{what}: what comes next is another (links)", "check", (name,))

    def _first(self, way: Direction, name: str) -> bool:
        """Tell whether something shared is met for the first time in a direction."""
        known = (way, name) in self._seen
        self._seen.add((way, name))
        return not known

    # ---- schemas ----

    def _schema(self, way: Direction, what: str, word: str, old: Any, new: Any) -> Iterator[Change]:
        """Compare two schemas. ``what`` names them; of a component, its own name and its fields' names do."""
        names = [str(node.get("$ref", "")).rpartition("/")[2] for node in (old, new)]
        if names[1] and names[0] != names[1]:
            yield Change(
                f"{what}: it is {names[1]} now, not {names[0] or 'what stood there'}", "BREAKING", tuple(names)
            )
        if all(names) and not self._first(way, names[1]):
            return
        old, new = self.old.resolve(old), self.new.resolve(new)
        known = self._open(self.old, old), self._open(self.new, new)
        if known[0] and known[1]:
            yield from _values(way, what, known[0], known[1])
            old, new = self._alternative(old), self._alternative(new)
        elif known[0] or known[1]:
            values = tuple(map(str, (known[0] or known[1] or Open((), "")).values))
            said = "any value" if known[0] else f"one of {', '.join(values)}"
            level: Level = "ok" if known[0] or way == "answered" else "BREAKING"
            yield Change(f"{what}: it is {said} now", level, (word,), values)
            old, new = (self._alternative(it) if has else it for it, has in ((old, known[0]), (new, known[1])))
        yield from _types(way, what, word, old, new)
        yield from _keywords(way, what, word, old, new, RELATIONS if what == "the request" else ())
        yield from self._branches(way, what, word, old, new)
        if "items" in old and "items" in new:
            yield from self._schema(way, f"{what}, each item", word, old["items"], new["items"])
        yield from self._fields(way, what, names[1], old, new)

    def _fields(self, way: Direction, what: str, owner: str, old: Any, new: Any) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = [set(schema.get("required", ())) for schema in (old, new)]
        prefix = what.removesuffix("the request") if what.endswith("the request") else f"{what}, "
        for name in before | after:
            field = f"{prefix}parameter {name}" if way == "asked" else f"answer field {owner or what}.{name}"
            if name not in after:
                # Hardly any field of an answer is required in these contracts, so "optional" tells nothing of it.
                yield Change(f"{field} is gone", "check" if way == "asked" else "BREAKING", (name,))
                continue
            needed, was = name in required[1], name in required[0]
            if name not in before:
                level: Level = "BREAKING" if way == "asked" and needed else "ok"
                yield Change(f"{field} is new{' and required' if needed and way == 'asked' else ''}", level, (name,))
                continue
            if needed != was:
                if way == "asked":
                    said = "now" if needed else "no longer"
                    yield Change(f"{field} is {said} required", "BREAKING" if needed else "ok", (name,))
                else:
                    said = "now" if needed else "not"
                    yield Change(f"{field} is {said} always there", "ok" if needed else "BREAKING", (name,))
            yield from _deprecation(field, (name,), before[name], after[name])
            yield from self._schema(way, field, name, before[name], after[name])

    def _branches(self, way: Direction, what: str, word: str, old: Any, new: Any) -> Iterator[Change]:
        """Compare alternatives: those of the same name with each other; null is told of with the type."""
        before, after = (
            {
                _branch(part): part
                for part in alternatives(schema)
                if part.get("type", "null") != "null" or "$ref" in part
            }
            for schema in (old, new)
        )
        gone, added = [b for b in before if b not in after], [b for b in after if b not in before]
        for one in gone:
            yield Change(f"{what}: it is never {one} now", "BREAKING" if way == "asked" else "ok", (word, one))
        for one in added:
            yield Change(f"{what}: it may be {one} now", "ok" if way == "asked" else "BREAKING", (word, one))
        for one in before.keys() & after.keys():
            yield from self._schema(way, what, word, before[one], after[one])

    def _open(self, contract: Contract, schema: Any) -> Open | None:
        """Return the known values of an open enum, or None."""
        for part in schema.get("anyOf", ()) if isinstance(schema, dict) else ():
            target = contract.resolve(part)
            if "enum" in target and "$ref" in part:
                return Open(tuple(target["enum"]), part["$ref"].rpartition("/")[2])
        return None

    def _alternative(self, schema: Any) -> Any:
        """Return what else may come beside the known values."""
        rest = [part for part in schema["anyOf"] if "$ref" not in part and part.get("type") != "null"]
        null = ["null"] if any(part.get("type") == "null" for part in schema["anyOf"]) else []
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        if not rest:
            return outer
        types = rest[0].get("type", [])
        return {**outer, **rest[0], "type": [*(types if isinstance(types, list) else [types]), *null]}

    # ---- what the contract says beside OpenAPI ----

    def _relations(self) -> Iterator[Change]:
        """Compare the rules between parameters. One that is about a new parameter breaks nobody."""
        before, after, known = relations(self.old), relations(self.new), self.old.request_schema["properties"]
        for rule in after:
            if rule not in before:
                name, says = relation(rule)
                breaks = all(one in known for one in _named(rule))
                yield Change(f"between parameters, new: {name}: {says}", "BREAKING" if breaks else "ok", (name,))
        for rule in before:
            if rule not in after:
                name, says = relation(rule)
                yield Change(f"between parameters, gone: {name}: {says}", "ok", (name,))

    def _models(self) -> Iterator[Change]:
        before, after = self.old.models, self.new.models
        for name in before | after:
            if name not in after:
                yield Change(f"model {name} is gone", "BREAKING", (), (name,))
            elif name not in before:
                yield Change(f"model {name} is new", "ok", (), (name,))
            else:
                asked = (contract.request_schema["properties"] for contract in (self.old, self.new))
                yield from _row(name, before[name], after[name], sorted(set.intersection(*map(set, asked))))

    def _document(self) -> Iterator[Change]:
        old, new = self.old.data, self.new.data
        servers = [[server["url"] for server in data.get("servers", ())] for data in (old, new)]
        if servers[0][:1] != servers[1][:1]:
            yield Change(
                f"default server: {_show(servers[0][:1])} -> {_show(servers[1][:1])}",
                "check",
                (),
                tuple(servers[0][:1]),
            )
        for url in [url for url in servers[1][1:] if url not in servers[0]]:
            yield Change(f"server {url} is new")
        for url in [url for url in servers[0][1:] if url not in servers[1]]:
            yield Change(f"server {url} is gone", "check", (), (url,))
        models = [data.get("x-lemon-default-model") for data in (old, new)]
        if models[0] != models[1]:
            level: Level = "check" if models[1] else "BREAKING"
            yield Change(f"default model: {_show(models[0])} -> {_show(models[1])}", level, (), (str(models[0]),))
        yield from _states(old, new)
        yield from _codes(old.get("x-lemon-error-codes", {}), new.get("x-lemon-error-codes", {}))
        yield from _usage(*(data.get("x-lemon-usage", {}) for data in (old, new)))
        yield from _prices(*(data.get("x-lemon-prices", {}).get("models", {}) for data in (old, new)))


def _values(way: Direction, what: str, old: Open, new: Open) -> Iterator[Change]:
    """Compare known values. A reader of answers has to expect others anyway; a request may not carry what is gone."""
    gone, added = [v for v in old.values if v not in new.values], [v for v in new.values if v not in old.values]
    if way == "answered":
        for value in gone:
            yield Change(f"value {value} of {new.name} is gone", "check", (), (str(value),))
        for value in added:
            yield Change(f"value {value} of {new.name} is new", "ok", (), (str(value),))
        return
    if gone:
        yield Change(f"{what}: {', '.join(map(str, gone))} no longer allowed", "BREAKING", (), tuple(map(str, gone)))
    if added:
        yield Change(f"{what}: {', '.join(map(str, added))} now allowed", "ok", (), tuple(map(str, added)))


def _types(way: Direction, what: str, word: str, old: Any, new: Any) -> Iterator[Change]:
    before, after = _type_set(old), _type_set(new)
    if before == after or (not before and not after):
        return
    # An integer is a number: `number` is the wider of the two.
    wider = _widened(after) >= before and _widened(before) < _widened(after)
    narrower = _widened(before) >= after and _widened(after) < _widened(before)
    harmless = wider if way == "asked" else narrower
    text = f"{what}: type {_type_text(before)} -> {_type_text(after)}"
    yield Change(text, "ok" if harmless else "BREAKING", (word,))


def _type_set(schema: Any) -> set[str]:
    kinds = schema.get("type", [])
    found = set(kinds if isinstance(kinds, list) else [kinds])
    if any(part.get("type") == "null" for part in alternatives(schema)):
        found.add("null")
    return found


def _widened(kinds: set[str]) -> set[str]:
    return kinds | {"integer"} if "number" in kinds else kinds


def _type_text(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds, key=lambda kind: (kind == "null", kind))) or "any"


def _keywords(way: Direction, what: str, word: str, old: Any, new: Any, told: tuple[str, ...] = ()) -> Iterator[Change]:
    """Compare what narrows two schemas, but for what is ``told`` of otherwise."""
    kinds = _type_set(old) - {"null"}, _type_set(new) - {"null"}
    if all(kinds) and kinds[0].isdisjoint(kinds[1]):
        return  # of another type: its bounds are others too
    for key in (*BOUNDS, *RULES, "enum", "x-server-default", "additionalProperties"):
        before, after = old.get(key), new.get(key)
        if before == after or key in told:
            continue
        if key == "enum" and before is not None and after is not None:
            yield from _values(way, what, Open(tuple(before), what), Open(tuple(after), what))
            continue
        name = {"x-server-default": "server's default"}.get(key, key)
        level = _judge(way, key, before, after)
        yield Change(f"{what}: {name} {_show(before)} -> {_show(after)}", level, (word,))


def _judge(way: Direction, key: str, before: Any, after: Any) -> Level:
    if key == "x-server-default":
        # Who left it out relied on it; and another value is another picture.
        return "ok" if before is None else "BREAKING" if after is None else "check"
    if key == "additionalProperties":
        return "ok" if after in (True, None) or way == "answered" else "BREAKING"
    if before is None or after is None:
        narrows = before is None
    elif key in BOUNDS:
        narrows = (after - before) * BOUNDS[key] < 0
    else:
        # Which of two patterns allows more cannot be told.
        return "check" if way == "asked" and key != "enum" else "BREAKING" if key == "enum" else "ok"
    return "BREAKING" if narrows == (way == "asked") else "ok"


def _deprecation(what: str, names: tuple[str, ...], old: Any, new: Any) -> Iterator[Change]:
    if bool(old.get("deprecated")) != bool(new.get("deprecated")):
        yield Change(f"{what} is {'deprecated' if new.get('deprecated') else 'no longer deprecated'}", "ok", names)


def _branch(part: dict[str, Any]) -> str:
    """Name an alternative: by its schema, or by its type."""
    return str(part.get("$ref", "")).rpartition("/")[2] or _type_text(_type_set(part))


def _named(rule: dict[str, Any]) -> list[str]:
    """Return the parameters that a request must hold to break a rule; none where it may be for lack of one."""
    if "dependentRequired" in rule:
        return list(rule["dependentRequired"])
    return list(rule["not"]["required"]) if "not" in rule else []


def _row(model: str, before: dict[str, Any], after: dict[str, Any], both: list[str]) -> Iterator[Change]:
    """Compare two rows; of their parameters, those that both contracts have."""
    for key in ("reply", "summary", "source"):
        if before.get(key) != after.get(key):
            said = f"{_show(before.get(key))} -> {_show(after.get(key))}"
            yield Change(f"model {model}: {key} {said}", "ok", (), (model,))
    if "retired" in after and "retired" not in before:
        gone = after["retired"]
        instead = f"; use {gone['instead']}" if "instead" in gone else ""
        yield Change(f"model {model}: retired on {gone['since']}{instead}", "BREAKING", (), (model,))
    for name in sorted(before.get("defaults", {}).keys() | after.get("defaults", {}).keys()):
        values = [row.get("defaults", {}).get(name) for row in (before, after)]
        if values[0] != values[1]:
            level = _judge("asked", "x-server-default", *values)
            said = f"{_show(values[0])} -> {_show(values[1])}"
            yield Change(f"model {model}, {name}: default {said}", level, (), (model,))
    own = {parameter: (_own(before, parameter), _own(after, parameter)) for parameter in both}
    if fresh := [parameter for parameter, (was, now) in own.items() if was is False and now is not False]:
        yield Change(f"model {model} now takes {', '.join(fresh)}", "ok", (), (model,))
    for parameter, (was, now) in own.items():
        if parameter not in fresh:
            yield from _own_rule(model, parameter, was, now)


def _own_rule(model: str, parameter: str, was: Any, now: Any) -> Iterator[Change]:
    what = f"model {model}, {parameter}"
    if was is not False and now is False:
        yield Change(f"{what}: no longer taken", "BREAKING", (), (model,))
    elif was != now:
        for change in _keywords("asked", what, "", was, now):
            yield Change(change.text, change.level, (), (model, *change.values))


def _own(row: dict[str, Any], parameter: str) -> Any:
    """Return what a row says of a parameter."""
    return row["parameters"].get(parameter, {}) if is_taken(row, parameter) else False


def _task_fields(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in before | after:
        if before.get(key) != after.get(key):
            said = f"{_show(before.get(key))} -> {_show(after.get(key))}"
            yield Change(f"task field {key}: {said}", "check", tuple(before.get(key) or ()))


def _states(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    words = [
        {
            word: state
            for schema in data.get("components", {}).get("schemas", {}).values()
            for state, listed in schema.get("x-lemon-states", {}).items()
            for word in listed
        }
        for data in (old, new)
    ]
    for word in [*words[0], *(word for word in words[1] if word not in words[0])]:
        was, now = words[0].get(word), words[1].get(word)
        if was != now:
            level: Level = "ok" if was is None else "check"
            yield Change(f"status {word}: {was or 'not known'} -> {now or 'not known'}", level, (), (word,))


def _codes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for code in before | after:
        was, now = before.get(code), after.get(code)
        if now is None:
            yield Change(f"error code {code} is gone", "check", (), (code,))
        elif was is None:
            yield Change(
                f"error code {code} ({_show(now.get('status'))}, {now.get('meaning')}) is new", "ok", (), (code,)
            )
        else:
            for key in ("status", "meaning"):
                if was.get(key) != now.get(key):
                    said = f"{_show(was.get(key))} -> {_show(now.get(key))}"
                    yield Change(f"error code {code}: {key} {said}", "check", (), (code,))


def _usage(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Tell what is read otherwise of the account's records: a charge is matched by it."""
    for word in before | after:
        parts = [given.get(word) for given in (before, after)]
        inner = [part if isinstance(part, dict) else {"": part} for part in parts]
        for name in inner[0] | inner[1]:
            was, now = (part.get(name) for part in inner)
            if was != now and all(parts):
                said = f"{_show(was)} -> {_show(now)}"
                yield Change(f"usage records, {word}{name and f'.{name}'}: {said}", "check", (), (word,))


def _prices(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    """Tell of models whose price is another: it moves what a budget covers."""
    for model in before | after:
        was, now = (_price(table.get(model, [])) for table in (before, after))
        if was != now:
            yield Change(f"price of {model}: {was} -> {now}", "check", (), (model,))


def _price(entries: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one.get('usd', 'unknown')} per {one['per']}" for one in entries) or "none"


def _show(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}{f' {_show(item)}' if item else ''}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value)) or "none"
    return "none" if value is None else str(value)


def _foreign(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module has from elsewhere than from us and from the generated client."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and not (node.module or "").startswith("lemon_"):
            yield from (alias.asname or alias.name for alias in node.names)


def _names(node: ast.AST, foreign: set[str]) -> tuple[str, ...]:
    match node:
        case ast.Attribute(value=ast.Name(id=owner)) if owner in foreign:
            return ()
        case ast.Attribute(attr=name) | ast.keyword(arg=str(name)) | ast.arg(arg=name):
            return (name,)
        case ast.ImportFrom(module=module, names=names, level=level) if level or (module or "").startswith("lemon_"):
            return (*(alias.name for alias in names), *(module or "").split("."))
    return ()
