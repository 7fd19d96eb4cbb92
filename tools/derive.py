"""What follows from the contract beside the generator's output: the model table and the parameters, as typed Python."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable
from typing import Any

from contract import Contract, known_values
from pictures import forms, parameters_of

from lemon_ext._words import marks, relation, words

ANY_MODEL = "*"
KEYWORDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
#: Words of a schema that say something of a parameter and do not bind it, and what they are called in the table.
WORDS = {
    "x-server-default": "default",
    "example": "example",
    "deprecated": "deprecated",
    "x-lemon-alias-of": "alias_of",
    "x-lemon-asks": "asks",
}
PYTHON_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}

TABLE_HEAD = '''"""The capability table and the request parameters of the contract, as typed Python."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, NotRequired, TypeAlias, TypedDict

#: What a parameter asks of a picture, so that the picture can be compared with it. `edited`: it is a picture to change.
Asks: TypeAlias = Literal["pixels", "shape", "format", "count", "edited"]


class Pixels(TypedDict, total=False):
    """A rule for WIDTHxHEIGHT. `also` lists words that stand for a size."""

    multipleOf: int
    maxEdge: int
    maxRatio: float
    minPixels: int
    maxPixels: int
    also: tuple[str, ...]


class Rule(TypedDict, total=False):
    """What a parameter may be, in keywords of JSON Schema. `known` lists values that do not bind."""

    type: Literal["string", "integer", "number", "boolean", "array"]
    enum: tuple[str | int | float, ...]
    known: tuple[str | int | float, ...]
    minimum: float
    maximum: float
    minLength: int
    maxLength: int
    minItems: int
    maxItems: int
    pattern: str
    items: Rule
    pixels: Pixels
    description: str
    default: str | int | float | bool
    example: str | int | float | bool
    deprecated: bool
    alias_of: str
    asks: Asks


class Retired(TypedDict):
    """Since when a model is gone, who says so, and what to use instead."""

    since: str
    source: str
    instead: NotRequired[str]


class ModelRow(TypedDict):
    """What is documented of one model. A parameter that maps to False, or is missing in `takes`, is not taken.

    A rule in `parameters` is whole: it stands in the place of the general one. `defaults` is what the server uses for
    this model; it is never sent. `asks` is what a parameter asks of this model's pictures, where that is another thing.
    """

    reply: Literal["inline", "task", "either"]
    summary: str
    source: str
    parameters: Mapping[str, Rule | Literal[False]]
    takes: NotRequired[tuple[str, ...]]
    defaults: NotRequired[Mapping[str, str | int | float | bool]]
    asks: NotRequired[Mapping[str, Asks]]
    retired: NotRequired[Retired]

