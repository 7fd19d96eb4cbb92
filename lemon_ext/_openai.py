"""Names that people bring along from ``openai``, answered with ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn


def named_otherwise(owner: str, **ours: str) -> Callable[[object, str], NoReturn]:
    """Return a ``__getattr__`` that says what a name of openai's is called here."""

    def answer(self: object, name: str) -> NoReturn:
        also = f" {name!r} is openai's name: here it is {owner}.{ours[name]}." if name in ours else ""
        raise AttributeError(f"{owner} has no attribute {name!r}.{also}", name=name, obj=self)

    return answer
