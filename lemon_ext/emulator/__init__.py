"""The API on this machine: judged by the contract, with real pictures, charges counted, and faults on demand.

::

    from lemon_ext.emulator import KEY, Emulator

    with Emulator() as emulator:
        lemon = Lemon(KEY, base_url=emulator.url)                       # over a real socket, or in this process:
        lemon = Lemon(KEY, base_url=emulator.address, http_client=httpx.Client(transport=emulator.transport))

It needs the extra: ``pip install "lemon-ext[emulator]"``. Importing this package costs nothing, because pytest does it
for everybody (the fixture ``lemon_emulator``); each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .account import Account as Account
    from .account import UsageRecord as UsageRecord
    from .core import Charge as Charge
    from .core import Emulator as Emulator
    from .core import Seen as Seen
    from .faults import FAULTS as FAULTS
    from .faults import Fault as Fault
    from .faults import parse_fault as parse_fault
    from .records import ADDRESS as ADDRESS
    from .records import KEY as KEY
    from .records import TOKEN as TOKEN
    from .records import Request as Request
    from .records import Response as Response
    from .server import serve as serve

_HOME = {
    "ADDRESS": "records",
    "Account": "account",
    "Charge": "core",
    "Emulator": "core",
    "FAULTS": "faults",
    "Fault": "faults",
    "KEY": "records",
    "Request": "records",
    "Response": "records",
    "Seen": "core",
    "TOKEN": "records",
    "UsageRecord": "account",
    "parse_fault": "faults",
    "serve": "server",
}
_EXTRA = ("PIL", "jsonschema", "starlette", "uvicorn")

__all__ = tuple(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if missing := [package for package in _EXTRA if find_spec(package) is None]:
        raise ImportError(
            f'The emulator needs what is not installed ({", ".join(missing)}): pip install "lemon-ext[emulator]"',
            name=missing[0],
        )
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
