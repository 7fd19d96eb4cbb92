"""The house rules of the contract: every fault at once, each with its place, its reason and its mend.

The OpenAPI validator knows the standard. It does not know what makes a generated client lose paid images (closed
enums, defaults that go on the wire, a ``oneOf`` in which a task is taken for an empty result), it lets a misspelt
keyword pass, and it does not know what has to follow from a parameter. Those rules are here; docs/regenerating.md
says why each one exists.
"""

from __future__ import annotations

import json
import keyword
import os
import re
from collections.abc import Iterator
from datetime import date
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import codes
import live
import money
import pictures
import usage
import waiting
import yaml
from contract import (
    GENERATION,
    BrokenContractError,
    Contract,
    Finding,
    is_taken,
    known_values,
    parse,
    place_of,
    place_of_ref,
)
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from ruamel.yaml import YAML

HERE = Path(__file__).parent
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What the validator, the command line and the emulator can make of a parameter, by its type.
BOUNDS = {
    "string": {"minLength", "maxLength", "pattern"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "boolean": set(),
    "array": {"items", "minItems", "maxItems"},
}
#: What a row of the model table can say of it.
ROW_BOUNDS = {
    "string": {"enum", "maxLength", "pattern", "pixels"},
    "integer": {"enum", "minimum", "maximum"},
    "number": {"enum", "minimum", "maximum"},
    "boolean": {"enum"},
    "array": {"maxItems"},
}
ASKS = "x-lemon-asks"
WORDS = {"title", "description", "example", "examples", "deprecated", "x-server-default", "x-lemon-alias-of", ASKS}
#: What a parameter can ask of a picture, and the types of one that asks it.
ASKED = {
    "pixels": ("string",),
    "shape": ("string",),
    "format": ("string",),
    "count": ("integer",),
    "edited": ("string", "array"),
}
#: What the request schema can say of parameters that depend on each other, in itself and in its `allOf`.
BETWEEN = {"dependentRequired", "not"}
BETWEEN_IN_ALL_OF = {*BETWEEN, "oneOf", "anyOf"}
SCHEMA_KEYWORDS = {
    *WORDS, *(word for words in BOUNDS.values() for word in words), "type", "format", "enum", "anyOf", "oneOf", "allOf",
    "properties", "required", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "uniqueItems", "readOnly", "writeOnly", "x-lemon-states", "x-typical-seconds", "x-lemon-files",
}  # fmt: skip
#: These have a rule of their own, which says what to write instead.
TRAPS = ("discriminator", "const", "nullable")
#: Aliases of lists and mappings in one file; with more of them, SnakeYAML (the tools in Java) refuses it.
MOST_ALIASES = 50
#: Names that `images.generate` or the generated class has for something else.
RESERVED = {
    *("self", "deadline", "poll_interval", "on_update", "extra_body", "fan_out", "additional_properties"),
    *("to_dict", "from_dict"),
    *("str", "int", "float", "bool", "list", "object"),
}


def load(text: str, *, house_rules: bool = True) -> Contract:
    """Return the contract in a YAML text. Raises BrokenContractError with everything that is wrong.

    Without the house rules it only has to be OpenAPI: enough to compare an older contract with.
    """
    contract = parse(text)
    # Each stage relies on the one before it.
    stages = [
        (_scalars, _aliases, _references),
        (_standard,),
        (_operations, _twins),
        (
            _schemas,
            _parameters,
            _between,
            _examples,
            _models,
            _default,
            waiting.faults,
            codes.faults,
            money.faults,
            live.faults,
            pictures.faults,
            usage.faults,
        ),
    ]
    for stage in stages if house_rules else stages[1:3]:
        findings = [finding for rule in stage for finding in rule(contract, text)]
        if findings:
            raise BrokenContractError([Finding(f.place, f.reason, f.line or contract.line(f.place)) for f in findings])
    return contract


def _scalars(_: Contract, text: str) -> Iterator[Finding]:
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.ScalarEvent) and not event.style and not _read_alike(event.value):
            reason = "two YAML readers take this for different things, or for a date: quote it"
            yield Finding(event.value, reason, event.start_mark.line + 1 if event.start_mark else None)


