"""Deployments of Serve applications: one configuration, one service workload, found by project and name.

Knows nothing of HTTP or Ray; a deployment has no record of its own, it is its newest workload.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from fabric.api.serve import DEFAULT_DEPLOYMENT
from fabric.control.callers import Caller, Permission, Role
from fabric.control.deployed import NOTHING, details_of, serve_of
from fabric.control.service import Service
from fabric.control.spec_from_serve import spec_from_serve
from fabric.core.errors import BadInput, Conflict, Denied, NotFound
from fabric.core.ids import check_name
from fabric.workloads.record import Record
from fabric.workloads.states import State

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
            if any(serve_of(record).config == document for record in earlier if _is_live(record)):
                return
            self._refuse_a_models(project, target.deployment, caller)
            made = self._service.submit(spec, caller)
            retire(self._service, earlier, made.name, caller)

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

    def _refuse_a_models(self, project: str, deployment: str, caller: Caller) -> None:
        """Refuse to take the place of a model that is served under the name.

        Raises:
            Conflict: If there is one.
        """
        for record in self._service.list(caller, _SHOWN, MOST_LOOKED_AT, kind="service"):
            service = record.spec.service
            if service and _is_live(record) and (record.spec.project, service.deployment) == (project, deployment):
                raise Conflict(
                    f"deployment {deployment} of project {project} serves {service.model}. Choose another name, or "
                    f"stop {record.name} first.",
                    deployment=deployment,
                )

    def _newest(self, caller: Caller, target: Target) -> Record | None:
        found = self._records(caller, project_of(caller, target), target.deployment)
        return next(iter(found), None)

    def _records(self, caller: Caller, project: str, deployment: str) -> Sequence[Record]:
        """Workloads of a deployment that have not been ended by somebody, newest first."""
        check_name(deployment, "deployment")
        found = self._service.list(caller, _SHOWN, MOST_LOOKED_AT, kind="service")
        return [
            record
            for record in found
            if record.spec.serve and (record.spec.project, record.spec.serve.deployment) == (project, deployment)
        ]


def retire(service: Service, records: Iterable[Record], by: str, caller: Caller) -> None:
    """End the revisions of a deployment that a new one takes the place of.

    Args:
        service: The use cases.
        records: The revisions.
        by: The new one.
        caller: Who deployed it.
    """
    for record in records:
        if _is_live(record):
            with suppress(Conflict, NotFound):  # it ended, or was deleted, just now
                service.stop(record.name, caller, f"replaced by {by}, deployed by {caller.name}")


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
