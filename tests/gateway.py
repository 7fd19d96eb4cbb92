"""A gateway in thirty lines: it charges, keeps tasks, hands out pictures, and says what it is told to say."""

from __future__ import annotations

import base64
import json
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import httpx

from lemon_ext import AsyncLemon, Lemon
from tests.conftest import KEY
from tests.pictures import PNG
from tests.play import Clock


class Gateway:
    """Answers as the API does: ``midjourney`` with tasks that take ``seconds``, other models at once.

    ``charges`` counts accepted generations by prompt, ``posts`` all of them. ``says[prompt]`` holds replies that come
    before the usual one: a status with JSON (nothing is charged), an exception, or "lost": charged, never answered.
    """

    def __init__(self, seconds: float = 20.0) -> None:
        self.clock = Clock()
        self.seconds = seconds
        self.charges: Counter[str] = Counter()
        self.posts: list[str] = []
        self.times: list[float] = []
        self.says: dict[str, deque[Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.picture = PNG
        self.pictures: dict[str, deque[int]] = {}
        #: Outages: from and until when, and what comes instead of an answer. Of "lost", what is submitted is charged.
        self.outages: list[tuple[float, float, Any]] = []
        #: One that begins with the submission after so many: for how many seconds, and what comes.
        self.drop: tuple[int, float, Any] | None = None
        #: Whether an outage is one of the network: pictures cannot be fetched either.
        self.network = False
        self.probes = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.probes += request.url.path == "/v1/models"
        if self.drop is not None and request.method == "POST" and len(self.posts) >= self.drop[0]:
            (_, seconds, how), self.drop = self.drop, None
            self.outages.append((self.clock(), self.clock() + seconds, how))
        for since, until, how in self.outages:
            if since <= self.clock() < until and (self.network or request.url.host != "img.example.net"):
                return self._outage(request, how)
        if request.url.host == "img.example.net":
            assert "authorization" not in request.headers
            left = self.pictures.get(request.url.path.rpartition("/")[2])
            status = left.popleft() if left else 200
            return httpx.Response(status, content=self.picture if status == 200 else b"")
        self.times.append(self.clock())
        assert request.headers["authorization"] == f"Bearer {KEY}"
        return self._create(json.loads(request.content)) if request.method == "POST" else self._state(request)

    def _outage(self, request: httpx.Request, how: Any) -> httpx.Response:
        if request.method == "POST":
            prompt = json.loads(request.content)["prompt"]
            self.posts.append(prompt)
            if how == "lost":
                self.charges[prompt] += 1
        if isinstance(how, Exception):
            raise how
        if how == "lost":
            raise httpx.ReadTimeout("nothing came")
        status, text = how
        return httpx.Response(status, content=text, headers={"content-type": "text/html"})

    def expect(self, prompt: str, *replies: Any) -> None:
        self.says[prompt] = deque(replies)

    def _create(self, asked: dict[str, Any]) -> httpx.Response:
        prompt = asked["prompt"]
        self.posts.append(prompt)
        if left := self.says.get(prompt):
            reply = left.popleft()
            if isinstance(reply, Exception):
                raise reply
            if reply != "lost":
                return httpx.Response(reply[0], content=json.dumps(reply[1]), headers=dict(reply[2:]))
            self.charges[prompt] += 1
            raise httpx.ReadError("connection reset")
        self.charges[prompt] += 1
        number = sum(self.charges.values())
        if asked["model"] != "midjourney":
            data = [self._image(f"i{number}-{i}", asked) for i in range(asked.get("n", 1))]
            return httpx.Response(200, json={"created": 1706000000, "data": data})
        self.tasks[f"img_{number}"] = {"ready": self.clock() + self.seconds, "asked": asked, "end": "completed"}
        answer = {"task_id": f"img_{number}", "status": "pending", "data": [{"url": "", "revised_prompt": prompt}]}
        return httpx.Response(200, json=answer)

    def _state(self, request: httpx.Request) -> httpx.Response:
        task_id = request.url.path.rpartition("/")[2]
        if task_id not in self.tasks:
            return httpx.Response(404, json={"error": {"message": "no such task", "code": "async_task_not_found"}})
        task = self.tasks[task_id]
        if self.clock() < task["ready"]:
            return httpx.Response(200, json={"task_id": task_id, "status": "processing", "data": []})
        if task["end"] == "failed":
            return httpx.Response(200, json={"task_id": task_id, "status": "failed", "data": [], "error": "refused"})
        data = [self._image(f"{task_id}-{i}", task["asked"]) for i in range(task["asked"].get("n", 1))]
        return httpx.Response(200, json={"task_id": task_id, "status": "completed", "data": data})

    def _image(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("response_format") == "b64_json":
            return {"b64_json": base64.b64encode(PNG).decode(), "revised_prompt": "rewritten"}
        return {"url": f"https://img.example.net/{name}.png", "revised_prompt": "rewritten"}

    def client(self, *, blocking: bool = False, **options: Any) -> Any:
        """Return a client of this gateway; sleeps of the async one only move the clock."""
        transport = httpx.MockTransport(self)
        if blocking:
            return Lemon(KEY, base_url="https://api.example.test", http_client=httpx.Client(transport=transport))
        self.clock.rule()
        options = {"requests_per_minute": None, **options}
        http = httpx.AsyncClient(transport=transport)
        return AsyncLemon(KEY, base_url="https://api.example.test", http_client=http, **options)


def rows(count: int, model: str = "midjourney", **more: Any) -> list[dict[str, Any]]:
    """Return rows with the prompts "cat 1", "cat 2" and so on."""
    return [{"prompt": f"cat {number}", "model": model, **more} for number in range(1, count + 1)]


def results(folder: Any) -> list[dict[str, Any]]:
    """Return what results.jsonl holds."""
    return [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def statuses(found: Iterable[dict[str, Any]]) -> dict[int, str]:
    """Return the status of each row."""
    return {row["row"]: row["status"] for row in found}
