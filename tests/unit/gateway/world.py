"""A small world: a control, services with the echo engine, and a gateway between them and a client.

Knows nothing of sockets: everything runs in this process.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric.api.gateway import JUDGE, EndpointView, GatewaySnapshot, Judged, KeyView, ServedModel
from fabric.gateway.app import Gateway, build
from fabric.gateway.follow import Follower
from fabric.gateway.settings import GatewaySettings
from fabric.gateway.upstream import make_client
from fabric.serve.endpoints import ReplicaSpec
from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from fabric.serve.engines.engine import Engine
from fabric.serve.openai_http import Replica, build_http
from tests.asgi import Hosts

KEY = "sk-good"
SECRET = "between-us"
QUICK = GatewaySettings(hold_s=0.0, poll_s=0.01, hurry_s=0.01, rest_s=10.0)


def key(text: str = KEY, expires_at: float | None = None) -> KeyView:
    return KeyView(sha256=hashlib.sha256(text.encode()).hexdigest(), project="physics", expires_at=expires_at)


def endpoints(*hosts: str) -> tuple[EndpointView, ...]:
    return tuple(EndpointView(url=f"http://{host}", secret=SECRET) for host in hosts)


def snapshot(*hosts: str, version: int = 1, **more: Any) -> GatewaySnapshot:
    """One model, `parrot`, on these hosts."""
    model = ServedModel(
        id="parrot", aliases=("parrot@champion",), workload="serve-parrot", project="zoo", created=7,
        endpoints=endpoints(*hosts),
    )  # fmt: skip
    told: dict[str, Any] = {"version": version, "models": (model,), "keys": (key(),)} | more
    return GatewaySnapshot(**told)


class Control:
    """Answers for the snapshot and for people; while it is down it hangs up without an answer."""

    def __init__(self, told: GatewaySnapshot) -> None:
        self.told = told
        self.down = False
        self.asked: list[dict[str, str]] = []
        self.people: dict[str, Judged] = {}
        self.heard: list[dict[str, Any]] = []
        self._slow: tuple[asyncio.Event, float] | None = None

    def delay(self, seconds: float) -> asyncio.Event:
        """Say to the next question what is true when it is asked, but so much later; set once it was asked."""
        self._slow = (asyncio.Event(), seconds)
        return self._slow[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.down:
            return
        request = Request(scope, receive)
        if request.method == "POST":
            self.heard.append(told := await request.json())
            said = self.people.get(told["token"], Judged(refusal="nobody's")) if request.url.path == JUDGE else None
            answer = JSONResponse(said.model_dump()) if said else Response(status_code=204)
            return await answer(scope, receive, send)
        self.asked.append(dict(request.query_params))
        told, slow, self._slow = json.loads(self.told.model_dump_json()), self._slow, None
        if slow:
            slow[0].set()
            await asyncio.sleep(slow[1])
        await JSONResponse(told)(scope, receive, send)


class Service:
    """An echo replica behind its secret; it keeps the headers and bodies it was sent."""

    def __init__(self, token_s: float = 0.0, source: EchoSource | None = None) -> None:
        self.source = source or EchoSource(token_s=token_s)
        spec = ReplicaSpec(model_folder="", names=("parrot",), engine="echo")
        self.replica = Replica(Engine(self.source, ByteTokeniser(), 256), spec)
        self._app = build_http(self.replica, SECRET)
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await self._app(scope, receive, send)


@dataclass
class World:
    """All of it."""

    folder: Path
    services: dict[str, ASGIApp]
    told: GatewaySnapshot | None = None
    settings: GatewaySettings = QUICK
    control: Control = field(init=False)
    transport: Hosts = field(init=False)

    def __post_init__(self) -> None:
        self.control = Control(self.told or snapshot(*self.services))
        self.transport = Hosts(self.services)
        self.start()

    def start(self) -> None:
        """A new gateway on the same state folder."""
        asking = httpx.AsyncClient(transport=Hosts({"control": self.control}), base_url="http://control")
        self.follower = Follower(asking, self.folder, self.settings)
        self.gateway = Gateway(self.follower, make_client(self.settings, self.transport), self.settings, asking)
        self.app = build(self.gateway, self.follower)

    async def ready(self) -> ASGIApp:
        """The gateway's application, after it has heard from control."""
        await self.follower.ask()
        return self.app
