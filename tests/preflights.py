"""Nodes that have to show themselves, in memory: a Job controller, and pods that answer what they are told to."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import JOBS, NODES, PODS, Object
from fabric.backends.kuberay.manifest import RAY_VERSION
from fabric.backends.kuberay.preflight_job import CONTAINER
from fabric.config.site import Site, Tier
from fabric.config.vet import Vet
from tests.fake_api_server import FakeApiServer, kube_node
from tests.unit.backends.test_kuberay_manifest import pods_site

GIB = 2**30
NOW = 1_750_000_000.0


def vetting_site(vet: Vet | None = None, *, tiers: tuple[str, ...] = ("gpu", "commodity"), **group: Any) -> Site:
    """The site of two tiers, of which these vet; `group` is said of the GPU tier's nodes."""
    site = pods_site()

    def asking(tier: Tier) -> Tier:
        assert tier.kubernetes is not None
        more = group if tier.name == "gpu" else {}
        own = {"vet": vet or Vet()} if tier.name in tiers else {}
        return tier.model_copy(update={"kubernetes": tier.kubernetes.model_copy(update={**more, **own})})

    return site.model_copy(update={"tiers": tuple(asking(tier) for tier in site.tiers)})


def node_of(name: str, tier: str, boot: str = "boot-1", *, gpus: int = 0, **spec: Any) -> Object:
    """A node that was started once."""
    item = kube_node(name, tier, gpus=gpus, **spec)
    item["status"]["nodeInfo"] = {"bootID": boot}
    return item


def shows(**more: Any) -> dict[str, Any]:
    """What a good node of either tier shows."""
    good = {
        "at": NOW, "python": "3.11.9", "ray": RAY_VERSION, "machine": "x86_64", "cpus": 8, "memory": 16 * GIB,
        "memory_free": 12 * GIB, "shm": GIB, "gpus": 2, "bad": [], "numa": [[0, 8, 16 * GIB]],
    }  # fmt: skip
    return {**good, **more}


@dataclass
class AskedApiServer(FakeApiServer):
    """An API server whose Jobs become pods that end with what their node is told to answer."""

    answers: Mapping[str, dict[str, Any] | str] = field(default_factory=dict)
    """By node: a report, or the words with which its preflight fails; who is not named runs on."""
    hosts: dict[str, str] = field(default_factory=dict)
    """By node: why no pod of a preflight gets to it."""

    def _reconcile(self) -> None:
        for job in [item for (plural, _), item in self.objects.items() if plural == JOBS.plural]:
            name = job["metadata"]["name"]
            if (PODS.plural, f"{name}-pod") not in self.objects:
                template = copy.deepcopy(job["spec"]["template"])
                owner = {"name": f"{name}-pod", "ownerReferences": [{"uid": job["metadata"]["uid"]}]}
                template["metadata"] |= owner
                self._put(PODS, {**template, "status": {"phase": "Pending"}})
        super()._reconcile()

    def _run(self, pod: Object) -> None:
        node = pod["metadata"].get("labels", {}).get(names.PREFLIGHT)
        if node is None:
            super()._run(pod)
        elif pod["status"]["phase"] in {"Pending", "Running"}:
            self._show(pod, node)

    def _show(self, pod: Object, node: str) -> None:
        changed = copy.deepcopy(pod)
        if node in self.hosts:
            unscheduled = {"type": "PodScheduled", "status": "False", "message": self.hosts[node]}
            changed["status"]["conditions"] = [unscheduled]
        else:
            changed["spec"]["nodeName"] = node
            changed["status"] = self._ended(self.answers[node]) if node in self.answers else {"phase": "Running"}
        if changed != pod:
            self._put(PODS, changed, event="MODIFIED")

    @staticmethod
    def _ended(answer: dict[str, Any] | str) -> Object:
        well = not isinstance(answer, str)
        message = answer if isinstance(answer, str) else json.dumps(answer)
        ended = {"exitCode": 0 if well else 1, "reason": "Completed" if well else "Error", "message": message}
        return {
            "phase": "Succeeded" if well else "Failed",
            "containerStatuses": [{"name": CONTAINER, "state": {"terminated": ended}}],
        }

    def again(self) -> None:
        """Let kubelets look again."""
        with self._lock:
            self._reconcile()

    def kept(self, node: str) -> dict[str, Any]:
        """What a node carries of its last preflight; nothing where it carries none."""
        annotations = self.get(NODES, node)["metadata"].get("annotations") or {}
        found: dict[str, Any] = json.loads(annotations.get(names.PREFLIGHT, "{}"))
        return found
