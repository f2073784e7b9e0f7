"""Work counts as lost only on nodes that were silent for a while: when an API server was away, all are for a moment."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fabric.backends.kuberay.api import NODES, PODS, Kind, Object
from fabric.backends.kuberay.pod_state import node_is_ready
from fabric.backends.kuberay.silence import LOST_AFTER_S, Silence
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import Phase
from tests.fake_api_server import kube_node
from tests.unit.backends.test_adopted_cluster import BOTH, TWO, Theirs
from tests.unit.backends.test_kuberay_manifest import TRAINERS
from tests.unit.backends.test_kuberay_pods import World, tended

READY, SILENT = kube_node("g1", "gpu"), kube_node("g1", "gpu", ready=False)


class Clock:
    """Seconds as told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lasts(silence: Silence, clock: Clock, *heard: tuple[float, Any]) -> list[bool]:
    """What is said at each instant of what was heard last then."""
    found = []
    for clock.now, node in heard:
        found.append(silence.lasts("g1", node))
    return found


def test_a_node_is_lost_once_it_was_silent_for_long_enough() -> None:
    clock = Clock()
    silence = Silence(20.0, clock)
    assert lasts(silence, clock, (100.0, READY), (110.0, SILENT), (129.9, SILENT), (130.0, SILENT)) == [
        False, False, False, True,
    ]  # fmt: skip


def test_one_that_speaks_again_begins_anew_and_one_that_is_gone_is_lost_at_once() -> None:
    clock = Clock()
    silence = Silence(20.0, clock)
    assert lasts(silence, clock, (0.0, SILENT), (19.0, READY), (21.0, SILENT), (40.0, SILENT), (40.5, None)) == [
        False, False, False, False, True,
    ]  # fmt: skip


def test_a_silent_node_has_all_of_its_time_again_once_nodes_are_heard_again() -> None:
    clock = Clock()
    silence = Silence(20.0, clock)
    assert lasts(silence, clock, (0.0, SILENT), (19.0, SILENT)) == [False, False]
    clock.now = 21.0
    assert not silence.lasts("g1", SILENT, heard=False)
    assert silence.lasts("g1", None, heard=False), "what was heard to be gone is gone"
    assert lasts(silence, clock, (90.0, SILENT), (109.9, SILENT), (110.0, SILENT)) == [False, False, True]


def patient(clock: Clock) -> World:
    """A world in which nodes may be silent for a while."""
    world = World()
    world.surface = replace(world.surface, silence=Silence(LOST_AFTER_S, clock))
    return world


def test_work_outlives_a_moment_in_which_kubernetes_calls_all_nodes_not_ready() -> None:
    clock = Clock()
    world = patient(clock)
    pods = world.running()
    nodes = ("c0", "c1", "g0", "g1")

    def heard(ready: str) -> bool:
        return all(
            (world.surface.nodes.get(name) or {})["status"]["conditions"][0]["status"] == ready for name in nodes
        )

    for status in ("Unknown", "True"):
        for name in nodes:
            world.api.change(NODES, name, status={"conditions": [{"type": "Ready", "status": status}]})
        tended(pods, lambda status=status: heard(status))  # type: ignore[misc]
        assert pods.lost() == []
        clock.now += LOST_AFTER_S - 1.0
        assert pods.lost() == []
    world.close()


def test_work_outlives_an_api_server_that_goes_again_before_nodes_could_tell_it_that_they_live() -> None:
    clock = Clock()
    world = patient(clock)
    pods = world.running()
    world.api.change(NODES, "g1", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    tended(pods, lambda: not node_is_ready(world.surface.nodes.get("g1")))
    assert pods.lost() == []
    world.surface.nodes.problem = Unavailable("Kubernetes does not answer")
    clock.now += 10 * LOST_AFTER_S
    assert pods.lost() == []
    world.surface.nodes.problem = None
    assert pods.lost() == []
    clock.now += LOST_AFTER_S
    assert pods.lost() == [TRAINERS[1].name]
    world.close()


@BOTH
def test_an_object_is_suspended_and_over_although_its_pods_on_a_node_that_went_silent_never_answer(
    kind: Kind, make: Callable[..., Object]
) -> None:
    theirs = Theirs()
    made = theirs.running(kind, make("mine", TWO))
    theirs.api.silent.add("g0")
    made.leave()
    theirs.until(lambda: len(theirs.surface.pods.objects()) == 2, made)
    assert not made.done, "its kubelet may take the time that the pods ask for"
    assert [call for call in theirs.api.calls if call[:2] == ("delete", "pods")] == []
    theirs.api.change(NODES, "g0", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    theirs.until(lambda: made.done, made)
    assert (made.view.phase, theirs.api.named(PODS)) == (Phase.LEAVING, [])
    theirs.close()
