"""Where the rig keeps what: one cache of programs for a person, one running rig for a machine.

Knows nothing of what runs.
"""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""This checkout, which pods see under the same path."""
BRIDGE = "fabric-rig"
"""The network interface that pods hang on, and the name of their network."""
NETWORK = "10.88.0.0/16"
"""Addresses of nodes (10.88.0.0/24) and pods."""
FIRST_POD, LAST_POD = "10.88.1.0", "10.88.254.254"
"""Where pods' addresses begin and end."""
SERVICES = "10.89.0.0/16"
"""Addresses of services. Nothing routes them, as there is no kube-proxy: pods find pods by headless services' names."""
FAKE_PODS = "10.90.0.0/16"
"""Addresses that kwok writes into pods which do not exist."""
DOMAIN = "cluster.local"
"""The cluster's domain, answered by CoreDNS."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node with a container runtime of its own."""

    name: str
    tier: str
    address: str
    num_gpus: int = 0
    """GPUs that it is said to have; a node with some is tainted, so that only who tolerates it lands there."""


NODES = (Node("gpu-0", "gpu", "10.88.0.1", num_gpus=4), Node("commodity-0", "commodity", "10.88.0.2"))
"""The nodes whose pods are processes. The control plane listens at the first one's address, which pods reach."""
GPU = "nvidia.com/gpu"
"""The extended resource of a GPU, and the key of the taint on nodes that have some."""
TIER_LABEL = "fabric/tier"
"""Label of a node that names its tier."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders and files of the rig."""

    cache: Path
    """Programs, kept between runs."""
    state: Path = Path("/var/lib/fabric-rig")
    """Everything the running rig writes; gone after `down`."""
    sockets: Path = Path("/run/fabric-rig")
    """Sockets and what the runtimes keep in memory; gone after `down`."""
    shared: Path = Path("/srv/fabric-rig")
    """The file system that all pods and the host share, under the same path; gone after `down`."""

    @property
    def assets(self) -> Path:
        """Models that `scripts/assets` converted, which pods see under the same path."""
        return self.cache.parent

    @property
    def programs(self) -> Path:
        """What was built."""
        return self.cache / "bin"

    @property
    def packages(self) -> Path:
        """What was unpacked from Debian packages."""
        return self.cache / "packages"

    @property
    def manifests(self) -> Path:
        """Definitions and roles, copied from the modules that programs were built from."""
        return self.cache / "manifests"

    @property
    def sources(self) -> Path:
        """One folder with a go.mod for each tool."""
        return self.cache / "go"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's access."""
        return self.state / "kubeconfig"

    def kubeconfig_of(self, user: str) -> Path:
        """Access of a component, or of the user `fabric`, who has only the rights that somebody binds."""
        return self.state / "users" / f"{user}.kubeconfig"

    @property
    def secrets(self) -> Path:
        """Keys, certificates and tokens."""
        return self.state / "secrets"

    @property
    def logs(self) -> Path:
        """What each component prints."""
        return self.state / "logs"

    @property
    def records(self) -> Path:
        """Which process is which component."""
        return self.state / "processes"

    def program(self, name: str) -> str:
        """Path of a program that was built or unpacked; the bare name if it is neither."""
        candidates = (self.programs, self.packages / "usr/bin", self.packages / "usr/sbin")
        return next((str(folder / name) for folder in candidates if (folder / name).exists()), name)

    def path(self) -> str:
        """Where components look for programs: ours first."""
        ours = (self.programs, self.packages / "usr/bin", self.packages / "usr/sbin")
        return ":".join([*map(str, ours), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])


def layout() -> Layout:
    """The layout for the caller's environment: `FABRIC_CACHE` moves the cache."""
    cache = Path(os.environ.get("FABRIC_CACHE") or "~/.cache/fabric").expanduser().absolute()
    return Layout(cache / "rig")
