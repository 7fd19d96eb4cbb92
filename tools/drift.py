"""What the API really answers and openapi.yaml does not say: fields, values, statuses, headers, codes, parameters.

    python tools/drift.py URL       (make drift LIVE=URL)      asks the API itself, with the key of LEMONDATA_API_KEY
                                                               and the token of LEMONDATA_MANAGEMENT_TOKEN
    python tools/drift.py FOLDER    (make drift LIVE=FOLDER)   reads recorded exchanges, *.json

Of the API it asks only what is free: GET, never with a body, and nothing that makes or changes anything. A task that is
known can be looked at too: --task ID. A recorded exchange is {"method", "path", "status", "headers", "body"} and, if it
is known, "request": the JSON that was sent. Exit code 1 where something is not documented.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import waiting
from attrs import field, frozen
from contract import GENERATION, Contract, alternatives, known_values, parse

ROOT = Path(__file__).resolve().parent.parent
#: A task that there is not: what the API says of it is free to ask.
NO_TASK = "drift-check-no-such-task"
#: Of the headers, those that an API adds; what every server and proxy sends is no news.
TELLING = re.compile(r"x-(?!powered-by|frame-options|content-type-options|xss-|cache|amz|served)|retry-after|ratelimit")
SECONDS = 30.0


@frozen
class Exchange:
    """One answer of the API, and what was asked."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: Any
    request: dict[str, Any] = field(factory=dict)
    query: tuple[str, ...] = ()


@frozen
class Keys:
    """The key of whoever generates images, and the token for what wants another one."""

    key: str | None = None
    token: str | None = None

    def of(self, contract: Contract, operation: dict[str, Any]) -> str | None:
        """Return the one that an operation wants."""
        generation = next(one for _, _, one in contract.operations() if one["operationId"] == GENERATION)
        return self.key if operation["security"] == generation["security"] else self.token


def drift(contract: Contract, exchanges: Iterable[Exchange]) -> list[str]:
    """List what the exchanges hold that the contract does not say, once each. Values of texts are not shown."""
    found: dict[str, None] = {}
    for one in exchanges:
        found |= dict.fromkeys(_drift(contract, one))
    return list(found)


def recorded(folder: Path) -> Iterator[Exchange]:
    """Read a folder of exchanges. Raises ValueError for a file that is none."""
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            asked = urlsplit(str(data["path"]))
            headers = {str(name).lower(): str(value) for name, value in (data.get("headers") or {}).items()}
            method, status = str(data.get("method", "GET")).upper(), int(data["status"])
            query = tuple(name for name, _ in parse_qsl(asked.query, keep_blank_values=True))
            request = dict(data.get("request") or {})
            yield Exchange(method, asked.path, status, headers, data.get("body"), request, query)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"{path.name} is no exchange (method, path, status, headers, body): {exc!r}") from None


def asked(contract: Contract, url: str, keys: Keys, tasks: list[str]) -> Iterator[Exchange]:
    """Ask the API what is free to ask: each GET of the contract, for something that there is not, for these tasks, for
    the documented example of what else it is about, and without a key.
    """
    import httpx

    base = url.rstrip("/").removesuffix("/v1")
    with httpx.Client(base_url=base, timeout=SECONDS, follow_redirects=False) as client:
        for path, method, operation in contract.operations():
            if method != "get":
                continue
            for value in (NO_TASK, *_known(contract, operation, tasks)) if "{" in path else ("",):
                filled = re.sub(r"\{[^}]*\}", quote(value, safe=""), path)
                key = keys.of(contract, operation)
                for headers in ({"Authorization": f"Bearer {key}"} if key else {}, {}):
                    try:
                        answer = client.get(filled, headers=headers)
                    except httpx.HTTPError as exc:
                        raise ValueError(f"{url} could not be asked: {exc}") from None
                    yield Exchange("GET", filled, answer.status_code, dict(answer.headers), _body(answer.text))


def _known(contract: Contract, operation: dict[str, Any], tasks: list[str]) -> list[str]:
    """Return what there probably is to ask for: the tasks for their poll, else what the contract shows."""
    if operation["operationId"] in waiting.targets(contract):
        return tasks
    shown = (
        one.get("example") for one in map(contract.resolve, operation.get("parameters", ())) if one["in"] == "path"
    )
    return [str(example) for example in shown if example is not None]


