"""What starting costs: goals I1, I2, I3, and ``lemon --help``. One command: python benchmarks/imports.py

Everything runs in fresh processes of a throwaway environment. The first holds this package's base dependencies alone,
because ``import httpx`` costs nearly twice as much where click and rich are installed beside it; the second adds
``openai``; the third holds the base and the extra ``cli``. Bytecode is compiled and files are cached: the first round
does not count.
"""

from __future__ import annotations

import importlib.metadata
from functools import partial
from pathlib import Path

from _measure import Row, child, clean_environment, in_turns, inside, milliseconds, ratio, served, table

ROUNDS = 21
TIMED = "import time; a = time.process_time(); {code}; print(time.process_time() - a)"
BASE = ("anyio", "attrs", "httpx")

FIRST_REPLY = {
    "httpx": """
import httpx, sys
client = httpx.Client(base_url=sys.argv[1], headers={"Authorization": "Bearer sk-x"})
reply = client.post("/v1/images/generations", json={"model": "gpt-image-2", "prompt": "a cat"})
assert reply.json()["data"][0]["url"]
""",
    "lemon_ext": """
import sys
from lemon_ext import Lemon
result = Lemon("sk-x", base_url=sys.argv[1]).images.generate("a cat", model="gpt-image-2")
assert result[0].url
""",
    "openai": """
import sys
from openai import OpenAI
result = OpenAI(api_key="sk-x", base_url=sys.argv[1] + "/v1").images.generate(prompt="a cat", model="gpt-image-2")
assert result.data[0].url
""",
}


def main() -> None:
    """Measure and print."""
    has_openai = _installed("openai")
    rows: list[Row] = []
    with clean_environment(*BASE) as python:
        imports = {"httpx": "import httpx", "lemon_ext": "import lemon_ext", "all": "from lemon_ext import *"}
        found = in_turns(
            {name: partial(inside, python, TIMED.format(code=code)) for name, code in imports.items()}, ROUNDS
        )
        root, public = ratio(found["lemon_ext"], found["httpx"]), ratio(found["all"], found["httpx"])
        rows += [
            ("import httpx", milliseconds(found["httpx"]), "", None),
            ("I1 import lemon_ext / import httpx", str(root), "<= 0.05x", root.middle <= 0.05),
            ("I2 everything public / import httpx", str(public), "<= 1.35x", public.middle <= 1.35),
        ]
        rows += _first_reply(python, "httpx", 1.2)
    if has_openai:
        with clean_environment(*BASE, "openai") as python:
            rows += _first_reply(python, "openai", 0.3)
    with clean_environment(*BASE, "click", "rich") as python:
        found = in_turns(
            {
                "click": partial(child, python, "import click"),
                "help": partial(child, python, "from lemon_ext.cli import main; main()", "--help"),
                "bare": partial(child, python, "pass"),
            },
            ROUNDS,
        )
        shown = ratio(found["help"], found["click"])
        rows += [
            ("python -c pass", milliseconds(found["bare"]), "", None),
            ('python -c "import click"', milliseconds(found["click"]), "", None),
            ('lemon --help / python -c "import click"', str(shown), "<= 2.5x", shown.middle <= 2.5),
        ]
    table("Starting (CPU; median of pairs, and their middle half)", rows)


def _first_reply(python: Path, other: str, goal: float) -> list[Row]:
    """Compare fresh processes up to the first parsed reply, what Python itself costs taken off."""
    with served() as address:
        measures = {name: partial(child, python, FIRST_REPLY[name], address) for name in (other, "lemon_ext")}
        found = in_turns({**measures, "bare": partial(child, python, "pass")}, ROUNDS)
    over = {
        name: [seconds - bare for seconds, bare in zip(found[name], found["bare"], strict=True)] for name in measures
    }
    compared = ratio(over["lemon_ext"], over[other])
    return [
        (f"start to first reply, {other}", milliseconds(over[other]), "", None),
        (f"I3 start to first reply, lemon_ext / {other}", str(compared), f"<= {goal}x", compared.middle <= goal),
    ]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
