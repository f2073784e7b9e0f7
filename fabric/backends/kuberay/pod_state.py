"""What a pod's status says: whether it waits, runs or has ended, and in which words.

Knows nothing of clusters: values in, values out.
"""

from collections.abc import Mapping
from typing import Any

from fabric.backends.kuberay import names

_MOST_SAID = 300
"""Letters of what a container says at its end."""
_QUIET = {"ContainerCreating", "PodInitializing", ""}
"""Reasons of a container that waits which say nothing."""


def slice_of(pod: Mapping[str, Any]) -> str:
    """The slice that a pod was released as; empty if it was not."""
    return str(pod["metadata"].get("annotations", {}).get(names.SLICE, ""))


def is_gated(pod: Mapping[str, Any]) -> bool:
    """Whether it waits at our gate and is not being deleted."""
    gates = {gate["name"] for gate in pod["spec"].get("schedulingGates", ())}
    return names.GATE in gates and "deletionTimestamp" not in pod["metadata"]


def is_head(pod: Mapping[str, Any]) -> bool:
    """Whether it is the pod of the Ray head."""
    return bool(pod["metadata"].get("labels", {}).get(names.NODE_TYPE) == "head")


def pool_of(pod: Mapping[str, Any]) -> str:
    """The worker group that it belongs to; empty for a head."""
    return "" if is_head(pod) else str(pod["metadata"].get("labels", {}).get(names.GROUP, ""))


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether its containers run."""
    return bool(pod.get("status", {}).get("phase") == "Running")


def asks_for_a_token(pod: Mapping[str, Any]) -> bool:
    """Whether its Ray lets in only who has the cluster's token; the operator puts that into every pod."""
    return any(item["name"] == "RAY_AUTH_MODE" for item in pod["spec"]["containers"][0].get("env", ()))


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether its Ray process is over; one that is still asked to leave has not ended."""
    return pod.get("status", {}).get("phase") in {"Failed", "Succeeded"} or _ended(pod) is not None


def last_words(pod: Mapping[str, Any] | None) -> str:
    """How a pod ended."""
    if pod is None:
        return "its pod is gone"
    status = pod.get("status", {})
    if status.get("reason"):
        return f"{status['reason']}: {status.get('message', 'no more is said')}"
    ended = _ended(pod)
    if ended is None:
        return "its pod was deleted"
    if ended.get("reason") == "OOMKilled":
        limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {})
        return f"it used more than its limit of {limits.get('memory', '?')} bytes of memory; ask for more in its group"
    said = f": {ended['message'].strip()[-_MOST_SAID:]}" if ended.get("message") else ""
    return f"its Ray process ended with code {ended.get('exitCode')} ({ended.get('reason', 'no reason given')}{said})"


def awaits(pod: Mapping[str, Any]) -> str:
    """Why a released pod does not run; empty where nothing is wrong, or nothing says so."""
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason", ""))
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason", "") not in _QUIET:
            return f"{waiting['reason']}: {waiting.get('message', container.get('image', ''))}"
    return ""


def node_is_ready(node: Mapping[str, Any] | None) -> bool:
    """Whether a node is there and its kubelet says that it works."""
    return node is not None and readiness(node)[0] == "True"


def readiness(node: Mapping[str, Any]) -> tuple[str, str]:
    """What Kubernetes says of a node: True, False, or Unknown where its kubelet is silent; and why it is not True."""
    for item in node.get("status", {}).get("conditions", ()):
        if item["type"] == "Ready":
            status = str(item["status"])
            return status, "" if status == "True" else str(item.get("message", ""))
    return "Unknown", ""


def _ended(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the Ray container ended; None while it has not."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        ended: Mapping[str, Any] | None = container.get("state", {}).get("terminated")
        if container.get("name") == "ray" and ended:
            return ended
    return None