@cache
def _read_alike(scalar: str) -> bool:
    """Tell whether YAML 1.1 (most tools) and 1.2 (the generator) read a plain scalar as the same JSON value."""
    if scalar == "<<":
        return True
    try:
        first, second = yaml.safe_load(scalar), YAML(typ="safe").load(scalar)
    except (yaml.YAMLError, ValueError):
        return False
    return repr(first) == repr(second) and not isinstance(first, date)


def _aliases(_: Contract, text: str) -> Iterator[Finding]:
    scalars: set[str] = set()
    met = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.ScalarEvent) and event.anchor:
            scalars.add(event.anchor)
        elif isinstance(event, yaml.AliasEvent) and event.anchor not in scalars:
            met += 1
            if met == MOST_ALIASES + 1:
                reason = f"readers in Java refuse a file with more than {MOST_ALIASES} aliases: write some of them out"
                yield Finding(f"*{event.anchor}", reason, event.start_mark.line + 1 if event.start_mark else None)


def _references(contract: Contract, _: str) -> Iterator[Finding]:
    for place, node in _nodes(contract.data):
        if "$ref" not in node:
            continue
        try:
            contract.resolve(node)
        except LookupError:
            yield Finding(place, f"there is nothing at {node['$ref']!r} in this file")
        if beside := sorted(node.keys() - {"$ref", "description", "summary", "x-server-default"}):
            yield Finding(place, f"the generator ignores what stands beside a $ref: {', '.join(beside)}")


def _standard(contract: Contract, _: str) -> Iterator[Finding]:
    # With another backend, which it takes where it finds it, it names other places.
    os.environ.setdefault("OPENAPI_SPEC_VALIDATOR_SCHEMA_VALIDATOR_BACKEND", "jsonschema")
    for error in OpenAPIV31SpecValidator(contract.data).iter_errors():
        yield Finding(place_of(error.absolute_path or ["contract"]), error.message.splitlines()[0])


def _operations(contract: Contract, _: str) -> Iterator[Finding]:
    names = set()
    for path, method, operation in contract.operations():
        place = place_of(["paths", path, method])
        if "operationId" not in operation:
            yield Finding(place, "an operation needs an operationId: it names the generated module")
        names.add(operation.get("operationId"))
        if "security" not in operation:
            yield Finding(place, "name the security here: the generator ignores the document's own")
        if len(operation.get("tags", [])) != 1:
            yield Finding(place, "give it exactly one tag: it names the generated folder")
        if "responses" not in operation:
            yield Finding(place, "say what it answers")
    if GENERATION not in names:
        yield Finding("paths", f"there is no operation {GENERATION!r}, which the model table is about")
    else:
        yield from _generation(contract)


def _generation(contract: Contract) -> Iterator[Finding]:
    try:
        place = contract.request_place
        properties = contract.request_schema["properties"]
    except LookupError:
        yield Finding("paths", f"the request of {GENERATION!r} must be JSON, a $ref to an object with properties")
        return
    for name in ("model", "prompt"):
        if properties.get(name, {}).get("type") != "string":
            yield Finding(place, f"a generation request has a {name}, which is a string")


def _schemas(contract: Contract, _: str) -> Iterator[Finding]:
    asked: dict[str, dict[str, Any]] = {}
    answered: dict[str, dict[str, Any]] = {}
    for path, method, operation in contract.operations():
        place = place_of(["paths", path, method])
        for part in ("parameters", "requestBody"):
            asked |= _reach(contract, f"{place}.{part}", operation.get(part, {}))
        answered |= _reach(contract, f"{place}.responses", operation["responses"])
    rest = _reach(contract, "components", contract.data.get("components", {}))
    for place, schema in {**rest, **asked, **answered}.items():
        if place == contract.request_place or place.startswith(f"{contract.request_place}.allOf["):
            schema = {word: value for word, value in schema.items() if word not in BETWEEN_IN_ALL_OF}  # `_between`
        yield from _keywords(place, schema)
        yield from _traps(contract, place, schema)
        yield from _enums(contract, place, schema)
        if place in asked and "default" in schema:
            yield Finding(place, "a default in a request is sent on the wire: write x-server-default")
        if place in answered:
            yield from _readable(contract, place, schema)


