"""The emulator on a clock of the test's, and short words for asking it: nothing is sent."""

from __future__ import annotations

import json
from typing import Any

from lemon_ext.emulator import KEY, TOKEN, Emulator, Request, Response
from tests.play import Clock

GENERATIONS = "/v1/images/generations"
RECORDS = "/v1/management/api-keys/key_1/usage"


class Api:
    """An emulator, asked in this process."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.emulator = Emulator(clock=self.clock, wall=self.clock.wall, **options)

    def ask(self, method: str, path: str, body: bytes = b"", *, key: str | None = KEY, **headers: str) -> Response:
        own = {} if key is None else {"authorization": f"Bearer {key}"}
        kind = {"content-type": "application/json"} if method == "POST" else {}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.emulator.handle(Request(method, path, {**own, **kind, **given}, body))

    def post(self, key: str | None = KEY, **fields: Any) -> Response:
        return self.ask("POST", GENERATIONS, json.dumps({"prompt": "a white cat", **fields}).encode(), key=key)

    def accepted(self, **fields: Any) -> Any:
        response = self.post(**fields)
        assert response.status == 200, response.body
        return response.json()

    def poll(self, task_id: str) -> Any:
        response = self.ask("GET", f"{GENERATIONS}/{task_id}")
        assert response.status == 200, response.body
        return response.json()

    def fetch(self, url: str) -> Response:
        return self.ask("GET", url.removeprefix("http://lemon.emulator"), key=None)

    def get(self, path: str, query: str = "", key: str = TOKEN) -> Response:
        return self.emulator.handle(Request("GET", path, {"authorization": f"Bearer {key}"}, query=query))

    def items(self, query: str = "", path: str = RECORDS) -> Any:
        """Return usage records, of the first key if no other path is given."""
        answer = self.get(path, query)
        assert answer.status == 200, answer.body
        return answer.json()["items"]
