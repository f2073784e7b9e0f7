"""The Job by which a node shows itself: one small pod on it, with the image, devices and folders of its tier.

Knows nothing of what the answer means. The pod asks for all accelerators of its node, so that it begins once nobody
else uses them and sees whether all can be given.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from fabric.backends.kuberay import names, preflight
from fabric.backends.kuberay.images import image_of
from fabric.backends.kuberay.pods import Home, Volume, empty_folder, host_volumes, reach, toleration
from fabric.config.kubernetes import NodeGroup
from fabric.config.settings import Settings
from fabric.config.site import Tier
from fabric.config.vet import Vet

CONTAINER = "preflight"
"""Name of the one container."""
_OWN = {"cpu": "100m", "memory": "128Mi"}
"""What the pod asks for beside accelerators: a Python that reads some files."""
_KEPT_S = 3600
"""Seconds after which Kubernetes takes away what ended and nobody heard of."""
_NCCL_LOG = "/tmp/fabric-nccl.log"  # noqa: S108
"""Where NCCL says what it chose."""
_FOLDER = "/tmp"  # noqa: S108
"""Where work may always write."""


class Asked(Settings):
    """Of whom a preflight asks what; its Job carries it."""

    node: str
    """The node."""
    boot: str
    """Its start, by the number that its kernel gives."""
    ask: str
    """What is asked, as a digest."""
    at: float
    """When, by control's clock, in seconds since the epoch."""


def ask_of(tier: Tier, group: NodeGroup, home: Home) -> str:
    """What nodes of a tier are asked, as a digest that changes when they should be asked anew."""
    profile = group.profile.model_dump() if group.profile else None
    shm, source = group.vet.shm if group.vet else None, inspect.getsource(preflight)
    asks = [_question(group), image_of(tier, group, home.kubernetes), profile, shm, source]
    return hashlib.sha256(json.dumps(asks, sort_keys=True).encode()).hexdigest()[:12]


def job_of(asked: Asked, tier: Tier, group: NodeGroup, home: Home, *, hostname: str) -> dict[str, Any]:
    """The Job of one preflight.

    Args:
        asked: Of whom what.
        tier: Of the node.
        group: How the tier's nodes are used.
        home: The site.
        hostname: The node's label by which pods are bound to it.
    """
    labels = {
        "app.kubernetes.io/name": "fabric-preflight",
        names.SITE: names.label_value(home.site.name),
        names.PREFLIGHT: names.label_value(asked.node),
    }
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()[:8]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{names.object_name(f'preflight-{asked.node}')}-{digest}",
            "namespace": home.kubernetes.namespace,
            "labels": labels,
            "annotations": {names.ASKED: asked.model_dump_json()},
        },
        "spec": {
            # A second pod would hide why the first one failed.
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": _spec(tier, group, home, hostname)},
        },
    }


def asked_by(job: Mapping[str, Any]) -> Asked | None:
    """What a Job asks of whom; None if it is none of ours, or of another version."""
    try:
        return Asked.model_validate_json((job["metadata"].get("annotations") or {}).get(names.ASKED, ""))
    except ValueError:
        return None


def _spec(tier: Tier, group: NodeGroup, home: Home, hostname: str) -> dict[str, Any]:
    volumes = [*_shm(group.vet), *host_volumes(group)]
    gpus = tier.capacity.resources.gpus.count // 1000
    limits = {group.gpu_resource: str(gpus)} if gpus else {}
    limits |= {name: str(count) for name, count in (group.profile.resources if group.profile else {}).items()}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image_of(tier, group, home.kubernetes),
        "imagePullPolicy": home.kubernetes.pull_policy,
        "command": ["python", "-c", inspect.getsource(preflight), json.dumps(_question(group), sort_keys=True)],
        "env": [{"name": k, "value": v.replace("$(", "$$(")} for k, v in sorted(_variables(group).items())],
        "resources": {"requests": {**_OWN, **limits}, "limits": limits},
        "volumeMounts": [volume.mount for volume in volumes],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if group.profile and group.profile.privileged:
        container["securityContext"] = {"privileged": True}
    return {
        "nodeSelector": {names.HOSTNAME: hostname},
        "tolerations": [toleration(item.model_dump(exclude_none=True)) for item in group.tolerations],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        **reach(home.kubernetes, group.profile),
        "containers": [container],
        "volumes": [volume.volume for volume in volumes],
    }


def _question(group: NodeGroup) -> dict[str, Any]:
    profile = group.profile
    every = [*group.mounts, *(profile.mounts if profile else ())]
    folders = [_FOLDER, *(mount.path or mount.host for mount in every if mount.writable)]
    asked: dict[str, Any] = {"devices": list(profile.devices if profile else ()), "folders": folders}
    return {**asked, "nccl": _NCCL_LOG} if group.vet and group.vet.network else asked


def _variables(group: NodeGroup) -> Mapping[str, str]:
    told = group.profile.env if group.profile else {}
    if group.vet is None or not group.vet.network:
        return told
    return {**told, "NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,NET", "NCCL_DEBUG_FILE": _NCCL_LOG}


def _shm(vet: Vet | None) -> list[Volume]:
    least = vet.least_shm if vet else None
    return [] if least is None else [empty_folder("shared-mem", "/dev/shm", least.count, medium="Memory")]  # noqa: S108
