"""The nodes whose pods are processes: a container runtime and a kubelet each, described by their configuration files.

Knows nothing of starting and ending them.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.rigging.api import Object
from scripts.rigging.control_plane import HOST, component, variables
from scripts.rigging.errors import RigError
from scripts.rigging.images import PAUSE_IMAGE, host_folders
from scripts.rigging.layout import BRIDGE, DOMAIN, FIRST_POD, GPU, LAST_POD, NETWORK, TIER_LABEL, Layout, Node
from scripts.rigging.processes import Component
from scripts.rigging.refusing import hierarchies

KUBELET_PORT = 10250
LEASE_S = 12
"""A kubelet renews its lease every quarter of this."""


def kubelet_name(node: Node) -> str:
    """Name of the node's kubelet among the components."""
    return f"kubelet-{node.name}"


def containerd_name(node: Node) -> str:
    """Name of the node's container runtime among the components."""
    return f"containerd-{node.name}"


def folder(layout: Layout, node: Node) -> Path:
    """Where a node keeps its files."""
    return layout.state / node.name


def socket(layout: Layout, node: Node) -> Path:
    """Where a node's container runtime listens."""
    return layout.sockets / node.name / "containerd.sock"


def containerd(layout: Layout, node: Node) -> Component:
    """The node's container runtime; writes its configuration."""
    place = folder(layout, node)
    (place / "cni").mkdir(parents=True, exist_ok=True)
    (place / "cni" / "10-rig.conflist").write_text(json.dumps(_network(layout)))
    config = place / "containerd.toml"
    config.write_text(_containerd_config(layout, node))
    return component(layout, containerd_name(node), f"--config={config}", program="containerd")


def write_base_spec(layout: Layout, node: Node) -> None:
    """Write the specification that every container of the node begins with: the default, and this machine's folders."""
    command = [layout.program("ctr"), "oci", "spec"]
    spec: Object = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    read_only = ["rbind", "ro", "rprivate"]
    mounts = [(str(each), read_only) for each in host_folders(layout)]
    mounts.append((str(layout.shared), ["rbind", "rw", "rprivate"]))
    spec["mounts"] += [
        {"destination": path, "type": "bind", "source": path, "options": options} for path, options in mounts
    ]
    _base_spec(layout, node).parent.mkdir(parents=True, exist_ok=True)
    _base_spec(layout, node).write_text(json.dumps(spec))


def kubelet(layout: Layout, node: Node) -> Component:
    """The node's kubelet; writes its configuration."""
    place = folder(layout, node)
    place.mkdir(parents=True, exist_ok=True)
    (place / "resolv.conf").write_text(f"nameserver {HOST}\n")
    config = place / "kubelet.json"
    config.write_text(json.dumps(_kubelet_config(layout, node), indent=1))
    return component(
        layout, kubelet_name(node), f"--config={config}", f"--hostname-override={node.name}",
        f"--kubeconfig={layout.kubeconfig_of(f'system:node:{node.name}')}", f"--node-ip={node.address}",
        f"--node-labels={TIER_LABEL}={node.tier}", f"--root-dir={place}/kubelet", f"--cert-dir={place}/certificates",
        program="kubelet",
    )  # fmt: skip


def runtime_command(layout: Layout, node: Node, *words: str) -> None:
    """Tell a node's container runtime something, as its own command line does.

    Raises:
        RigError: If it does not do it.
    """
    command = [layout.program("ctr"), f"--address={socket(layout, node)}", "--namespace=k8s.io", *words]
    done = subprocess.run(command, env=variables(layout), check=False, capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"the runtime of {node.name} would not do {' '.join(words)}: {done.stderr.strip()}")


def cgroup(node: Node) -> str:
    """Name of the group that all processes of the node's pods are in, in every hierarchy."""
    return f"{BRIDGE}/{node.name}"


def make_cgroups(node: Node) -> None:
    """Make the node's group in every hierarchy, with all processors and memory."""
    for hierarchy in hierarchies():
        below = hierarchy
        for part in cgroup(node).split("/"):
            above, below = below, below / part
            below.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (below / name).exists() and not (below / name).read_text().strip():
                    (below / name).write_text((above / name).read_text())


def gpu_capacity(node: Node) -> list[Mapping[str, str]]:
    """The change to a node's status that says how many GPUs it has."""
    name = GPU.replace("/", "~1")
    return [
        {"op": "add", "path": f"/status/{kind}/{name}", "value": str(node.num_gpus)}
        for kind in ("capacity", "allocatable")
    ]


def _base_spec(layout: Layout, node: Node) -> Path:
    return folder(layout, node) / "base-spec.json"


def _network(layout: Layout) -> Object:
    """One bridge for both nodes; addresses are given out from one book."""
    addresses = {
        "type": "host-local",
        "dataDir": str(layout.state / "addresses"),
        "ranges": [[{"subnet": NETWORK, "rangeStart": FIRST_POD, "rangeEnd": LAST_POD, "gateway": HOST}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": BRIDGE, "plugins": [bridge]}


def _containerd_config(layout: Layout, node: Node) -> str:
    place, sockets = folder(layout, node), layout.sockets / node.name
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{place}/containerd"
state = "{sockets}/containerd"
oom_score = 0

[grpc]
address = "{socket(layout, node)}"

[plugins."io.containerd.internal.v1.opt"]
path = "{place}/opt"

[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
# Without the right to lower it, every sandbox would die.
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[{cri}.cni]
bin_dir = "{layout.packages}/usr/lib/cni"
conf_dir = "{place}/cni"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{_base_spec(layout, node)}"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
BinaryName = "{layout.program("runc")}"
Root = "{sockets}/runc"
"""


def _kubelet_config(layout: Layout, node: Node) -> Object:
    place = folder(layout, node)
    config: Object = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": KUBELET_PORT,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.secrets / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup(node)}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "clusterDNS": [HOST],
        "clusterDomain": DOMAIN,
        "resolvConf": str(place / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{socket(layout, node)}",
        "podLogsDir": str(place / "pod-logs"),
        "volumePluginDir": str(place / "volume-plugins"),
        "makeIPTablesUtilChains": False,
        "nodeLeaseDurationSeconds": LEASE_S,
        "nodeStatusUpdateFrequency": "5s",
        # A full disk is the machine's matter; only memory that runs out is the rig's.
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 110,
    }
    if node.num_gpus:
        config["registerWithTaints"] = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
    return config
