"""What the last run in a folder kept to. A command to go on with repeats it: none spends without a limit by itself."""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import asdict, fields, frozen

from .journal import Journal, Statement, dumps, fact

#: The fact of a journal that holds it.
FACT: Final = "last_run"
#: What needs no option.
USUAL: Final = {"requests_per_minute": 1000.0, "concurrency": 64}


@frozen
class LastRun:
    """The limits of a run, and in which other forms it wrote its results. None: there was no such limit."""

    max_images: int | None = None
    budget: str | None = None
    allow_unknown_price: bool = False
    requests_per_minute: float | None = None
    concurrency: int | None = None
    also: tuple[str, ...] = ()

    @classmethod
    def of(cls, **given: Any) -> LastRun:
        """Make one of what was given. What everybody has is left out."""
        return cls(**{name: value for name, value in given.items() if value != USUAL.get(name)})

    @classmethod
    def read(cls, journal: Journal) -> LastRun:
        """Read what a journal has of it: nothing, where it is of an earlier version, or cannot be read."""
        try:
            known = json.loads(journal.meta(FACT) or "{}")
            names = {field.name for field in fields(cls)}
            found = {name: value for name, value in known.items() if name in names}
            return cls(**{**found, "also": tuple(found.get("also", ()))})
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def is_limited(self) -> bool:
        """Whether it is a limit of what is spent."""
        return self.budget is not None or self.max_images is not None

    def written(self) -> Statement:
        """Return the change of the journal."""
        return fact(
            FACT, dumps({name: value for name, value in asdict(self).items() if value not in (None, False, ())})
        )

    def options(self) -> list[str]:
        """Return the options of the command line that keep to the same limits."""
        named = (
            ("--max-images", self.max_images),
            ("--budget", self.budget),
            ("--rpm", None if self.requests_per_minute is None else f"{self.requests_per_minute:g}"),
            ("--concurrency", self.concurrency),
        )
        options = [part for name, value in named if value is not None for part in (name, str(value))]
        return [*options, *(["--allow-unknown-price"] if self.allow_unknown_price and self.budget is not None else [])]
