"""The Ray head in a pod, and the output of entrypoints in pods, over the addresses that pods have.

Knows nothing of Kubernetes: whoever makes it says where the head is now.
"""

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.ports import DriverLogs
from fabric.core.errors import ClusterLost

_CHUNK_BYTES = 1 << 20
_PATIENT_TIMES = 5
"""How often the end of an output is asked for of a Ray node that does not answer."""
_PARTIAL, _BEYOND_THE_END = 206, 416


class PodHead(RayHead):
    """Calls to a head whose address and token are known once its pod runs."""

    def __init__(self, find: Callable[[], tuple[str, str]]) -> None:
        """Calls nobody yet.

        Args:
            find: URL of the head's REST API, and the cluster's token; empty while they are not known.
        """
        super().__init__("http://head.invalid", "")
        self._find = find

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        self._aim()
        return super()._call(method, path, **kwargs)

    def read(self, url: str, offset: int) -> bytes | None:
        """Bytes of a file behind `url` from `offset`; None if there is no such file.

        Raises:
            ClusterLost: If nobody answers.
        """
        self._aim()
        try:
            answer = self._http.get(url, headers={"Range": f"bytes={offset}-{offset + _CHUNK_BYTES - 1}"})
        except httpx.HTTPError as error:
            raise ClusterLost(f"{url} does not answer: {type(error).__name__} {error}") from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code == _BEYOND_THE_END:
            return b""
        if answer.is_error:
            raise ClusterLost(f"{url} fails: {answer.status_code} {answer.text[:500]}")
        return answer.content if answer.status_code == _PARTIAL else answer.content[offset:]

    def _aim(self) -> None:
        url, token = self._find()
        if not url or not token:
            raise ClusterLost("the Ray head has no address yet")
        self._http.base_url = httpx.URL(url)
        self._http.headers["Authorization"] = f"Bearer {token}"


class PodOutput:
    """What the entrypoint of one attempt writes, read from the agent of the Ray node that it runs on."""

    def __init__(self, logs: DriverLogs, head: PodHead, cluster: str, *, key: tuple[str, int]) -> None:
        self._logs, self._head, self._cluster, self._key = logs, head, cluster, key
        self._agent = ""
        self._misses = 0

    def copy(self) -> None:
        """Copy everything that is there and not yet kept.

        Raises:
            Unavailable: If it cannot be read or kept now.
        """
        agent = self._find()
        if not agent:
            return  # not submitted yet, or Ray has not placed it
        offset = self._logs.end(*self._key)
        while data := self._head.read(f"{agent}/logs/job-driver-{self._cluster}.log", offset):
            self._logs.append(*self._key, offset, data)
            offset += len(data)

    def note(self, sentence: str) -> None:
        """Nothing: the file is in a pod. The status shows the sentence too."""

    def finish(self) -> None:
        """Copy the rest, if somebody still has it, and note that nothing follows.

        Raises:
            Unavailable: If it cannot be kept now.
            ClusterLost: If the Ray node does not answer, a few times.
        """
        try:
            self.copy()
        except ClusterLost:
            self._misses += 1
            if self._misses < _PATIENT_TIMES:
                raise
            # What a lost Ray node took is a gap.
        self._logs.mark_complete(*self._key)

    def _find(self) -> str:
        """URL of the agent of the Ray node with the entrypoint; empty while nobody knows."""
        if not self._agent:
            job: Mapping[str, Any] | None = self._head.job(self._cluster)
            self._agent = str((job or {}).get("driver_agent_http_address") or "")
        return self._agent
