"""What the gateway is told: which models are served where, and whose keys are valid.

Knows nothing of HTTP; waiting for a change is the caller's.
"""

import re
import threading
from collections.abc import Iterable, Mapping

from fabric.api.gateway import EndpointView, GatewaySnapshot, KeyView, ServedDeployment, ServedModel
from fabric.control.callers import Caller, Permission
from fabric.control.logins import present_role, roles_by_user
from fabric.control.people_ports import KeyRecord, People
from fabric.control.ports import Ports
from fabric.control.views import ANSWERS
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import ClusterView, Phase
from fabric.workloads.record import Record
from fabric.workloads.spec import DEFAULT_PROJECT

_ADOPTION_S = 20.0
"""How long a control that has just started looks for the services of its predecessor, in seconds."""


def served_names(record: Record) -> tuple[str, ...]:
    """Names under which a service's replicas know their model: MODEL, its full reference, the workload's name."""
    if record.spec.service is None:
        return ()
    reference = record.spec.service.model
    return tuple(dict.fromkeys((re.split("[@:]", reference)[0], reference, record.name)))


def served_models(records: Iterable[Record], views: Mapping[str, ClusterView]) -> tuple[ServedModel, ...]:
    """Every service that is not final, by id; where two of a project want a name, the ready one has it, then the older.

    Projects have models of their own, so two of them may serve one of the same name; the gateway knows whose is meant.
    """
    services = [record for record in records if record.spec.kind == "service" and not record.state.final]
    taken: set[tuple[str, str]] = set()
    models = []
    for record in sorted(services, key=lambda r: (not _endpoints(r, views), r.at.submitted, r.name)):
        project = record.spec.project
        names = [name for name in served_names(record) if (project, name) not in taken]
        # Names of workloads are unique, but one may be called like another's model.
        if names:
            taken.update((project, name) for name in names)
            models.append(
                ServedModel(
                    id=names[0], aliases=tuple(names[1:]), workload=record.name, project=project,
                    created=int(record.at.submitted), endpoints=_endpoints(record, views),
                )
            )  # fmt: skip
    return tuple(sorted(models, key=lambda model: (model.id, model.project)))


def served_deployments(records: Iterable[Record], views: Mapping[str, ClusterView]) -> tuple[ServedDeployment, ...]:
    """Every deployment of Serve applications; while one replaces another, whichever answers, then the newer one."""
    found: dict[tuple[str, str], ServedDeployment] = {}
    for record in sorted(records, key=lambda r: (bool(_endpoints(r, views)), r.at.submitted, r.name)):
        if record.spec.serve is not None and not record.state.final:
            project, name = record.spec.project, record.spec.serve.deployment
            found[project, name] = ServedDeployment(
                name=name, project=project, workload=record.name, endpoints=_endpoints(record, views)
            )
    return tuple(found[key] for key in sorted(found))


def _endpoints(record: Record, views: Mapping[str, ClusterView]) -> tuple[EndpointView, ...]:
    view = views.get(record.cluster)
    if record.state not in ANSWERS or view is None or not view.endpoint:
        return ()
    return (EndpointView(url=view.endpoint, secret=view.secret),)


def key_views(keys: Mapping[str, KeyRecord], people: People, now: float) -> tuple[KeyView, ...]:
    """The keys that may ask models, by digest: those of people, also where they will expire.

    Args:
        keys: By digest.
        people: Know what the owners of keys are by now.
        now: Seconds since the epoch; what has expired or was revoked by then is left out.
    """
    roles = roles_by_user(people) if any(key.user for key in keys.values()) else {}
    return tuple(
        KeyView(
            sha256=digest, project=key.project or DEFAULT_PROJECT, name=key.name, everywhere=not key.project,
            expires_at=key.expires,
        )
        for digest, key in sorted(keys.items())
        if key.valid(now) and _may_ask(key, roles.get(key.user))
    )  # fmt: skip


def _may_ask(key: KeyRecord, roles: Mapping[str, str] | None) -> bool:
    role = present_role(key, roles)
    return role is not None and Caller(key.name, role, scopes=frozenset(key.scopes)).may(Permission.ASK)


def _adopting(records: Iterable[Record], views: Mapping[str, ClusterView]) -> list[str]:
    """Running services of which it is not known yet whether they answer."""
    services = [r for r in records if r.spec.kind == "service" and r.state in ANSWERS]
    broken = {name for name, view in views.items() if view.phase is Phase.BROKEN}
    return [r.name for r in services if r.cluster not in broken and not _endpoints(r, views)]


class Feed:
    """The newest snapshot, numbered so that a reader sees whether it has it."""

    def __init__(self, ports: Ports, anonymous: bool) -> None:
        self._ports = ports
        self._patient_until: float | None = ports.clock.now() + _ADOPTION_S
        self._last = GatewaySnapshot(anonymous=anonymous)
        self._lock = threading.Lock()

    def current(self) -> GatewaySnapshot:
        """What is true now; the version is that of last time if nothing changed.

        Raises:
            Unavailable: Shortly after a start, while services that run on from before have not been seen again: a
                gateway that was told of them without endpoints would refuse requests that it could answer.
        """
        now = self._ports.clock.now()
        services, views = self._ports.workloads.services(), self._ports.views()
        if self._patient_until is not None:
            unseen = _adopting(services, views) if now < self._patient_until else []
            if unseen:
                raise Unavailable(f"control has just started and still looks for services: {', '.join(unseen)}")
            self._patient_until = None
        models, deployments = served_models(services, views), served_deployments(services, views)
        keys = key_views(self._ports.keys.keys_by_hash(), self._ports.people, now)
        with self._lock:
            last = self._last
            if last.version == 0 or (models, deployments, keys) != (last.models, last.deployments, last.keys):
                # From the clock, so that versions also grow over restarts.
                version = max(last.version + 1, int(now * 1000))
                update = {"version": version, "models": models, "deployments": deployments, "keys": keys}
                self._last = self._last.model_copy(update=update)
            return self._last
