"""Arrays of jobs: `AsyncClient.arrays`, and the same without `await` as `Client.arrays`.

Knows nothing of how a request is sent or repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fabric.core.errors import Unavailable
from fabric.sdk.derived import Runs, derived
from fabric.sdk.later import Later
from fabric.sdk.paths import below
from fabric.workloads.states import FINAL

if TYPE_CHECKING:
    from fabric.api import arrays as wire
    from fabric.sdk import transport as sending
    from fabric.workloads.spec import WorkloadSpec
else:
    wire = Later("fabric.api.arrays")

FIRST_LOOK_S = 0.5
"""Pause between the first two looks at an array, in seconds."""

SLOWEST_LOOK_S = 5.0
"""Longest pause between two looks, in seconds: an array is as much to look at as all its elements."""

FOLLOW_PATIENCE_S = 120.0
"""How long a call is repeated that waits for an array which was seen, in seconds."""


class HandsIn(Protocol):
    """Hands in a spec with its working directory."""

    async def __call__(
        self, spec: WorkloadSpec | Mapping[str, Any], cls: type[wire.ArrayView], path: str, key: str | None
    ) -> wire.ArrayView:
        """What control answers there."""
        ...


class AsyncArrays:
    """Equal jobs that are handed in together, asynchronous; each element is a workload, NAME.0, NAME.1 and so on."""

    def __init__(self, control: Callable[[], sending.Transport], patience_s: float, hand_in: HandsIn) -> None:
        self._control = control
        self._patience_s = patience_s
        self._hand_in = hand_in

    async def submit(
        self, spec: WorkloadSpec | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> wire.ArrayView:
        """Hand in all elements, or none, and return at once.

        Each is told its number as `FABRIC_ARRAY_INDEX`. Another job may come after the array by its name.

        Args:
            spec: Of each element, with `array: {size: N}`; its name is the array's.
            idempotency_key: Equal in repetitions of one submission, so that it happens once; made up where left out.

        Raises:
            BadInput: If the spec is impossible; DoesNotFit if no node could ever hold an element.
            Conflict: If the name is taken, or the key was used for something else.
            Unavailable: If control cannot be reached.
        """
        return await self._hand_in(spec, wire.ArrayView, wire.ARRAYS, idempotency_key)

    async def get(self, name: str, *, elements: bool = True) -> wire.ArrayView:
        """An array as it is now.

        Args:
            name: Its name.
            elements: Whether to tell of each element too.

        Raises:
            NotFound: If there is none of that name.
        """
        return await self._read("GET", _path(name), self._patience_s, elements=elements)

    async def wait(
        self,
        name: str,
        *,
        timeout_s: float | None = None,
        on_update: Callable[[wire.ArrayView], None] | None = None,
    ) -> wire.ArrayView:
        """Wait until all elements have ended; control may be started again meanwhile.

        Args:
            name: The array.
            timeout_s: Longest wait, in seconds; None waits as long as it takes.
            on_update: Called with the array, without its elements, at first and whenever its counts changed.

        Returns:
            The array with its elements.

        Raises:
            NotFound: If there is none of that name.
            Unavailable: If it takes longer than `timeout_s`, or control stays away for minutes.
        """
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        seen, pause_s, patience_s = None, FIRST_LOOK_S, self._patience_s
        while True:
            view = await self._read("GET", _path(name), patience_s, elements=False)
            if view != seen and on_update is not None:
                on_update(view)
            if view.state in FINAL:
                return await self.get(name)
            if ends is not None and time.monotonic() + pause_s > ends:
                raise Unavailable(f"{name} is {view.state} after {timeout_s:g} s", array=name, state=view.state)
            await asyncio.sleep(pause_s)
            seen, patience_s = view, max(self._patience_s, FOLLOW_PATIENCE_S)
            pause_s = min(1.5 * pause_s, SLOWEST_LOOK_S)

    async def stop(self, name: str) -> wire.ArrayView:
        """Ask every element that has not ended to save and leave.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If all have ended.
        """
        path = f"{_path(name)}/stop"
        return await self._control().read(wire.ArrayView, "POST", path, patience_s=self._patience_s, json={})

    async def delete(self, name: str) -> None:
        """Forget all elements, and their logs.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If one has not ended, or another job comes after one.
        """
        await self._control().ask("DELETE", _path(name), patience_s=self._patience_s)

    async def _read(self, method: str, path: str, patience_s: float, *, elements: bool) -> wire.ArrayView:
        params = {"elements": str(elements).lower()}
        return await self._control().read(wire.ArrayView, method, path, patience_s=patience_s, params=params)


class Arrays:
    """Equal jobs that are handed in together; every method is the one of `AsyncArrays`."""

    def __init__(self, arrays: AsyncArrays, run: Runs) -> None:
        self._client = arrays
        self._run = run

    submit = derived(AsyncArrays.submit)
    get = derived(AsyncArrays.get)
    wait = derived(AsyncArrays.wait)
    stop = derived(AsyncArrays.stop)
    delete = derived(AsyncArrays.delete)


def _path(name: str) -> str:
    """Path of an array.

    Raises:
        BadInput: If the name is empty or would lead elsewhere.
    """
    return below(wire.ARRAYS, name, otherwise="name the array; `fabric jobs` lists them")
