"""The gallery of a batch: one self-contained page, ``index.html``, made from ``results.jsonl``.

Prompts and whatever an API sends are untrusted text. They enter the page as JSON in which no markup can start, the
page's script puts them into the document as text, and a content security policy permits that script and no other.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lemon_ext._amount import amount
from lemon_ext._files import write_whole

from .output import RESULTS

__all__ = ("write_gallery",)

PAGE: Final = "index.html"
#: What tells our page from one that somebody else put there.
_MARKER: Final = b'<meta name="generator" content="lemon-ext gallery">'
_STATUSES: Final = {
    "saved": "Saved",
    "waiting": "Waiting",
    "unfetched": "Not fetched",
    "uncertain": "Uncertain",
    "failed": "Failed",
    "refused": "Refused",
}
#: What to do about a row without a picture, and with which command. A task is known of "accepted" rows.
_ADVICE: Final = {
    "waiting": ("Not sent yet. To go on:", "{resume}"),
    "accepted": ("Accepted, not fetched yet. To go on:", "{resume}"),
    "unfetched": ("It is made and paid. To fetch it:", "{resume}"),
    "uncertain": ("Look at your account before you send it again:", "{resume} --resend-uncertain"),
    "failed": ("It may have been billed all the same. For another try:", "{resume} --resend-failed"),
    "refused": (
        "The API did not accept it, and it is not billed. Mend it in the input, or send it again as it is:",
        "{resume} --resend-refused",
    ),
}


_NUMBER: Final = int | float
#: What the page shows of a row: the name it has there and the one in the results, its kind, and what stands for others.
_SHOWN: Final[tuple[tuple[str, str, Any, Any], ...]] = (
    ("row", "row", int, None),
    ("status", "status", str, None),
    ("model", "model", str, ""),
    ("prompt", "prompt", str, ""),
    ("params", "request", dict, {}),
    ("paths", "paths", list, []),
    ("task", "task_id", str, None),
    ("revised", "revised_prompts", list, []),
    ("error", "error", dict, None),
    ("submitted", "submitted_at", _NUMBER, None),
    ("finished", "finished_at", _NUMBER, None),
    ("seconds", "seconds", _NUMBER, None),
    ("note", "note", str, None),
    ("id", "id", str, None),
    ("extra", "extra", dict, {}),
    ("cost", "cost", str, None),
    ("request", "request_id", str, None),
    ("billing", "billing_id", str, None),
)


def write_gallery(folder: str | os.PathLike[str]) -> Path:
    """Write the page for the batch in a folder, whole or not at all, and return its path.

    An earlier gallery is replaced. Raises FileNotFoundError if there is no ``results.jsonl``, FileExistsError if
    ``index.html`` is there and is not a gallery, and OSError if the page cannot be written.
    """
    folder = Path(folder)
    page = folder / PAGE
    try:
        results = (folder / RESULTS).open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder / RESULTS} is not there, so there is nothing to show. Give the folder of a batch."
        ) from None
    with results:
        _refuse_foreign(page)
        write_whole(page, _page(results, folder.resolve().name))
    return page


def _refuse_foreign(page: Path) -> None:
    if not page.exists():
        return
    ours = False
    if page.is_file():  # opening a pipe would wait for ever
        with page.open("rb") as file:
            ours = _MARKER in file.read(2048)
    if not ours:
        raise FileExistsError(f"{page} is not a gallery of this program, so it stays as it is. Move it away first.")


def _page(results: Iterator[bytes], name: str) -> Iterator[str]:
    before, after = _template(name)
    yield before
    resume = f"lemon resume {shlex.quote(name)}"
    facts = {
        "resume": resume,
        "statuses": list(_STATUSES.items()),
        "advice": {case: (text, command.replace("{resume}", resume)) for case, (text, command) in _ADVICE.items()},
        "fields": [name for name, *_ in _SHOWN],
    }
    yield _json(facts).removesuffix("}") + ',"rows":['
    damaged = []
    spent, billed = Decimal(0), 0
    comma = "\n"
    for number, line in enumerate(results, start=1):
        try:
            record = json.loads(line)
            row = _json(_row(record))
        except (ValueError, RecursionError):
            damaged += [number] if line.strip() else []
        else:
            yield comma + row
            comma = ",\n"
            if (cost := amount(record.get("cost"))) is not None:
                spent, billed = spent + cost, billed + 1
    yield f'\n],"damaged":{_json(damaged)},"spent":{_json(f"{spent:f}" if billed else None)},"billed":{billed}}}'
    yield after


def _template(name: str) -> tuple[str, str]:
    """Return the page before and after its data. The policy names the page's own style and script by their hashes."""
    template = resources.files(__package__).joinpath("gallery.html").read_text("utf-8")
    style = _hash(template, "style")
    script = _hash(template, "script")
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src {style}; script-src {script}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    before, after = template.split("{{DATA}}")
    return before.replace("{{POLICY}}", policy).replace("{{TITLE}}", html.escape(name)), after


def _hash(template: str, tag: str) -> str:
    content = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _row(record: Any) -> list[Any]:
    """Return what the page shows of a row. Raises ValueError for anything else."""
    if not isinstance(record, dict) or type(record.get("row")) is not int or not isinstance(record.get("status"), str):
        raise ValueError("not a row")
    values = {name: _of_kind(record.get(source), kind, other) for name, source, kind, other in _SHOWN}
    values["params"] = {k: v for k, v in values["params"].items() if k not in ("prompt", "model")}
    values["paths"] = [quoted for path in values["paths"] if (quoted := _address(path))]
    revised = values["revised"] or [record.get("revised_prompt")]
    values["revised"] = [_of_kind(text, str, None) for text in revised]
    return list(values.values())


def _of_kind(value: Any, kind: Any, other: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind):
        return other
    return other if kind is _NUMBER and not abs(value) < 1e12 else value  # later than what a browser calls a date


def _address(path: object) -> str | None:
    """Return a path inside the folder as a relative address, or None for any other."""
    if not isinstance(path, str) or not path or path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path):
        return None
    return "./" + quote(path, safe="/", errors="replace")


def _json(value: object) -> str:
    """Return JSON that is safe inside a script element: plain ASCII, and no ``<`` that could begin markup."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
