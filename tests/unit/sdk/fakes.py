"""Control as a client sees it, without a network: answers from lists, remembers what it was asked.

Knows nothing of scheduling.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from fabric.api import admin

Handler = Callable[[httpx.Request], httpx.Response]

ADDRESS = "http://control.test"


def view(name: str = "a", state: str = "running", **fields: Any) -> admin.WorkloadView:
    """A workload of a person who does not care about most of it."""
    given = {
        "project": "default",
        "kind": "job",
        "priority": "batch",
        "entrypoint": "python a.py",
        "attempt": 1,
        "failures": 0,
        "message": state,
        "submitted_at": 1_000.0,
    }
    return admin.WorkloadView(name=name, state=state, **{**given, **fields})


def answer(value: Any, status: int = 200) -> httpx.Response:
    """An answer with one of the wire types."""
    return httpx.Response(status, content=value.model_dump_json(), headers={"Content-Type": "application/json"})


def refusal(status: int, code: str, message: str = "no", /, **fields: str | int | float | None) -> httpx.Response:
    """An answer with an error."""
    return answer(admin.ErrorBody(code=code, message=message, fields=fields), status)


class FakeControl:
    """Answers `METHOD path` with the next of a list of answers; the last one stays."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self._any: dict[str, httpx.Response] = {}
        self._answers: dict[str, list[httpx.Response | Exception | Handler]] = {}

    def on(self, what: str, *answers: httpx.Response | Exception | Handler) -> "FakeControl":
        """Answer `what`, such as `GET /api/fabric/nodes`."""
        self._answers[what] = list(answers)
        return self

    def on_any(self, method: str, reply: httpx.Response) -> "FakeControl":
        """Answer every path that has no answer of its own."""
        self._any[method] = reply
        return self

    @property
    def transport(self) -> httpx.MockTransport:
        """What a client is given."""
        return httpx.MockTransport(self._answer)

    def bodies(self) -> Iterator[Any]:
        """What was sent, as JSON."""
        return (json.loads(request.content) for request in self.asked)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answers = self._answers.get(f"{request.method} {request.url.path}")
        if answers is None:
            return self._any.get(request.method) or refusal(
                404, "not_found", f"{request.method} {request.url.path}: nothing here"
            )
        chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(chosen, Exception):
            raise chosen
        return chosen(request) if callable(chosen) else chosen


class LosesTheFirstAnswer(httpx.ASGITransport):
    """A connection that breaks once, after the server has done what it was asked by a method."""

    def __init__(self, app: Any, method: str) -> None:
        super().__init__(app)
        self._method, self._lost = method, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, but for the first."""
        answered = await super().handle_async_request(request)
        if not self._lost and request.method == self._method:
            self._lost = True
            raise httpx.ReadError("reset")
        return answered
