"""The pod of a slice: container, environment, volumes, and the gate that holds it until its node is known.

Knows nothing of RayClusters or of a Kubernetes that would take it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.amounts import PodAmounts, pod_amounts
from fabric.backends.kuberay.images import image_for
from fabric.config import env
from fabric.config.kubernetes import FabricProfile, Kubernetes, Mount, NodeGroup
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.ram_lines import terms
from fabric.workloads.record import Slice

SERVE_PORT, GCS_PORT, DASHBOARD_PORT = 8000, 6379, 8265
"""Ports in the head's pod: Ray's own defaults, as every cluster has addresses of its own."""

DRAIN_MARGIN_S = 10
"""Seconds between the end of Ray's drain and the kubelet's SIGKILL."""

_BUSY_MACHINE = {
    # A busy machine starts Ray's agents slowly; the defaults of 15 to 30 s end the node for it.
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120",
}


@dataclass(frozen=True, slots=True)
class Home:
    """The site that pods are made for."""

    site: Site

    @property
    def kubernetes(self) -> Kubernetes:
        """What the site says of its Kubernetes.

        Raises:
            BadInput: If it is a site of another backend.
        """
        if self.site.kubernetes is None:
            raise BadInput(f"site {self.site.name} is not for Kubernetes; its backend is {self.site.backend}")
        return self.site.kubernetes

    def tier(self, part: Slice) -> tuple[Tier, NodeGroup]:
        """The tier of a slice and its nodes in Kubernetes.

        Raises:
            BadInput: If the site has no such tier any more.
        """
        for tier in self.site.tiers:
            if tier.name == part.tier and tier.kubernetes is not None:
                return tier, tier.kubernetes
        raise BadInput(f"slice {part.name} is on tier {part.tier}, which site {self.site.name} does not have")


def pod_template(part: Slice, wanted: WantedCluster, home: Home) -> dict[str, Any]:
    """The template of all pods with the shape of `part`; which node each goes to is patched in when it is released.

    Raises:
        BadInput: If no pod could be what was granted.
    """
    tier, group = home.tier(part)
    sizes = pod_amounts(part, terms(tier))
    labels = {**names.object_labels(wanted, home.site.name), names.TIER: tier.name}
    if group.profile:
        labels[names.PROFILE] = names.label_value(group.profile.version)
    return {"metadata": {"labels": labels}, "spec": _spec(part, wanted, home, sizes)}


def start_params(part: Slice, home: Home) -> dict[str, str]:
    """How KubeRay starts Ray in such a pod; a head of its own offers nothing."""
    tier, _ = home.tier(part)
    sizes = pod_amounts(part, terms(tier))
    params = {
        "num-cpus": "0" if part.only_head else str(part.resources.cpus.devices()),
        "num-gpus": "0" if part.only_head else str(part.resources.gpus.devices()),
        "memory": str(sizes.application.count),
        "object-store-memory": str(sizes.object_store.count),
    }
    if part.head:
        params |= {"dashboard-host": "0.0.0.0", "port": str(GCS_PORT), "dashboard-port": str(DASHBOARD_PORT)}  # noqa: S104
    return params


def _spec(part: Slice, wanted: WantedCluster, home: Home, sizes: PodAmounts) -> dict[str, Any]:
    tier, group = home.tier(part)
    kubernetes, profile = home.kubernetes, group.profile
    volumes = [*_own_folders(sizes), *host_volumes(group)]
    return {
        "schedulingGates": [{"name": names.GATE}],
        "nodeSelector": {names.ARCHITECTURE: tier.architecture, **group.selector},
        "tolerations": [toleration(item.model_dump(exclude_none=True)) for item in group.tolerations],
        "terminationGracePeriodSeconds": int(home.site.grace_s) + DRAIN_MARGIN_S,
        # What died is an attempt that was lost, and the fabric counts it.
        "restartPolicy": "Never",
        **reach(kubernetes, profile),
        "containers": [_container(part, wanted, home, sizes=sizes, volumes=volumes)],
        "volumes": [volume.volume for volume in volumes],
    }


def reach(kubernetes: Kubernetes, profile: FabricProfile | None) -> dict[str, Any]:
    """What every pod of a tier says of its account, its image's secrets and its network."""
    spec: dict[str, Any] = {
        "serviceAccountName": kubernetes.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if kubernetes.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in kubernetes.pull_secrets]
    if profile and profile.host_network:
        spec["hostNetwork"] = True
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    if profile and profile.dns_policy:
        spec["dnsPolicy"] = profile.dns_policy
    return spec


def _container(
    part: Slice, wanted: WantedCluster, home: Home, *, sizes: PodAmounts, volumes: "Sequence[Volume]"
) -> dict[str, Any]:
    _, group = home.tier(part)
    amounts = _amounts(part, group, sizes)
    container: dict[str, Any] = {
        "name": "ray",
        "image": image_for(part, wanted, home.site),
        "imagePullPolicy": home.kubernetes.pull_policy,
        "env": _environment(part, wanted, home, sizes),
        "resources": {"limits": amounts, "requests": dict(amounts)},
        "volumeMounts": [volume.mount for volume in volumes],
    }
    if group.profile and group.profile.privileged:
        container["securityContext"] = {"privileged": True}
    if part.head:
        ports = {"gcs": GCS_PORT, "dashboard": DASHBOARD_PORT, "serve": SERVE_PORT}
        container["ports"] = [{"name": name, "containerPort": port} for name, port in ports.items()]
    return container


