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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from importlib import resources
from pathlib import Path
from statistics import median_low
from typing import Any, Final
from urllib.parse import quote

from attrs import define, field

from lemon_ext._amount import amount, as_json
from lemon_ext._files import write_whole
from lemon_ext.capabilities import asked
from lemon_ext.errors import JournalError

from .columns import carried_name
from .destination import Destination
from .journal import UNKNOWN
from .last_run import LastRun
from .output import GALLERY, HEAD, PAGE, RESULTS
from .sqlite import FILE, SqliteJournal
from .stores import read_journal

__all__ = ("write_gallery",)

#: Where a title stands that somebody gave.
_KEPT: Final = re.compile(rb'<meta name="title" content="([^"]*)">')
#: Width by height of the frame of the pictures: that of most of them, within what leaves room for others.
TALLEST, WIDEST = 0.56, 1.8
#: Rows whose shapes are looked at.
_ENOUGH: Final = 1000
_PAIR: Final = re.compile(r"\s*([1-9]\d{0,5})\s*[x:]\s*([1-9]\d{0,5})\s*")
#: The columns of the table that the page makes, besides parameters and what was carried along.
_TABLE: Final = (
    "row", "id", "status", "prompt", "model", "paths", "task_id", "revised_prompt", "cost", "seconds", "error",
)  # fmt: skip
_STATUSES: Final = {
    "saved": "Saved",
    "unsent": "Not sent",
    "waiting": "Waiting",
    "unfetched": "Not fetched",
    "uncertain": "Uncertain",
    "failed": "Failed",
    "refused": "Refused",
}
#: What to do about a row without a picture, and with which command. A task is known of "accepted" rows, a charge of
#: "billed" ones, and of "unknown" ones the API knows no task any more.
_ADVICE: Final = {
    "waiting": ("Not sent yet. To go on:", "{resume}"),
    "accepted": ("Accepted, not fetched yet. To go on:", "{resume}"),
    "unfetched": ("It is made and paid. To fetch it:", "{resume}"),
    "unknown": ("It is paid, and the API does not know its task. To give it up:", "{resume} --drop-unknown"),
    "uncertain": (
        "Ask {reconcile}, or look at your account, before you send it again:",
        "{resume} --resend-uncertain",
    ),
    "billed": ("It is billed, and its answer was lost. Another try is billed, too:", "{resume} --resend-uncertain"),
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


def write_gallery(
    folder: str | os.PathLike[str], *, title: str | None = None, journal: str | None = None
) -> Path | str:
    """Write the page for the batch in a folder, whole or not at all, and return its path, or its address in a store.

    ``title`` stands on it in the place of the folder's name, and later galleries keep it; None keeps an earlier one,
    and an empty text takes it away. An earlier gallery is replaced. ``journal`` is where the journal of a store's batch
    is, if it is in a database that this machine does not know yet. Raises FileNotFoundError if there is no
    ``results.jsonl``, FileExistsError if ``index.html`` is there and is not a gallery, OSError if the page cannot be
    written, or not be put into the store (SaveError), and JournalError for a store without a journal.
    """
    place = Destination.of(folder)
    page = write_page(place, title)
    if place.store is not None:
        with read_journal(place, journal) as found:
            place.publish([page.name], found)
    return place.where(page.name)


def write_page(place: Destination, title: str | None = None) -> Path:
    """Write the page here, as `write_gallery` does. Returns its path."""
    folder = place.folder
    page = folder / PAGE
    try:
        results = (folder / RESULTS).open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder / RESULTS} is not there, so there is nothing to show. Give the folder of a batch."
        ) from None
    with results:
        kept = _title_of(page)
        shown = kept if title is None else title.strip()
        write_whole(page, _page(results, place, shown, _limits(folder)))
    return page


def _limits(folder: Path) -> list[str]:
    """Return the options that keep to the limits of the last run, as far as the folder knows them."""
    with suppress(JournalError):
        if (folder / FILE).is_file():
            with SqliteJournal.read(folder) as journal:
                return LastRun.read(journal).options()
    return []


