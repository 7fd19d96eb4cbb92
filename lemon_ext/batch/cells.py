"""What a cell of a table means: the value of a parameter, or something that is carried along as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from lemon_client.model_table import PARAMETERS
from lemon_client.picture_table import FORMS

#: Passes through what the contract does not know.
EXTRA: Final = "extra_body"
#: What makes a row an edit: paths or addresses of pictures.
PICTURES: Final = tuple(FORMS["edit_image"].files) if "edit_image" in FORMS else ()
_UNSEEN: Final = " \t\r\n\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
#: What spreadsheets write into a CSV file for a formula without a value, in any language: #N/A, #REF!, #NAME?.
_ERROR: Final = re.compile(r"#(N/A|NV|[A-ZÀ-Þ0-9/]{2,12}[!?])")


class BadValueError(ValueError):
    """Why a value is not what it has to be. The value itself is not part of the message, unless it is one short word:
    text that stands in the wrong column is not repeated.
    """


def is_empty(cell: Any) -> bool:
    """Tell whether a cell holds nothing: then what it stands for is not given."""
    return (
        cell is None or (isinstance(cell, str) and not trimmed(cell)) or (isinstance(cell, float) and math.isnan(cell))
    )


def trimmed(text: str) -> str:
    """Return a text without what nobody sees at its ends: blanks, and signs without a width."""
    stripped = text.strip()
    return stripped if stripped.isascii() else stripped.strip(_UNSEEN)


def width(cells: list[Any]) -> int:
    """Return how many cells there are, without the empty ones at the end that spreadsheets like to add."""
    return max((index for index, cell in enumerate(cells, 1) if not is_empty(cell)), default=0)


def native(value: Any) -> Any:
    """Return a value of NumPy or of a data frame as Python has it, and None for what these write where nothing is."""
    if getattr(getattr(value, "dtype", None), "kind", "-") in "biufU":
        value = value.tolist()
    missing = type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and math.isnan(value))
    return None if missing else value


def sendable(name: str, value: Any) -> Any:
    """Return the value of a parameter from one that has a kind already. Raises BadValueError."""
    if name == EXTRA and not isinstance(value, Mapping):
        raise BadValueError("must be a JSON object")
    whole = isinstance(value, float) and value.is_integer() and PARAMETERS.get(name, {}).get("type") == "integer"
    return int(value) if whole else value  # data frames write 1.0 where a column has empty cells


def convert(name: str, cell: Any) -> Any:
    """Return the value of a parameter from a cell. Raises BadValueError."""
    if isinstance(cell, str) and _ERROR.fullmatch(cell.strip()):
        raise BadValueError("is an error value such as #N/A; mend its formula")
    if name in PICTURES:
        return cell if isinstance(cell, list) else _pictures(as_text(cell).strip())
    kind = "object" if name == EXTRA else PARAMETERS[name].get("type", "string")
    if (kind, type(cell)) in (("array", list), ("object", dict)):
        return carried(cell)
    if kind == "array" and (text := as_text(cell).strip())[:1] not in ("[", "{", '"'):
        return [_CONVERTERS[PARAMETERS[name].get("items", {}).get("type", "string")](_alone(text))]
    return _CONVERTERS[kind](as_text(cell) if name == "prompt" else as_text(cell).strip())


def as_text(cell: Any) -> str:
    """Return a cell as a person would type it. Raises BadValueError for what has no one way to be typed."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | Decimal):
        return str(cell)
    if isinstance(cell, float):
        # Spreadsheets have no whole numbers.
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, date | time | timedelta):
        raise BadValueError("is a date or a time; format the column as text")
    raise BadValueError(f"is {_NAMES.get(type(cell), type(cell).__name__)}, and has to be one value")


def carried(value: Any) -> Any:
    """Return a value as JSON has it, to be carried along. Raises BadValueError where there is no such thing."""
    value = native(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta | Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: carried(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [carried(one) for one in value]
    raise BadValueError(
        f"holds {type(value).__name__}, which cannot be carried along: text, numbers, lists and dicts can"
    )


def _integer(cell: str) -> int:
    # Spreadsheets and data frames write 1.0 where a column has empty cells.
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", cell):
        raise BadValueError(f"must be a whole number{_not(cell)}")
    return int(cell.partition(".")[0])


def _not(cell: str) -> str:
    return f", not {cell!r}" if re.fullmatch(r"[\w.,+%-]{1,12}", cell) else ""


def _number(cell: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", cell):
        raise BadValueError(f"must be a number{_not(cell)}, with a point and not a comma for the fraction")
    return float(cell)


def _boolean(cell: str) -> bool:
    value = {"true": True, "1": True, "false": False, "0": False}.get(cell.lower())
    if value is None:
        raise BadValueError(f"must be true or false{_not(cell)}")
    return value


def _array(cell: str) -> list[Any]:
    value = parse_json(cell)
    if not isinstance(value, list):
        raise BadValueError('must be a JSON list, for example ["a", "b"]')
    return value


def _alone(cell: str) -> str:
    """Return the one item of a list that is written without being one."""
    if re.search(r"\s", cell) or len(re.findall(r"\bhttps?://", cell)) > 1:
        raise BadValueError('must be one item without blanks, or a JSON list, for example ["a", "b"]')
    return cell


def _pictures(cell: str) -> str | list[Any]:
    """Return a path or an address, or a JSON list of them."""
    return _array(cell) if cell.startswith("[") else cell


def _object(cell: str) -> dict[str, Any]:
    value = parse_json(cell)
    if not isinstance(value, dict):
        raise BadValueError("must be a JSON object")
    return value


_CONVERTERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "array": _array,
    "object": _object,
}


def parse_json(text: str) -> Any:
    """Parse strictly: a key given twice, NaN and half a character are mistakes here, and costly ones later."""
    if text.strip() in ("{", "["):
        raise BadValueError("begins JSON that goes on over several lines; each line must hold one whole object")
    return _strictly(lambda: (DECODER.decode(text), len(text)), text)[0]


def parse_json_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the JSON value that begins there, and return it and where it ends."""
    return _strictly(lambda: DECODER.raw_decode(text, start), text, start)


def _strictly(decode: Callable[[], tuple[Any, int]], text: str, start: int = 0) -> tuple[Any, int]:
    try:
        value, end = decode()
        if text.find("\\u", start, end) >= 0:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as exc:
        raise BadValueError(f"is not valid JSON ({exc.msg}, at character {exc.pos - start + 1})") from None
    except UnicodeEncodeError:
        raise BadValueError("holds half a character (a lone surrogate such as \\ud83d)") from None
    except RecursionError:
        raise BadValueError("is nested too deeply") from None
    except BadValueError:
        raise
    except ValueError:  # an integer with more digits than Python converts
        raise BadValueError("holds a number with too many digits") from None
    return value, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name in twice([name for name, _ in pairs]):
        raise BadValueError(f"has the key {name!r} twice" if plain(name) else "has a key twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise BadValueError(f"holds {name}, which JSON does not have")


DECODER: Final = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
_NAMES: Final[Mapping[type, str]] = {list: "a list", dict: "an object", bytes: "binary data"}


def plain(name: str) -> bool:
    """Tell whether a name is one, and not text that belongs elsewhere and must not be repeated."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}", name) is not None


def twice(names: Sequence[str]) -> list[str]:
    """Return the names that are there more than once."""
    return sorted({name for name in names if names.count(name) > 1})