def _body(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _drift(contract: Contract, one: Exchange) -> Iterator[str]:
    operation = _operation(contract, one)
    if operation is None:
        yield f"{one.method} {one.path}: no such operation is described"
        return
    name = operation["operationId"]
    yield from _asked(contract, operation, one)
    answers = operation["responses"]
    answer = contract.resolve(answers.get(str(one.status), answers.get("default")))
    if str(one.status) not in answers:
        yield f"{name}: the status {one.status} is not described" + (", but for `default`" if answer else "")
    if answer is None:
        return
    known = {header.lower() for header in answer.get("headers", {})}
    for header in one.headers:
        if header.lower() not in known and TELLING.match(header.lower()):
            yield f"{name} {one.status}: the header {header.lower()} is not described"
    kind = one.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    content = answer.get("content", {})
    if kind not in content:
        if content or one.body:
            yield f"{name} {one.status}: it came as {kind}, which is not described"
        return
    yield from _value(contract, content[kind].get("schema", {}), one.body, f"{name} {one.status}: ", "")
    error = one.body.get("error") if isinstance(one.body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code not in contract.data.get("x-lemon-error-codes", {}):
        yield f"{name} {one.status}: the error code {code} is not in x-lemon-error-codes"


def _operation(contract: Contract, one: Exchange) -> dict[str, Any] | None:
    for path, method, operation in contract.operations():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))
        if method.upper() == one.method and re.fullmatch(pattern, one.path):
            return operation
    return None


def _asked(contract: Contract, operation: dict[str, Any], one: Exchange) -> Iterator[str]:
    """Yield the parameters of a recorded request that are not described."""
    described = {p["name"] for p in map(contract.resolve, operation.get("parameters", ())) if p.get("in") == "query"}
    body = contract.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json", {})
    fields = contract.resolve(body.get("schema", {})).get("properties", {})
    for name in (*(name for name in one.query if name not in described), *one.request.keys() - fields.keys()):
        yield f"{operation['operationId']}: the parameter {name} is not described"


def _value(contract: Contract, schema: Any, value: Any, what: str, place: str) -> Iterator[str]:
    """Yield where a value has more, or something else, than its schema says."""
    schema = contract.resolve(schema)
    shown = place or "the body"
    known = known_values(contract, schema)
    if known is not None and value is not None and value not in known[0] and not contract.errors(value, known[1]):
        text = value if isinstance(value, str) and re.fullmatch(r"\w{1,40}", value) else "one of another form"
        yield f"{what}{shown} has a value that is not known: {text}"
        return
    shapes = _shapes(contract, schema)
    if isinstance(value, dict):
        fields = {name: inner for shape in shapes for name, inner in shape.get("properties", {}).items()}
        if any(shape.get("type") == "object" for shape in shapes):
            for name, inner in value.items():
                at = f"{place}.{name}" if place else name
                if name not in fields:
                    yield f"{what}the field {at} is not described"
                else:
                    yield from _value(contract, fields[name], inner, what, at)
            return
    if isinstance(value, list) and (items := [shape["items"] for shape in shapes if "items" in shape]):
        for inner in value:
            yield from _value(contract, items[0], inner, what, f"{place}[]")
        return
    if contract.errors(value, schema):
        yield f"{what}{shown} is {_kind(value)}, or of a form that is not described"


def _shapes(contract: Contract, schema: Any) -> list[dict[str, Any]]:
    schema = contract.resolve(schema)
    parts = [*alternatives(schema), *schema.get("allOf", ())]
    return [schema, *(shape for part in parts for shape in _shapes(contract, part))]


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line. Returns the exit code: 1 for drift, 2 where nothing could be read."""
    parser = argparse.ArgumentParser(prog="drift", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("live", metavar="URL|FOLDER")
    parser.add_argument("--task", action="append", default=[], metavar="ID", help="a task to look at (repeatable)")
    options = parser.parse_args(arguments)
    contract = parse((root / "openapi.yaml").read_text(encoding="utf-8"))
    try:
        if re.match(r"https?://", options.live):
            keys = Keys(os.environ.get("LEMONDATA_API_KEY"), os.environ.get("LEMONDATA_MANAGEMENT_TOKEN"))
            exchanges = list(asked(contract, options.live, keys, options.task))
        else:
            exchanges = list(recorded(Path(options.live)))
    except (ValueError, OSError) as exc:
        print(exc, file=sys.stderr)
        return 2
    if not exchanges:
        print(f"There is no recorded exchange (*.json) in {options.live}.", file=sys.stderr)
        return 2
    found = drift(contract, exchanges)
    print(f"{len(exchanges)} answers, {len(found)} things that openapi.yaml does not say.")
    print("\n".join(f"  {line}" for line in found), end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
