"""Calls about served models.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from fabric.sdk.later import Later
from fabric.sdk.own import project_of
from fabric.sdk.paths import below
from fabric.sdk.work import AsyncWork

if TYPE_CHECKING:
    from fabric.api import admin, models
    from fabric.api import deployments as wire
    from fabric.sdk import specs
    from fabric.sdk.specs import Engine
else:
    admin, wire = Later("fabric.api.admin"), Later("fabric.api.deployments")
    models, specs = Later("fabric.api.models"), Later("fabric.sdk.specs")


class Worker(TypedDict, total=False):
    """A replica: what it has and where it runs."""

    gpus: float
    """Accelerators."""
    tier: str | None
    """Tier to run on; None lets the scheduler choose."""
    cpus: float
    """CPU cores."""
    memory: str
    """Memory, with unit."""


WORKER = Worker(gpus=1.0, tier="gpu", cpus=2.0, memory="3 GiB")
"""A replica of which nothing else is said; 3 GiB hold a model of 135 M parameters in fp32."""


class AsyncServing(AsyncWork):
    """Part of `AsyncClient`."""

    async def alias(
        self, model: str, alias: str, version: int, *, reason: str, project: str | None = None
    ) -> models.AliasMoveView:
        """Point an alias to a version by hand, for operators and administrators of the project, whatever a rule says.

        What runs goes on with the version that it began with.

        Args:
            model: The model.
            alias: The alias, such as `champion`; new or not.
            version: Where it should point.
            reason: Why; kept with the move.
            project: Whose model; None for the key's own, or `default` of the whole site.

        Raises:
            BadInput: If the alias cannot be called so, or there is no reason.
            Denied: If the key may not move aliases of the project.
            NotFound: If there is no such version.
        """
        path = await self._aliases(model, alias, project=project)
        # As given: control says what is wrong with it.
        body = {"version": version, "reason": reason}
        return await self._control.read(models.AliasMoveView, "PUT", path, patience_s=self._patience_s, json=body)

    async def alias_moves(self, model: str, *, project: str | None = None) -> tuple[models.AliasMoveView, ...]:
        """Aliases of a model that people moved by hand, newest first, with who and why.

        Raises:
            Denied: If it is another project's.
        """
        path = await self._aliases(model, project=project)
        found = await self._control.read(models.AliasMoveList, "GET", path, patience_s=self._patience_s)
        return found.moves

    async def _aliases(self, model: str, *alias: str, project: str | None) -> str:
        words = (await project_of(self._control, project, self._patience_s), model, "aliases", *alias)
        return below(admin.MODELS, *words, otherwise=f"{'/'.join(words)!r} names no aliases of a model")

    async def deploy(
        self,
        model_ref: str,
        *,
        name: str | None = None,
        engine: Engine = "auto",
        replicas: int | tuple[int, int] = 1,
        max_context: int = 512,
        wait: bool = True,
        deployment: str | None = None,
        **worker: Unpack[Worker],
    ) -> admin.WorkloadView:
        """Serve a registered model, and wait until it answers; its `endpoint` is an OpenAI base URL.

        Args:
            model_ref: Model and alias or version, such as `shakespeare@champion`.
            name: Of the workload; made up where left out.
            engine: Inference engine; `auto` lets the replica choose.
            replicas: How many; or the fewest, with which it begins, and the most, between which it may be resized.
            max_context: Longest prompt and answer together, in tokens.
            wait: Whether to wait until it is ready; a service that failed is returned as such.
            deployment: Name under which it is found: it takes the place of what that deployment serves now, to which
                `rollback` goes back.
            **worker: What each replica has and where it runs, such as `gpus` and `tier`; else as in `WORKER`.

        Raises:
            BadInput: If an amount is impossible; DoesNotFit if no node could hold a replica.
            NotFound: If there is no such model or alias.
            Unavailable: If control cannot be reached.
        """
        group = {**WORKER, **worker, **specs.sizes(replicas)}
        service = {"model": model_ref, "engine": engine, "max_context": max_context, "deployment": deployment}
        view = await self.submit(specs.service(service, group, name))
        return await self.wait(view.name) if wait else view

    async def rollback(
        self, deployment: str, *, to: str | None = None, project: str | None = None, wait: bool = True
    ) -> admin.WorkloadView:
        """Let what a deployment served before run again in the place of what it serves now, and wait until it answers.

        Of a model it is the very version that was served then. Deployments of `serve deploy` go back in the same way.

        Args:
            deployment: Its name.
            to: Workload of an earlier revision; None for the newest before the present one that answered and served
                something else.
            project: Whose, for keys of the whole site; None for the key's own.
            wait: Whether to wait until it is ready; a service that failed is returned as such.

        Raises:
            BadInput: If it can no longer run.
            Conflict: If there is nothing to go back to, or it runs already.
            NotFound: If there is no such deployment or revision, or its model version is gone.
        """
        body = wire.RollbackRequest(to=to).model_dump(mode="json")
        # Not repeated: a second one would go back again.
        view = await self._control.read(
            admin.WorkloadView, "POST", f"{_path(deployment)}/rollback", json=body, params=_of(project)
        )
        return await self.wait(view.name) if wait else view

    async def deployments(self, project: str | None = None) -> tuple[wire.DeploymentView, ...]:
        """Every deployment by project and name, each with its newest revision.

        Args:
            project: Only of this one.
        """
        found = await self._control.read(
            wire.DeploymentList, "GET", wire.DEPLOYED, patience_s=self._patience_s, params=_of(project)
        )
        return found.deployments

    async def deployment(self, name: str, *, project: str | None = None) -> wire.DeploymentView:
        """A deployment with all its revisions, newest first.

        Args:
            name: Its name.
            project: Whose, for keys of the whole site; None for the key's own.

        Raises:
            NotFound: If there is none of that name.
        """
        return await self._control.read(
            wire.DeploymentView, "GET", _path(name), patience_s=self._patience_s, params=_of(project)
        )


def _of(project: str | None) -> dict[str, str]:
    return {} if project is None else {"project": project}


def _path(name: str) -> str:
    """Path of a deployment.

    Raises:
        BadInput: If the name is empty or would lead elsewhere.
    """
    return below(wire.DEPLOYED, name, otherwise="name the deployment; `fabric deployments` lists them")
