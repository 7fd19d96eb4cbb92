"""What the API says of a task, in the contract's own words and fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from lemon_client.task_table import DOCUMENTED, FIELDS, FieldPath


def answer(**fields: Any) -> dict[str, Any]:
    """Return an answer with these fields where the contract has them, each in the place that it prefers."""
    body: dict[str, Any] = {}
    for name, value in fields.items():
        for path in getattr(FIELDS, name)[:1]:
            _put(body, path, value)
    return body


def word(state: Literal["running", "succeeded", "failed", "cancelled"], place: int = 0) -> str:
    """Return a documented word for a state; ``place`` picks one where there are several."""
    words = DOCUMENTED[state] or DOCUMENTED["failed"]
    return words[place]


def with_status(body: Mapping[str, Any], status: str) -> Mapping[str, Any]:
    """Return an answer with another status, or as it is if it has none."""
    changed: dict[str, Any] = dict(body)
    path = FIELDS.status[0]
    inner: Any = changed
    for key in path[:-1]:
        inner[key] = dict(inner.get(key) or {})
        inner = inner[key]
    if path[-1] in inner:
        inner[path[-1]] = status
    return changed


def _put(body: dict[str, Any], path: FieldPath, value: Any) -> None:
    for key in path[:-1]:
        inner = body.setdefault(key, {})
        assert isinstance(inner, dict)  # noqa: S101 - lint holds fields apart
        body = inner
    body[path[-1]] = value
