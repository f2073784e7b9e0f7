"""How a recorded workload becomes a wanted cluster: what its processes are told, and what runs on it.

Knows nothing of processes or Kubernetes; secrets and model versions come through ports.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fabric.config import env
from fabric.config.site import Site
from fabric.control.callers import Role
from fabric.control.deployed import deployed_config
from fabric.core.errors import Unavailable
from fabric.core.ids import attempt_id
from fabric.scheduler.ports import WantedCluster
from fabric.store.errors import file_errors
from fabric.store.keys import Key
from fabric.workloads.environments import without_secrets
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import ArraySpec

MLFLOW_CA = "MLFLOW_TRACKING_SERVER_CERT_PATH"
"""MLflow's own name for a file of certificates to believe."""

ServeConfig = Callable[[Record, Path, str], Mapping[str, Any]]
"""From a service's record, its model's folder and its secret to a Serve configuration."""


class Secrets(Protocol):
    """Values made once per workload, and the keys they open."""

    def secret(self, workload: str, kind: str, make: Callable[[], str]) -> str:
        """The value of `kind`, durable before it is returned."""
        ...

    def add_key(self, sha256: str, key: Key) -> None:
        """Let a key in; the same again changes nothing."""
        ...


class NamedValues(Protocol):
    """What secrets of projects hold."""

    def named_secret(self, project: str, name: str) -> str | None:
        """What one holds; None if there is none of that name.

        Raises:
            Unavailable: If it cannot be read any more.
        """
        ...


