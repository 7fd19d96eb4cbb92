"""The address of a journal that is in a database, and what a batch's folder keeps of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from attrs import frozen

from lemon_ext._files import write_whole
from lemon_ext.errors import ConfigurationError

SCHEMES: Final = ("postgresql", "postgres")
#: In the folder of such a batch: where its journal is.
MARK: Final = "journal.json"
#: The name of a batch that was given none.
UNNAMED: Final = "batch"
ESCAPES: Final = "In a user's name or password, :, /, @, ?, # and % are written %3A, %2F, %40, %3F, %23 and %25."
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,49}")
#: One of the hosts of an address, with its port. There may be several, with commas between.
_HOST: Final = re.compile(r"(\[[^]]*\]|[^:]*)(:([1-9]\d*)?)?")
_SECRET: Final = ("password", "sslpassword")


def is_address(text: object) -> bool:
    """Tell an address from a folder."""
    return isinstance(text, str) and text.partition("://")[0].lower() in SCHEMES and "://" in text


@frozen(repr=False)
class Address:
    """Where a journal is: ``postgresql://user@host/database?batch=NAME``. ``shown`` has no password in it."""

    url: str
    batch: str
    shown: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read one. Raises ConfigurationError."""
        if not is_address(text):
            raise ConfigurationError(
                "A journal for several machines is an address such as postgresql://user@host/database?batch=NAME, and "
                "no folder: a folder is written by one process. Without a database, let one process send "
                "(docs/scale.md). Nothing was sent."
            )
        try:
            parts = urlsplit(text)
            given = parse_qsl(parts.query, keep_blank_values=True)
            user, at, hosts = parts.netloc.rpartition("@")
            odd = parts.fragment or "@" in parts.path or not all(map(_HOST.fullmatch, hosts.split(",")))
        except ValueError:
            odd = True
        if odd:  # and it is not quoted: what is taken for a host may be a password
            raise ConfigurationError(f"The address of the journal cannot be read. {ESCAPES}")
        batch = next((value for name, value in given if name == "batch"), UNNAMED)
        if not _NAME.fullmatch(batch):
            raise ConfigurationError(
                f"{batch!r} cannot be the name of a batch: use up to 50 small letters, digits and underscores."
            )
        rest = [(name, value) for name, value in given if name != "batch"]
        harmless = [(name, value) for name, value in rest if name not in _SECRET]
        shown = _joined(parts, f"{user.partition(':')[0]}{at}{hosts}", [*harmless, ("batch", batch)])
        return cls(_joined(parts, parts.netloc, rest), batch, shown)


def _joined(parts: SplitResult, place: str, pairs: list[tuple[str, str]]) -> str:
    """Return an address. `urlunsplit` leaves the slashes out where there is no host."""
    query = urlencode(pairs, quote_via=quote, safe="/")
    return f"{parts.scheme}://{place}{parts.path}{'?' if query else ''}{query}"


@frozen
class Mark:
    """What a folder keeps: which batch its pictures are of, and where the journal is."""

    batch_id: str
    address: str

    @classmethod
    def in_folder(cls, folder: Path) -> Self | None:
        """Read the one of a folder. What is no mark of ours is none."""
        try:
            found = json.loads((folder / MARK).read_text("utf-8"))
            return cls(str(found["batch_id"]), str(found["address"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def leave(self, folder: Path) -> None:
        """Write it down."""
        write_whole(folder / MARK, json.dumps({"batch_id": self.batch_id, "address": self.address}) + "\n")


def known_address(folder: Path, given: str | None) -> Address | None:
    """Return where the journal of a folder is: as it was given, or as the folder says. None: in the folder itself."""
    if given is not None:
        return Address.of(given)
    mark = Mark.in_folder(folder)
    return Address.of(mark.address) if mark is not None else None
