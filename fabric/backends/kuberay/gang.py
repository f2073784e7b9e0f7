"""Pods of one gang go to their nodes once all of them wait at the gate.

Knows nothing of who made the pods, nor of what runs in them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import PODS, KubeApi, Object
from fabric.backends.kuberay.manifest import TOO_OLD, release_patch
from fabric.backends.kuberay.mirror import Mirror
from fabric.core.errors import BadInput, Conflict, FabricError, NotFound


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


@dataclass(frozen=True, slots=True)
class Going:
    """A gated pod that may go."""

    pod: Object
    slice_name: str
    node: str
    """Name of the node of its slice."""


def release(api: KubeApi, going: Sequence[Going], nodes: Mirror, went: Callable[[str, Object], None]) -> None:
    """Let gated pods go, each to the node of its slice and nowhere else; all at the same time, as a gang starts.

    Args:
        api: The server.
        going: The pods.
        nodes: What is known of nodes.
        went: Called for each that went, with the name of its slice and the pod as it is then.

    Raises:
        BadInput: If the image of one is for another architecture than its node's; then none goes.
        Conflict: If one has changed meanwhile; the next look sees how.
        FabricError: If one cannot be released now.
    """
    if not going:
        return
    patches = {one.pod["metadata"]["name"]: release_patch(one.pod, one.slice_name, _host(one, nodes)) for one in going}
    answers = api.patch_each(PODS, patches)
    failed: FabricError | None = None
    for one in going:
        answer = answers[one.pod["metadata"]["name"]]
        if not isinstance(answer, FabricError):
            went(one.slice_name, answer)
        elif isinstance(answer, BadInput | NotFound):
            failed = failed or Conflict(f"slice {one.slice_name}: its pod cannot be released: {answer.message}")
        else:
            failed = failed or answer
    if failed:
        raise failed


def check_tokens(going: Sequence[Going]) -> None:
    """Refuse to release pods whose Ray would let anybody in.

    Raises:
        BadInput: If the operator gave one of them no token.
    """
    if not all(pod_state.asks_for_a_token(one.pod) for one in going):
        raise BadInput(f"the operator gave a pod no RAY_AUTH_MODE, so anybody could use it: {TOO_OLD}")


def _host(one: Going, nodes: Mirror) -> str:
    """The name by which a pod is bound to its node.

    Raises:
        BadInput: If its image is for another architecture.
    """
    known = nodes.get(one.node)
    labels: Mapping[str, str] = known["metadata"].get("labels", {}) if known else {}
    wanted, found = one.pod["spec"].get("nodeSelector", {}).get(names.ARCHITECTURE), labels.get(names.ARCHITECTURE)
    if wanted and found and wanted != found:
        image = one.pod["spec"]["containers"][0].get("image")
        raise BadInput(f"slice {one.slice_name}: its image {image} is for {wanted}, but node {one.node} is {found}")
    return labels.get(names.HOSTNAME, one.node)
