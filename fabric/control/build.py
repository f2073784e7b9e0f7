"""The only place where the parts of the running fabric meet.

Knows nothing of what any part does inside.
"""

import hashlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.backends.kuberay.fenced_api import FencedApi
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.backends.local.backend import LocalBackend
from fabric.config import env
from fabric.config.site import Site
from fabric.config.site_file import policy_of
from fabric.control.admission import named_packages
from fabric.control.adoption import Adoptions
from fabric.control.blueprint import SiteBlueprint
from fabric.control.budgets import Budgets
from fabric.control.callers import LOCAL_ADMIN, Role
from fabric.control.deployments import finish_replacements
from fabric.control.drained_backend import DrainedBackend
from fabric.control.draining import Drains, Emptying
from fabric.control.endings import Endings
from fabric.control.http.app import create_app
from fabric.control.http.settings import HttpSettings
from fabric.control.leading import Candidate, FencedBackend
from fabric.control.metering import Metering
from fabric.control.models import Models
from fabric.control.node_watch import NodeWatch
from fabric.control.notices import Hook, Notifier, signing
from fabric.control.oidc import OidcTokens
from fabric.control.onlookers import Onlookers
from fabric.control.people_ports import ProjectRecord
from fabric.control.ports import Ports
from fabric.control.process import LoopThread
from fabric.control.projects import listed_projects
from fabric.control.reloading import Reloading, Source
from fabric.control.retention import Pruning, PruningThread
from fabric.control.retention_ports import Kept
from fabric.control.sealing import ensured_keyring, seal_plain
from fabric.control.service import Service
from fabric.control.serving import serve_config_of
from fabric.control.standby import Standby
from fabric.control.steady_clock import CLOCK_FILE, SteadyClock
from fabric.control.tunnels import sweep_sockets
from fabric.control.warming import WarmClusters, Warmer
from fabric.core.errors import Conflict
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.metering import Meter
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Backend, Door
from fabric.scheduler.quota import tree
from fabric.store.artifacts import Artifacts
from fabric.store.database import open_store
from fabric.store.files import write_atomically
from fabric.store.keys import Key
from fabric.store.lease import Lease
from fabric.store.logs import Logs
from fabric.store.mlflow_server import MlflowServer
from fabric.store.named_secrets import SqlNamedSecrets
from fabric.store.old_artifacts import OldArtifacts
from fabric.store.records import SqlRecords
from fabric.store.retention import SqlRetention
from fabric.store.shelves import Limits, Shelves

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A control that works."""

    app: object
    """ASGI application."""
    endings: Endings
    """How and when it ends."""
    reloading: Reloading
    """Reads the site file again."""


class Clusters(Backend, WarmClusters, Meter, Protocol):
    """A backend that is begun and ended, and measures."""

    def start(self) -> None:
        """Adopt what an earlier fabric left."""
        ...

    def close(self) -> None:
        """Look no more; clusters stay."""
        ...

    def door(self, cluster: str) -> Door | None:
        """Where the head of a cluster answers; None if nobody knows."""
        ...


class ModelServer(Protocol):
    """MLflow's server."""

    @property
    def url(self) -> str:
        """Where it answers."""
        ...

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def end(self) -> None:
        """End."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What control runs beside itself; tests give others."""

    backend: Callable[[Site, Surroundings], Clusters]
    """Turns slices into Ray nodes."""
    mlflow: Callable[[Path], ModelServer]
    """Serves MLflow from a folder."""


