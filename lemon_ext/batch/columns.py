"""Which column of a table is what: the prompt, a parameter, the id of the row, or something that is carried along.

What is carried stands in the results and in the gallery, and is never sent. A name that is almost a parameter's is
refused: a size that is carried and not sent is a wrong picture, paid for.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, NamedTuple

from attrs import field, frozen
from lemon_client.model_table import MODELS, PARAMETERS

from lemon_ext._files import file_stem, is_reserved

from .cells import EXTRA, PICTURES, BadValueError, carried, native, plain, sendable, twice

PROMPT: Final = "prompt"
ID: Final = "id"
#: What is told of rows that are written out to be edited (`rows_to_edit`). It is no part of them.
OURS: Final = ("lemon.row", "lemon.status", "lemon.error")
#: Below, every short name is a letter away from a parameter's.
SHORTEST_NEAR: Final = 4
#: What an id may not hold, because it stands in file names.
_UNSAFE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
LONGEST_ID: Final = 100
LONGEST_ID_BYTES: Final = 150
#: Characters of a column's name at most. More are text that must not be repeated.
_NAME: Final = 40
#: What prompts are called where they are not called so.
_ELSEWHERE: Final = ("caption", "text", "description", "instruction", "sentence", "title")


class Role(NamedTuple):
    """What a column is: a parameter's name (``prompt`` among them), the row's id, neither, or nothing of the row's."""

    parameter: str | None = None
    is_id: bool = False
    left_out: bool = False


class Roles(NamedTuple):
    """What the columns of a row are, by their names, and what is wrong with them."""

    of: Mapping[str, Role]
    faults: tuple[str, ...]


class Parts(NamedTuple):
    """A row, told apart: what is sent, what is carried along, and its id."""

    values: dict[str, Any]
    extra: dict[str, Any]
    id: str | None


