"""How a task is waited for, as the contract says it: `x-lemon-task`, `x-lemon-states` and the link `poll`.

`faults` refuses what is incomplete, because a status word without a state would be waited for until the deadline.
`task_table` writes it as typed Python, `tasks_section` for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from contract import GENERATION, Contract, Finding, alternatives, hint, is_field_path, keys_of, place_of

#: What a field of an answer can be, and whether a task cannot be followed without it.
FIELDS = {
    "id": ("names the task; it counts only beside a status or an address, and never beside an error", True),
    "status": ("says where the task stands", True),
    "poll_url": ("is the address to poll", False),
    "images": ("holds the images, in the answer of a finished task and in an inline one", True),
    "error": ("says why the task failed", False),
    "progress": ("is a number in per cent", False),
    "cancelled": ("is true where the task was cancelled, whatever the status says", False),
    "created": ("is when the task was made, in Unix seconds", False),
}
STATES = ("running", "succeeded", "failed", "cancelled")
#: A state that every task can come to: without a documented word for it nothing could be told of it.
ALWAYS = STATES[:3]
POINTER = "$response.body#/"

HEAD = '''"""Waiting, as the contract describes it: the fields of an answer, what a status means, and how to poll."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["running", "succeeded", "failed", "cancelled"]
#: The keys that lead to a field, from the outside to the inside.
FieldPath: TypeAlias = tuple[str, ...]


class Poll(NamedTuple):
    """How a task is polled or cancelled: the operation, and which field of the answer fills each parameter."""

    operation: str
    parameters: Mapping[str, FieldPath]


class TaskFields(NamedTuple):
    """The fields of a task's answers, each in order of preference; empty where no answer has it."""

