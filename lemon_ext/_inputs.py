"""Pictures that are sent: read, examined against the contract's limits, and written as a form.

What is given may be a path, bytes, a file that is open for reading bytes, or an http(s) address. Nothing leaves before
every picture was found whole, of a kind that is taken, and within the limits.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from attrs import field, frozen
from lemon_client.picture_table import FORMS, Files

from ._address import origin
from ._picture import examine

#: A path or an address, bytes, or a file that is open for reading bytes.
Picture: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_ADDRESS: Final = re.compile(r"https?://", re.IGNORECASE)


@frozen(eq=False, repr=False)
class File:
    """A picture that was read. ``kind`` and ``size`` are what its bytes say."""

    data: bytes
    kind: str
    size: tuple[int, int] | None


@frozen(eq=False, repr=False)
class Pictures:
    """The pictures of a request by field: files to be sent as a form, or addresses that go into its JSON."""

    files: Mapping[str, Sequence[File]]
    addresses: Mapping[str, Sequence[str]]


@frozen(eq=False, repr=False)
class Form:
    """A billed request with pictures: the operation, and its body as a form or as JSON."""

    operation: str
    #: What was given besides the pictures.
    fields: Mapping[str, Any]
    json: Mapping[str, Any] | None = None
    content: bytes | None = field(default=None)
    content_type: str | None = None


#: Says in the JSON of a request that it is no generation. No field of the API has such a name.
OPERATION: Final = "lemon.operation"
#: The operation that changes given pictures.
EDIT: Final = "edit_image"


def told(body: Mapping[str, Any] | Form) -> Mapping[str, Any]:
    """Return what is asked for besides pictures, for whoever does not send it."""
    return {OPERATION: body.operation, **body.fields} if isinstance(body, Form) else body


def read_pictures(operation: str, given: Mapping[str, object]) -> tuple[Pictures, list[tuple[str, str]]]:
    """Read what is given by field. Returns the pictures, and what is wrong as pairs of field and reason.

    Raises OSError for a file that cannot be read, TypeError for what is no picture at all.
    """
    files: dict[str, list[File]] = {}
    addresses: dict[str, list[str]] = {}
    wrong: list[tuple[str, str]] = []
    for name, rule in FORMS[operation].files.items():
        several = _listed(given.get(name))
        if not several and not rule.required:
            continue
        if not 1 <= len(several) <= rule.most:
            allowed = f"1 to {rule.most}" if rule.most > 1 else "one"
            wrong.append((name, f"there are {len(several)} pictures; allowed: {allowed} ({rule.source})"))
            continue
        for place, one in enumerate(several, 1):
            which = f"picture {place}: " if len(several) > 1 else ""
            if isinstance(one, str) and is_address(one):
                addresses.setdefault(name, []).append(one.strip())
                fault = _wrong_address(one.strip(), rule)
            else:
                data, limit = _read(name, one, rule), rule.max_bytes
                file, fault = _examined(data, rule) if len(data) <= limit else (None, _too_large(one, data, rule))
                files.setdefault(name, []).extend([file] if file is not None else [])
            wrong += [(name, which + fault)] if fault else []
    if any(files.values()) and addresses:
        why = "some are files and some are addresses: the API takes one or the other, so give all alike"
        wrong.append((next(iter(given)), why))
    pictures = Pictures(files, addresses)
    return pictures, [*wrong, *_wrong_sizes(operation, pictures)]


def form(operation: str, fields: Mapping[str, Any], pictures: Pictures) -> Form:
    """Return the request: a form if there are files, else JSON with the addresses."""
    if pictures.files:
        return Form(operation, fields, None, *_multipart(fields, pictures.files))
    body = dict(fields)
    for name, addresses in pictures.addresses.items():
        rule = FORMS[operation].files[name]
        inner, (*outer, last) = body, rule.url
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = list(addresses) if rule.many else addresses[0]
    return Form(operation, fields, body)


def is_address(text: str) -> bool:
    """Tell whether a text is meant as an http(s) address, and not as a path."""
    return _ADDRESS.match(text) is not None


def _listed(given: object) -> list[object]:
    if given is None:
        return []
    if isinstance(given, tuple) and len(given) > 1 and isinstance(given[0], str) and _is_content(given[1]):
        raise TypeError(
            "A tuple of a name and a file is openai's way: give the file itself, or several pictures in a list."
        )
    return [*given] if isinstance(given, list | tuple) else [given]


def _is_content(given: object) -> bool:
    return isinstance(given, bytes | bytearray | memoryview) or callable(getattr(given, "read", None))


def _read(name: str, one: object, rule: Files) -> bytes:
    """Return the bytes of a picture, and one more than allowed of what is larger."""
    if isinstance(one, bytes | bytearray | memoryview):
        return bytes(one)
    if isinstance(one, str | os.PathLike):
        with Path(one).open("rb") as file:
            return file.read(rule.max_bytes + 1)
    read = getattr(one, "read", None)
    data = read(rule.max_bytes + 1) if callable(read) else None
    if not isinstance(data, bytes):
        what = "a file that is open for text" if isinstance(data, str) else type(one).__name__
        raise TypeError(f"{name} is a path, bytes, a file that is open for reading bytes or an address, not {what}.")
    return data


def _too_large(one: object, data: bytes, rule: Files) -> str:
    whole = isinstance(one, bytes | bytearray | memoryview)
    size = f"has {len(data):,} bytes" if whole else "is larger"
    return f"{size}; allowed: up to {rule.max_bytes:,} bytes ({rule.source})"


def _examined(data: bytes, rule: Files) -> tuple[File | None, str | None]:
    """Return the picture, or what is wrong with it."""
    if not data:
        return None, "is empty"
    found = examine(data)
    if found.fault is not None:
        return None, f"is no whole picture: {found.fault}"
    if found.kind not in rule.formats:
        what = f"is a {found.kind}" if found.kind else "is no picture of a kind that is known"
        return None, f"{what}; allowed: {', '.join(rule.formats)} ({rule.source})"
    return File(data, found.kind, found.size), None


def _wrong_address(address: str, rule: Files) -> str | None:
    if not rule.url:
        return f"is an address, and this takes files alone ({rule.source}): fetch the picture first"
    if origin(address) is None or "#" in address or not address.isprintable() or " " in address:
        return "is no public http(s) address, without a user name, a fragment and blanks"
    return None


def _wrong_sizes(operation: str, pictures: Pictures) -> Iterator[tuple[str, str]]:
    for name, rule in FORMS[operation].files.items():
        others = pictures.files.get(rule.same_size or "", ())
        for file in pictures.files.get(name, ()) if others else ():
            if file.size is not None and others[0].size is not None and file.size != others[0].size:
                here, there = ("x".join(map(str, size)) for size in (file.size, others[0].size))
                yield name, f"is {here} and {rule.same_size} is {there}: both must have the same size ({rule.source})"


def _multipart(fields: Mapping[str, Any], files: Mapping[str, Sequence[File]]) -> tuple[bytes, str]:
    """Return a form and its content type. The boundary is drawn by lot, and stands in none of the parts."""
    parts = [
        (f'name="{_name(name)}"', _text(one))
        for name, value in fields.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
    ]
    parts += [
        (f'name="{name}"; filename="{name}-{number}.{file.kind}"\r\nContent-Type: image/{file.kind}', file.data)
        for name, several in files.items()
        for number, file in enumerate(several, 1)
    ]
    boundary = secrets.token_hex(16)
    while any(boundary.encode() in data for _, data in parts):
        boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for head, data in parts:
        pieces += [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode(), data, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _name(name: str) -> str:
    """Return a name that cannot end its place in a header."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _text(value: object) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()