'''


def parameters(contract: Contract) -> dict[str, dict[str, Any]]:
    """Return the request's parameters as flat rules, in the contract's order."""
    return {name: rule(contract, schema) for name, schema in contract.request_schema["properties"].items()}


def rule(contract: Contract, schema: dict[str, Any]) -> dict[str, Any]:
    """Flatten a schema: references resolved, null dropped, open enums read as what they mean.

    Beside a bare ``{type: string}`` the known values are the rule: that alternative only says that more may come.
    Beside a string with constraints they are examples of it.
    """
    outer, flat = schema, {}
    if (known := known_values(contract, schema)) is not None:
        values, rest = known
        flat = {"type": rest["type"], "enum" if set(rest) == {"type"} else "known": tuple(values)}
        schema = rest
    else:
        schema = contract.resolve(schema)
        kind = schema.get("type", "string")
        flat["type"] = next(k for k in kind if k != "null") if isinstance(kind, list) else kind
    flat |= {key: schema[key] for key in KEYWORDS if key in schema}
    if "items" in schema:
        flat["items"] = rule(contract, schema["items"])
    if "description" in outer:
        flat["description"] = " ".join(outer["description"].split())
    for word, key in WORDS.items():
        if word in outer:
            flat[key] = outer[word]
    return flat


def rows(contract: Contract) -> dict[str, dict[str, Any]]:
    """Return the capability table with nothing left to look up elsewhere.

    A rule holds what follows from the request schema too, an alias has the rule of what it stands for, and known values
    do not bind a model that has no row.
    """
    general = parameters(contract)
    return {name: _row(name, row, general) for name, row in contract.models.items()}


def _row(model: str, row: dict[str, Any], general: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own = {name: flat if model != ANY_MODEL else _open(flat) for name, flat in general.items()}
    rules: dict[str, Any] = {}
    for name, flat in own.items():
        narrower = row["parameters"].get(name, row["parameters"].get(flat.get("alias_of")))
        whole = False if narrower is False else _only_rules({**flat, **(narrower or {})})
        if whole != _only_rules(general[name]):
            rules[name] = whole
    whole_row = {**row, "parameters": rules}
    if "takes" in row:
        taken = {"model", "prompt", *row["takes"]}
        whole_row["takes"] = [name for name, flat in general.items() if taken & {name, flat.get("alias_of")}]
    return whole_row


def _only_rules(flat: dict[str, Any]) -> dict[str, Any]:
    besides = {"description", *WORDS.values(), *(("known", *KEYWORDS) if "enum" in flat else ())}
    return {key: value for key, value in flat.items() if key not in besides}


def _open(flat: dict[str, Any]) -> dict[str, Any]:
    opened = {"known" if key == "enum" else key: value for key, value in flat.items()}
    return {**opened, "items": _open(flat["items"])} if "items" in flat else opened


def relations(contract: Contract) -> list[dict[str, Any]]:
    """Return the rules between parameters, one keyword each."""
    found: list[dict[str, Any]] = []
    for part in (contract.request_schema, *contract.request_schema.get("allOf", ())):
        needs = part.get("dependentRequired", {}).items()
        found += [{"dependentRequired": {name: needed}} for name, needed in needs]
        found += [{word: part[word]} for word in ("not", "oneOf", "anyOf") if word in part]
    return found


def model_table(contract: Contract) -> str:
    """Return the module ``model_table``."""
    table = [f"    {name!r}: {_literal(row)},\n" for name, row in rows(contract).items()]
    rules = [f"    {name!r}: {_literal(flat)},\n" for name, flat in parameters(contract).items()]
    between = [f"    {_literal(one)},\n" for one in relations(contract)]
    required = tuple(contract.request_schema.get("required", ()))
    sources = contract.data.get("x-lemon-sources", {})
    return (
        f"{TABLE_HEAD}\n"
        f"#: The parameters of a generation request. `default` is what the server uses; it is never sent.\n"
        f"PARAMETERS: Final[Mapping[str, Rule]] = MappingProxyType({{\n{''.join(rules)}}})\n\n"
        f"REQUIRED: Final[tuple[str, ...]] = {required!r}\n\n"
        f"#: What holds between parameters. `not` is a keyword of Python too, so these are plain mappings.\n"
        f"RELATIONS: Final[tuple[Mapping[str, Any], ...]] = (\n{''.join(between)})\n\n"
        f"#: What narrows the parameters for each model. A name with `*` is a family; '*' is for all the others.\n"
        f"MODELS: Final[Mapping[str, ModelRow]] = MappingProxyType({{\n{''.join(table)}}})\n\n"
        f"#: What the codes of the sources stand for.\n"
        f"SOURCES: Final[Mapping[str, str]] = MappingProxyType({_literal(sources)})\n"
    )


def image_params(contract: Contract) -> str:
    """Return the module ``image_params``: the keyword arguments of a generation, for editors and type checkers."""
    lines = [
        '"""The optional parameters of each billed request, for `**params: Unpack[ImageParams]`."""\n\n',
        "from typing import Literal, TypeAlias, TypedDict\n\n\n",
        "class ImageParams(TypedDict, total=False):\n",
        '    """What a generation request can carry beside prompt and model. None means not given."""\n\n',
        *_fields(contract, parameters(contract)),
    ]
    for _, operation, schema in forms(contract):
        title = "".join(part.capitalize() for part in operation.split("_"))
        lines += [
            f"\n\nclass {title}Params(TypedDict, total=False):\n",
            f'    """What {operation} can carry beside its pictures, prompt and model. None means not given."""\n\n',
            *(_fields(contract, parameters_of(schema)) or ["    pass\n"]),
        ]
    return "".join(lines)


def _fields(contract: Contract, names: Iterable[str]) -> list[str]:
    """Return the lines of these parameters, model and prompt left out."""
    lines, known = [], parameters(contract)
    for name in names:
        if name in ("prompt", "model"):
            continue
        flat = known[name]
        lines.append(f"    {python_name(name)}: {_annotation(flat)} | None\n")
        if "description" in flat:
            text = flat["description"].replace("\\", "\\\\").replace('"', "'")
            lines.append(f'    """{text}"""\n')
    return lines


def openapi_json(contract: Contract) -> str:
    """Return the contract as data."""
    return json.dumps(contract.data, indent=1, ensure_ascii=False) + "\n"


def models_page(contract: Contract) -> str:
    """Return docs/models.md."""
    lines = [
        "# Models and parameters\n\n",
        '<!-- Written by "make regen" from openapi.yaml. Do not edit. -->\n\n',
        (
            "What the contract documents of each model. `reply` says how it usually answers: *inline* (the images at "
            "once) or a *task* that is polled. It is a hint; the client goes by the answer itself. In a name, `*` "
            "stands for anything: a model follows its own row, else the longest pattern that fits. One that fits only "
            "`*` is not an error: it follows the request schema alone, where known values do not bind, and the API "
            "decides.\n\n"
        ),
        "| model | reply | what for | takes | source |\n| --- | --- | --- | --- | --- |\n",
    ]
    general = parameters(contract)
    for name, row in contract.models.items():
        told = _cell(" ".join([*_retirement(row), row["summary"]]))
        lines.append(f"| `{name}` | {row['reply']} | {told} | {_taken(row, general)} | {_cell(row['source'])} |\n")
    if legend := contract.data.get("x-lemon-sources"):
        lines += ["\nSources:\n\n", *(f"- {code}: {_cell(text)}\n" for code, text in legend.items())]
    lines += [
        "\n## Parameters of a request\n\nNo default is ever sent: what you leave out, the server decides.\n\n",
        "| parameter | type | allowed | server's default | |\n| --- | --- | --- | --- | --- |\n",
    ]
    for name, flat in general.items():
        default = f"`{flat['default']}`" if "default" in flat else "-"
        description = _cell(" ".join(part for part in (flat.get("description", ""), marks(flat)) if part))
        lines.append(f"| `{name}` | {flat['type']} | {_plain(words(flat))} | {default} | {description} |\n")
    if between := relations(contract):
        told_apart = ("- `{}`: {}\n".format(*relation(one)) for one in between)
        lines += ["\nBetween parameters:\n\n", *told_apart]
    return "".join(lines)


def _retirement(row: dict[str, Any]) -> list[str]:
    if (gone := row.get("retired")) is None:
        return []
    instead = f"; use `{gone['instead']}`" if "instead" in gone else ""
    return [f"**Retired** on {gone['since']} ({gone['source']}){instead}."]


def _taken(row: dict[str, Any], general: dict[str, dict[str, Any]]) -> str:
    """Say what a row says: what is taken, then what is narrower, what is not taken, and the model's own defaults."""
    parts = [f"only {', '.join(f'`{name}`' for name in row['takes'])}"] if "takes" in row else []
    without = [f"`{name}`" for name, own in row["parameters"].items() if own is False]
    parts += [f"not {', '.join(without)}"] if without else []
    for name, own in row["parameters"].items():
        if own is not False:
            parts.append(f"`{name}`: {_plain(words({'type': general[name]['type'], **own}))}")
    parts += [f"`{name}` is `{value}` where it is left out" for name, value in row.get("defaults", {}).items()]
    return "; ".join(parts) or "all"


def python_name(name: str) -> str:
    """Return the name of a parameter in Python."""
    return f"{name}_" if keyword.iskeyword(name) else name


def _annotation(flat: dict[str, Any]) -> str:
    if flat["type"] == "array":
        return f"list[{_annotation(flat.get('items', {'type': 'string'}))}]"
    plain = PYTHON_TYPES.get(flat["type"], "object")
    values = flat.get("enum", flat.get("known"))
    return f"Literal[{', '.join(map(repr, values))}] | {plain}" if values and plain == "str" else plain


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(tuple(value)) if isinstance(value, list) else repr(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(text: str) -> str:
    """Return text in which Markdown reads nothing: patterns have asterisks."""
    return _cell(text.replace("*", "\\*").replace("_", "\\_"))


def defaults(contract: Contract) -> str:
    """Return the end of the module ``model_table``: what a client uses that is told nothing else."""
    model = contract.data.get("x-lemon-default-model")
    servers = tuple(server["url"].rstrip("/") for server in contract.data.get("servers", ()))
    return (
        f"\n#: The model of a call that names none. It is sent. None: every call has to name one.\n"
        f"DEFAULT_MODEL: Final[str | None] = {model!r}\n\n"
        f"#: Where the API is: the default first, then where it is said to be too.\n"
        f"SERVERS: Final[tuple[str, ...]] = {servers!r}\n"
    )


def known_models(contract: Contract) -> str:
    """Return the end of the module ``image_params``: the model names that an editor completes."""
    names = [name for name, row in contract.models.items() if "*" not in name and "retired" not in row]
    kind = f"Literal[{', '.join(map(repr, names))}]" if names else "str"
    return (
        "\n\n#: The listed models that are not retired. There are others: `KnownModel | str`.\n"
        f"KnownModel: TypeAlias = {kind}\n"
    )
