"""A small fabric without loop, sockets or Ray: real records, logs and packages under one folder, and an app on top.

Knows nothing of single tests.
"""

import base64
import hashlib
import io
import itertools
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.testclient import TestClient

from fabric.api.admin import ModelVersionView
from fabric.config.site import Capacity, Head, Site, Tier
from fabric.control.admission import named_packages
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.draining import Drains
from fabric.control.figures import Figures
from fabric.control.http.app import create_app
from fabric.control.http.settings import HttpSettings
from fabric.control.ports import Ports
from fabric.control.reloading import Source
from fabric.control.retention import Pruning
from fabric.control.retention_ports import Kept
from fabric.control.service import Service
from fabric.core.errors import FabricError
from fabric.core.numa import Note
from fabric.core.resources import Resources
from fabric.scheduler.ports import ClusterView, Door, Phase
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Node
from fabric.store.artifacts import Artifacts
from fabric.store.keyring import KEY_FILE, Keyring
from fabric.store.keys import Key
from fabric.store.logs import Logs
from fabric.store.named_secrets import SqlNamedSecrets
from fabric.store.old_artifacts import OldArtifacts
from fabric.store.records import SqlRecords
from fabric.store.retention import SqlRetention
from fabric.store.shelves import Limits, Shelves
from fabric.workloads.record import Event, Grant, Record, Slice
from fabric.workloads.spec import ArraySpec, WorkloadSpec
from fabric.workloads.states import State

BASE = "http://127.0.0.1:8270"
START = 1_750_000_000.0

SITE = Site(
    name="toy",
    tiers=(
        Tier(name="gpu", nodes=2, capacity=Capacity(cpus=4, gpus=2, memory="6 GiB"), pretend=True),
        Tier(name="commodity", nodes=2, capacity=Capacity(cpus=4, memory="6 GiB"), heads=True),
    ),
    head=Head(cpus=1, memory="1.5 GiB"),
    anonymous=True,
)
NODES = tuple(
    Node(name, tier.name, tier.capacity.resources, tier.heads) for tier in SITE.tiers for name in tier.node_names
)


@dataclass
class FakeClock:
    """Stands still unless told otherwise."""

    at: float = START

    def now(self) -> float:
        return self.at


@dataclass
class FakeProcess:
    """Remembers what it was asked."""

    woken: int = 0
    age_s: float = 0.1
    ended: list[bool] = field(default_factory=list)

    def wake(self) -> None:
        self.woken += 1

    def loop_age_s(self) -> float:
        return self.age_s

    def shutdown(self, kill: bool) -> None:
        self.ended.append(kill)


@dataclass
class FakeModels:
    """Registered versions."""

    known: list[ModelVersionView] = field(default_factory=list)
    pins: dict[str, str] = field(default_factory=dict)
    broken: FabricError | None = None

    def models(self, project: str | None = None) -> Sequence[ModelVersionView]:
        return [version for version in self.known if project is None or version.project in ("", project)]

    def move_alias(self, project: str, model: str, alias: str, version: int) -> None:
        if self.broken is not None:
            raise self.broken
        self.known = [_with_alias(each, alias, each.version == version) for each in self.known if each.name == model]

    def pinned(self, workload: str) -> str:
        return self.pins.get(workload, "")


def _with_alias(version: ModelVersionView, alias: str, has: bool) -> ModelVersionView:
    others = tuple(each for each in version.aliases if each != alias)
    return version.model_copy(update={"aliases": (*others, alias) if has else others})


class _Present(httpx.AsyncBaseTransport):
    """Stands for the service and the way to other servers of the present test, so that one app serves many tests."""

    service: Service
    carrier: httpx.AsyncBaseTransport | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.carrier is None:
            raise httpx.ConnectError("there is no other server here", request=request)
        return await self.carrier.handle_async_request(request)


_APPS: dict[HttpSettings, tuple[FastAPI, _Present]] = {}


def _app_for(service: Service, settings: HttpSettings, carrier: httpx.AsyncBaseTransport | None) -> FastAPI:
    """An app takes a tenth of a second to make, so it is kept for the next test with the same settings."""
    if settings not in _APPS:
        present = _Present()
        _APPS[settings] = (create_app(cast("Service", present), settings, present), present)
    app, present = _APPS[settings]
    present.service, present.carrier = service, carrier
    return app


