"""What follows from the contract beside the generator's output: the model table and the parameters, as typed Python."""

from __future__ import annotations

import json
import keyword
from typing import Any

from contract import Contract, known_values

KEYWORDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
PYTHON_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}

TABLE_HEAD = '''"""The capability table and the request parameters of the contract, as typed Python."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypedDict


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


class ModelRow(TypedDict):
    """What is documented of one model. A parameter that maps to False is not taken."""

    reply: Literal["inline", "task", "either"]
    summary: str
    source: str
    parameters: Mapping[str, Rule | Literal[False]]

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
    if "x-server-default" in outer:
        flat["default"] = outer["x-server-default"]
    return flat


def model_table(contract: Contract) -> str:
    """Return the module ``model_table``."""
    rows = [f"    {name!r}: {_literal(row)},\n" for name, row in contract.models.items()]
    rules = [f"    {name!r}: {_literal(flat)},\n" for name, flat in parameters(contract).items()]
    required = tuple(contract.request_schema.get("required", ()))
    return (
        f"{TABLE_HEAD}\n"
        f"#: The parameters of a generation request. `default` is what the server uses; it is never sent.\n"
        f"PARAMETERS: Final[Mapping[str, Rule]] = MappingProxyType({{\n{''.join(rules)}}})\n\n"
        f"REQUIRED: Final[tuple[str, ...]] = {required!r}\n\n"
        f"#: What narrows them for each model; the row '*' is for all the others.\n"
        f"MODELS: Final[Mapping[str, ModelRow]] = MappingProxyType({{\n{''.join(rows)}}})\n"
    )


def image_params(contract: Contract) -> str:
    """Return the module ``image_params``: the keyword arguments of a generation, for editors and type checkers."""
    lines = [
        '"""The optional parameters of a generation request, for `**params: Unpack[ImageParams]`."""\n\n',
        "from typing import Literal, TypeAlias, TypedDict\n\n\n",
        "class ImageParams(TypedDict, total=False):\n",
        '    """What a generation request can carry beside prompt and model. None means not given."""\n\n',
    ]
    for name, flat in parameters(contract).items():
        if name in ("prompt", "model"):
            continue
        lines.append(f"    {python_name(name)}: {_annotation(flat)} | None\n")
        if "description" in flat:
            text = flat["description"].replace("\\", "\\\\").replace('"', "'")
            lines.append(f'    """{text}"""\n')
    return "".join(lines)


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
            "once) or a *task* that is polled. It is a hint; the client goes by the answer itself. A model that is not "
            "listed is not an error: it follows the row `*`.\n\n"
        ),
        "| model | reply | what for | differs from the parameters below | source |\n| --- | --- | --- | --- | --- |\n",
    ]
    for name, row in contract.models.items():
        own = "; ".join(f"`{key}`: {_words(value)}" for key, value in row["parameters"].items()) or "-"
        lines.append(f"| `{name}` | {row['reply']} | {_cell(row['summary'])} | {own} | {_cell(row['source'])} |\n")
    lines += [
        "\n## Parameters of a request\n\nNo default is ever sent: what you leave out, the server decides.\n\n",
        "| parameter | type | allowed | server's default | |\n| --- | --- | --- | --- | --- |\n",
    ]
    for name, flat in parameters(contract).items():
        default = f"`{flat['default']}`" if "default" in flat else "-"
        description = _cell(flat.get("description", ""))
        lines.append(f"| `{name}` | {flat['type']} | {_words(flat)} | {default} | {description} |\n")
    return "".join(lines)


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


def _words(flat: Any) -> str:
    if flat is False:
        return "not taken"
    if "pixels" in flat:
        return "WIDTHxHEIGHT: " + ", ".join(f"{key} {value}" for key, value in flat["pixels"].items())
    if values := flat.get("enum", flat.get("known")):
        listed = ", ".join(f"`{_cell(str(value))}`" for value in values)
        if "enum" in flat:
            return listed
        return f"{listed}, or others" + (f" of the form `{_cell(flat['pattern'])}`" if "pattern" in flat else "")
    words = [f"{text} {flat[key]}" for key, text in _BOUNDS.items() if key in flat]
    return ", ".join(words) or "any"


_BOUNDS = {"minimum": "from", "maximum": "to", "maxLength": "characters up to", "maxItems": "items up to"}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


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