def _keywords(place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    for word in schema.keys() - SCHEMA_KEYWORDS - {*TRAPS, "default"}:
        near = get_close_matches(word, SCHEMA_KEYWORDS, n=1)
        meant = f": did you mean {near[0]}?" if near else ", so nothing would come of it"
        yield Finding(place, f"{word!r} is no schema keyword that is known here{meant}")
    try:
        re.compile(schema.get("pattern", ""))
    except re.error as exc:
        yield Finding(place, f"its pattern is not a regular expression: {exc}")


def _traps(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    for word in TRAPS:
        if word in schema:
            yield Finding(place, f"{word} breaks readers of answers to come: use anyOf, a nullable type, or drop it")
    if "oneOf" in schema and len(_kinds(contract, schema["oneOf"])) < len(schema["oneOf"]):
        reason = "oneOf is for what differs by its type (a text, an object): use anyOf"
        yield Finding(place, f"{reason}, or readers refuse an answer that two of them fit")
    if schema.get("format") in ("date-time", "date", "uuid"):
        yield Finding(place, f"one bad {schema['format']} would reject the whole answer: write type: string alone")
    if "x-server-default" in schema and (wrong := contract.errors(schema["x-server-default"], schema)):
        yield Finding(place, f"its x-server-default does not fit: {wrong[0]}")
    for example in (*schema.get("examples", ()), *([schema["example"]] if "example" in schema else ())):
        for wrong_example in contract.errors(example, schema)[:1]:
            yield Finding(place, f"its example does not fit: {wrong_example}")


def _enums(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    mend = "make a component ...Known of it and use anyOf [that, {type: string}]"
    if "enum" in schema and not re.fullmatch(r"components\.schemas\.\w+Known", place):
        yield Finding(place, f"a closed enum: {mend}")
    inner = [(f".properties.{name}", prop) for name, prop in schema.get("properties", {}).items()]
    for where, child in (*inner, (".items", schema.get("items"))):
        if isinstance(child, dict) and str(child.get("$ref", "")).endswith("Known"):
            yield Finding(place + where, "an enum used alone is a closed one: use anyOf [it, {type: string}]")
    known = known_values(contract, schema)
    for value in known[0] if known else ():
        if known and contract.errors(value, known[1]):
            yield Finding(place, f"the known value {value!r} does not fit the alternative beside it")


def _readable(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    """Yield what would make a reader lose an answer, also one that another generator made for another language."""
    if schema.get("type") == "object":
        yield from _nullable(contract, place, schema)
        if schema.get("additionalProperties") is not True:
            yield Finding(place, "more fields may come: write additionalProperties: true, or some readers refuse them")
    if "object" in (kinds := _kinds(contract, schema.get("anyOf", []))) and kinds - {"object", "null"}:
        yield Finding(place, "an object or something else: write oneOf, because of anyOf some readers lose one")
    names = [part["$ref"] for part in schema.get("anyOf", ()) if "$ref" in part]
    if len(names) > 1 and names != sorted(names):
        first = min(names).rpartition("/")[2]
        yield Finding(
            place, f"some readers try them by their names, {first} first: give the most specific the first name"
        )


def _kinds(contract: Contract, parts: list[Any]) -> set[str]:
    """Return the types of these alternatives: one of no single type adds none."""
    types = (contract.resolve(part).get("type") for part in parts)
    return {kind for kind in types if isinstance(kind, str)}


def _nullable(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    for name, prop in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and contract.errors(None, prop):
            yield Finding(f"{place}.properties.{name}", "may be null in an answer some day: allow null, or require it")


def _parameters(contract: Contract, _: str) -> Iterator[Finding]:
    for name, prop in contract.request_schema["properties"].items():
        place = place_of([f"{contract.request_place}.properties", name])
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name.removesuffix("_")) > (
            keyword.iskeyword(name)
        ):
            yield Finding(place, "cannot be a keyword argument in Python: leave it out, users send it in extra_body")
        elif name in RESERVED:
            yield Finding(place, "images.generate has this name for something else: leave it out, see extra_body")
        if "x-lemon-alias-of" in prop:
            yield from (Finding(place, reason) for reason in _alias_faults(contract, prop))
        if ASKS in prop and kind_of(contract, prop) not in ASKED.get(prop[ASKS], ()):
            yield Finding(place, f"{ASKS} is what it asks of a picture, by its type: {', '.join(ASKED)}")
        if kind_of(contract, prop) is None:
            reason = "must be a scalar, a Known enum beside one, or a list of those: leave it out, see extra_body"
            yield Finding(place, reason)
        else:
            yield from _form(contract, place, prop)


def _alias_faults(contract: Contract, schema: dict[str, Any]) -> Iterator[str]:
    other = contract.request_schema["properties"].get(schema["x-lemon-alias-of"])
    if other is None or "x-lemon-alias-of" in other:
        yield f"x-lemon-alias-of names a parameter, not {schema['x-lemon-alias-of']!r}"
    elif kind_of(contract, other) != kind_of(contract, schema):
        yield f"it has another type than {schema['x-lemon-alias-of']}, whose name it is"


def _form(contract: Contract, place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    """Refuse what nothing would come of: a bound that the validator does not know."""
    kind, rule = kind_of(contract, schema), _alternative(contract, schema)
    for word in sorted((rule.keys() & SCHEMA_KEYWORDS) - {"type", "enum", *WORDS, *BOUNDS[kind or "string"]}):
        yield Finding(place, f"{word} is not enforced on {kind} parameters: say it in the description")
    if "items" in rule:
        yield from _form(contract, place, rule["items"])


def kind_of(contract: Contract, schema: dict[str, Any]) -> str | None:
    """Return the type of a parameter, or None if it has none that a keyword argument, an option and a rule can have."""
    rule = _alternative(contract, schema)
    kinds = [kind for kind in _list(rule.get("type")) if kind != "null"]
    if len(kinds) != 1 or kinds[0] not in BOUNDS:
        return None
    if kinds[0] == "array":
        return "array" if kind_of(contract, rule.get("items", {})) not in (None, "array") else None
    return str(kinds[0])


def _alternative(contract: Contract, schema: dict[str, Any]) -> dict[str, Any]:
    known = known_values(contract, schema)
    rule: dict[str, Any] = contract.resolve(schema) if known is None else known[1]
    return rule


def _between(contract: Contract, _: str) -> Iterator[Finding]:
    """Look at the rules between parameters: only what the validator can check and say in words."""
    schema, place = contract.request_schema, contract.request_place
    for word in ("oneOf", "anyOf"):
        if word in schema:
            mend = f"write allOf: [{{{word}: [...]}}]"
            yield Finding(f"{place}.{word}", f"the generator drops this request, and says nothing: {mend}")
    for at, part in ((place, schema), *((f"{place}.allOf", part) for part in schema.get("allOf", ()))):
        if at != place and (
            not isinstance(part, dict) or len(part.keys() & BETWEEN_IN_ALL_OF) != len(part) or not part
        ):
            words = ", ".join(sorted(BETWEEN_IN_ALL_OF))
            yield Finding(at, f"each part says how parameters depend on each other, by one of: {words}")
            continue
        yield from (Finding(at, reason) for reason in _between_faults(contract, part, in_all_of=at != place))


def _between_faults(contract: Contract, part: dict[str, Any], *, in_all_of: bool) -> Iterator[str]:
    groups = [[name, *needed] for name, needed in part.get("dependentRequired", {}).items()]
    options = [part["not"]] if "not" in part else []
    for word in ("oneOf", "anyOf") if in_all_of else ():
        options += part.get(word, [])
    for option in options:
        if not isinstance(option, dict) or set(option) != {"required"} or not option["required"]:
            yield "write {required: [...]}, the names of parameters: anything else is not checked"
        else:
            groups.append(option["required"])
    if "not" in part and len(part["not"].get("required", ())) == 1:
        yield "a parameter that is never taken: leave it out of the contract"
    for name in dict.fromkeys(name for group in groups for name in group):
        if name not in contract.request_schema["properties"]:
            yield f"there is no parameter {name!r}"


def _examples(contract: Contract, _: str) -> Iterator[Finding]:
    for path, method, operation in contract.operations():
        place = place_of(["paths", path, method])
        holders = [(f"{place}.requestBody", operation.get("requestBody", {}))]
        holders += [(place_of([f"{place}.responses", status]), it) for status, it in operation["responses"].items()]
        for at, holder in holders:
            for kind, media in contract.resolve(holder).get("content", {}).items():
                yield from _fitting(contract, place_of([f"{at}.content", kind]), media)
        for index, parameter in enumerate(operation.get("parameters", [])):
            yield from _fitting(contract, f"{place}.parameters[{index}]", contract.resolve(parameter))


def _fitting(contract: Contract, place: str, holder: dict[str, Any]) -> Iterator[Finding]:
    shown = {f"examples.{name}": example.get("value") for name, example in holder.get("examples", {}).items()}
    if "example" in holder:
        shown["example"] = holder["example"]
    for at, value in shown.items():
        for wrong in contract.errors(value, holder.get("schema", {}))[:1]:
            yield Finding(f"{place}.{at}", f"does not fit: {wrong}")


def _models(contract: Contract, _: str) -> Iterator[Finding]:
    schema = json.loads((HERE / "models.schema.json").read_text(encoding="utf-8"))
    table = contract.models
    wrong = [Finding(place_of(["x-lemon-models", *error.absolute_path]), error.message)
             for error in Draft202012Validator(schema).iter_errors(table)]  # fmt: skip
    yield from wrong
    legend = contract.data.get("x-lemon-sources", {})
    if not isinstance(legend, dict) or not all(isinstance(text, str) for text in legend.values()):
        yield Finding("x-lemon-sources", "this is a legend: what each code stands for, as text")
        return
    for model, row in table.items() if not wrong else ():
        place = place_of(["x-lemon-models", model])
        yield from (Finding(f"{place}.{at}", reason) for at, reason in _row(contract, row))
        for name, rule in row["parameters"].items():
            at = place_of([f"{place}.parameters", name])
            general = contract.request_schema["properties"].get(name)
            if general is None:
                yield Finding(at, "the request schema has no such parameter: add it there first")
            elif "x-lemon-alias-of" in general:
                yield Finding(at, f"it is another name of {general['x-lemon-alias-of']}: write that")
            elif rule is False and name in contract.request_schema.get("required", ()):
                yield Finding(at, "every request has it")
            elif rule is not False:
                yield from (Finding(at, reason) for reason in _row_faults(contract, rule, general))


def _row(contract: Contract, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the rest of a row: where in it, and why."""
    yield from _takes(contract, row)
    yield from _asks(contract, row)
    yield from _defaults(contract, row)
    gone = row.get("retired", {})
    successor = contract.models.get(gone.get("instead", ""))
    if "instead" in gone and (successor is None or "*" in gone["instead"] or "retired" in successor):
        yield "retired.instead", f"{gone['instead']!r} is no listed model that is still there"
    for at, source in (("source", row["source"]), ("retired.source", gone.get("source"))):
        yield from ((at, reason) for reason in (contract.unknown_sources(source) if source else ()))


def _asks(contract: Contract, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, what in row.get("asks", {}).items():
        if name not in contract.request_schema["properties"] or not is_taken(row, name):
            yield "asks", f"this model takes no parameter {name!r}"
        elif kind_of(contract, contract.request_schema["properties"][name]) not in ASKED[what]:
            yield "asks", f"{name} cannot ask for {what}: that takes a parameter of type {' or '.join(ASKED[what])}"


def _takes(contract: Contract, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    properties = contract.request_schema["properties"]
    for name in row.get("takes", ()):
        if name in ("model", "prompt"):
            yield "takes", f"every request has {name}: leave it out here"
        elif name not in properties:
            yield "takes", f"the request schema has no parameter {name!r}: add it there first"
        elif "x-lemon-alias-of" in properties[name]:
            yield "takes", f"{name} is another name of {properties[name]['x-lemon-alias-of']}: write that"
        elif row["parameters"].get(name) is False:
            yield "takes", f"{name} is false in its parameters: it cannot be both"
    for name in row["parameters"]:
        if not is_taken(row, name):
            yield place_of(["parameters", name]), "`takes` does not name it, so nothing would come of this"


def _defaults(contract: Contract, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    properties = contract.request_schema["properties"]
    for name, value in row.get("defaults", {}).items():
        at, rule = place_of(["defaults", name]), row["parameters"].get(name, {})
        if name not in properties or rule is False or not is_taken(row, name):
            yield at, "the model does not take it"
            continue
        bounds = {word: bound for word, bound in rule.items() if word != "pixels"}
        for wrong in [*contract.errors(value, properties[name]), *contract.errors(value, bounds)][:1]:
            yield at, f"does not fit: {wrong}"


def _row_faults(contract: Contract, rule: dict[str, Any], general: dict[str, Any]) -> Iterator[str]:
    kind = kind_of(contract, general) or "string"
    for word in sorted(rule.keys() - ROW_BOUNDS[kind]):
        yield f"{word} does not bind a parameter of type {kind}"
    for value in (*rule.get("enum", ()), *(rule[word] for word in ("minimum", "maximum") if word in rule)):
        if wrong := contract.errors(value, general):
            yield f"wider than the request schema: {wrong[0]}"
    for word in ("maxLength", "maxItems"):
        if rule.get(word, 0) > (most := _alternative(contract, general).get(word, float("inf"))):
            yield f"wider than the request schema: {word} {most} there"
    if rule.get("minimum", 0) > rule.get("maximum", float("inf")):
        yield "no value is between its minimum and its maximum"
    try:
        re.compile(rule.get("pattern", ""))
    except re.error as exc:
        yield f"its pattern is not a regular expression: {exc}"


def _twins(contract: Contract, _: str) -> Iterator[Finding]:
    """Refuse names that the generator would write into one file, the later over the earlier."""
    operations = {
        place_of(["paths", path, method]): operation["operationId"]
        for path, method, operation in contract.operations()
        if "operationId" in operation
    }
    schemas = {place_of(["components.schemas", name]): name for name in _components(contract)}
    for names in (operations, schemas):
        first: dict[str, str] = {}
        for place, name in names.items():
            plain = re.sub(r"[\W_]", "", name).lower()
            if plain in first:
                yield Finding(place, f"{name} and {first[plain]} would be one file in Python: rename one")
            first.setdefault(plain, name)


def _components(contract: Contract) -> dict[str, Any]:
    schemas: dict[str, Any] = contract.data.get("components", {}).get("schemas", {})
    return schemas


def _default(contract: Contract, _: str) -> Iterator[Finding]:
    model = contract.data.get("x-lemon-default-model")
    if model is None:
        return  # then every call names its model
    row = contract.models.get(model) if isinstance(model, str) else None
    if row is None or "*" in model:
        yield Finding(
            "x-lemon-default-model", f"{model!r} is no row of x-lemon-models: a call that names no model sends it"
        )
    elif "retired" in row:
        yield Finding("x-lemon-default-model", f"{model} is retired: name a model that is not")


def _nodes(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping of the contract with its place, examples and extensions left out."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _nodes(item, f"{place}[{index}]")
    elif isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            if key not in ("examples", "example", "enum") and not key.startswith("x-"):
                yield from _nodes(value, place_of([place, key]) if place else key)


def _reach(contract: Contract, place: str, node: Any) -> dict[str, dict[str, Any]]:
    """Return every schema that a part of the contract uses, by its place."""
    found: dict[str, dict[str, Any]] = {}
    todo = [(place, node, False)]
    while todo:
        place, node, is_schema = todo.pop(0)
        if isinstance(node, dict) and "$ref" in node:
            target = place_of_ref(node["$ref"])
            if target not in found:
                todo.append((target, contract.resolve(node), target.startswith("components.schemas.")))
            continue
        if is_schema and isinstance(node, dict):
            found[place] = node
        todo += _children(place, node, is_schema)
    return found


def _children(place: str, node: Any, is_schema: bool) -> Iterator[tuple[str, Any, bool]]:
    """Yield what stands inside of a node, and whether it is a schema."""
    if isinstance(node, list):
        yield from ((f"{place}[{index}]", item, is_schema) for index, item in enumerate(node))
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in ("properties", "schemas"):
            yield from ((place_of([f"{place}.{key}", name]), schema, True) for name, schema in value.items())
        elif key not in ("examples", "example", "enum"):
            inner = is_schema and key in ("items", "anyOf", "oneOf", "allOf", "additionalProperties")
            yield place_of([place, key]), value, inner or key == "schema"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