@contextmanager
def running(
    site: Site, state: Path, outside: Outside | None = None, read: Callable[[], Site] | None = None
) -> Iterator[Running]:
    """Open the store and act: adopt what exists, start loop and MLflow; end them on leaving, workloads stay.

    Where several controls share a database, only the one that leads acts, and this one may come to that later.

    Args:
        site: As its file says.
        state: Folder of records, packages and logs.
        outside: What runs beside it, where that is not what the site says.
        read: Reads the file again; where nobody says how, it is taken to say the same for ever.

    Raises:
        FabricError: If the store cannot be opened, or Kubernetes does not let us look.
    """
    outside = outside or Outside(backend_of, MlflowServer)
    engine, lease = _opened(site, state)
    clock = SteadyClock(state / CLOCK_FILE)
    records, acts = SqlRecords(engine), SqlRecords(lease.fenced() if lease else engine)
    keyring = ensured_keyring(site, state)
    named, fenced = (SqlNamedSecrets(each, keyring) for each in (engine, lease.fenced() if lease else engine))
    logs = Logs(state / "logs")
    packages, mlflow = open_packages(site, state), outside.mlflow(state / "mlflow")
    models = Models(mlflow.url, acts)
    artifacts = Artifacts(state / "artifacts", site.max_artifact_bytes)
    blueprint = SiteBlueprint(site, state / "artifacts", env.cache_folder(), acts, models, serve_config_of, named)
    around = Surroundings(
        state, logs, packages, threading.Event(),
        may_act=lease.check if lease else lambda: None, let_in=blueprint.let_in,
    )  # fmt: skip
    backend = outside.backend(site, around)
    drains = Drains(records, clock.now)
    budgets = Budgets(site, records)
    emptying = Emptying(drains, records.get, budgets.planned, backend.observe)
    eyes = DrainedBackend(backend, drains, backend if isinstance(backend, KubeRayBackend) else None)
    hands = FencedBackend(eyes, lease) if lease else eyes
    onlookers = Onlookers(site)
    loop = Loop(
        onlookers.watching(acts, clock.now), hands, blueprint,
        clock=clock, settings=loop_settings(site, records.projects()),
        decider=onlookers.figures.timing_decisions(emptying.planned), memory=acts,
    )  # fmt: skip
    thread = LoopThread(loop.step, around.changed, took=onlookers.figures.step_took)
    endings = Endings(records, hands, thread)
    warmer = Warmer(
        backend,
        site,
        lambda: loop.last_decision,
        lambda name, grant: blueprint.warm(name, grant, clock.now()),
        leads=lambda: candidate is None or candidate.leads,
    )
    pruner = PruningThread(
        Pruning(kept_in(state, engine, logs, packages, lease=lease), site.retention, clock, onlookers.figures)
    )

    def use_projects() -> None:
        loop.use(loop_settings(service.site, records.projects()))

    def use_site(other: Site) -> None:
        settings = loop_settings(other, records.projects())
        budgets.use(other.projects)
        pruner.pruning.use(other.retention)
        adoptions.use(other)
        warmer.use(other)
        service.use_site(other)
        loop.use(settings)

    def begin() -> None:
        ensure_admin_key(acts, state / env.ADMIN_KEY_FILE)
        _finish_what_was_begun(acts, fenced, packages, artifacts)
        use_projects()
        for part in (backend, mlflow, thread, warmer, *beside):
            part.start()

    candidate = Candidate(lease, begin, lease_s=site.store.lease_s) if lease else None
    ports = Ports(
        workloads=records, reports=records, keys=records, people=records, ledger=records,
        packages=packages, artifacts=artifacts, logs=logs, models=models,
        # Without a word to Kubernetes: that is the loop's.
        nodes=lambda: drains.shown(backend.nodes()), views=backend.observe, door=backend.door,
        process=endings, clock=clock, wall=time.time, entropy=secrets.token_bytes,
        drains=drains, decision=lambda: budgets.decided(emptying.decided(loop.last_decision)),
        projects_changed=use_projects, named_secrets=named, alias_moves=records,
        leads=(lambda: candidate.leads) if candidate else (lambda: True),
        notes=backend.notes if isinstance(backend, KubeRayBackend) else dict,
        figures=onlookers.figures,
        reloads=records, site_events=records, source=Source(read or (lambda: site), use_site), pruning=pruner.pruning,
    )  # fmt: skip
    adoptions = Adoptions(ports, site)
    if isinstance(backend, KubeRayBackend):
        backend.hand_in_at(adoptions)
    service = Service(ports, site, OidcTokens(site.oidc) if site.oidc else None)
    hook = Hook(site.notices, secret=signing(site.notices, named)) if site.notices else None
    beside = (
        pruner,
        NodeWatch(acts, ports.nodes, drained=lambda: drains.all().keys(), notes=ports.notes, now=clock.now),
        Notifier(
            acts,
            ports.nodes,
            service.signs,
            site=site.name,
            state=state,
            now=clock.now,
            notices=site.notices,
            hook=hook,
        ),
        Metering(backend, backend.observe, acts.keep_uses, now=clock.now, took=onlookers.figures.metering_took),
    )
    app = create_app(service, _http_settings(site, mlflow))
    begin() if candidate is None else candidate.start()
    try:
        answers = app if lease is None else Standby(app, ports.leads, lambda: lease.leader().address)
        yield Running(answers, endings, service.reloading)
    finally:
        if thread.begun:
            for end in (*(part.end for part in beside), thread.end, warmer.end, backend.close, mlflow.end):
                end()
        if candidate is not None:
            candidate.end()
        onlookers.close()


