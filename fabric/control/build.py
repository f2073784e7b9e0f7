"""The only place where the parts of the running fabric meet.

Knows nothing of what any part does inside.
"""

import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabric.backends.keeping.keeper import Surroundings
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.backends.local.backend import LocalBackend
from fabric.config import env
from fabric.config.site import Site
from fabric.config.site_file import policy_of
from fabric.control.blueprint import SiteBlueprint
from fabric.control.budgets import Budgets
from fabric.control.callers import Role
from fabric.control.drained_backend import DrainedBackend
from fabric.control.draining import Drains, Emptying
from fabric.control.endings import Endings
from fabric.control.http.app import create_app
from fabric.control.http.settings import HttpSettings
from fabric.control.models import Models
from fabric.control.oidc import OidcTokens
from fabric.control.people_ports import ProjectRecord
from fabric.control.ports import Ports
from fabric.control.process import LoopThread, SystemClock
from fabric.control.projects import listed_projects
from fabric.control.service import Service
from fabric.control.serving import serve_config_of
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.store.database import open_store
from fabric.store.files import write_atomically
from fabric.store.keys import Key
from fabric.store.logs import Logs
from fabric.store.mlflow_server import MlflowServer
from fabric.store.records import SqlRecords
from fabric.store.shelves import Limits, Shelves

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A control that works."""

    app: object
    """ASGI application."""
    endings: Endings
    """How and when it ends."""


@contextmanager
def running(site: Site, state: Path) -> Iterator[Running]:
    """Open the store, adopt what exists, start loop and MLflow; end them on leaving, workloads stay.

    Raises:
        FabricError: If the store cannot be opened, or Kubernetes does not let us look.
    """
    records = SqlRecords(open_store(state, site.store))
    logs = Logs(state / "logs")
    packages = open_packages(site, state)
    changed = threading.Event()
    backend = backend_of(site, Surroundings(state, logs, packages, changed))
    mlflow = MlflowServer(state / "mlflow")
    models = Models(mlflow.url, records)
    artifacts = state / "artifacts"
    blueprint = SiteBlueprint(site, artifacts, env.cache_folder(), records, models, serve_config_of)
    drains = Drains(records, SystemClock().now)
    emptying = Emptying(drains, records.get, Budgets(site, records).planned)
    eyes = DrainedBackend(backend, drains, backend if isinstance(backend, KubeRayBackend) else None)
    loop = Loop(
        records, eyes, blueprint, clock=SystemClock(), settings=loop_settings(site, records.projects()),
        decider=emptying.planned, memory=records,
    )  # fmt: skip
    thread = LoopThread(loop.step, changed)
    endings = Endings(records, backend, thread)
    ensure_admin_key(records, state / env.ADMIN_KEY_FILE)
    for correction in records.reconcile():
        _log.warning("the ledger was brought to what is held: %s", correction)
    ports = Ports(
        workloads=records, reports=records, keys=records, people=records, ledger=records,
        packages=packages, logs=logs, models=models,
        nodes=eyes.nodes, views=backend.observe, process=endings, clock=SystemClock(), entropy=secrets.token_bytes,
        drains=drains, decision=lambda: emptying.decided(loop.last_decision),
        projects_changed=lambda: loop.use_tree(tree(listed_projects(site, records.projects()))),
    )  # fmt: skip
    http = HttpSettings(anonymous=site.anonymous, max_package_bytes=site.max_package_bytes, mlflow_port=mlflow.port)
    backend.start()
    mlflow.start()
    thread.start()
    try:
        service = Service(ports, site, OidcTokens(site.oidc) if site.oidc else None)
        service.collect_packages()
        yield Running(create_app(service, http), endings)
    finally:
        thread.end()
        backend.close()
        mlflow.end()


def backend_of(site: Site, around: Surroundings) -> LocalBackend | KubeRayBackend:
    """What turns the slices of a site into Ray nodes."""
    if site.kubernetes is None:
        return LocalBackend(site, around)
    return KubeRayBackend(site, around, Kr8sApi(site.kubernetes.namespace))


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
    """The uploaded packages, without what uploads left that ended with an earlier control."""
    limits = Limits(site.max_package_bytes, site.max_project_package_bytes, site.package_age_s)
    packages = Shelves(state / "packages", limits, SystemClock().now)
    packages.sweep()
    return packages


def ensure_admin_key(records: SqlRecords, file: Path) -> None:
    """Make the administrator's key at the first start; only this user can read the file."""
    if not file.exists():
        write_atomically(file, f"fab-{secrets.token_urlsafe(32)}\n".encode())
    os.chmod(file, 0o600)
    digest = hashlib.sha256(file.read_text(encoding="utf-8").strip().encode()).hexdigest()
    if records.find_key(digest) is None:
        records.add_key(digest, Key("local administrator", "", Role.ADMIN))
