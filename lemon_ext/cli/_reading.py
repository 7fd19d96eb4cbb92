"""Free requests of commands: their options, a client for them, and their answers as text or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._options import (
    base_url_option,
    connection,
    deadline_option,
    debug_option,
    emulator_option,
    quiet_option,
    together,
)
from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext._api import Record
    from lemon_ext.client import Lemon

#: The options of a free request.
asking_options: Final = together(
    deadline_option(30.0, "How long to wait for the answer."),
    emulator_option,
    base_url_option,
    quiet_option,
    debug_option,
)


@contextmanager
def asking(options: Mapping[str, Any], *, manages: bool = False) -> Iterator[Lemon]:
    """Give a client for free requests; with ``manages``, one with the management token in the place of the key."""
    from lemon_ext.client import Lemon

    with connection(options["base_url"], emulator=options["emulator"]) as address:
        if manages and options["emulator"]:
            from lemon_ext.emulator import TOKEN

            address["api_key"] = TOKEN
        elif manages:
            from lemon_ext._key import ACCOUNT_VARIABLE
            from lemon_ext._usage import check_token

            address["api_key"] = check_token(os.environ.get(ACCOUNT_VARIABLE, ""))
        with Lemon(**address, deadline=options["deadline"]) as lemon:
            yield lemon


def show(record: Record) -> None:
    """Print an answer as it came, with its age and origin beside it."""
    if screen.as_json:
        screen.json(dict(record))
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        screen.out(f"{name:<{width}}  {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    tell_origin(record.origin, record.at)


def tell_origin(origin: str, at: float) -> None:
    """Say where something comes from, and when it was asked for."""
    screen.note(f"from {origin}, asked at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC")