def _finish_what_was_begun(
    records: SqlRecords, named: SqlNamedSecrets, packages: Shelves, artifacts: Artifacts
) -> None:
    """Bring to an end what an earlier control was killed in the middle of, or left undone."""
    # What uploads left; those of others must not be under way any more.
    packages.sweep()
    artifacts.sweep()
    for correction in records.reconcile():
        _log.warning("the ledger was brought to what is held: %s", correction)
    finish_replacements(records)
    sweep_sockets(time.time())
    seal_plain(named)


def _http_settings(site: Site, mlflow: ModelServer) -> HttpSettings:
    return HttpSettings(anonymous=site.anonymous, max_package_bytes=site.max_package_bytes, mlflow_port=mlflow.port)


def _opened(site: Site, state: Path) -> tuple[Engine, Lease | None]:
    """The records, and what lets one of several controls lead.

    Raises:
        FabricError: If they cannot be opened.
    """
    process = f"{socket.gethostname()[:30]}/{os.getpid()}/{secrets.token_hex(4)}"
    engine = open_store(state, site.store, process)
    return engine, lease_of(site, engine, process)


def lease_of(site: Site, engine: Engine, process: str) -> Lease | None:
    """What lets one of several controls lead; None where the records are in a folder, which only one can hold."""
    if site.store.url is None:
        return None
    return Lease(engine, process, address=site.url(site.ports.control), lease_s=site.store.lease_s)


def backend_of(site: Site, around: Surroundings) -> LocalBackend | KubeRayBackend:
    """What turns the slices of a site into Ray nodes."""
    if site.kubernetes is None:
        return LocalBackend(site, around)
    return KubeRayBackend(site, around, FencedApi(Kr8sApi(site.kubernetes.namespace), around.may_act))


def loop_settings(site: Site, made: Sequence[ProjectRecord] = ()) -> Settings:
    """What the loop is told of a site: policy, projects, windows.

    Args:
        site: As its file says.
        made: Projects that people made beside those.

    Raises:
        BadConfig: If the policy is none.
    """
    return Settings(
        head=site.head.resources,
        grace_s=site.grace_s,
        policy=policy_of(site, Policy),
        tree=tree(listed_projects(site, made)),
        windows=site.windows,
        overhead_s=site.overhead_s,
        half_life_s=site.usage_half_life_s,
        priors={tier.name: tier.staging for tier in site.tiers},
    )


def open_packages(site: Site, state: Path) -> Shelves:
    """The uploaded packages."""
    limits = Limits(site.max_package_bytes, site.max_project_package_bytes, site.package_age_s)
    return Shelves(state / "packages", limits, time.time)


def kept_in(state: Path, engine: Engine, logs: Logs, packages: Shelves, *, lease: Lease | None) -> Kept:
    """What retention may remove of a site, while this control leads."""
    records = SqlRecords(engine)
    return Kept(
        records=SqlRetention(lease.fenced() if lease else engine),
        logs=logs,
        artifacts=OldArtifacts(state / "artifacts"),
        packages=packages,
        active=records.active,
        named=lambda: named_packages(records.active().values()),
        fence=lease.check if lease else lambda: None,
    )


def ensure_admin_key(records: SqlRecords, file: Path) -> None:
    """Make the administrator's key where its file is not there; only this user can read the file.

    Whoever has the folder is its administrator, so a file that is made anew opens. One that stayed while its key was
    rotated opens nothing, and what was rotated away or revoked is not to open anything again.
    """
    made = not file.exists()
    if made:
        write_atomically(file, f"fab-{secrets.token_urlsafe(32)}\n".encode())
    os.chmod(file, 0o600)
    digest = hashlib.sha256(file.read_text(encoding="utf-8").strip().encode()).hexdigest()
    if records.find_key(digest) is not None:
        return
    try:
        records.add_key(digest, Key(LOCAL_ADMIN.name, "", Role.ADMIN))
    except Conflict:
        if made:
            with suppress(Conflict):  # it was revoked
                records.rotate(LOCAL_ADMIN.name, digest, 0.0)
        else:
            _log.warning("%s opens nothing: its key was rotated; write the new one there, or remove the file", file)
