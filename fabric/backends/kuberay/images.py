"""Which image a slice runs, and whether it is for the architecture of its node.

Knows nothing of registries: what an image is built for is what the site says of it.
"""

from collections.abc import Collection

from fabric.config.kubernetes import Architecture, Kubernetes, NodeGroup
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

NOT_BUILT = ("no match for platform in manifest", "no matching manifest for", "exec format error")
"""Words of container runtimes for an image of another architecture; no waiting helps."""


def image_of(tier: Tier, group: NodeGroup, kubernetes: Kubernetes) -> str:
    """The image of a tier's pods that nobody asked another for."""
    return group.image or kubernetes.images[tier.architecture]


def image_for(part: Slice, wanted: WantedCluster, site: Site) -> str:
    """The image of a slice.

    Raises:
        BadInput: If the site has no such tier, or knows that the image is for another architecture.
    """
    tier = next((tier for tier in site.tiers if tier.name == part.tier), None)
    if tier is None or tier.kubernetes is None or site.kubernetes is None:
        raise BadInput(f"slice {part.name} is on tier {part.tier}, which site {site.name} does not have")
    image = wanted.images.get(part.group) or image_of(tier, tier.kubernetes, site.kubernetes)
    built_for = architectures(image, site)
    if built_for and tier.architecture not in built_for:
        fitting = image_of(tier, tier.kubernetes, site.kubernetes)
        raise BadInput(
            f"group {part.group}: its image {image} is for {' and '.join(sorted(built_for))}, but tier {tier.name} is "
            f"{tier.architecture}. Name an image for {tier.architecture} such as {fitting}, or one that is for both."
        )
    return image


def architectures(image: str, site: Site) -> Collection[Architecture]:
    """What an image is built for, as far as the site says; empty where it does not, as of a list for several."""
    kubernetes = site.kubernetes
    if kubernetes is None:
        return set()
    if image in kubernetes.built_for:
        return set(kubernetes.built_for[image])
    own = {architecture for architecture, name in kubernetes.images.items() if name == image}
    return own | {tier.architecture for tier in site.tiers if tier.kubernetes and tier.kubernetes.image == image}


def check_built(where: str, words: str) -> None:
    """Refuse to wait for a container whose image is for another architecture.

    Args:
        where: Slice and node.
        words: What the container runtime says.

    Raises:
        BadInput: If it says that.
    """
    if any(one in words for one in NOT_BUILT):
        raise BadInput(f"{where}: its image is for another architecture than the node ({words})")
