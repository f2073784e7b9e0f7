"""Pods and Ray clusters in a namespace of a test, in a few words.

Knows nothing of the rig beyond its image and the names of its tiers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.rigging.api import Api, Object, wait_until
from scripts.rigging.images import RAY_IMAGE
from scripts.rigging.layout import GPU

POD_S = 240.0
"""How long a pod may take to run, on a machine that is busy."""
TOLERATES_GPUS = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}


def spec(*command: str, node: str = "", cpus: str = "100m", memory: str = "200Mi", gpus: int = 0) -> Object:
    """What runs in a pod: one container of this project's environment."""
    amounts = {"cpu": cpus, "memory": memory, **({GPU: str(gpus)} if gpus else {})}
    container: Object = {"name": "main", "image": RAY_IMAGE, "imagePullPolicy": "Never"}
    container |= {"resources": {"requests": amounts, "limits": amounts}}
    if command:
        container["command"] = list(command)
    return {
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        **({"tolerations": [TOLERATES_GPUS]} if gpus else {}),
    }


def python(program: str) -> tuple[str, ...]:
    """A command that runs a program in the project's environment."""
    return ("python", "-c", program)


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where one test's objects are."""

    api: Api
    name: str

    def path(self, rest: str, group: str = "/api/v1") -> str:
        """Path of something in the namespace."""
        return f"{group}/namespaces/{self.name}/{rest}"

    def ray(self, rest: str = "rayclusters") -> str:
        """Path of one of Ray's objects in the namespace."""
        return self.path(rest, "/apis/ray.io/v1")

    def run(self, pod: str, what: Object, labels: Mapping[str, str] | None = None) -> None:
        """Create a pod."""
        self.api.create(self.path("pods"), {"metadata": {"name": pod, "labels": labels or {}}, "spec": what})

    def pod(self, name: str) -> Object:
        """A pod as it is now."""
        return self.api.get(self.path(f"pods/{name}"))

    def pods(self, selector: str = "") -> list[Object]:
        """Pods that match a label selector."""
        return self.api.items(self.path("pods"), selector)

    def phase(self, pod: str) -> str:
        """Where a pod is in its life."""
        phase: str = self.pod(pod)["status"]["phase"]
        return phase

    def until(self, pod: str, phase: str, limit_s: float = POD_S) -> Object:
        """A pod once it has come to a phase."""
        wait_until(f"pod {pod} is {phase}", lambda: self.phase(pod) == phase, limit_s, hint=lambda: self.story(pod))
        return self.pod(pod)

    def log(self, pod: str) -> str:
        """What a pod has printed."""
        return self.api.text(self.path(f"pods/{pod}/log"))

    def story(self, pod: str) -> str:
        """What the cluster says about a pod, for a message."""
        status = self.pod(pod)["status"]
        events = self.api.items(self.path("events"))
        said = [e["message"] for e in events if e["involvedObject"]["name"] == pod]
        return f"{status.get('phase')} {status.get('conditions')} {status.get('containerStatuses')} {said[-5:]}"

    def why_waiting(self, pod: str) -> str:
        """Why no node takes a pod, once the scheduler has said so."""
        wait_until(f"pod {pod} waits", lambda: unschedulable(self.pod(pod)), POD_S, hint=lambda: self.story(pod))
        return unschedulable(self.pod(pod))

    def empty(self) -> None:
        """Delete Ray's objects and pods, and wait until no process of them is left."""
        self.api.delete(self.ray())
        self.api.delete(self.path("pods"), grace_s=0)
        wait_until(f"namespace {self.name} is empty", lambda: not self.pods(), POD_S)


def unschedulable(pod: Mapping[str, Any]) -> str:
    """Why no node takes a pod; empty if it does not say."""
    conditions = pod["status"].get("conditions", [])
    waits = (c for c in conditions if c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable")
    return next((c["message"] for c in waits), "")
