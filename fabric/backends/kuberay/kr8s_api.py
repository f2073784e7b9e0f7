"""A real API server, reached through kr8s; every foreign error ends here.

Knows nothing of what the objects mean. kr8s is asynchronous, so one thread runs its loop and the others wait.
"""

import asyncio
import contextlib
import json
import queue
import threading
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import httpx
import kr8s

from fabric.backends.kuberay.api import Change, Kind, Listing, Object, Patch, refusal
from fabric.core.errors import BadConfig, FabricError, Unavailable

T = TypeVar("T")

_CALL_S = 15.0
"""Longest wait for one answer, in seconds."""
_AT_ONCE = 16
"""Calls under way at once; a hundred objects that are wanted at once wait here, and not for an API server's answer, so
that none is given up that would have come. A choice."""
_WATCH_S = 60
"""After so many seconds the server ends a watch, and another begins where it ended. Nothing else need come meanwhile: a
connection whose other end has vanished is told from a quiet one by that end alone, `_CALL_S` later."""
_RENEW_EVERY_S = 5.0
"""Least time between two looks for other credentials, in seconds: one may start a plug-in, and leaves files."""
_MERGE, _JSON = "application/merge-patch+json", "application/json-patch+json"


class Kr8sApi:
    """Implements `fabric.backends.kuberay.api.KubeApi`."""

    def __init__(self, namespace: str, kubeconfig: str | None = None) -> None:
        """Connects to nothing yet.

        Args:
            namespace: Of all objects.
            kubeconfig: File with the access; None takes the pod's own account, or the user's file.
        """
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)
        self._thread.start()
        self._connecting, self._renewing = asyncio.Lock(), asyncio.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._api: Any = None
        self._renew_at = float("-inf")

    def listing(self, kind: Kind, selector: str = "", fields: str = "") -> Listing:
        """All objects that have the labels and the values of fields."""
        params = {name: value for name, value in (("labelSelector", selector), ("fieldSelector", fields)) if value}
        found = self._call("list", kind, "GET", params=params)
        return Listing(tuple(found["items"]), found["metadata"]["resourceVersion"])

    def get(self, kind: Kind, name: str) -> Object:
        """One object."""
        return self._call("get", kind, "GET", name=name)

    def create(self, kind: Kind, item: Object) -> Object:
        """Make an object."""
        return self._call("create", kind, "POST", content=json.dumps(item))

    def patch(self, kind: Kind, name: str, patch: Patch) -> Object:
        """Change an object."""
        return self._call("patch", kind, "PATCH", **_patching(name, patch))

    def patch_each(self, kind: Kind, patches: Mapping[str, Patch]) -> Mapping[str, Object | FabricError]:
        """Change several objects at the same time, as one call among others."""
        with self._turns:
            return self._wait(self._patched(kind, patches))

    async def _patched(self, kind: Kind, patches: Mapping[str, Patch]) -> Mapping[str, Object | FabricError]:
        """What became of each.

        Raises:
            BaseException: A mistake that is none of the server's.
        """
        calls = (self._answer("patch", kind, "PATCH", **_patching(name, patch)) for name, patch in patches.items())
        answers = await asyncio.gather(*calls, return_exceptions=True)
        found: dict[str, Object | FabricError] = {}
        for name, answer in zip(patches, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, FabricError):
                raise answer
            found[name] = answer
        return found

    def delete(self, kind: Kind, name: str, grace_s: int | None = None) -> None:
        """Take an object away."""
        options: Object = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        self._call("delete", kind, "DELETE", name=name, content=json.dumps(options), missing_ok=True)

    def watch(self, kind: Kind, version: str, selector: str = "") -> Iterator[Change]:
        """Changes after `version`, until the server ends the connection."""
        told: queue.SimpleQueue[Change | FabricError | None] = queue.SimpleQueue()
        params = {
            "watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S), **({"labelSelector": selector} if selector else {}),
        }  # fmt: skip
        running = asyncio.run_coroutine_threadsafe(self._stream(kind, params, told), self._loop)
        # However it ends, also before it began: who listens waits for the queue alone.
        running.add_done_callback(lambda _: told.put(None))
        try:
            while (change := told.get()) is not None:
                if isinstance(change, FabricError):
                    raise change
                yield change
        finally:
            running.cancel()

    def close(self) -> None:
        """End the loop and with it every watch."""
        with contextlib.suppress(Unavailable):
            self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5.0)
        self._loop.close()

    async def _end(self) -> None:
        """End every watch and call, then give the connections back."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._api is not None and self._api._session is not None:
            await self._api._session.aclose()

    def _call(self, verb: str, kind: Kind, method: str, *, missing_ok: bool = False, **more: Any) -> Object:
        with self._turns:
            return self._wait(self._answer(verb, kind, method, missing_ok=missing_ok, **more))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S * 2)
        except TimeoutError:
            raise Unavailable(f"Kubernetes did not answer within {_CALL_S * 2:g} s. It is tried again.") from None

    async def _answer(
        self, verb: str, kind: Kind, method: str, *, name: str = "", missing_ok: bool = False, **more: Any
    ) -> Object:
        try:
            found: Object = (await self._asked(method, **self._at(kind, name), **more)).json()
            return found
        except Exception as error:  # a credential plug-in that fails, or a proxy's odd answer, must not end who asked
            failure = self._mapped(verb, kind, name, error)
            if missing_ok and failure.code == "not_found":
                return {}
            raise failure from None

    async def _asked(self, method: str, **what: Any) -> httpx.Response:
        """One answer that is no refusal.

        kr8s itself takes a 403, which a quota gives too, for old credentials as it takes a 401, and connects anew up to
        three times: that closes the connections of all calls and watches under way. So it is shown no refusal.
        """
        session = await self._session()
        client = session._session
        async with session.call_api(method, timeout=_CALL_S, raise_for_status=False, **what) as got:
            pass
        if got.status_code == httpx.codes.UNAUTHORIZED and await self._renewed(client):
            async with session.call_api(method, timeout=_CALL_S, raise_for_status=False, **what) as got:
                pass
        got.raise_for_status()
        answer: httpx.Response = got
        return answer

    async def _renewed(self, refused: Any) -> bool:
        """Read the credentials anew, once for all whose old ones were refused; whether there may be others now.

        Args:
            refused: Whose connections they were shown on.
        """
        async with self._renewing:
            if self._api._session is refused:
                if self._loop.time() < self._renew_at:
                    return False
                self._renew_at = self._loop.time() + _RENEW_EVERY_S
                await self._api.auth.reauthenticate()
                await self._api._create_session()
        return True

    async def _stream(self, kind: Kind, params: dict[str, str], told: Any) -> None:
        """Put every change into the queue, and at last an error if there was one."""
        try:
            patience = httpx.Timeout(_CALL_S, read=_WATCH_S + _CALL_S)
            session = await self._session()
            client, what = session._session, {"params": params, "timeout": patience, **self._at(kind)}
            async with session.call_api("GET", stream=True, raise_for_status=False, **what) as got:
                if got.is_success:
                    async for line in got.aiter_lines():
                        told.put(self._change(kind, json.loads(line)))
                else:
                    await got.aread()
            if got.status_code == httpx.codes.UNAUTHORIZED and await self._renewed(client):
                return  # whoever listens begins another, with the new ones
            got.raise_for_status()
        except Exception as error:  # the same; without a word the server would seem to have ended the watch
            told.put(self._mapped("watch", kind, "", error))

    def _change(self, kind: Kind, event: Object) -> Change | FabricError:
        if event["type"] == "ERROR":
            said = event["object"]
            return refusal(
                "watch", kind, self._namespace, status=int(said.get("code", 500)), message=str(said.get("message"))
            )
        return Change(event["type"], event["object"])

    async def _session(self) -> Any:
        """The connection, made at the first call and once.

        Raises:
            BadConfig: If there is no access to any cluster.
            Unavailable: If the server does not answer.
        """
        async with self._connecting:
            if self._api is None:
                self._api = await self._connected()
        return self._api

    async def _connected(self) -> Any:
        """A new connection.

        Raises:
            BadConfig: If there is no access to any cluster.
            Unavailable: If the server does not answer.
        """
        try:
            with warnings.catch_warnings():
                # It names the versions that its own classes of objects were tried with; we use none of them.
                warnings.filterwarnings("ignore", message="Kubernetes version")
                return await kr8s.asyncio.api(kubeconfig=self._kubeconfig, namespace=self._namespace)
        except (ValueError, FileNotFoundError, KeyError) as error:
            where = self._kubeconfig or "no kubeconfig"
            raise BadConfig(f"no access to a Kubernetes cluster ({where}): {error}. Set KUBECONFIG.") from None
        except Exception as error:  # a credential plug-in of the file fails as it likes
            raise Unavailable(f"Kubernetes does not answer: {type(error).__name__} {error}") from None

    def _at(self, kind: Kind, name: str = "") -> dict[str, Any]:
        return {
            "version": kind.version,
            "namespace": self._namespace if kind.namespaced else None,
            "url": f"{kind.plural}/{name}" if name else kind.plural,
        }

    def _mapped(self, verb: str, kind: Kind, name: str, error: Exception) -> FabricError:
        if isinstance(error, FabricError):
            return error
        where = "/".join(filter(None, (self._namespace if kind.namespaced else "the cluster", name)))
        answer = getattr(error, "response", None)
        if answer is not None:
            return refusal(verb, kind, where, status=answer.status_code, message=_message(answer, error))
        words = f"{type(error).__name__} {error}".strip()
        return Unavailable(f"{verb} {kind.plural}: Kubernetes does not answer: {words}")


def _patching(name: str, patch: Patch) -> dict[str, Any]:
    """What is sent to change an object."""
    headers = {"Content-Type": _MERGE if isinstance(patch, dict) else _JSON}
    return {"name": name, "content": json.dumps(patch), "headers": headers}


def _message(answer: httpx.Response, error: Exception) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500] or str(error)
