"""Deployments of Serve applications: one configuration, one service workload, found by project and name.

Knows nothing of HTTP or Ray; a deployment has no record of its own, it is its newest workload.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fabric.api.serve import DEFAULT_DEPLOYMENT
from fabric.control.callers import Caller, Permission, Role
from fabric.control.deployed import NOTHING, deployment_of, details_of, serve_of
from fabric.control.ports import Workloads
from fabric.control.service import Service
from fabric.control.spec_from_serve import spec_from_serve
from fabric.core.errors import BadInput, Conflict, Denied, NotFound
from fabric.core.ids import check_name
from fabric.workloads.record import Record
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State

_log = logging.getLogger(__name__)

MOST_LOOKED_AT = 10_000
"""Services among which a deployment is looked for."""

_ANY_PROJECT = "default"
_SHOWN = frozenset(State) - {State.CANCELLED, State.SUCCEEDED}


@dataclass(frozen=True, slots=True)
class Target:
    """Which deployment is meant."""

    deployment: str = DEFAULT_DEPLOYMENT
    project: str | None = None
    """None for the caller's own."""


class Deployments:
    """What `serve deploy`, `status`, `config` and `shutdown` may ask."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.one_at_a_time = threading.Lock()
        """Two that deploy at once must not make two workloads of one deployment."""

    def deploy(self, document: Mapping[str, Any], caller: Caller, target: Target) -> None:
        """Let a configuration be what runs; the same once more changes nothing.

        Raises:
            BadInput: If it can never run as asked; DoesNotFit if no node could ever hold it.
            Conflict: If the deployment serves a model.
            Denied: If the caller may not deploy for the project.
        """
        caller.require(Permission.CHANGE)
        check_name(target.deployment, "deployment")
        project = project_of(caller, target)
        if document.get("applications") == []:
            # As with Serve: what is not in the configuration ends, and that is everything.
            self.shutdown(caller, target)
            return
        spec = spec_from_serve(document, self._service.site, target.deployment)
        name = self._service.made_up_name(f"serve-{target.deployment}")
        spec = spec.model_copy(update={"project": project, "name": name})
        with self.one_at_a_time:
            earlier = self._records(caller, project, target.deployment)
            present = next((record for record in earlier if _is_live(record)), None)
            if present is None or serve_of(present).config != document:
                refuse_another_kind(spec, self._services(caller))
                earlier = [self._service.submit(spec, caller), *earlier]
            retire(self._service, earlier, caller)

    def details(self, caller: Caller, target: Target) -> dict[str, Any]:
        """A deployment in the form in which Serve describes itself; nothing deployed is no error."""
        caller.require(Permission.LOOK)
        record = self._newest(caller, target)
        if record is None:
            return dict(NOTHING)
        read = self._service.discretion.towards(caller)
        told = replace(record, waits_for=read(record.waits_for), message=read(record.message))
        return details_of(told, self._service.cluster(record), secrets=caller.role is not Role.VIEWER)

    def shutdown(self, caller: Caller, target: Target) -> None:
        """End a deployment and forget those of it that failed; one that is not there is no error."""
        caller.require(Permission.CHANGE)
        with self.one_at_a_time:
            for record in self._records(caller, project_of(caller, target), target.deployment):
                try:
                    if record.state.final:
                        self._service.delete(record.name, caller)
                    elif not record.stop_requested:
                        self._service.stop(record.name, caller)
                except (Conflict, NotFound):
                    continue  # it ended, or was deleted, just now

    def scale(self, application: str, name: str, replicas: int, *, caller: Caller, target: Target) -> None:
        """Ask for a number of replicas.

        Raises:
            NotFound: If there is no such deployment.
            BadInput: If its number is fixed, or it cannot have so many.
        """
        caller.require(Permission.CHANGE)
        record = self._newest(caller, target)
        group = serve_of(record).group_of(application, name) if record else None
        if record is None or group is None:
            raise NotFound("Application or Deployment not found", application=application, deployment=name)
        elastic = record.spec.elastic
        if elastic is None or elastic.name != group:
            raise BadInput(
                f"{application}/{name} has a fixed number of replicas. Deploy it again with another num_replicas, or "
                "with an autoscaling_config.",
                deployment=name,
            )
        self._service.scale(record.name, replicas, caller)

    def _newest(self, caller: Caller, target: Target) -> Record | None:
        found = self._records(caller, project_of(caller, target), target.deployment)
        return next(iter(found), None)

    def _records(self, caller: Caller, project: str, deployment: str) -> Sequence[Record]:
        """Workloads of a deployment that have not been ended by somebody, newest first."""
        check_name(deployment, "deployment")
        return [
            record
            for record in self._services(caller)
            if record.spec.serve and (record.spec.project, record.spec.serve.deployment) == (project, deployment)
        ]

    def _services(self, caller: Caller) -> Sequence[Record]:
        return self._service.list(caller, _SHOWN, MOST_LOOKED_AT, kind="service")


def retire(service: Service, revisions: Sequence[Record], caller: Caller) -> None:
    """End the revisions that a newer one has taken the place of.

    Args:
        service: The use cases.
        revisions: Of one deployment or of several, newest first.
        caller: Who deployed.
    """
    for record, newest in _replaced(revisions):
        with suppress(Conflict, NotFound):  # it ended, or was deleted, just now
            service.stop(record.name, caller, _why(newest))


def refuse_another_kind(spec: WorkloadSpec, records: Sequence[Record]) -> None:
    """Refuse to let applications take the place of a model, or a model that of applications.

    Args:
        spec: What is to be deployed, its project filled in.
        records: Services among which may be what runs under its name now.

    Raises:
        Conflict: If that is of the other kind.
    """
    name, project = deployment_of(spec), spec.project
    for record in records:
        runs = record.spec
        here = _is_live(record) and (runs.project, deployment_of(runs)) == (project, name)
        if here and runs.service and spec.serve:
            raise Conflict(
                f"deployment {name} of project {project} serves {runs.service.model}. Choose another name, or stop "
                f"{record.name} first.",
                deployment=name,
            )
        if here and runs.serve and spec.service:
            raise Conflict(
                f"{name} is a deployment of Serve applications in project {project}. Choose another name, or end it "
                "with `serve shutdown` first.",
                deployment=name,
            )


def finish_replacements(workloads: Workloads) -> None:
    """End the revisions that an earlier control recorded a newer one for, and did not come to end."""
    for record, newest in _replaced(workloads.services()[::-1]):
        _log.warning("%s runs on beside %s, which has taken its place, and is ended", record.name, newest.name)
        workloads.request_stop(record.name, _why(newest))


def _replaced(records: Sequence[Record]) -> Iterator[tuple[Record, Record]]:
    """Of services, newest first, the live ones that are no longer what their deployment is, each with what is."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        name = deployment_of(record.spec)
        if name is not None and _is_live(record):
            present = newest.setdefault((record.spec.project, name), record)
            if present is not record:
                yield record, present


def _why(newest: Record) -> str:
    return f"replaced by {newest.name}, deployed by {newest.submitted_by}"


def _is_live(record: Record) -> bool:
    return not record.state.final and not record.stop_requested


def project_of(caller: Caller, target: Target) -> str:
    """Whose deployment is meant: the caller's, unless the caller is of the whole site and says another one.

    Raises:
        Denied: If somebody else's is.
    """
    if caller.project is None:
        return check_name(target.project or _ANY_PROJECT, "project")
    if target.project not in (None, caller.project):
        raise Denied(
            f"key {caller.name} is for project {caller.project} and sees no deployments of {target.project}",
            project=target.project,
        )
    return caller.project
