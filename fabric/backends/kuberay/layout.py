"""What a cluster of pods is made of, as its RayCluster carries it for a fabric that adopts it.

Knows nothing of the objects themselves.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from fabric.backends.keeping.layout import Layout, amounts_of, head_first
from fabric.backends.kuberay.names import LAYOUT, pool_name
from fabric.core.errors import BadConfig
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice


class PodLayout(Layout):
    """Everything about a cluster of pods that must survive the process that asked for it."""

    pools: dict[str, str]
    """Worker group of each slice but the head's."""

    starts: dict[str, str] = {}
    """Number of the pod that each slice is, as far as it is known; not written down."""

    def start_of(self, name: str) -> str:
        """The pod that the slice is now."""
        return self.starts.get(name, "")

    @property
    def head(self) -> str:
        """The slice that holds the Ray head."""
        return self.slices[0]

    def with_slices(self, added: Sequence[Slice]) -> "PodLayout":
        """The same cluster and more slices, which have yet to join."""
        pools = {part.name: pool_name(part) for part in added}
        return self.joined_by(added).model_copy(update={"pools": self.pools | pools})

    def without(self, names: Collection[str]) -> "PodLayout":
        """The same cluster after some of its slices have gone."""
        fewer = super().without(names)
        kept = {name: pool for name, pool in self.pools.items() if name not in names}
        return fewer.model_copy(update={"pools": kept})

    def replicas(self, drained: Collection[str]) -> Mapping[str, int]:
        """Pods of each worker group, without those that were told to leave."""
        return Counter(self.pools[name] for name in self.slices if name in self.pools and name not in drained)

    def written(self) -> str:
        """As the RayCluster carries it."""
        return self.model_dump_json(exclude={"starts"})


class AdoptedLayout(PodLayout):
    """The same of an object that somebody made himself, in which every worker is a pod."""

    kind: Literal["RayCluster", "RayJob"]
    """What the object is."""

    object_name: str
    """Its name."""

    uid: str
    """Its number."""

    workers: dict[str, int]
    """Most pods of each slice."""

    floating: tuple[str, ...] = ()
    """Slices whose pods come and go as Ray's own autoscaler likes."""

    @property
    def firm(self) -> tuple[str, ...]:
        """Slices that have all of their pods or are lost."""
        return tuple(name for name in self.slices if name not in self.floating)


def adopted_layout_of(wanted: WantedCluster) -> AdoptedLayout:
    """What a grant makes of an object of somebody's.

    Raises:
        ValueError: If it is for none.
    """
    if wanted.adopted is None:
        raise ValueError(f"{wanted.name} is a cluster of the fabric's own")
    parts = head_first(wanted.grant.slices)
    return AdoptedLayout(
        **{field: value for field, value in layout_of(wanted) if field in PodLayout.model_fields and field != "pools"},
        pools={part.name: part.group for part in parts if not part.head},
        kind=wanted.adopted.kind,
        object_name=wanted.adopted.name,
        uid=wanted.adopted.uid,
        workers={part.name: part.workers for part in parts},
        floating=tuple(part.name for part in parts if not part.head) if wanted.adopted.autoscaled else (),
    )


def written_adopted_layout(annotations: Mapping[str, str]) -> AdoptedLayout | None:
    """What an object of somebody's was granted; None if it never was, or nobody can tell any more."""
    try:
        return AdoptedLayout.model_validate_json(annotations.get(LAYOUT, ""))
    except ValidationError:
        return None


def layout_of(wanted: WantedCluster) -> PodLayout:
    """What a granted cluster will be made of."""
    parts = head_first(wanted.grant.slices)
    return PodLayout(
        name=wanted.name,
        workload=wanted.workload,
        attempt=wanted.attempt,
        slices=tuple(part.name for part in parts),
        nodes={part.name: part.node for part in parts},
        amounts={part.name: amounts_of(part.resources) for part in parts},
        pools={part.name: pool_name(part) for part in parts if not part.head},
        born=wanted.born,
        service=wanted.serve is not None,
        warm=wanted.warm,
    )


def written_layout(cluster: Mapping[str, Any]) -> PodLayout:
    """What a RayCluster of ours is made of.

    Raises:
        BadConfig: If another version of the fabric wrote it, or somebody else.
    """
    meta = cluster["metadata"]
    try:
        return PodLayout.model_validate_json(meta.get("annotations", {}).get(LAYOUT, ""))
    except ValidationError as error:
        raise BadConfig(f"RayCluster {meta['name']}: its annotation {LAYOUT} cannot be read: {error}") from None


def born_of(cluster: Mapping[str, Any]) -> float | None:
    """When the workload of a RayCluster was submitted; None if it is none of ours."""
    try:
        return written_layout(cluster).born
    except BadConfig:
        return None
