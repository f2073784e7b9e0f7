"""What a site says of its Kubernetes: where objects go, which images run, and how a tier's nodes are found and used.

Knows nothing of the objects that are made of it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from fabric.config.settings import Settings
from fabric.config.vet import Vet

Architecture = Literal["amd64", "arm64"]
"""Instruction set of a node, in Kubernetes' words."""

_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Key = Annotated[str, StringConstraints(pattern=rf"^({_DNS}(\.{_DNS})*/)?{_LABEL_NAME}$")]
"""Name of a label, taint or resource, with an optional prefix."""
Value = Annotated[str, StringConstraints(pattern=rf"^({_LABEL_NAME})?$")]
"""Value of a label or taint."""
Path = Annotated[str, StringConstraints(pattern=r"^/[^:]*$")]
"""Absolute path on a node or in a container."""
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""

_NAMESPACE = re.compile(_DNS)


class Toleration(Settings):
    """A taint of a tier's nodes that the fabric's pods accept."""

    key: Key
    """The taint's key."""

    value: Value | None = None
    """The taint's value; left out, any."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; left out, any."""


class Mount(Settings):
    """A folder of the node that every container sees."""

    host: Path
    """Where it is on the node."""

    path: Path | None = None
    """Where containers see it; left out, at the same place."""

    writable: bool = False
    """Whether they may write to it."""


class FabricProfile(Settings):
    """How the Ray processes of a tier reach its high-speed network; a node that lacks any of it runs nothing."""

    version: str = Field(min_length=1)
    """What people call this state of the profile; each pod carries it."""

    env: dict[Variable, str] = {}
    """Variables of every process; they overrule the workload's own."""

    host_network: bool = False
    """Whether pods use the node's network and ports instead of their own."""

    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default"] | None = None
    """How pods resolve names; left out, so that the names of services work."""

    devices: tuple[Path, ...] = ()
    """Character devices such as /dev/cxi0. The kubelet starts no container while one is missing."""

    privileged: bool = False
    """Whether containers may open those devices without a device plug-in that grants them."""

    resources: dict[Key, int] = {}
    """What each pod asks of device plug-ins, by the name of the resource."""

    mounts: tuple[Mount, ...] = ()
    """Folders with the network's libraries."""

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.host_network and self.dns_policy == "ClusterFirst":
            raise ValueError("host_network needs dns_policy ClusterFirstWithHostNet, or workers never find their head")
        if self.devices and not (self.privileged or self.resources):
            raise ValueError(
                "devices can be seen but not opened; name the device plug-in's `resources`, or set `privileged: true`"
            )
        if (self.devices or self.resources) and not self.env.get("NCCL_NET"):
            raise ValueError(
                "a profile with devices must set NCCL_NET in `env` (such as `AWS Libfabric`), or NCCL falls back to "
                "TCP without a word"
            )
        if any(count < 1 for count in self.resources.values()):
            raise ValueError("each of `resources` needs at least 1")
        return self


class NodeGroup(Settings):
    """How a tier's nodes are found in Kubernetes, and what its pods need there."""

    selector: dict[Key, Value] = Field(min_length=1)
    """Labels of its nodes; a node belongs to the first tier whose labels it has."""

    tolerations: tuple[Toleration, ...] = ()
    """Taints of its nodes that the fabric's pods accept."""

    gpu_resource: Key = "nvidia.com/gpu"
    """Name under which a node offers its accelerators."""

    image: str | None = Field(default=None, min_length=1)
    """Image of its pods; left out, the site's image for its architecture."""

    profile: FabricProfile | None = None
    """How its Ray processes reach the high-speed network; None is the pod network."""

    mounts: tuple[Mount, ...] = ()
    """Folders of the node that containers see besides."""

    vet: Vet | None = None
    """What a node must show before it takes work; left out, a node takes work as soon as Kubernetes calls it ready."""

    @model_validator(mode="after")
    def _network(self) -> Self:
        if self.vet and self.vet.network and not (self.profile and self.profile.env.get("NCCL_NET")):
            raise ValueError("vet.network needs a profile whose `env` sets NCCL_NET, or nothing says what is wanted")
        return self


class Kubernetes(Settings):
    """Where the fabric's objects go and which images its pods run."""

    namespace: str = "fabric"
    """Namespace of all objects."""

    images: dict[Architecture, str] = Field(min_length=1)
    """Image with this Ray and Python, by the architecture of the nodes."""

    built_for: dict[str, tuple[Architecture, ...]] = {}
    """Architectures of images that work may name, by image. One that the site names nowhere is taken for a list of
    images for all architectures, and the node says otherwise."""

    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When a node fetches an image."""

    pull_secrets: tuple[str, ...] = ()
    """Names of secrets with which nodes fetch images."""

    service_account: str = "default"
    """Account of the pods; they get no token of it."""

    control_url: str | None = Field(default=None, pattern=r"^https?://[^/]+$")
    """Where pods reach control, such as `http://fabric-control:8270`; left out, the site's `host` and port."""

    start_deadline_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that a pod may take from its release to running; then the attempt fails with the reason. 600 is a choice:
    15 GB of image at 100 MiB/s take 150."""

    @field_validator("namespace")
    @classmethod
    def _namespace(cls, name: str) -> str:
        if not _NAMESPACE.fullmatch(name):
            raise ValueError(f"{name!r} is no namespace; use at most 63 lower-case letters, digits and '-'")
        return name

    @field_validator("images")
    @classmethod
    def _named(cls, images: dict[Architecture, str]) -> dict[Architecture, str]:
        if not all(images.values()):
            raise ValueError("an image needs a name")
        return images

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for architecture, image in self.images.items():
            if architecture not in self.built_for.get(image, (architecture,)):
                raise ValueError(f"images: {image} is named for {architecture}, but built_for says it is not")
        if not all(self.built_for.values()):
            raise ValueError("built_for: an image is for at least one architecture; leave it out where that is unknown")
        return self


def check_kubernetes(
    site: Kubernetes | None, tiers: Mapping[str, tuple[Architecture, NodeGroup | None]], *, wanted: bool
) -> None:
    """Check that a site says of Kubernetes all that its backend needs, and nothing that its backend ignores.

    Args:
        site: What it says of itself.
        tiers: Architecture and node group of each tier, by name.
        wanted: Whether the backend is kuberay.

    Raises:
        ValueError: Naming what is missing or too much.
    """
    grouped = {name for name, (_, group) in tiers.items() if group is not None}
    if not wanted:
        if site is not None or grouped:
            raise ValueError("`kubernetes` is for `backend: kuberay`; the backend local ignores it")
        return
    if site is None:
        raise ValueError("backend kuberay needs `kubernetes` with a namespace and images")
    for name, (architecture, group) in tiers.items():
        if group is None:
            raise ValueError(f"tier {name}: backend kuberay needs `kubernetes` with the labels of its nodes")
        if group.image is None and architecture not in site.images:
            raise ValueError(
                f"tier {name}: kubernetes.images has none for {architecture}; add one, or give the tier its own image"
            )