class Versions(Protocol):
    """Where the files of a model version are."""

    def folder(self, workload: str, reference: str, project: str) -> Path:
        """Folder of the version that `reference` meant in a project when the workload first asked; pinned from then on.

        Raises:
            NotFound: If there is no such model, alias or version.
            Unavailable: If the registry does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class SiteBlueprint:
    """Implements `fabric.scheduler.ports.Blueprint` for one site."""

    site: Site
    artifacts: Path
    cache: Path
    secrets: Secrets
    versions: Versions
    serve_config: ServeConfig
    named: NamedValues

    def wanted(self, record: Record) -> WantedCluster:
        """The cluster that `record` should have.

        Raises:
            NotFound: If it serves a model that does not exist.
            Unavailable: If a secret that it names is not there any more, or cannot be read.
            ValueError: If it holds no grant.
        """
        if record.grant is None:
            raise ValueError(f"{record.name} holds no grant")
        spec = record.spec
        held = {"num_cpus": spec.entrypoint_cpus, "num_gpus": spec.entrypoint_gpus, "memory": spec.entrypoint_memory}
        secret = self._service_secret(record)
        return WantedCluster(
            name=record.cluster,
            workload=record.name,
            attempt=record.attempt,
            generation=record.generation,
            grant=record.grant,
            entrypoint=spec.entrypoint,
            runtime_env=without_secrets(spec.runtime_env),
            env={**self._named(record), **self._told(record)},
            hidden=frozenset(spec.named_secrets),
            metadata=spec.metadata,
            driver={kind: amount for kind, amount in held.items() if amount},
            driver_group=spec.groups[0].name,
            serve=self._serve(record, secret),
            secret=secret,
            born=record.at.submitted,
            images={group.name: group.image.name for group in spec.groups if group.image},
            submitted_by=record.submitted_by,
            project=spec.project,
            adopted=spec.adopted,
        )

    def warm(self, name: str, grant: Grant, now: float) -> WantedCluster:
        """A cluster that nobody has asked for: it is told what all work is told, and has a key that opens nothing yet.

        Args:
            name: In place of a workload's.
            grant: Where it may be.
            now: Seconds since the epoch.
        """
        key = _new_secret()
        return WantedCluster(
            name=attempt_id(name, 1), workload=name, attempt=1, generation=1, grant=grant, entrypoint="",
            runtime_env={}, env={**common(self.site), **self._cache(), **dict.fromkeys(env.KEYS, key)}, metadata={},
            driver={}, born=now, warm=True,
        )  # fmt: skip

    def let_in(self, warm: WantedCluster, wanted: WantedCluster) -> None:
        """Let the key of a warm cluster open control for the work that gets it, as long as that work lives."""
        name = f"workload/{wanted.workload}/{wanted.attempt}"
        key = Key(name, wanted.project, Role.WORKLOAD, wanted.workload, wanted.born)
        self.secrets.add_key(_digest(warm.env[env.TOKEN]), key)

    def _serve(self, record: Record, secret: str) -> Mapping[str, Any] | None:
        if record.spec.serve is not None:
            return deployed_config(record)
        if record.spec.service is None:
            return None
        echo = record.spec.service.engine == "echo"
        folder = Path() if echo else self.versions.folder(record.name, record.spec.service.exact, record.spec.project)
        return self.serve_config(record, folder, secret)

    def _service_secret(self, record: Record) -> str:
        if record.spec.service is None:
            return ""
        return self.secrets.secret(record.name, "service", _new_secret)

    def _named(self, record: Record) -> dict[str, str]:
        """What the secrets hold that a workload names, by variable.

        Raises:
            Unavailable: If one is not there any more, or cannot be read; it starts once that is mended.
        """
        values = {}
        for variable, name in record.spec.named_secrets.items():
            value = self.named.named_secret(record.spec.project, name)
            if value is None:
                raise Unavailable(
                    f"secret {name} of project {record.spec.project} is not there any more; set it again, or stop this"
                )
            values[variable] = value
        return values

    def _told(self, record: Record) -> dict[str, str]:
        """What every process of a workload is told (design: workloads and their life)."""
        token = self.secrets.secret(record.name, "token", _new_secret)
        key = Key(f"workload/{record.name}", record.spec.project, Role.WORKLOAD, record.name, record.at.submitted)
        self.secrets.add_key(_digest(token), key)
        artifacts = self.artifacts / record.spec.project
        with file_errors(artifacts):
            artifacts.mkdir(parents=True, exist_ok=True)
        return {**told(record, self.site, artifacts.as_uri(), token), **self._cache()}

    def _cache(self) -> dict[str, str]:
        """Where this machine keeps converted assets; pods do not see it."""
        return {} if self.site.kubernetes else {env.CACHE: str(self.cache)}


def told(record: Record, site: Site, artifacts: str, token: str) -> dict[str, str]:
    """Environment of every process of a workload, but for where this machine keeps converted assets.

    Args:
        record: The workload.
        site: Where it runs.
        artifacts: URI of its project's artifacts.
        token: Its own key.
    """
    return {
        env.REVISION: _package_of(record.spec.runtime_env),
        **record.spec.env,
        **common(site),
        env.TOKEN: token,
        env.WORKLOAD: record.name,
        env.ATTEMPT: str(record.attempt),
        **_element(record.spec.array),
        env.USER: record.submitted_by,
        env.ARTIFACTS: artifacts,
        env.MLFLOW_KEY: token,
    }


def common(site: Site) -> dict[str, str]:
    """What every process is told, whatever it runs."""
    pods = site.kubernetes.control_url if site.kubernetes else None
    address = pods or site.url(site.ports.control)
    # A path of this machine, which pods do not see: their images know whom to believe.
    believed = {} if site.tls is None or pods else {env.CA: site.tls.believed, MLFLOW_CA: site.tls.believed}
    return {
        env.ADDRESS: address,
        **believed,
        env.GRACE_S: f"{site.grace_s:g}",
        env.MLFLOW: f"{address}/mlflow",
        # Ray's own patience between SIGTERM and SIGKILL of an entrypoint.
        "RAY_JOB_STOP_WAIT_TIME_S": str(max(1, int(site.grace_s))),
    }


def _element(array: ArraySpec | None) -> dict[str, str]:
    """What an element of an array is told of it."""
    if array is None or array.index is None:
        return {}
    return {env.ARRAY: array.name, env.ARRAY_INDEX: str(array.index), env.ARRAY_SIZE: str(array.size)}


def _package_of(runtime_env: Mapping[str, Any]) -> str:
    """Name of the working directory's package, which is a hash of its contents; empty where there is none."""
    found = runtime_env.get("working_dir")
    return found.rpartition("/")[2].removesuffix(".zip") if isinstance(found, str) else ""


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _new_secret() -> str:
    return secrets.token_urlsafe(32)
