"""Two streams of changes, pods and RayClusters, from an API server into what is made of them.

Knows nothing of gangs.
"""

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from scripts.benches._scale_gangs import Gangs
from scripts.rigging.api import Api
from scripts.rigging.errors import RigError

LONGEST_S = 7200
"""After so many seconds the server may end a watch."""
_END_S = 1.0
"""How long a stream is waited for; one that hears nothing more ends with the process, and changes nothing."""


class Watching:
    """Watches one namespace as long as it is entered.

    Args:
        api: Makes an access of its own for each stream.
        namespace: What is watched.
        gangs: Who hears of each change, with the instant at which it came (seconds since the epoch).
    """

    def __init__(self, api: Callable[[], Api], namespace: str, gangs: Gangs) -> None:
        self._api, self._namespace = api, namespace
        self._streams = [
            (f"/api/v1/namespaces/{namespace}/pods", gangs.saw_pod),
            (f"/apis/ray.io/v1/namespaces/{namespace}/rayclusters", gangs.saw_cluster),
        ]
        self._over = threading.Event()
        self._open: list[Api] = []
        self._threads: list[threading.Thread] = []
        self._trouble: list[str] = []

    def __enter__(self) -> Self:
        for path, hear in self._streams:
            api = self._api()
            self._open.append(api)
            thread = threading.Thread(target=self._follow, args=(api, path, hear), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for api in self._open:
            api.close()
        for thread in self._threads:
            thread.join(_END_S)

    def check(self) -> None:
        """Go on only if everything is heard.

        Raises:
            RigError: If a stream broke; what was missed is not known.
        """
        if self._trouble:
            raise RigError(f"the watch of {self._namespace} broke: {self._trouble[0]}")

    def _follow(self, api: Api, path: str, hear: Callable[[float, str, Mapping[str, Any]], None]) -> None:
        try:
            for told in api.watch(path, LONGEST_S):
                if self._over.is_set():
                    return
                hear(time.time(), told["type"], told["object"])
            reason = "the server ended it"
        except (httpx.HTTPError, httpx.StreamError, RigError, OSError, RuntimeError) as error:
            reason = f"{type(error).__name__} {error}"
        if not self._over.is_set():
            self._trouble.append(f"{path}: {reason}")
