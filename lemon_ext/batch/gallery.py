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
import secrets
import shlex
from base64 import b64encode
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import quote

__all__ = ("write_gallery",)

RESULTS: Final = "results.jsonl"
PAGE: Final = "index.html"
#: What tells our page from one that somebody else put there.
_MARKER: Final = b'<meta name="generator" content="lemon-ext gallery">'
_STATUSES: Final = {
    "saved": "Saved",
    "waiting": "Waiting",
    "uncertain": "Uncertain",
    "failed": "Failed",
    "refused": "Refused",
}
#: What to do about a row without a picture, and with which command. A task is known of "accepted" rows; the pictures
#: of "unfetched" ones exist.
_ADVICE: Final = {
    "waiting": ("Not sent yet. To go on:", "{resume}"),
    "accepted": ("Accepted, not fetched yet. To go on:", "{resume}"),
    "unfetched": ("It is made and paid. To fetch it:", "{resume}"),
    "uncertain": ("Look at your account before you send it again:", "{resume} --resend-uncertain"),
    "failed": ("It is not sent again. For another try, put it in a new batch.", ""),
    "refused": ("The API did not accept it. Change it and put it in a new batch.", ""),
}


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
        part = folder / f".{secrets.token_hex(8)}.part"
        try:
            with part.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
                _write(file, results, folder.resolve().name)
            part.replace(page)
        finally:
            part.unlink(missing_ok=True)
    return page


def _refuse_foreign(page: Path) -> None:
    try:
        with page.open("rb") as file:
            ours = _MARKER in file.read(2048)
    except FileNotFoundError:
        return
    if not ours:
        raise FileExistsError(f"{page} is not a gallery of this program, so it stays as it is. Move it away first.")


def _write(file: TextIO, results: Any, name: str) -> None:
    before, after = _template(name)
    file.write(before)
    resume = f"lemon resume {shlex.quote(name)}"
    facts = {
        "resume": resume,
        "statuses": list(_STATUSES.items()),
        "advice": {case: (text, command.replace("{resume}", resume)) for case, (text, command) in _ADVICE.items()},
    }
    file.write(_json(facts).removesuffix("}") + ',"rows":[')
    damaged: list[int] = []
    file.writelines((",\n" if index else "\n") + row for index, row in enumerate(_rows(results, damaged)))
    file.write(f'\n],"damaged":{_json(damaged)}}}')
    file.write(after)


def _template(name: str) -> tuple[str, str]:
    """Return the page before and after its data. The policy names the page's own style and script by their hashes."""
    template = resources.files(__package__ or "lemon_ext.batch").joinpath("gallery.html").read_text("utf-8")
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


def _rows(results: Any, damaged: list[int]) -> Iterator[str]:
    """Yield what the page shows of each row, as JSON. The numbers of the lines that hold no row go to ``damaged``."""
    for number, line in enumerate(results, start=1):
        if not line.strip():
            continue
        try:
            yield _json(_row(json.loads(line)))
        except (ValueError, RecursionError):
            damaged.append(number)


def _row(record: Any) -> list[Any]:
    """Return what the page shows of a row, in the order of its FIELDS. Raises ValueError for anything else."""
    if not isinstance(record, dict) or type(record.get("row")) is not int or not isinstance(record.get("status"), str):
        raise ValueError("not a row")
    request = record.get("request")
    params = {k: v for k, v in request.items() if k not in ("prompt", "model")} if isinstance(request, dict) else {}
    paths = [quoted for path in _list(record.get("paths")) if (quoted := _address(path))]
    revised = [_text(text) for text in _list(record.get("revised_prompts"))] or [_text(record.get("revised_prompt"))]
    error = record.get("error")
    return [
        record["row"],
        record["status"],
        _text(record.get("model")) or "",
        _text(record.get("prompt")) or "",
        params,
        paths,
        _text(record.get("task_id")),
        revised,
        {k: error.get(k) for k in ("type", "message", "code", "status_code")} if isinstance(error, dict) else None,
        _number(record.get("submitted_at")),
        _number(record.get("finished_at")),
        _number(record.get("seconds")),
        _text(record.get("note")),
    ]


def _address(path: object) -> str | None:
    """Return a path inside the folder as a relative address, or None for any other."""
    if not isinstance(path, str) or not path or path.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", path):
        return None
    return "./" + quote(path, safe="/", errors="replace")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12 else None


def _json(value: object) -> str:
    """Return JSON that is safe inside a script element: plain ASCII, and no ``<`` that could begin markup."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
