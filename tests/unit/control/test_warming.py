"""Clusters are kept warm where nobody has use for the room; what the site no longer wants, or a node loses, leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fabric.config import env
from fabric.config.projects import Project, Share
from fabric.config.site import Site
from fabric.config.warm import Warm
from fabric.control.blueprint import SiteBlueprint
from fabric.control.callers import Role
from fabric.control.warming import APART_S, Warmer, place_of, resources_of, spec_of
from fabric.core.errors import Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.quota import tree
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import NodeState, Running, Waiting
from fabric.store.keys import Key
from fabric.workloads.record import Grant, Slice
from tests.builders import cpu_node, gpu_node, piece, running, tiny_site, waiting, wanted, world

SHAPE = Warm(tier="commodity", memory="1 GiB")
SITE = tiny_site(warm=(SHAPE,))
NODES = (gpu_node("g0"), cpu_node("c0"), cpu_node("c1"))
FULL = Resources.of(4, 0, "8 GiB")


def decided(*work: Waiting | Running) -> Decision:
    return Decision(world(*work, nodes=NODES), Policy(), 100.0, Plan())


def made(name: str, grant: Grant) -> WantedCluster:
    return wanted(f"{name}-1", *grant.slices, warm=True)


@dataclass
class FakeWarm:
    """Warm clusters in memory."""

    there: dict[str, tuple[Slice, ...]] = field(default_factory=dict)
    cooled: list[str] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def warm(self) -> Mapping[str, tuple[Slice, ...]]:
        return self.there

    def keep_warm(self, wanted: WantedCluster) -> None:
        self.there[wanted.name] = wanted.grant.slices

    def cool(self, cluster: str) -> None:
        self.cooled.append(cluster)
        del self.there[cluster]

    def end_warm(self, patience_s: float) -> None:
        self.ended.append(patience_s)


class Clock:
    """Seconds as told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Turned:
    """A warmer whose thread does not run."""

    def __init__(self, site: Site = SITE, decision: Decision | None = None) -> None:
        self.clusters, self.clock, self.decision = FakeWarm(), Clock(), decision or decided()
        self.warmer = Warmer(self.clusters, site, lambda: self.decision, made, now=self.clock)

    def turns(self, count: int = 1) -> list[str]:
        """Nodes of what is warm after so many looks, far apart."""
        for _ in range(count):
            self.clock.now += APART_S
            self.warmer.turn()
        return sorted(parts[0].node for parts in self.clusters.there.values())


def test_a_cluster_waits_where_the_scheduler_would_place_such_work_now() -> None:
    warm = Turned()
    assert warm.turns() == ["c0"]
    ((part,),) = warm.clusters.there.values()
    assert (part.group, part.tier, part.workers, part.head) == ("workers", "commodity", 1, True)
    assert part.resources == Resources.of(1, 0, "1 GiB")
    assert (warm.turns(3), warm.clusters.cooled) == (["c0"], [])


@pytest.mark.parametrize(
    ("busy", "nodes"),
    [
        ("nobody is there", ["c0", "c0"]),
        ("one node is full", ["c1", "c1"]),
        ("all nodes are full", []),
        ("somebody waits", []),
    ],
)
def test_room_that_somebody_has_use_for_is_never_taken(busy: str, nodes: list[str]) -> None:
    full = [running(f"w{node}", piece(node, resources=FULL, head=True)) for node in ("c0", "c1")]
    decision = {
        "nobody is there": decided(),
        "one node is full": decided(full[0]),
        "all nodes are full": decided(*full),
        "somebody waits": decided(waiting("later")),
    }[busy]
    assert Turned(tiny_site(warm=(SHAPE.model_copy(update={"count": 2}),)), decision).turns(4) == nodes


def test_two_are_started_one_after_the_other_and_not_more_often_than_every_so_often() -> None:
    warm = Turned(tiny_site(warm=(SHAPE.model_copy(update={"count": 2}),)))
    warm.turns()
    warm.warmer.turn()
    assert len(warm.clusters.there) == 1
    assert len(warm.turns()) == 2


