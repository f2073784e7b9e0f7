"""Pods of one gang go to their nodes once all of them wait at the gate.

Knows nothing of who made the pods, nor of what runs in them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import PODS, KubeApi, Object
from fabric.backends.kuberay.manifest import release_patch
from fabric.backends.kuberay.mirror import Mirror
from fabric.core.errors import BadInput, Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Place:
    """What a slice still needs."""

    pool: str
    """Worker group of its pods; empty for the head's."""
    pods: int
    """How many."""


def choose(places: Mapping[str, Place], pods: Iterable[Object]) -> dict[str, list[Object]]:
    """Gated pods for each of these slices; none at all unless there are enough for all."""
    gated: dict[str, list[Object]] = {}
    for pod in pods if places else ():
        if pod_state.is_gated(pod):
            gated.setdefault(pod_state.pool_of(pod), []).append(pod)
    chosen: dict[str, list[Object]] = {}
    for name, place in places.items():
        of_its_pool = gated.get(place.pool, [])
        if len(of_its_pool) < place.pods:
            return {}
        chosen[name], gated[place.pool] = of_its_pool[: place.pods], of_its_pool[place.pods :]
    return chosen


def release(api: KubeApi, pod: Object, slice_name: str, *, node: str, nodes: Mirror) -> Object:
    """Let a gated pod go to the node of its slice, and nowhere else; the pod as it is then.

    Raises:
        Conflict: If it has changed meanwhile; the next look sees how.
    """
    known = nodes.get(node)
    labels = known["metadata"].get("labels", {}) if known else {}
    patch = release_patch(pod, slice_name, labels.get(names.HOSTNAME, node))
    try:
        return api.patch(PODS, pod["metadata"]["name"], patch)
    except (BadInput, NotFound) as error:
        raise Conflict(f"slice {slice_name}: its pod cannot be released: {error.message}") from error