def is_ours(file: Path) -> bool:
    """Tell whether a file of a batch's folder is there, and, of a page, whether it is a gallery of ours."""
    if file.name != PAGE:
        return file.exists()
    try:
        return file.exists() and _title_of(file) is not None
    except OSError:
        return False


def _title_of(page: Path) -> str:
    """Return the title that an earlier gallery was given. Raises FileExistsError for a page of somebody else's."""
    if not page.exists():
        return ""
    head = b""
    if page.is_file():  # opening a pipe would wait for ever
        with page.open("rb") as file:
            head = file.read(HEAD)
    if GALLERY not in head:
        raise FileExistsError(f"{page} is not a gallery of this program, so it stays as it is. Move it away first.")
    kept = _KEPT.search(head)
    return html.unescape(kept[1].decode("utf-8", "replace")) if kept else ""


def _page(results: Iterator[bytes], place: Destination, title: str, limits: Sequence[str]) -> Iterator[str]:
    before, after = _template(place.title, title)
    yield before
    name = place.title if place.store is None else str(place)
    resume = shlex.join(["lemon", "resume", name, *limits])
    commands = {"resume": resume, "reconcile": shlex.join(["lemon", "reconcile", name])}
    facts = {
        "resume": resume,
        "statuses": list(_STATUSES.items()),
        "advice": {case: tuple(part.format(**commands) for part in parts) for case, parts in _ADVICE.items()},
        "unknown": UNKNOWN,
        "fields": [name for name, *_ in _SHOWN],
    }
    yield _json(facts).removesuffix("}") + ',"rows":['
    sums = _Sums()
    comma = "\n"
    for number, line in enumerate(results, start=1):
        try:
            record = json.loads(line)
            row = _json(_row(record))
        except (ValueError, RecursionError):
            sums.damaged += [number] if line.strip() else []
        else:
            yield comma + row
            comma = ",\n"
            sums.add(record)
    yield f"\n],{_json(sums.told()).removeprefix('{')}"
    yield after


@define
class _Sums:
    """What the page shows of all rows together."""

    #: Lines that cannot be read.
    damaged: list[int] = field(factory=list)
    _spent: Decimal = Decimal(0)
    _billed: int = 0
    #: Width by height of the pictures, as the requests ask for them.
    _shapes: list[float] = field(factory=list)
    _params: set[str] = field(factory=set)
    _carried: set[str] = field(factory=set)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take a row in."""
        request, extra = (record.get(name) for name in ("request", "extra"))
        if isinstance(request, dict):
            self._params.update(request)
            if len(self._shapes) < _ENOUGH:
                wanted = asked(request)
                pair = _PAIR.fullmatch(str(wanted.get("pixels") or wanted.get("shape")))
                self._shapes += [int(pair[1]) / int(pair[2])] if pair else []
        if isinstance(extra, dict):
            self._carried.update(extra)
        if (cost := amount(record.get("cost"))) is not None:
            self._spent, self._billed = self._spent + cost, self._billed + 1

    def told(self) -> dict[str, Any]:
        """Return what the page is given. ``carried``: what these columns are called in a table, beside the others."""
        shape = min(max(median_low(self._shapes), TALLEST), WIDEST) if self._shapes else 1.0
        return {
            "damaged": self.damaged,
            "spent": as_json(self._spent) if self._billed else None,
            "billed": self._billed,
            "shape": round(shape, 4),
            "carried": {name: carried_name(name, {*_TABLE, *self._params}) for name in sorted(self._carried)},
        }


def _template(name: str, title: str) -> tuple[str, str]:
    """Return the page before and after its data. The policy names the page's own style and script by their hashes."""
    template = resources.files(__package__).joinpath("gallery.html").read_text("utf-8")
    style = _hash(template, "style")
    script = _hash(template, "script")
    policy = (
        f"default-src 'none'; img-src 'self' file:; style-src {style}; script-src {script}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    before, after = template.split("{{DATA}}")
    words = {"POLICY": policy, "TITLE": html.escape(title or name), "KEPT": html.escape(title)}
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: words[found[1]], before), after


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
