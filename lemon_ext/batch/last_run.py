"""What the last run in a folder kept to. A command to go on with repeats it: none spends without a limit by itself, and
none writes prompts into pictures where the run did not.
"""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import asdict, fields, frozen

from lemon_ext._duration import GIVE_UP_AFTER, ROW, written

from .journal import Journal, Statement, dumps, fact

#: The fact of a journal that holds it.
FACT: Final = "last_run"
#: What needs no option.
USUAL: Final = {"requests_per_minute": 1000.0, "concurrency": 64, "deadline": ROW, "give_up_after": GIVE_UP_AFTER}


@frozen
class LastRun:
    """What a run was told: its limits, what it waited for, and how it wrote its results. None: what is usual."""

    max_images: int | None = None
    budget: str | None = None
    allow_unknown_price: bool = False
    requests_per_minute: float | None = None
    concurrency: int | None = None
    deadline: float | None = None
    poll_interval: float | None = None
    give_up_after: float | None = None
    prompt_metadata: bool = True
    allow_private_images: bool = False
    also: tuple[str, ...] = ()

    @classmethod
    def of(cls, **given: Any) -> LastRun:
        """Make one of what was given. What everybody has is left out, and a shorter deadline than the usual one: what
        it did not wait for is paid for, and takes longer.
        """
        known = {name: value for name, value in given.items() if value != USUAL.get(name)}
        if known.get("deadline", 0.0) < ROW:
            known.pop("deadline", None)
        return cls(**known)

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
            FACT, dumps({name: value for name, value in asdict(self).items() if value != getattr(LastRun(), name)})
        )

    def options(self) -> list[str]:
        """Return the options of the command line that keep to the same limits."""
        times = (
            ("--deadline", self.deadline),
            ("--poll-interval", self.poll_interval),
            ("--give-up-after", self.give_up_after),
        )
        named = (
            ("--max-images", self.max_images),
            ("--budget", self.budget),
            ("--rpm", None if self.requests_per_minute is None else f"{self.requests_per_minute:g}"),
            ("--concurrency", self.concurrency),
            *((name, None if value is None else written(value)) for name, value in times),
        )
        options = [part for name, value in named if value is not None for part in (name, str(value))]
        flags = (
            ("--allow-unknown-price", self.allow_unknown_price and self.budget is not None),
            ("--no-prompt-metadata", not self.prompt_metadata),
            ("--allow-private-images", self.allow_private_images),
        )
        return [*options, *(name for name, is_set in flags if is_set)]
