"""Secrets of projects: `AsyncClient.secrets`, and the same without `await` as `Client.secrets`.

Knows nothing of how a request is sent or repeated. What a secret holds goes to control and is never told again; work
that names it (`secrets` of a spec) finds it in its environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fabric.sdk.derived import Runs, derived
from fabric.sdk.later import Later
from fabric.sdk.own import project_of
from fabric.sdk.paths import below

if TYPE_CHECKING:
    from fabric.api import secrets as wire
    from fabric.sdk import transport as sending
else:
    wire = Later("fabric.api.secrets")


class AsyncSecrets:
    """Secrets of projects, asynchronous; without a name it is the key's own project, or `default` of the whole site."""

    def __init__(self, control: Callable[[], sending.Transport], patience_s: float) -> None:
        self._control = control
        self._patience_s = patience_s

    async def list(self, *, project: str | None = None) -> tuple[wire.SecretView, ...]:
        """The secrets of a project by name, without what they hold.

        Raises:
            Denied: If the key may not submit to it.
        """
        path = await self._path(project)
        return (await self._control().read(wire.SecretList, "GET", path, patience_s=self._patience_s)).secrets

    async def put(self, name: str, value: str, *, project: str | None = None) -> wire.SecretView:
        """Let a secret hold something from now on; work that has started goes on with what it was told.

        Args:
            name: Of the secret.
            value: What it holds.
            project: Whose; None for the key's own.

        Raises:
            BadInput: If no process could be told the value.
            Denied: If the key may not submit to the project.
        """
        path = await self._path(project, name)
        body = wire.SecretRequest(value=value)
        return await self._control().read(
            wire.SecretView, "PUT", path, patience_s=self._patience_s, content=body.model_dump_json(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip

    async def delete(self, name: str, *, project: str | None = None) -> None:
        """Forget a secret that no work needs any more.

        Raises:
            Conflict: If work that has not ended names it.
            NotFound: If there is none of that name.
        """
        path = await self._path(project, name)
        await self._control().ask("DELETE", path, patience_s=self._patience_s)

    async def _path(self, project: str | None, *name: str) -> str:
        parts = (await project_of(self._control(), project, self._patience_s), *name)
        return below(wire.SECRETS, *parts, otherwise=f"{'/'.join(parts)!r} names no secret of a project")


class Secrets:
    """Secrets of projects; every method is the one of `AsyncSecrets`."""

    def __init__(self, secrets: AsyncSecrets, run: Runs) -> None:
        self._client = secrets
        self._run = run

    list = derived(AsyncSecrets.list)
    put = derived(AsyncSecrets.put)
    delete = derived(AsyncSecrets.delete)
