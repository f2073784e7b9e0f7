"""Deployments over time: what one serves, what it served before, and the way back.

Knows nothing of HTTP or Ray. A deployment has no record of its own: it is the services that name it, the newest of
which is what runs; so what is deleted is no longer there to go back to.
"""

import threading
from collections.abc import Sequence

from fabric.api.deployments import DeploymentList, DeploymentView, RevisionView
from fabric.control.callers import Caller, Permission
from fabric.control.deployed import deployment_of
from fabric.control.deployments import MOST_LOOKED_AT, Target, project_of, refuse_another_kind, retire
from fabric.control.service import Service
from fabric.control.views import message_of
from fabric.core.errors import Conflict, NotFound
from fabric.core.ids import check_name
from fabric.workloads.record import Record
from fabric.workloads.spec import WorkloadSpec


class Revisions:
    """What callers may ask of deployments over time."""

    def __init__(self, service: Service, one_at_a_time: threading.Lock) -> None:
        """Remember who knows the workloads.

        Args:
            service: The use cases.
            one_at_a_time: Held while one revision takes the place of another; shared with Serve's API.
        """
        self._service = service
        self._one_at_a_time = one_at_a_time

    def submit(self, spec: WorkloadSpec, caller: Caller, idempotency_key: str | None = None) -> Record:
        """Take in a job or a service; one that names a deployment takes the place of what that runs.

        Raises:
            BadInput: If it can never run; DoesNotFit if no node could ever hold it.
            Conflict: If the name is taken, or the deployment is one of another kind.
            Denied: If the caller may not submit to the project.
            NotFound: If it comes after a job, or serves a model, that does not exist.
        """
        deployment = deployment_of(spec)
        if deployment is None:
            return self._service.submit(spec, caller, idempotency_key)
        with self._one_at_a_time:
            project = caller.project or spec.project
            earlier = self._found(caller, project, deployment)
            refuse_another_kind(spec.model_copy(update={"project": project}), earlier)
            return self._in_place_of(earlier, spec, caller, idempotency_key)

    def list(self, caller: Caller, project: str | None = None) -> DeploymentList:
        """Every deployment within the caller's reach, each with its newest revision.

        Raises:
            Denied: If another project is meant than the caller's.
        """
        if project is not None:
            caller.require_project(project)
        newest: dict[tuple[str, str], Record] = {}
        for record in self._service.list(caller, None, MOST_LOOKED_AT, kind="service"):
            if (name := deployment_of(record.spec)) is not None and project in (None, record.spec.project):
                newest.setdefault((record.spec.project, name), record)
        shown = tuple(self._view([newest[key]], caller) for key in sorted(newest))
        return DeploymentList(deployments=shown)

    def get(self, caller: Caller, target: Target) -> DeploymentView:
        """A deployment with all its revisions.

        Raises:
            Denied: If it is another project's.
            NotFound: If there is none of that name.
        """
        caller.require(Permission.LOOK)
        return self._view(self._existing(caller, target), caller)

    def rollback(self, caller: Caller, target: Target, to: str | None = None) -> Record:
        """Let what a deployment served before run again, as a new revision in the place of the present one.

        Of a model it is the very version that was served then, whatever the reference means by now.

        Args:
            caller: Who asks.
            target: Which deployment.
            to: Workload of the revision; None for the newest before the present one that answered and served something
                else.

        Raises:
            BadInput: If it can no longer run.
            Conflict: If there is nothing to go back to, or it runs already.
            Denied: If it is another project's.
            NotFound: If there is no such deployment or revision, or its model version is gone.
        """
        caller.require(Permission.CHANGE)
        with self._one_at_a_time:
            found = self._existing(caller, target)
            spec = self._again(self._chosen(found, target.deployment, to))
            return self._in_place_of(found, spec, caller)

    def _in_place_of(
        self, earlier: Sequence[Record], spec: WorkloadSpec, caller: Caller, idempotency_key: str | None = None
    ) -> Record:
        """Submit a revision and end those before it."""
        made = self._service.submit(spec, caller, idempotency_key)
        # A submission that is repeated is one of those, and must not end what came after it.
        known = any(record.name == made.name for record in earlier)
        retire(self._service, earlier if known else [made, *earlier], caller)
        return made

    def _chosen(self, found: Sequence[Record], deployment: str, to: str | None) -> Record:
        """The revision to go back to.

        Raises:
            Conflict: If there is none, or it runs already.
            NotFound: If none is called so.
        """
        present, *earlier = found
        if to is None:
            serves = self._content(present)
            ran = (record for record in earlier if _has_run(record) and self._content(record) != serves)
            chosen = next(ran, None)
            if chosen is None:
                raise Conflict(
                    f"{deployment} has served nothing else before {present.name}. `fabric deployments {deployment}` "
                    "lists what there is; name one with --to.",
                    deployment=deployment,
                )
            return chosen
        named = next((record for record in found if record.name == to), None)
        if named is None:
            raise NotFound(f"{to} was never a revision of {deployment}", deployment=deployment, workload=to)
        if named is present and not present.state.final and not present.stop_requested:
            raise Conflict(f"{to} is what {deployment} runs now", deployment=deployment, workload=to)
        return named

    def _content(self, record: Record) -> object:
        """What tells one revision from another."""
        spec = record.spec
        given = None if spec.service is None else spec.service.model_copy(update={"version": None})
        return spec.serve, given, self._pinned(record), spec.groups, spec.env, spec.secrets, spec.runtime_env

    def _again(self, record: Record) -> WorkloadSpec:
        """The spec that serves what a revision served.

        Raises:
            Conflict: If it never began, and so nobody knows what it meant.
        """
        spec, name = record.spec, deployment_of(record.spec) or record.name
        changes: dict[str, object] = {"name": self._service.made_up_name(name)}
        if spec.service is not None:
            pinned = self._pinned(record)
            # The echo engine answers without any model.
            if not pinned and spec.service.engine != "echo":
                raise Conflict(
                    f"{record.name} has never begun, so it is not known which version of {spec.service.model} it "
                    "meant. Deploy that version by its number.",
                    workload=record.name,
                )
            version = int(pinned.rpartition(":")[2]) if pinned else None
            changes["service"] = spec.service.model_copy(update={"version": version})
        return spec.model_copy(update=changes)

    def _pinned(self, record: Record) -> str:
        return self._service.pinned(record.name) if record.spec.service else ""

    def _existing(self, caller: Caller, target: Target) -> Sequence[Record]:
        """The revisions of a deployment, newest first; at least one.

        Raises:
            Denied: If it is another project's.
            NotFound: If there is none of that name.
        """
        project = project_of(caller, target)
        found = self._found(caller, project, check_name(target.deployment, "deployment"))
        if not found:
            raise NotFound(f"project {project} has no deployment {target.deployment}", deployment=target.deployment)
        return found

    def _found(self, caller: Caller, project: str, deployment: str) -> Sequence[Record]:
        found = self._service.list(caller, None, MOST_LOOKED_AT, kind="service")
        return [r for r in found if r.spec.project == project and deployment_of(r.spec) == deployment]

    def _view(self, found: Sequence[Record], caller: Caller) -> DeploymentView:
        first = found[0]
        return DeploymentView(
            name=deployment_of(first.spec) or first.name,
            project=first.spec.project,
            kind="serve" if first.spec.serve else "model",
            revisions=tuple(self._revision(record, caller) for record in found),
        )

    def _revision(self, record: Record, caller: Caller) -> RevisionView:
        return RevisionView(
            workload=record.name,
            serves=_serves(record),
            version=self._pinned(record),
            state=str(record.state),
            condition=record.condition,
            message=self._service.discretion.towards(caller)(message_of(record)),
            deployed_at=record.at.submitted,
            deployed_by=record.submitted_by,
            ran=_has_run(record),
        )


def _has_run(record: Record) -> bool:
    """Whether it has ever answered; the instants are those of its last attempt."""
    return record.at.running is not None or record.ran_s > 0


def _serves(record: Record) -> str:
    if record.spec.service is not None:
        return record.spec.service.model
    applications = record.spec.serve.config.get("applications", ()) if record.spec.serve else ()
    return ", ".join(str(application.get("name", "default")) for application in applications)
