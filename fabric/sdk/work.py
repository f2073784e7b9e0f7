"""Calls about work: handing it in, waiting for it, and what is told of it.

Knows nothing of connections: the client that derives from it has one.
"""

from __future__ import annotations

import asyncio
import codecs
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fabric.config import env
from fabric.core.errors import NotFound, Unavailable
from fabric.sdk.later import Later
from fabric.sdk.paths import UNNAMED, below
from fabric.workloads.states import FINAL, State

if TYPE_CHECKING:
    from fabric.api import admin, bills
    from fabric.config.settings import Settings
    from fabric.sdk import package, specs
    from fabric.sdk.transport import Transport
    from fabric.workloads.spec import WorkloadSpec
else:
    admin, bills = Later("fabric.api.admin"), Later("fabric.api.bills")
    package, specs = Later("fabric.sdk.package"), Later("fabric.sdk.specs")

S = TypeVar("S", bound="Settings")

IDEMPOTENCY_KEY = "Idempotency-Key"
"""Header of a submission: equal in all its repetitions, different in every other."""

FOLLOW_PATIENCE_S = 120.0
"""How long calls that follow a workload are repeated once it was seen, in seconds: control may be started again
meanwhile."""

HELD_BACK_S = 10.0
"""How long control may hold back the answer about a log that has nothing new, in seconds."""

FIRST_LOOK_S = 0.2
"""Pause between the first two looks at a workload, in seconds."""

SLOWEST_LOOK_S = 1.0
"""Longest pause between two looks at a workload, in seconds."""


