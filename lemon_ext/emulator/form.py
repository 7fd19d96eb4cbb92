"""What a form holds, as the contract describes it: fields with their types, and pictures that are whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .records import Refusal, Request, code_of, refuse

FORM: Final = "multipart/form-data"
#: Bytes of a form. The contract's own limit holds for each of its files.
MAX_FORM: Final = 128 * 1024 * 1024
#: What stands in the place of a picture where the fields are judged.
FILE: Final = "(a file)"


def read_form(request: Request, schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """Return the fields and the pictures of a form. Raises Refusal for what is none, and for a bad picture."""
    found = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if found is None or not request.body.rstrip().endswith(f"--{found[1]}--".encode()):
        raise Refusal(refuse(400, "The body is not a whole form", code="invalid_form"))
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    for name, data in _parts(request.body, found[1].encode()):
        rule = schema["properties"].get(name, {})
        if "x-lemon-files" in rule:
            _examine(name, data, rule["x-lemon-files"])
            files.setdefault(name, []).append(data)
            fields[name] = [FILE] * len(files[name]) if rule["type"] == "array" else FILE
        else:
            fields[name] = _value(data.decode("utf-8", "replace"), rule)
    return fields, files


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, bytes]]:
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(r'name="([^"]*)"', head.decode("utf-8", "replace"))
        if name is not None:
            yield name[1], data


def _value(text: str, rule: Mapping[str, Any]) -> Any:
    """Return a field as the type that the contract gives it; what cannot be that stays text, and is refused as such."""
    if rule.get("type") not in ("integer", "number", "boolean"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _examine(name: str, data: bytes, rule: Mapping[str, Any]) -> None:
    if len(data) > (most := rule["maxBytes"]):
        raise Refusal(refuse(413, f"`{name}` is larger than {most} bytes", code=code_of(413, "size"), param=name))
    from .pictures import kind_of  # Pillow is needed where there are pictures

    kind = kind_of(data)
    if kind is None:
        raise Refusal(refuse(400, f"`{name}` is no whole picture", code="invalid_value", param=name))
    if kind not in rule["formats"]:
        hint = f"Allowed: {', '.join(rule['formats'])}"
        raise Refusal(refuse(400, f"`{name}` is a {kind}", code="invalid_value", param=name, hint=hint))