'''


def faults(contract: Contract, _: str = "") -> Iterator[Finding]:
    """Yield what is wrong with the description of waiting."""
    makers = list(_makers(contract))
    if GENERATION not in (operation["operationId"] for _, operation in makers):
        place = next(place for place, operation in _operations(contract) if operation["operationId"] == GENERATION)
        yield Finding(place, "say which fields tell of a task: x-lemon-task: {id: [...], status: [...], images: [...]}")
        return
    for place, operation in makers:
        wrong = list(_wrong_fields(contract, f"{place}.x-lemon-task", operation))
        yield from wrong
        if not wrong:
            yield from _wrong_links(contract, place, operation)
        if operation["x-lemon-task"] != makers[0][1]["x-lemon-task"]:
            yield Finding(f"{place}.x-lemon-task", "every operation needs the same: share it by a YAML anchor")
    yield from _wrong_states(contract)
    yield from _unfinished(contract, makers)


def task_table(contract: Contract) -> str:
    """Return the module ``task_table``."""
    makers = list(_makers(contract))
    fields = makers[0][1]["x-lemon-task"]
    name, schema = next(_status_schemas(contract))
    lines = [HEAD]
    lines += [f'    {key}: tuple[FieldPath, ...]\n    """{what[0].capitalize()}{what[1:]}."""\n'
              for key, (what, _) in FIELDS.items()]  # fmt: skip
    lines.append("\n\nFIELDS: Final = TaskFields(\n")
    lines += [f"    {key}={keys_of(fields.get(key, ()))!r},\n" for key in FIELDS]
    lines.append(f")\n\n#: The documented words of each state ({name}), as they are written.\n")
    lines.append("DOCUMENTED: Final[Mapping[State, tuple[str, ...]]] = MappingProxyType({\n")
    lines += [f"    {state!r}: {tuple(_documented_words(schema, state))!r},\n" for state in STATES]
    lines.append(
        "})\n\n#: What a status means, by the word in lower case; other gateways' words too. Any other: keep polling.\n"
    )
    lines.append("STATES: Final[Mapping[str, State]] = MappingProxyType({\n")
    lines += [
        f"    {word.lower()!r}: {state!r},\n" for state in STATES for word in schema["x-lemon-states"].get(state, ())
    ]
    lines.append("})\n\n#: How many seconds a task usually takes, from and to.\n")
    lines.append(
        f"TYPICAL_SECONDS: Final[tuple[float, float]] = {tuple(map(float, schema['x-typical-seconds']))!r}\n\n"
    )
    lines.append("#: How the task of an operation is polled.\n")
    lines.append("POLLS: Final[Mapping[str, Poll]] = MappingProxyType({\n")
    for _, operation in makers:
        target, fields_of = _poll(contract, operation)
        lines.append(f"    {operation['operationId']!r}: Poll({target!r}, MappingProxyType({_keys(fields_of)!r})),\n")
    lines.append("})\n\n#: How the task of an operation is cancelled, where that is documented.\n")
    lines.append("CANCELS: Final[Mapping[str, Poll]] = MappingProxyType({\n")
    lines += [
        f"    {operation['operationId']!r}: Poll({target!r}, MappingProxyType({_keys(fields)!r})),\n"
        for _, operation in makers
        for target, fields in _link(contract, operation, "cancel")
    ]
    return "".join([*lines, "})\n"])


def tasks_section(contract: Contract) -> str:
    """Return what docs/models.md says of tasks."""
    _, schema = next(_status_schemas(contract))
    low, high = schema["x-typical-seconds"]
    lines = [
        "\n## Tasks\n\n",
        f"A task usually takes {low:g} to {high:g} seconds. It is polled until its status says that it has ended; ",
        "a word that is not listed does not.\n\n| state | documented | understood too |\n| --- | --- | --- |\n",
    ]
    for state in STATES:
        documented = _documented_words(schema, state)
        lower = [word.lower() for word in documented]
        also = [word for word in schema["x-lemon-states"].get(state, ()) if word.lower() not in lower]
        lines.append(f"| {state} | {_listed(documented)} | {_listed(also)} |\n")
    return "".join(lines)


def _listed(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "-"


def _operations(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method, operation in contract.operations():
        yield place_of(["paths", path, method]), operation


def targets(contract: Contract) -> set[str]:
    """Return the operations that tasks are polled with."""
    return {_poll(contract, operation)[0] for _, operation in _makers(contract)}


def _makers(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations that can answer with a task."""
    yield from (found for found in _operations(contract) if "x-lemon-task" in found[1])


def _status_schemas(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in contract.data.get("components", {}).get("schemas", {}).items():
        if "x-lemon-states" in schema:
            yield name, schema


def _documented_words(schema: dict[str, Any], state: str) -> list[str]:
    words = [word.lower() for word in schema["x-lemon-states"].get(state, ())]
    return [value for value in schema["enum"] if value.lower() in words]


def _poll(contract: Contract, operation: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the operation that a task is polled with, and the field that each of its parameters comes from."""
    return next(_link(contract, operation, "poll"))


def _link(contract: Contract, operation: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where a link of the first successful answer leads, if there is one, and what fills its parameters."""
    _, answer = next(_successes(contract, operation))
    if (link := answer["links"].get(name)) is not None:
        link = contract.resolve(link)
        given = link.get("parameters", {})
        yield link["operationId"], {key: value.removeprefix(POINTER).replace("/", ".") for key, value in given.items()}


def _keys(fields: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(path.split(".")) for key, path in fields.items()}


def _successes(contract: Contract, operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        if str(status).startswith("2"):
            yield status, contract.resolve(answer)


def _answer_fields(contract: Contract, operation: dict[str, Any]) -> dict[str, Any]:
    """Return the documented fields of the successful answers, by dotted path, with their schemas."""
    found: dict[str, Any] = {}
    for _, answer in _successes(contract, operation):
        for media in answer.get("content", {}).values():
            _collect(contract, media.get("schema", {}), "", found)
    return found


def _collect(contract: Contract, schema: Any, prefix: str, found: dict[str, Any]) -> None:
    schema = contract.resolve(schema)
    for part in (*alternatives(schema), *schema.get("allOf", ())):
        _collect(contract, part, prefix, found)
    for name, inner in schema.get("properties", {}).items():
        if (path := f"{prefix}{name}") not in found:  # a schema that holds itself ends here
            found[path] = inner
            if path.count(".") < 4:
                _collect(contract, inner, f"{path}.", found)


def _wrong_fields(contract: Contract, place: str, operation: dict[str, Any]) -> Iterator[Finding]:
    given = operation["x-lemon-task"]
    if not isinstance(given, dict):
        yield Finding(place, "is a mapping, for example {id: [task_id], status: [status], images: [data]}")
        return
    for word in given.keys() - FIELDS.keys():
        yield Finding(place_of([place, word]), hint(word, FIELDS))
    documented = _answer_fields(contract, operation)
    for key, (what, needed) in FIELDS.items():
        paths = given.get(key)
        if paths is None:
            if needed:
                yield Finding(place, f"{key} is missing: the field of an answer that {what}")
            continue
        at = f"{place}.{key}"
        if not isinstance(paths, list) or not paths or not all(is_field_path(path) for path in paths):
            yield Finding(at, "is a list of fields, for example [task_id] or [output.images]")
        elif len(set(paths)) < len(paths):
            yield Finding(at, "names a field twice")
        elif needed and not documented.keys() & set(paths):
            yield Finding(at, f"no answer of this operation documents a field {' or '.join(paths)}")
        else:
            yield from _misspelt(at, paths, documented)


def _misspelt(place: str, paths: list[str], documented: dict[str, Any]) -> Iterator[Finding]:
    for path in paths:
        near = [] if path in documented else get_close_matches(path, documented, n=1, cutoff=0.85)
        if near and near[0] not in paths:
            yield Finding(place, f"no answer documents {path!r}: did you mean {near[0]!r}?")


def _wrong_links(contract: Contract, place: str, operation: dict[str, Any]) -> Iterator[Finding]:
    targets = {target["operationId"]: target for _, target in _operations(contract)}
    for status, answer in _successes(contract, operation):
        at = place_of([f"{place}.responses", status])
        links = answer.get("links", {})
        if "poll" not in links:
            yield Finding(
                at, "may be a task, so say how it is polled: links: {poll: {operationId: ..., parameters: ...}}"
            )
        for name, link in links.items():
            link, here = contract.resolve(link), place_of([f"{at}.links", name])
            target = targets.get(link.get("operationId"))
            if target is None:
                yield Finding(here, f"there is no operation {link.get('operationId')!r}")
                continue
            takes = {p["name"]: p for p in map(contract.resolve, target.get("parameters", ()))}
            given = link.get("parameters", {})
            for parameter in given.keys() - takes.keys():
                yield Finding(here, f"the operation {target['operationId']} has no parameter {parameter!r}")
            for parameter, described in takes.items():
                if described.get("required") and parameter not in given:
                    yield Finding(here, f"it needs {parameter}, for example {{{parameter}: '{POINTER}task_id'}}")
            yield from _wrong_expressions(contract, here, given, operation, name == "poll")


def _wrong_expressions(
    contract: Contract, place: str, given: dict[str, Any], operation: dict[str, Any], poll: bool
) -> Iterator[Finding]:
    documented = _answer_fields(contract, operation)
    for parameter, expression in given.items():
        field = str(expression).removeprefix(POINTER).replace("/", ".")
        if not str(expression).startswith(POINTER) or field not in documented:
            yield Finding(place, f"{parameter}: {expression!r} is no documented field: write {POINTER}FIELD")
        elif poll and field not in operation["x-lemon-task"]["id"]:
            yield Finding(place, f"{parameter}: {field} is not among the fields x-lemon-task.id")


def _wrong_states(contract: Contract) -> Iterator[Finding]:
    schemas = dict(_status_schemas(contract))
    if not schemas:
        reason = (
            "the schema of the known status values has to say what they mean: x-lemon-states: {running: [...], ...}"
        )
        yield Finding("components.schemas", reason)
        return
    first, *more = schemas
    for name in more:
        yield Finding(f"components.schemas.{name}", f"{first} has x-lemon-states already: use that schema")
    place, schema = f"components.schemas.{first}", schemas[first]
    states = schema["x-lemon-states"]
    if isinstance(states, dict) and all(isinstance(words, list) for words in states.values()):
        yield from _wrong_words(f"{place}.x-lemon-states", schema)
    else:
        yield Finding(f"{place}.x-lemon-states", f"is a mapping of {', '.join(STATES)} to lists of words")
    if not _is_range(schema.get("x-typical-seconds")):
        yield Finding(f"{place}.x-typical-seconds", "is how long a task usually takes: [30, 120], in seconds")
    yield from _stateless(contract, first)


def _unfinished(contract: Contract, makers: list[tuple[str, dict[str, Any]]]) -> Iterator[Finding]:
    """Yield the polls whose first example is no finished task: a mock server would answer with it for ever."""
    done = {
        str(word).lower()
        for _, schema in _status_schemas(contract)
        if isinstance(schema["x-lemon-states"], dict)
        for word in schema["x-lemon-states"].get("succeeded", ())
    }
    links = [
        answer.get("links", {}).get("poll", {}) for _, maker in makers for _, answer in _successes(contract, maker)
    ]
    targets = {contract.resolve(link).get("operationId") for link in links}
    for place, operation in _operations(contract):
        for status, answer in _successes(contract, operation) if operation["operationId"] in targets else ():
            for kind, media in answer.get("content", {}).items():
                examples = list(media.get("examples", {}).values())
                if done and examples and done.isdisjoint(_texts(examples[0].get("value"))):
                    at = place_of([f"{place_of([f'{place}.responses', status])}.content", kind])
                    yield Finding(f"{at}.examples", "mock servers answer the first one: that of a finished task")


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of an example, in lower case, however deep they are."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value.lower()


def _wrong_words(place: str, schema: dict[str, Any]) -> Iterator[Finding]:
    state_of: dict[str, str] = {}
    for state, words in schema["x-lemon-states"].items():
        at = f"{place}.{state}"
        if state not in STATES:
            yield Finding(at, f"is no state; there are: {', '.join(STATES)}")
        for word in words:
            plain = word.strip().lower() if isinstance(word, str) else ""
            if not plain:
                yield Finding(at, f"{word!r} is no word")
            elif plain in state_of:
                yield Finding(at, f"{word!r} is in {state_of[plain]} already (case does not count)")
            else:
                state_of[plain] = state
    known = [(value, state_of.get(str(value).lower())) for value in schema.get("enum", [])]
    for value, state in known:
        if state is None:
            yield Finding(place, f"the known value {value!r} is in no state: add it to one of {', '.join(STATES)}")
    for needed in ALWAYS:
        if needed not in [state for _, state in known]:
            yield Finding(place, f"no known value is {needed}: add one to enum and to this state")


def _stateless(contract: Contract, name: str) -> Iterator[Finding]:
    """Yield the documented status fields whose words have no states."""
    for place, operation in _makers(contract):
        given = operation["x-lemon-task"]
        documented = _answer_fields(contract, operation)
        for path in given.get("status", ()) if isinstance(given, dict) else ():
            parts = documented.get(path, {}).get("anyOf", [{}])
            if path in documented and parts[0].get("$ref") != f"#/components/schemas/{name}":
                yield Finding(f"{place}.x-lemon-task.status", f"{path} has to be anyOf [{name}, a string]")


def _is_range(seconds: object) -> bool:
    numbers = seconds if isinstance(seconds, list) else []
    if len(numbers) != 2 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return False
    return bool(0 < numbers[0] <= numbers[1])