def _names(names: Collection[str] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


@frozen
class Columns:
    """Who says which column is what. ``strict``: a column that is no parameter is refused, unless it is named here."""

    prompt: str | None = None
    id: str | None = None
    carry: tuple[str, ...] = field(default=(), converter=_names)
    strict: bool = False

    def roles(self, names: Sequence[str]) -> Roles:
        """Tell what columns of these names are."""
        return _roles(self, tuple(names))

    def split(self, row: Mapping[str, Any], *, prompted: bool = False) -> tuple[Parts, list[str]]:
        """Tell a row with values of the right kinds apart, and what is wrong with it. None is not given, and neither is
        NaN, which data frames have in its place.

        ``prompted``: the prompt comes from elsewhere, if the row has none.
        """
        given = {name: value for name, one in row.items() if (value := native(one)) is not None}
        of, faults = self.roles(tuple(given))
        wrong = [one for one in faults if not (prompted and one.startswith(_NO_PROMPT))]
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        identity = None
        for name, value in given.items():
            role = of[name]
            try:
                if role.left_out:
                    continue
                if role.is_id:
                    identity = id_of(value)
                elif role.parameter is not None:
                    values[role.parameter] = sendable(role.parameter, value)
                else:
                    extra[name] = carried(value)
            except BadValueError as exc:
                wrong.append(f"{name if plain(name) else 'a column'} {exc}")
        return Parts(values, extra, identity), wrong


def meant(sent: Collection[str], extra: Mapping[str, Any], carry: Collection[str]) -> list[str]:
    """Say which cells that are carried along, and not on purpose, were probably meant for a parameter that is not
    ``sent``: the cell has one of its values, and the column's name its word, unless the value is in pixels.
    """
    return [
        f"{shown(name)} holds what {parameter!r} takes, and is not sent; if it is meant so, call it {parameter}; if "
        f"not, --carry {_quoted(name) if len(name) <= _NAME else 'NAME'} says so"
        for name, value in extra.items()
        if name not in carry
        for parameter in _likely(name)
        if parameter not in sent and _takes(parameter, value)
    ]


@lru_cache(256)
def _likely(name: str) -> tuple[str, ...]:
    """Return the parameters whose words are among those of a column's name, or whose values are like no others."""
    words = set(re.findall(r"[^\W_]+", name.lower()))
    return tuple(one for one in PARAMETERS if words.issuperset(one.lower().split("_")) or _is_in_pixels(one))


def _is_in_pixels(parameter: str) -> bool:
    return PARAMETERS[parameter].get("asks") == "pixels" and "pattern" in PARAMETERS[parameter]


def _takes(parameter: str, value: Any) -> bool:
    """Tell whether a value is one of those that are documented for a parameter. Of free text nobody can tell."""
    rule, text = PARAMETERS[parameter], str(value).strip().lower()
    if parameter == "model":
        return text in MODELS
    if _is_in_pixels(parameter):
        return text[:1].isdigit() and re.fullmatch(rule["pattern"], text) is not None
    if "minimum" in rule and "maximum" in rule:
        return re.fullmatch(r"\d{1,9}(\.0+)?", text) is not None and rule["minimum"] <= float(text) <= rule["maximum"]
    return text in {str(one).lower() for one in (*rule.get("known", ()), *rule.get("enum", ()))}


@lru_cache(256)  # the rows of a file have the same columns, or nearly
def _roles(columns: Columns, names: tuple[str, ...]) -> Roles:
    found: dict[str, Role] = {}
    prompt, identity = _named(columns.prompt, names), _named(columns.id, names)
    for name in names:
        parameter = known().get(name.strip().lower())
        if name == prompt:
            found[name] = Role(PROMPT)
        elif name == identity:
            found[name] = Role(is_id=True)
        elif name.strip().lower() in OURS:
            found[name] = Role(left_out=True)
        elif name in columns.carry or (parameter == PROMPT and columns.prompt is not None):
            found[name] = Role()
        elif parameter is not None:
            found[name] = Role(parameter)
        else:
            found[name] = Role(is_id=columns.id is None and not columns.strict and name.strip().lower() == ID)
    return Roles(found, tuple(_faults(columns, names, found)))


def _faults(columns: Columns, names: tuple[str, ...], found: Mapping[str, Role]) -> Iterator[str]:
    taken = [role.parameter for role in found.values() if role.parameter is not None]
    for parameter in twice(taken):
        same = [shown(name) for name, role in found.items() if role.parameter == parameter]
        yield f"{' and '.join(same)} are both {parameter!r}; leave one out, or carry it along with --carry"
    if len([name for name, role in found.items() if role.is_id]) > 1:
        yield "there are two columns for the id; say which with --id-column"
    for option, name in (("--prompt-column", columns.prompt), ("--id-column", columns.id)):
        if name is not None and _named(name, names) is None:
            told = [repr(one) for one in names if plain(one)]
            listed = ", ".join([*told, *(["..."] if told and len(told) < len(names) else [])])
            yield f"there is no column {name!r}, which {option} asks for{f'; there are {listed}' if listed else ''}"
    for name, role in found.items():
        if role != Role() or name in columns.carry or known().get(name.strip().lower()) == PROMPT:
            continue
        near = _near(name, taken)
        if columns.strict:
            yield _strange(name)
        elif near is not None and near != PROMPT:
            yield f"{name!r} is no parameter; did you mean {near!r}? To carry it along instead: --carry {_quoted(name)}"
    if PROMPT not in taken and columns.prompt is None and (likely := _likeliest(names, found, columns)) is not None:
        yield f"{_LIKELY}{likely!r} for it: --prompt-column {_quoted(likely)}"


_NO_PROMPT: Final = "there is no column 'prompt'"
_LIKELY: Final = f"{_NO_PROMPT}; to take "


def no_prompt(*, text: bool, headed: bool) -> str:
    """Say that nothing looks like a prompt in a table: whether it is a text, and a line of it names the columns."""
    line = ", or with --header-row which line names the columns" if headed else ""
    said = f"{_NO_PROMPT}; say which column it is with --prompt-column{line}"
    return f"{said}. For one prompt a line: --format txt" if text else said


def named_below(columns: Columns, names: Sequence[str], below: Sequence[tuple[int, list[str]]]) -> str:
    """Say where the names of the columns seem to stand, if the line that was taken for them has no prompt.

    ``below`` are the next lines that hold anything. Nothing is said if none of them looks like it.
    """
    told = [(line, columns.roles(found)) for line, found in below]
    said = f"there is no column {columns.prompt or PROMPT!r}"
    for line, roles in told:
        if any(role.parameter == PROMPT for role in roles.of.values()):
            return f"{said}; line {line} seems to name the columns: --header-row {line}"
    if any(one.startswith(_NO_PROMPT) for one in columns.roles(names).faults):
        return ""
    for line, roles in told:
        for likely in [one.removeprefix(_LIKELY) for one in roles.faults if one.startswith(_LIKELY)]:
            return f"{said}; line {line} seems to name the columns: --header-row {line} {likely.partition(': ')[2]}"
    for line, found in below:
        if len(names) == 1 < len(found) and all(_like_a_name(one) for one in found):
            return f"{said}; if line {line} names the columns: --header-row {line} --prompt-column NAME"
    return ""


def _like_a_name(text: str) -> bool:
    return len(text) <= 40 and re.match(r"[^\W\d]", text) is not None


def _strange(name: str) -> str:
    if not plain(name):  # without a header line, prompts stand where names should
        return (
            f"a column has a name that is no parameter's; the names are: {', '.join((*PARAMETERS, *PICTURES, EXTRA))}"
        )
    names = known()
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    hint = f"did you mean {names[near[0]]!r}?" if near else f"what the API takes beyond these goes into {EXTRA!r}"
    return f"{name!r} is no parameter; {hint}"


def known() -> dict[str, str]:
    """Return the parameters by their names in small letters; also as Python has to write some."""
    names = {name.lower(): name for name in (*PARAMETERS, *PICTURES, EXTRA)}
    return names | {f"{name}_": name for name in PARAMETERS if keyword.iskeyword(name)}


def carried_name(name: str, taken: Collection[str]) -> str:
    """Return the name of a carried column beside a request and names that are taken: it never hides what was sent."""
    return f"extra.{name}" if name in taken or name.strip().lower() in (*taken, *known()) else name


def _named(wanted: str | None, names: Sequence[str]) -> str | None:
    """Return the column that is called so, or so but for capitals and blanks."""
    if wanted is None or wanted in names:
        return wanted
    return next((name for name in names if name.strip().lower() == wanted.strip().lower()), None)


def _near(name: str, taken: Collection[str]) -> str | None:
    """Return the parameter that a name is one letter or one swap away from, and that is no column itself."""
    mine = name.strip().lower()
    near = (
        one for one in PARAMETERS if len(one) >= SHORTEST_NEAR and one not in taken and _one_away(mine, one.lower())
    )
    return next(near, None)


def _one_away(one: str, other: str) -> bool:
    if len(one) == len(other):
        differ = [index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if len(differ) == 2 and differ[1] == differ[0] + 1:
            return one[differ[0]] == other[differ[1]] and one[differ[1]] == other[differ[0]]
        return len(differ) == 1
    short, long = sorted((one, other), key=len)
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def _likeliest(names: Sequence[str], found: Mapping[str, Role], columns: Columns) -> str | None:
    """Return the column that is probably the prompt. Text that is no name is never returned."""
    free = [name for name in names if found[name] == Role() and name not in columns.carry]

    def rank(name: str) -> int | None:
        words = re.findall(r"[a-z]+", name.lower())
        if len(name) > 30 or not words or len(words) > 3 or not re.fullmatch(r"[\w .()-]+", name):
            return None
        if _one_away(name.strip().lower(), PROMPT):
            return 0
        if words[0] in ("prompt", "prompts") or words[-1] in ("prompt", "prompts"):
            return 9 if {"negative", "nsfw", "neg", "id", "hash", "length", "system"} & set(words) else 1
        return 2 + _ELSEWHERE.index(words[0]) if len(words) < 3 and words[0] in _ELSEWHERE else None

    ranked = [(order, index, name) for index, name in enumerate(free) if (order := rank(name)) is not None]
    return min(ranked)[2] if ranked else None


def id_of(value: Any) -> str:
    """Return a row's id. Raises BadValueError for what cannot stand at the beginning of a file name."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValueError("must be text or a whole number, because it is the row's id")
    text = str(value).strip()
    if not text:
        raise BadValueError("is empty, and every row needs an id")
    if len(text) > LONGEST_ID or len(text.encode("utf-8", "replace")) > LONGEST_ID_BYTES:
        most = f"{LONGEST_ID} characters or {LONGEST_ID_BYTES} bytes"
        raise BadValueError(f"is longer than {most}, and an id stands in file names")
    if found := _UNSAFE.search(text):
        raise BadValueError(f"holds {found[0]!r}, and an id stands in file names")
    if is_reserved(text.partition(".")[0]) and "." in text:
        raise BadValueError("is a name that Windows keeps for devices, and an id stands in file names")
    if text.startswith((".", "~", "-")) or text.endswith("."):
        raise BadValueError("begins with . ~ or -, or ends with a point, and an id stands in file names")
    return text


def stem(name: str | int, prompt: object) -> str:
    """Return what the names of a row's files begin with: its id or its number, and the prompt's words."""
    first = f"{name:05d}" if isinstance(name, int) else name
    return f"{first}-{file_stem(prompt if isinstance(prompt, str) else None)}"


def shown(name: str) -> str:
    """Return a column's name for a message; what is no name is not repeated."""
    return repr(name) if plain(name) else "a column"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
