"""What Kubernetes complains of about a pod that does not run: a volume, a device or a sandbox that cannot be had.

Knows nothing of slices. A pod's own status says nothing of these; only events do.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import EVENTS, KubeApi
from fabric.core.errors import FabricError

NEVER_STARTS = "hostPath type check failed"
"""Words of the kubelet for a folder or device that is not there; no waiting helps."""
_EVERY_S = 5.0
"""Least time between two questions about the same pod."""


class PodEvents:
    """The last complaint about each pod, asked anew only now and then."""

    def __init__(
        self,
        api: KubeApi,
        now: Callable[[], float] = time.monotonic,
        *,
        doubt: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Asks nothing yet.

        Args:
            api: The server.
            now: Seconds that grow.
            doubt: Told the node of a pod that lacks a device.
        """
        self._api, self._now, self._doubt = api, now, doubt
        self._known: dict[str, tuple[float, str]] = {}

    def why_no_pod(self, cluster: Mapping[str, Any] | None) -> str:
        """What the operator complains of, such as a quota that refuses; otherwise where to look."""
        said = self.complaint(cluster) if cluster else ""
        return said or "see `kubectl describe raycluster`"

    def lacks(self, pod: Mapping[str, Any]) -> str:
        """Which device or folder of its tier's fabric profile a pod's node does not have; empty if it has all.

        Such a pod would wait for ever, and the node has lost what it once showed.
        """
        node = pod["spec"].get("nodeName")
        if not node or pod_state.is_running(pod) or names.PROFILE not in pod["metadata"].get("labels", {}):
            return ""
        said = self.complaint(pod)
        if NEVER_STARTS not in said:
            return ""
        self._doubt(str(node))
        return said

    def complaint(self, pod: Mapping[str, Any]) -> str:
        """Reason and words of the newest warning about a pod; empty where there is none, or none can be had."""
        uid = pod["metadata"]["uid"]
        asked_at, said = self._known.get(uid, (float("-inf"), ""))
        if self._now() - asked_at < _EVERY_S:
            return said
        try:
            found = self._api.listing(EVENTS, fields=f"involvedObject.uid={uid},type=Warning").items
            newest = max(found, key=_told_at, default=None)
            said = f"{newest['reason']}: {newest['message']}" if newest else ""
        except FabricError:
            # Only words hang on it: the pod is watched anyway, and the deadline of its start holds.
            pass
        self._known[uid] = (self._now(), said)
        return said


def _told_at(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", ""))