def _amounts(part: Slice, group: NodeGroup, sizes: PodAmounts) -> dict[str, str]:
    held = {"cpu": f"{part.resources.cpus.count}m", "memory": str(sizes.memory.count)}
    if part.resources.gpus:
        held[group.gpu_resource] = str(part.resources.gpus.devices())
    if group.profile:
        held |= {name: str(count) for name, count in group.profile.resources.items()}
    return held


def secret_variables(wanted: WantedCluster) -> tuple[str, ...]:
    """The variables of a cluster whose values are kept in its secret, in an order that never changes."""
    always = tuple(name for name in env.KEYS if name in wanted.env)
    return (*always, *sorted((wanted.hidden & wanted.env.keys()) - set(always)))


def _environment(part: Slice, wanted: WantedCluster, home: Home, sizes: PodAmounts) -> list[dict[str, Any]]:
    """Every variable in an order that never changes; what others refer to comes first."""
    secrets = secret_variables(wanted)
    told = {name: value for name, value in wanted.env.items() if name not in secrets}
    tier, group = home.tier(part)
    threads = max(1, int(part.resources.cpus.whole() / max(1, part.workers)))
    own = {
        **_BUSY_MACHINE,
        env.CLUSTER: wanted.name,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": f"{home.site.grace_s:g}",
        "OMP_NUM_THREADS": str(threads),
        **({env.PIN: "numa"} if tier.superchip else {}),
        **({} if sizes.spills else {"RAY_automatic_object_spilling_enabled": "0"}),
        **(group.profile.env if group.profile else {}),
    }
    plain = {**told, **own}
    return [
        _field(env.SLICE, f"metadata.annotations['{names.SLICE}']"),
        _field("POD_NODE", "spec.nodeName"),
        _field("POD_UID", "metadata.uid"),
        {"name": "RAY_OVERRIDE_LABELS", "value": _ray_labels(part)},
        *({"name": name, "value": plain[name].replace("$(", "$$(")} for name in sorted(plain)),
        *({"name": name, "valueFrom": {"secretKeyRef": _key(wanted, name)}} for name in secrets),
    ]


def _ray_labels(part: Slice) -> str:
    """Labels of the Ray node; Kubernetes puts in what is known once the pod has a node."""
    known = {
        "fabric/tier": part.tier,
        "fabric/group": part.group,
        "fabric/node": "$(POD_NODE)",
        "fabric/slice": f"$({env.SLICE})",
        "fabric/start": "$(POD_UID)",
    }
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in known.items()) + "}"


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _key(wanted: WantedCluster, key: str) -> dict[str, str]:
    return {"name": names.object_name(wanted.name), "key": key}


def toleration(given: Mapping[str, str]) -> dict[str, str]:
    """A taint that pods accept, as Kubernetes writes it."""
    return {"operator": "Equal" if "value" in given else "Exists", **given}


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume and where the container sees it."""

    volume: dict[str, Any]
    mount: dict[str, Any]


def host_volumes(group: NodeGroup) -> list[Volume]:
    """Folders and devices of the node that all pods of a tier see."""
    every = [*group.mounts, *(group.profile.mounts if group.profile else ())]
    found = [_host(f"host-{number}", mount, "Directory") for number, mount in enumerate(every)]
    devices = group.profile.devices if group.profile else ()
    # A type that does not hold keeps the container from starting, on a node that lost the device later too.
    found += [
        _host(f"device-{number}", Mount(host=path, writable=True), "CharDevice") for number, path in enumerate(devices)
    ]
    return found


def empty_folder(name: str, path: str, num_bytes: int, medium: str = "") -> Volume:
    """A folder that comes and goes with the pod; the medium `Memory` keeps it in RAM."""
    kind = {"sizeLimit": str(num_bytes), **({"medium": medium} if medium else {})}
    return Volume({"name": name, "emptyDir": kind}, {"name": name, "mountPath": path})


def _own_folders(sizes: PodAmounts) -> list[Volume]:
    found: list[Volume] = []
    if sizes.dev_shm is not None:
        found.append(empty_folder("shared-mem", "/dev/shm", sizes.dev_shm.count, medium="Memory"))  # noqa: S108
    if sizes.files is not None:
        found.append(empty_folder("files", "/tmp", sizes.files.count))  # noqa: S108
    return found


def _host(name: str, mount: Mount, kind: str) -> Volume:
    seen = {"name": name, "mountPath": mount.path or mount.host}
    return Volume(
        {"name": name, "hostPath": {"path": mount.host, "type": kind}},
        seen if mount.writable else {**seen, "readOnly": True},
    )
