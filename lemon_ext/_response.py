"""What came back from the API, as a record of our own, and the server's own words in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import unescape
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from ._base64 import Picture, placed
from ._openai import RESPONSE, answered
from ._words import cut

#: Values that the JSON of an answer may hold: 60 MB of empty lists would become gigabytes of objects.
MAX_VALUES: Final = 1_000_000
#: Levels of lists and objects in each other: what walks through an answer calls itself for each.
DEEPEST: Final = 100
#: Characters that are quoted of a server's message, and of a body that has none.
LONGEST_MESSAGE: Final = 500
LONGEST_EXCERPT: Final = 200
#: Where envelopes of gateways, frameworks and proxies keep their words; the first that says something counts.
_WORDS: Final = (
    "message", "msg", "detail", "error_description", "error_message", "failReason", "fail_reason", "reason", "title",
    "description", "error", "errors", "validation_errors", "code",
)  # fmt: skip
_PLACES: Final = ("loc", "field", "param", "path")
# None of them runs over the same text twice: a page of nothing but "<" would take longer than any deadline.
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
_MARKUP: Final = re.compile(r"<(script|style)\b(?:(?!<\1).)*?</\1[^<>]*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
#: A number for a character that is longer than any is. Python refuses to read one of 5,000 digits.
_NO_CHARACTER: Final = re.compile(r"&#[0-9]{10,};?")
_HALVES: Final = re.compile("[\ud800-\udfff]")


@frozen
class APIResponse:
    """What came back: status, headers (names in lower case) and body. The request, and so the key, is not kept.

    Large pictures are decoded while an answer arrives: ``body`` holds marks in their places, and `json` the pictures.
    """

    status_code: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    _pictures: Mapping[str, Picture] = field(factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def is_page(self) -> bool:
        """Whether this is a page for people, from a proxy or a portal, and not the API's answer."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self.body.lstrip()[:1] == b"<" or (kind in ("text/html", "application/xhtml+xml") and bool(self.body))

    def json(self) -> Any:
        """Return the body parsed as JSON. Raises ValueError for anything else."""
        opened = self.body.count(b"[") + self.body.count(b"{")
        if opened + self.body.count(b",") > MAX_VALUES:
            raise ValueError(f"The JSON holds more than {MAX_VALUES:,} values.")
        try:
            value = json.loads(self.body)
        except RecursionError:
            raise _too_deep() from None
        if opened > DEEPEST and _is_deep(value):
            raise _too_deep()
        return placed(value, self._pictures)

    if not TYPE_CHECKING:  # a type checker would take any name for granted
        __getattr__ = answered("error.response", RESPONSE)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _too_deep() -> ValueError:
    return ValueError("The JSON is nested too deeply.")


def error_detail(response: APIResponse) -> dict[str, Any]:
    """Return the ``error`` object of the documented envelope, or what another body says: then only ``message``."""
    try:
        body = response.json()
    except ValueError:
        return {"message": excerpt(response)} if response.body.strip() else {}
    error = body.get("error") if isinstance(body, dict) else None
    detail = dict(error) if isinstance(error, dict) else dict(body) if isinstance(body, dict) else {}
    # A bare string there is often a mere code, with the words beside it.
    if message := (words(error) if isinstance(error, dict) else None) or words(body):
        detail["message"] = message
    elif response.body.strip() not in (b"", b"{}", b"null", b"[]"):
        detail["message"] = excerpt(response)
    return detail


def value_of(body: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> Any:
    """Return the first value that an answer has at one of these paths of keys, or None."""
    for path in paths:
        value: Any = body
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None and value != "":
            return value
    return None


def words(value: object, depth: int = 0) -> str | None:
    """Return what a parsed body says to people, whatever envelope it comes in. None if it says nothing."""
    if isinstance(value, str):
        return shorten(_HALVES.sub("\ufffd", " ".join(value.split()))) or None
    if depth > 4:
        return None
    if isinstance(value, list):
        return shorten("; ".join(said for item in value[:5] if (said := words(item, depth + 1)))) or None
    if not isinstance(value, Mapping):
        return None
    said = next((said for name in _WORDS if (said := words(value.get(name), depth + 1))), None)
    place = next((value[name] for name in _PLACES if name in value), None) if depth else None
    if isinstance(place, list):
        place = ".".join(str(part) for part in place)
    return f"{place}: {said}" if said and isinstance(place, str) and place and place not in said else said


def excerpt(response: APIResponse) -> str:
    """Return the title of a page, or how a text begins."""
    text = response.body[: 64 * 1024].decode("utf-8", "replace")
    if title := _TITLE.search(text):
        text = _unescaped(title[1])
    elif response.is_page:
        text = _unescaped(_MARKUP.sub(" ", text))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cut(text, LONGEST_EXCERPT)


def _unescaped(text: str) -> str:
    return unescape(_NO_CHARACTER.sub("\ufffd", text))


def text_of(value: object) -> str | None:
    """Return a value if it is a text that says something."""
    return value if isinstance(value, str) and value.strip() else None


def storable(value: Any) -> Any:
    """Return a value for a database: without half characters (lone surrogates), which come of texts cut in two."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value


def shorten(text: str) -> str:
    """Return a text that fits into a message."""
    return cut(text, LONGEST_MESSAGE)


def sentence(text: str) -> str:
    """Return a text that ends like a sentence."""
    return text if text.endswith((".", "?", "!", "…")) else text + "."