def test_what_the_site_wants_no_more_or_in_another_shape_leaves() -> None:
    warm = Turned()
    warm.turns()
    (first,) = warm.clusters.there
    warm.warmer.use(tiny_site(warm=(SHAPE.model_copy(update={"cpus": 2.0}),)))
    warm.turns()
    ((part,),) = warm.clusters.there.values()
    assert (warm.clusters.cooled, part.resources.cpus.whole()) == ([first], 2.0)
    warm.warmer.use(tiny_site())
    assert warm.turns() == []


def test_one_on_a_node_that_takes_no_work_leaves() -> None:
    warm = Turned()
    warm.turns()
    draining = (NODES[0], replace(NODES[1], state=NodeState.DRAINING), NODES[2])
    warm.decision = Decision(world(nodes=draining), Policy(), 100.0, Plan())
    assert (warm.turns(), len(warm.clusters.cooled)) == (["c1"], 1)


def test_a_site_that_keeps_nothing_warm_asks_for_nothing_and_one_that_did_leaves_nothing() -> None:
    cold = Turned(tiny_site())
    cold.clusters.warm = None  # type: ignore[assignment, method-assign]
    assert cold.turns() == []
    cold.warmer.end()
    assert cold.clusters.ended == []
    warm = Turned()
    warm.turns()
    warm.warmer.end()
    assert len(warm.clusters.ended) == 1


def test_limits_of_projects_are_not_about_what_is_nobodys() -> None:
    listed = tree([Project(name="default", limit={"commodity": Share(cpus=0.0)})])
    decision = replace(decided(), snapshot=replace(decided().snapshot, tree=listed))
    spec = spec_of("warm-1", SHAPE, SITE)
    grant = place_of("warm-1", spec, decision, [])
    assert grant is not None
    assert grant.slices[0].node == "c0"


def test_a_shape_that_says_little_is_what_work_gets_that_says_little() -> None:
    assert resources_of(Warm(tier="commodity"), SITE) == Resources.of(SITE.defaults.cpus, 0, SITE.defaults.memory)


@dataclass
class FakeSecrets:
    """Remembers keys."""

    keys: dict[str, Key] = field(default_factory=dict)

    def secret(self, workload: str, kind: str, make: Any) -> str:
        return str(make())

    def add_key(self, sha256: str, key: Key) -> None:
        self.keys[sha256] = key


def test_the_key_of_a_warm_cluster_opens_nothing_before_it_is_given_to_work_and_then_that_alone(tmp_path: Path) -> None:
    kept = FakeSecrets()
    blueprint = SiteBlueprint(SITE, tmp_path, tmp_path / "cache", kept, None, None, None)  # type: ignore[arg-type]
    warm = blueprint.warm("warm-1", Grant((piece("c0", head=True),)), 5.0)
    assert (warm.name, warm.warm, warm.entrypoint, warm.born, kept.keys) == ("warm-1-1", True, "", 5.0, {})
    assert warm.env[env.TOKEN] == warm.env["MLFLOW_TRACKING_TOKEN"] != ""
    assert not {env.WORKLOAD, env.ATTEMPT, env.USER, env.ARTIFACTS} & warm.env.keys()
    blueprint.let_in(warm, wanted("job-2", piece("c0", head=True), project="physics", born=7.0))
    (key,) = kept.keys.values()
    assert (key.role, key.project, key.workload) == (Role.WORKLOAD, "physics", "job")


@pytest.mark.parametrize(
    ("tier", "words"),
    [("gpu", "tier gpu holds no Ray heads"), ("tape", "there is no tier 'tape'; there are commodity, gpu")],
)
def test_a_warm_cluster_needs_a_tier_that_holds_heads(tier: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_site(warm=(Warm(tier=tier),))


def test_what_cannot_be_started_now_is_tried_again() -> None:
    warm = Turned()

    def refuse(wanted: WantedCluster) -> None:
        raise Unavailable("no port is free")

    begin, warm.clusters.keep_warm = warm.clusters.keep_warm, refuse  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        warm.turns()
    warm.clusters.keep_warm = begin  # type: ignore[method-assign]
    assert warm.turns() == ["c0"]
