"""What a live model says, as the contract tells it: `x-lemon-live`, the fields that are laid over a row."""

from __future__ import annotations

from collections.abc import Iterator

from contract import Contract, Finding, hint, is_field_path, keys_of, place_of

#: The operation that lists the models.
LIST = "list_models"
#: What a field of a live model can be.
FIELDS = {
    "entries": "Where the list of models is, in the answer that lists them.",
    "id": "Names the model.",
    "takes": "Lists the parameters that it takes.",
    "retired": "Is when it was retired.",
    "instead": "Names the model to use instead.",
    "unit": "Is what its price is per.",
}
NEEDED = ("entries", "id")

HEAD = '''

class LiveFields(NamedTuple):
    """The fields of a live model, each in order of preference, as the keys that lead to it."""

'''


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with `x-lemon-live`."""
    names = [operation["operationId"] for _, _, operation in contract.operations()]
    given = contract.data.get("x-lemon-live")
    if given is None and LIST not in names:
        return
    if not isinstance(given, dict):
        yield Finding("x-lemon-live", f"say where {LIST} tells what: {{entries: [data], id: [id], takes: [...]}}")
        return
    for word in given.keys() - FIELDS.keys() - {"query", "values"}:
        yield Finding(f"x-lemon-live.{word}", hint(word, FIELDS))
    yield from (Finding("x-lemon-live", f"{key} is missing") for key in NEEDED if key not in given)
    values = given.get("values", {})
    if not isinstance(values, dict):
        yield Finding("x-lemon-live.values", "is a mapping of parameters to the fields that list their values")
        return
    paths = {f".{key}": given[key] for key in FIELDS.keys() & given.keys()}
    paths |= {place_of([".values", name]): fields for name, fields in values.items()}
    for at, fields in paths.items():
        if not isinstance(fields, list) or not fields or not all(map(is_field_path, fields)):
            yield Finding(f"x-lemon-live{at}", "is a list of fields, for example [data] or [detail.parameters]")
    for name in values.keys() - contract.request_schema["properties"].keys():
        yield Finding(place_of(["x-lemon-live.values", name]), "the request schema has no such parameter")
    query = given.get("query", {})
    if not isinstance(query, dict) or not all(isinstance(value, str) for value in query.values()):
        yield Finding("x-lemon-live.query", "is what the list is asked with: names and texts")


def live_table(contract: Contract) -> str:
    """Return the end of the module ``model_table``: where a live model says what."""
    given = contract.data.get("x-lemon-live", {})
    lines = [HEAD]
    lines += [f'    {key}: tuple[tuple[str, ...], ...]\n    """{what}"""\n' for key, what in FIELDS.items()]
    lines.append('    values: Mapping[str, tuple[tuple[str, ...], ...]]\n    """Lists the values of a parameter."""\n')
    lines.append('    query: Mapping[str, str]\n    """What the list is asked with."""\n')
    lines.append("\n\n#: Where a live model says what.\nLIVE: Final = LiveFields(\n")
    lines += [f"    {key}={keys_of(given.get(key, ()))!r},\n" for key in FIELDS]
    values = {name: keys_of(fields) for name, fields in given.get("values", {}).items()}
    lines.append(f"    values=MappingProxyType({values!r}),\n")
    return "".join([*lines, f"    query=MappingProxyType({given.get('query', {})!r}),\n)\n"])