class World:
    """The service, its stores and its app; `client` asks it."""

    def __init__(self, folder: Path, engine: Engine, **settings: Any) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.process = FakeProcess()
        self.models = FakeModels()
        self.views: dict[str, ClusterView] = {}
        self.notes: dict[str, Note] = {}
        self.decision: Decision | None = None
        self.doors: dict[str, Door] = {}
        self.file: Callable[[], Site] = lambda: SITE
        self.records = SqlRecords(engine, self.clock.now)
        # A file as `Keyring` writes it, without the time that waiting for a disk takes.
        (folder / KEY_FILE).write_bytes(base64.b64encode(b"k" * 32))
        self.secrets = SqlNamedSecrets(engine, Keyring(folder / KEY_FILE))
        self.logs = Logs(folder / "logs")
        self.drains = Drains(self.records, self.clock.now)
        limits = Limits(SITE.max_package_bytes, SITE.max_project_package_bytes, SITE.package_age_s)
        self.packages = Shelves(folder / "packages", limits, self.clock.now)
        self.artifacts = Artifacts(folder / "artifacts", SITE.max_artifact_bytes)
        old = OldArtifacts(folder / "artifacts")
        self.kept = Kept(
            SqlRetention(engine, self.clock.now), self.logs, old, self.packages, self.records.active,
            named=lambda: named_packages(self.records.active().values()),
        )  # fmt: skip
        figures = Figures()
        self.pruning = Pruning(self.kept, SITE.retention, self.clock, figures)
        entropy = itertools.count(1)
        ports = Ports(
            workloads=self.records,
            reports=self.records,
            keys=self.records,
            people=self.records,
            ledger=self.records,
            packages=self.packages,
            artifacts=self.artifacts,
            logs=self.logs,
            models=self.models,
            nodes=lambda: self.drains.shown(NODES),
            views=lambda: self.views,
            door=self.doors.get,
            process=self.process,
            clock=self.clock,
            drains=self.drains,
            named_secrets=self.secrets,
            alias_moves=self.records,
            reloads=self.records,
            site_events=self.records,
            source=Source(lambda: self.file(), lambda site: self.service.use_site(site)),
            pruning=self.pruning,
            figures=figures,
            entropy=lambda size: next(entropy).to_bytes(size, "big"),
            notes=lambda: self.notes,
            decision=lambda: self.decision,
        )
        self.service = Service(ports, SITE, settings.pop("tokens", None))
        settings = {"anonymous": True, "follow_interval_s": 0.01, "max_failed_logins": 10_000, **settings}
        transport = settings.pop("carrier", None)
        self.app = _app_for(self.service, HttpSettings(**settings), transport)

    def client(self, key: str | None = None, **headers: str) -> TestClient:
        """Somebody who asks, with a key or without."""
        # Web sockets of the test client would name another host.
        always = {"Host": "127.0.0.1:8270"}
        return TestClient(
            self.app, base_url=BASE, headers={**always, **_shown(key), **headers}, raise_server_exceptions=False
        )

    def asynchronous(self, key: str | None = None) -> httpx.AsyncClient:
        """The same for requests that overlap, or are many."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=_shown(key), follow_redirects=True)

    def issue(self, text: str, role: str, project: str = "", **more: Any) -> str:
        """Issue a key that its owner shows as `text`."""
        key = Key(f"{text}'s", project, role, **{"created": START, **more})
        self.records.add_key(hashlib.sha256(text.encode()).hexdigest(), key)
        return text

    def person(self, name: str, role: str, project: str = "", **more: Any) -> str:
        """Add a person with a role and issue the key that it shows as its name."""
        self.records.add_user(name)
        self.records.set_member(name, project, role)
        return self.issue(name, role, project, user=name, **more)

    def job(self, name: str, project: str = "default", **spec: Any) -> Record:
        """Take in a job."""
        return self.service.submit(
            WorkloadSpec(name=name, project=project, entrypoint="python x.py", **spec), LOCAL_ADMIN
        )

    def array(self, name: str, size: int = 2, **spec: Any) -> None:
        """Take in an array of jobs."""
        asked = WorkloadSpec(name=name, entrypoint="python x.py", array=ArraySpec(size=size), **spec)
        self.service.arrays.submit(asked, LOCAL_ADMIN)

    def change(self, name: str, state: State, **changes: Any) -> Record:
        """Write what the loop would."""
        at = changes.pop("at", {})
        record = self.records.get(name)
        record = replace(record, state=state, at=replace(record.at, **at), **changes)
        self.records.save([record], [Event(name, self.clock.at, state, record.message, record.attempt)])
        return record

    def run(self, name: str, node: str = "commodity-0") -> Record:
        """Let it run on one slice."""
        held = Resources.of(1, 0, "1 GiB")
        grant = Grant((Slice("workers-0", "workers", node, node.rpartition("-")[0], 1, held, head=True),))
        instants = {"granted": self.clock.at + 1, "cluster_ready": self.clock.at + 2, "running": self.clock.at + 3}
        return self.change(name, State.RUNNING, grant=grant, message="running", at=instants)

    def open(self, name: str, url: str = "http://head:8265") -> Record:
        """Let it run, its Ray head answer at `url`."""
        record = self.run(name)
        self.views[record.cluster] = ClusterView(record.cluster, Phase.READY, born=record.at.submitted)
        self.doors[record.cluster] = Door(url, "the-clusters-own")
        return record

    def end(self, name: str, state: State = State.SUCCEEDED) -> Record:
        """Let it end, its log complete."""
        record = self.records.get(name)
        self.logs.mark_complete(name, record.attempt)
        return self.change(name, state, message=str(state), exit_code=0, at={"ended": self.clock.at + 9})

    def write(self, name: str, text: str | bytes, attempt: int = 1) -> None:
        """Append to an attempt's log."""
        data = text.encode() if isinstance(text, str) else text
        self.logs.append(name, attempt, self.logs.end(name, attempt), data)


def zipped(**files: str) -> bytes:
    """A package with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def _shown(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
