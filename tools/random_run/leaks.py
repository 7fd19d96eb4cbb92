"""Whether a client is as new after thousands of episodes: connections, turns, locks, memory, speed."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lemon_ext._connections import IN_FLIGHT

#: Whose objects must not become more and more.
_WATCHED: Final = ("lemon_ext", "httpx", "httpcore", "aiohttp", "h11", "asyncio", "anyio", "trio", "uvloop")
#: The client remembers so many addresses that it took apart, and trio up to a thousand deadlines that are over.
_CACHED: Final = ("httpx.URL", "httpx._urlparse.ParseResult", "trio.CancelScope")
#: Before that, a leak cannot be told from what is kept for later.
MANY_EPISODES: Final = 100
#: So many more of one type, after thousands of episodes, are a leak.
MANY: Final = 300
#: So much slower than a new client, at best of several tries, is no noise.
SLOWER: Final = 2.5


def sockets() -> int:
    """Return how many sockets this process has open, without those that only garbage holds."""
    gc.collect()  # an interrupted connect leaves its socket in a cycle with the traceback
    return sum(target.startswith("socket:") for target in _targets())


def _targets() -> Iterator[str]:
    for path in Path("/proc/self/fd").iterdir():
        try:
            yield str(path.readlink())
        except OSError:  # the folder itself
            continue


def objects() -> Counter[str]:
    """Count the living objects of the packages that make requests."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter(name for name in names if name.startswith(_WATCHED) and name not in _CACHED)


def left(lemon: Any, before: Counter[str]) -> list[str]:
    """Return what a client that nobody uses just now still holds, and which types there are many more of."""
    after = objects()
    return [
        *held(lemon),
        *(f"{after[name] - before[name]:+} {name}" for name in after if after[name] - before[name] > MANY),
    ]


def slower(pairs: Sequence[tuple[float, float]]) -> tuple[str, list[str]]:
    """Compare the seconds of the used client with those of a new one. Returns what to note, and what is a leak."""
    best = min(old for old, _ in pairs) / min(fresh for _, fresh in pairs)
    leak = [f"the client is {best:.1f} times as slow as a new one"] if best > SLOWER else []
    return f"speed of the used client: {1 / best:.2f} of a new one's", leak


def held(lemon: Any) -> list[str]:
    core, found = lemon._core, []
    for kind, turns in getattr(getattr(core.http, "loop", None), "_turns", {}).items():
        if turns.value != IN_FLIGHT:
            found.append(f"{IN_FLIGHT - turns.value} of {IN_FLIGHT} turns of kind {kind} are gone")
    for name in ("rate_limit", "schedule"):
        lock = getattr(core.session, name)._lock
        if not lock.acquire(timeout=1):
            found.append(f"the lock of {name} is held")
        else:
            lock.release()
    return found
