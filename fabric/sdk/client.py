"""The client of a fabric, asynchronous: every call of control's admin API as a method.

Knows nothing of how a request is sent or repeated.
"""

from __future__ import annotations

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fabric.config import env
from fabric.core.errors import NotFound, Unavailable
from fabric.sdk.arrays import AsyncArrays
from fabric.sdk.artifacts import AsyncArtifacts
from fabric.sdk.dashboards import AsyncDashboards
from fabric.sdk.later import Later
from fabric.sdk.lists import AsyncLists
from fabric.sdk.nodes import AsyncNodes
from fabric.sdk.over_time import AsyncOverTime
from fabric.sdk.past import AsyncPast
from fabric.sdk.paths import UNNAMED, below
from fabric.sdk.people import AsyncPeople
from fabric.sdk.secrets import AsyncSecrets
from fabric.sdk.serving import AsyncServing
from fabric.sdk.site import AsyncSite
from fabric.sdk.target import target
from fabric.workloads.states import FINAL, State

if TYPE_CHECKING:
    import httpx

    from fabric.api import admin, bills, overview
    from fabric.config.settings import Settings
    from fabric.sdk import package, specs
    from fabric.sdk import transport as sending
    from fabric.workloads.spec import WorkloadSpec
else:
    # What loads pydantic or httpx waits for the first call.
    admin, sending = Later("fabric.api.admin"), Later("fabric.sdk.transport")
    bills, overview = Later("fabric.api.bills"), Later("fabric.api.overview")
    package, specs = Later("fabric.sdk.package"), Later("fabric.sdk.specs")

S = TypeVar("S", bound="Settings")

IDEMPOTENCY_KEY = "Idempotency-Key"
"""Header of a submission: equal in all its repetitions, different in every other."""

TIMEOUT_S = 30.0
"""Longest wait for one answer, in seconds."""

PATIENCE_S = 10.0
"""How long a call is repeated while nobody answers, in seconds."""

FOLLOW_PATIENCE_S = 120.0
"""The same, of calls that follow a workload once it was seen: control may be started again meanwhile."""

HELD_BACK_S = 10.0
"""How long control may hold back the answer about a log that has nothing new, in seconds."""

FIRST_LOOK_S = 0.2
"""Pause between the first two looks at a workload, in seconds."""

SLOWEST_LOOK_S = 1.0
"""Longest pause between two looks at a workload, in seconds."""


class AsyncClient(AsyncDashboards, AsyncLists, AsyncNodes, AsyncOverTime, AsyncPast, AsyncServing, AsyncSite):
    """A fabric, asynchronous; `Client` is the same without `await`."""

    def __init__(
        self,
        address: str | None = None,
        token: str | None = None,
        *,
        state: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Remember where the fabric is; nothing is opened before the first call.

        Args:
            address: URL of control; else from the environment, else of the local fabric.
            token: Bearer token; else from the environment, else the local administrator's.
            state: Folder of the local fabric's records, where address and token may be.
            timeout_s: Longest wait for one answer, in seconds.
            patience_s: How long calls that may be repeated are, in seconds, while nobody answers.
            transport: What carries the requests instead of the network; for tests.

        Raises:
            BadInput: If the address is no http or https URL.
        """
        self._target = target(address, token, state)
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._carrier = transport
        self._opened: sending.Transport | None = None

    @property
    def address(self) -> str:
        """URL of control."""
        return self._target.address

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next call opens them again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    @property
    def _control(self) -> sending.Transport:
        if self._opened is None:
            self._opened = sending.Transport(self._target, self._timeout_s, self._carrier)
        return self._opened

    @property
    def people(self) -> AsyncPeople:
        """People, projects, keys and usage."""
        return AsyncPeople(lambda: self._control, self._patience_s)

    @property
    def artifacts(self) -> AsyncArtifacts:
        """Files of projects."""
        return AsyncArtifacts(lambda: self._control, self._patience_s)

    @property
    def secrets(self) -> AsyncSecrets:
        """Secrets of projects by name."""
        return AsyncSecrets(lambda: self._control, self._patience_s)

    @property
    def arrays(self) -> AsyncArrays:
        """Equal jobs that are handed in together."""
        return AsyncArrays(lambda: self._control, self._patience_s, self._hand_in)

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

    async def nodes(self) -> tuple[admin.NodeView, ...]:
        """Every node of the site, by name, and what is on it."""
        return (await self._control.read(admin.NodeList, "GET", admin.NODES, patience_s=self._patience_s)).nodes

    async def overview(self) -> overview.Overview:
        """The site at one glance: tiers, queue, services, and how promises were kept."""
        return await self._control.read(overview.Overview, "GET", overview.OVERVIEW, patience_s=self._patience_s)

    async def decision(self) -> str:
        """What was decided last, as `fabric replay` reads it; for administrators.

        Raises:
            Denied: If the key is no administrator's.
            Unavailable: If nothing has been decided yet.
        """
        return (await self._control.ask("GET", overview.DECISION, patience_s=self._patience_s)).text

    async def models(self) -> tuple[admin.ModelVersionView, ...]:
        """Every version of every registered model, by name, newest first."""
        return (await self._control.read(admin.ModelList, "GET", admin.MODELS, patience_s=self._patience_s)).models

    async def health(self) -> admin.Health:
        """Whether control works; needs no key.

        Raises:
            Unavailable: If control cannot be reached.
        """
        return await self._control.read(admin.Health, "GET", admin.HEALTH, patience_s=self._patience_s)

    async def shutdown(self, *, kill: bool = False) -> None:
        """End the fabric; for administrators.

        Args:
            kill: Kill the workloads at once instead of asking them to save and leave.

        Raises:
            Denied: If the key is no administrator's.
        """
        body = admin.as_json(admin.ShutdownRequest(kill=kill))
        await self._control.ask("POST", admin.SHUTDOWN, patience_s=self._patience_s, json=body)


def _path(name: str, part: str = "") -> str:
    """Path of a workload, or of a part of it.

    Raises:
        BadInput: If the name is empty or would lead elsewhere.
    """
    path = below(admin.WORKLOADS, name, otherwise=UNNAMED)
    return f"{path}/{part}" if part else path
