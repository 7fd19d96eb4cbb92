"""The contract's table, as options and as text. A new parameter in the contract is an option without an edit here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lemon_ext._words import marks, phrases, words

if TYPE_CHECKING:
    from types import ModuleType

    from lemon_client.model_table import Rule

F = TypeVar("F", bound=Callable[..., Any])

_TABLE: Final = "lemon_client.model_table"
#: What comes before a parameter's name inside the command, so that it never meets a name of the command's own.
_PREFIX: Final = "api_"
#: Characters; a longer one spoils the columns of the help.
LONGEST_METAVAR: Final = 16
#: What a command's help is asked for with.
HELP: Final = ("-h", "--help")
_TYPES: Final[Mapping[str, click.ParamType[Any]]] = {"integer": click.INT, "number": click.FLOAT}


def table() -> ModuleType:
    """Return the contract's table. Its package is not imported: that would bring the HTTP library with it."""
    if _TABLE not in sys.modules:
        package = find_spec("lemon_client")
        where = list(package.submodule_search_locations or ()) if package is not None else []
        spec = spec_from_file_location(_TABLE, Path(where[0], "model_table.py")) if where else None
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError("lemon_client is not installed.", name="lemon_client")
        sys.modules[_TABLE] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[_TABLE]


def api_options(function: F) -> F:
    """Give a command an option for each parameter of the contract. It gets them in its keywords: see `api_fields`."""
    return _with_options(function, table().PARAMETERS)


def api_options_of(names: Collection[str]) -> Callable[[F], F]:
    """Do the same with these parameters alone."""
    return lambda function: _with_options(function, names)


def _with_options(function: F, names: Collection[str]) -> F:
    # Options are listed in the order of the contract, so they are added from the last to the first.
    own = getattr(function, "__click_params__", ())
    taken = {*HELP, *(flag for option in own for flag in (*option.opts, *option.secondary_opts))}
    for name, rule in reversed(table().PARAMETERS.items()):
        if name != "prompt" and name in names:
            function = click.option(*_flags(name, rule, taken), **_settings(name, rule))(function)
    return function


class ApiCommand(click.Command):
    """A command with `api_options`: its help shows them apart from its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        api: list[tuple[str, str]] = []
        own: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                (api if (param.name or "").startswith(_PREFIX) else own).append(record)
        with formatter.section("Parameters of the API (no default is sent; see `lemon models MODEL`)"):
            formatter.write_dl(api)
        with formatter.section("Options"):
            formatter.write_dl(own)


def api_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given of the contract's parameters, under the API's own names."""
    given = {name.removeprefix(_PREFIX): value for name, value in options.items() if name.startswith(_PREFIX)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value not in (None, ())
    }


def _flags(name: str, rule: Rule, taken: set[str]) -> list[str]:
    """Return the flags of a parameter. A flag that is taken, by the command itself as a rule, keeps its meaning."""
    flag, is_switch = name.replace("_", "-"), rule.get("type") == "boolean"
    while not taken.isdisjoint((f"--{flag}", f"--no-{flag}") if is_switch else (f"--{flag}",)):
        flag = f"api-{flag}"
    short = {"model": "-m"}.get(name, f"-{name}" if len(name) == 1 else "")
    flags = [f"--{flag}", f"--no-{flag}"] if is_switch else [f"--{flag}"]
    if short and short not in taken and not is_switch:
        flags.insert(0, short)
    taken.update(flags)
    return ["/".join(flags), _PREFIX + name] if is_switch else [*flags, _PREFIX + name]


def _settings(name: str, rule: Rule) -> dict[str, Any]:
    kind = rule.get("type", "string")
    told = [rule.get("description", ""), marks(rule)]
    if phrases(rule) and not _metavar(name, rule).startswith("["):
        told.append(f"[{words(rule)}]")
    told.append(f"The server's default is {rule['default']}." if "default" in rule else "")
    if name == "model" and table().DEFAULT_MODEL is not None:
        told.append(f"Without it: {table().DEFAULT_MODEL}.")
    told.append("Repeatable." if kind == "array" else "")
    text = " ".join(part for part in told if part)
    settings: dict[str, Any] = {"help": text, "default": None}
    if kind == "boolean":
        return settings
    settings["metavar"] = _metavar(name, rule)
    settings["shell_complete"] = _completion(name, rule)
    inner = rule.get("items", rule)
    settings["type"] = _TYPES.get(inner.get("type", "string"), click.STRING)
    if kind == "array":
        settings["multiple"] = True
    return settings


def _metavar(name: str, rule: Rule) -> str:
    kind = rule.get("type", "string")
    if "enum" in rule and len(choices := "|".join(str(value) for value in rule["enum"])) <= LONGEST_METAVAR:
        return f"[{choices}]"
    shown = {"integer": "N", "number": "X"}.get(kind, name.upper())
    return shown if len(shown) <= LONGEST_METAVAR else "TEXT"


def _completion(name: str, rule: Rule) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    def complete(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
        values = current_models() if name == "model" else _values(name, rule, ctx.params.get(f"{_PREFIX}model"))
        return [str(value) for value in values if str(value).startswith(begun)]

    return complete


def current_models() -> list[str]:
    """Return the models that are listed and not retired."""
    return [name for name, row in table().MODELS.items() if "*" not in name and "retired" not in row]


def _values(name: str, rule: Rule, model: object) -> list[Any]:
    """Return the values that a parameter is known to take; of those, what the model takes if one was chosen."""
    if not model:
        return list(rule.get("enum", rule.get("known", ())))
    table()  # before the module below asks for it: alone, it is loaded without the HTTP library
    from lemon_ext.capabilities import capabilities, violations

    own = capabilities(str(model)).parameters[name]
    if own is False:
        return []
    words = own.get("pixels", {}).get("also", ())
    values = dict.fromkeys((*own.get("enum", own.get("known", ())), *words, *rule.get("known", ())))
    # Of sizes, those that fit the rule.
    wrong = {one for one in values for said in violations({"model": model, name: one}) if said.parameter == name}
    return [one for one in values if one not in wrong]