class AsyncWork(ABC):
    """Part of `AsyncClient`."""

    _patience_s: float
    _timeout_s: float

    @property
    @abstractmethod
    def _control(self) -> Transport:
        """The client's connection."""

    async def submit(
        self, spec: WorkloadSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> admin.WorkloadView:
        """Hand in a job or a service, and return at once.

        A `working_dir` of the runtime environment that is a local folder is packed and sent along. A name is made up
        where there is none. A submission whose answer was lost is repeated and still happens once.

        Args:
            spec: What is asked for.
            idempotency_key: Equal in all submissions that should be one, also of other processes; made up where left
                out. It is unique in the project.

        Raises:
            BadInput: If the spec is impossible; DoesNotFit if no node could ever hold it.
            Conflict: If another workload has the name, or the key was used for something else.
            Unavailable: If control cannot be reached.
        """
        return await self._hand_in(spec, admin.WorkloadView, admin.WORKLOADS, idempotency_key)

    async def _hand_in(self, spec: WorkloadSpec | Mapping[str, Any], cls: type[S], path: str, key: str | None) -> S:
        """What control answers to a spec, sent with its working directory."""
        wanted = await self._with_package(specs.checked_spec(spec))
        return await self._control.read(
            cls,
            "POST",
            path,
            patience_s=self._patience_s,
            # Who does not say a project means that of the key.
            content=admin.SubmitRequest(spec=wanted).model_dump_json(
                exclude=None if "project" in wanted.model_fields_set else {"spec": {"project"}}
            ),
            headers={"Content-Type": "application/json", IDEMPOTENCY_KEY: key or specs.made_up_key()},
        )

    async def _with_package(self, spec: WorkloadSpec) -> WorkloadSpec:
        """`spec` with its local working directory stored at control."""
        folder = spec.runtime_env.get("working_dir")
        if not isinstance(folder, str) or "://" in folder:
            return spec
        packed = await asyncio.to_thread(package.pack, Path(folder))
        try:
            await self._control.ask("GET", packed.path, patience_s=self._patience_s)
        except NotFound:
            await self._control.ask("PUT", packed.path, patience_s=self._patience_s, content=packed.content)
        told = {env.REVISION: packed.revision, **spec.env} if packed.revision else spec.env
        return spec.model_copy(update={"env": told, "runtime_env": {**spec.runtime_env, "working_dir": packed.uri}})

    async def get(self, name: str) -> admin.WorkloadView:
        """A workload as it is now.

        Raises:
            NotFound: If there is none of that name.
        """
        return await self._control.read(admin.WorkloadView, "GET", _path(name), patience_s=self._patience_s)

    async def jobs(self) -> tuple[admin.WorkloadView, ...]:
        """Every workload, newest first, those that ended too."""
        listed = await self._control.read(admin.WorkloadList, "GET", admin.WORKLOADS, patience_s=self._patience_s)
        return listed.workloads

    async def wait(
        self,
        name: str,
        *,
        timeout_s: float | None = None,
        until_ended: bool = False,
        on_update: Callable[[admin.WorkloadView], None] | None = None,
    ) -> admin.WorkloadView:
        """Wait until a job has ended, or a service is ready or has ended; control may be started again meanwhile.

        Args:
            name: The workload.
            timeout_s: Longest wait, in seconds; None waits as long as it takes.
            until_ended: Whether to wait for the end of a service too.
            on_update: Called with the workload at first and whenever something about it changed.

        Raises:
            NotFound: If there is no such workload.
            Unavailable: If it takes longer than `timeout_s`, or control stays away for minutes.
        """
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        seen, pause_s = None, FIRST_LOOK_S
        while True:
            patience_s = self._patience_s if seen is None else max(self._patience_s, FOLLOW_PATIENCE_S)
            view = await self._control.read(admin.WorkloadView, "GET", _path(name), patience_s=patience_s)
            if view != seen and on_update is not None:
                on_update(view)
            ready = view.state == State.RUNNING and view.condition == "ready"
            if view.state in FINAL or (ready and not until_ended):
                return view
            if ends is not None and time.monotonic() + pause_s > ends:
                raise Unavailable(
                    f"{name} is {view.state} after {timeout_s:g} s: {view.message}", workload=name, state=view.state
                )
            await asyncio.sleep(pause_s)
            seen, pause_s = view, min(1.5 * pause_s, SLOWEST_LOOK_S)

    async def logs(self, name: str, *, follow: bool = True, offset: int = 0) -> AsyncGenerator[str, None]:
        """What a workload's driver wrote, over all its attempts, in pieces as they come.

        Args:
            name: The workload.
            follow: Go on until nothing will follow, also while control is started again; else stop at what is there.
            offset: Byte to begin at.

        Yields:
            Text; a piece may end in the middle of a line, but not of a character.

        Raises:
            NotFound: If there is no such workload.
            Unavailable: If control cannot be reached, or stays away for minutes while following.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        patience_s = self._patience_s
        wait = {"wait_s": str(min(HELD_BACK_S, self._timeout_s / 2))} if follow else {}
        while True:
            answer = await self._control.ask(
                "GET", _path(name, "logs"), patience_s=patience_s, params={"offset": str(offset), **wait}
            )
            offset = int(answer.headers.get(admin.NEXT_OFFSET, offset + len(answer.content)))
            complete = answer.headers.get(admin.COMPLETE) == "true"
            over = complete or not (follow or answer.content)
            if text := decoder.decode(answer.content, final=over):
                yield text
            if over:
                return
            patience_s = max(self._patience_s, FOLLOW_PATIENCE_S) if follow else self._patience_s
            if not answer.content:
                await asyncio.sleep(FIRST_LOOK_S)

    async def stop(self, name: str) -> admin.WorkloadView:
        """Ask a workload to save and leave; it ends within the site's grace.

        Raises:
            NotFound: If there is no such workload.
            Conflict: If it has ended already.
        """
        return await self._control.read(
            admin.WorkloadView, "POST", _path(name, "stop"), patience_s=self._patience_s, json={}
        )

    async def scale(self, name: str, workers: int) -> admin.WorkloadView:
        """Ask for another number of replicas of an elastic service, and return at once; requests go on meanwhile.

        Raises:
            BadInput: If it cannot have so many.
            NotFound: If there is no such workload.
            Conflict: If it has ended.
        """
        return await self._control.read(
            admin.WorkloadView,
            "POST",
            _path(name, "scale"),
            patience_s=self._patience_s,
            json=admin.as_json(admin.ScaleRequest(workers=workers)),
        )

    async def delete(self, name: str) -> None:
        """Forget a workload that has ended, and its logs.

        Raises:
            NotFound: If there is no such workload.
            Conflict: If it has not ended.
        """
        await self._control.ask("DELETE", _path(name), patience_s=self._patience_s)

    async def explain(self, name: str) -> admin.ExplanationView:
        """Why a workload is where it is: what is missing, who is ahead, when it should start, and its history.

        Raises:
            NotFound: If there is no such workload.
        """
        return await self._control.read(
            admin.ExplanationView, "GET", _path(name, "explain"), patience_s=self._patience_s
        )

    async def bill(self, name: str) -> bills.BillList:
        """What each slice of a workload keeps in memory, line by line; of one that holds none, what a worker would.

        Raises:
            NotFound: If there is no such workload.
        """
        return await self._control.read(bills.BillList, "GET", _path(name, bills.BILL), patience_s=self._patience_s)

    async def events(self, name: str) -> tuple[admin.EventView, ...]:
        """A workload's history, oldest first.

        Raises:
            NotFound: If there is no such workload.
        """
        return (await self.explain(name)).events


def _path(name: str, part: str = "") -> str:
    """Path of a workload, or of a part of it.

    Raises:
        BadInput: If the name is empty or would lead elsewhere.
    """
    path = below(admin.WORKLOADS, name, otherwise=UNNAMED)
    return f"{path}/{part}" if part else path
