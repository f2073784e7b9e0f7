"""Whatever runs, lends and waits: plans that make people leave, shrink and grow are sound."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fabric.config.projects import Project, Share
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.plan import Place
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision, replay, write_decision
from fabric.scheduler.snapshot import Claim, Running, Snapshot, Told, Waiting
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group, Priority
from tests.unit.scheduler.test_room import NOW, asks, elastic, seen

PROJECTS = (
    Project(name="a", guaranteed={"gpu": Share(gpus=4.0)}),
    Project(name="b", guaranteed={"gpu": Share(gpus=2.0)}, limit={"gpu": Share(gpus=6.0)}),
)
GPU_NODES = 5
POLICIES = st.sampled_from(
    [
        Policy(min_run_s=0.0),
        Policy(),
        Policy(min_run_s=0.0, protect="all", backfill="shortest"),
        Policy(min_run_s=0.0, protect=0),
        Policy(min_run_s=0.0, elastic=False),
        Policy(min_run_s=0.0, loans=False, victims="newest"),
        Policy(backfill="off", preemption=False, min_run_s=0.0),
    ]
)
CLASSES = st.sampled_from(["interactive", "batch", "harvest"])


@st.composite
def running(draw: st.DrawFn, name: str, nodes: list[str]) -> Running:
    """Something on some of `nodes`, with a slice of one or two workers of one GPU on each."""
    slices = [Slice("head", "head", "c0", "commodity", 1, Resources.of(0.1, 0, "1 MiB"), head=True)]
    for number, node in enumerate(nodes):
        workers = draw(st.integers(1, 2))
        slices.append(Slice(f"w-{number}", "w", node, "gpu", workers, Resources.of(0.5, 1, "1 GiB") * workers))
    size = sum(part.workers for part in slices[1:])
    kind = draw(st.sampled_from(["rigid", "elastic", "service"]))
    more: dict[str, Any] = {}
    if kind != "rigid":
        least, count = draw(st.integers(1, size)), draw(st.integers(1, size))
        count = max(least, count)
        more["elastic"] = Group(
            name="w", count=count, min=least, max=max(size, draw(st.integers(1, 8))), tier="gpu", cpus=0.5, gpus=1.0
        )
    demand, settled = None, draw(st.booleans())
    if kind == "service":
        demand = Demand(NOW, 600.0, tuple(draw(st.lists(st.integers(0, 6), min_size=1, max_size=6))), "drawn")
        more |= {"service": True, "wants": draw(st.sampled_from([None, None, 1, 5]))}
    else:
        more["ends"] = draw(st.sampled_from([None, NOW + 5, NOW + 700, NOW + 90_000]))
    left_s, says = draw(st.sampled_from([None, 50.0, 50_000.0])), draw(st.sampled_from([None, size]))
    told = Told(1, saved=NOW - 100, save_s=2.0, left_s=left_s, workers=says, demand=demand)
    return Running(
        name, Grant(tuple(slices)), more.pop("ends", None),
        rank=0 if kind == "service" else Priority(draw(CLASSES)).rank, project=draw(st.sampled_from("ab")),
        since=draw(st.sampled_from([0.0, NOW - 60])), staged_s=7.0,
        movable=draw(st.integers(0, 3)) > 0, settled=settled, told=told, **more,
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    """Five GPU nodes of two devices, dealt out to what runs; and some who wait."""
    owners = draw(st.lists(st.sampled_from(["none", "r0", "r1", "r2"]), min_size=GPU_NODES, max_size=GPU_NODES))
    held = [
        draw(running(name, nodes))
        for name in sorted(set(owners) - {"none"})
        if (nodes := [f"g{i}" for i, owner in enumerate(owners) if owner == name])
    ]
    waits: list[Waiting] = []
    for number in range(draw(st.integers(0, 5))):
        work = asks(f"w{number}", draw(st.integers(1, 4)), priority=draw(CLASSES), gpus=draw(st.integers(1, 2)))
        groups = (elastic(1, 2, 6, gpus=1),) if draw(st.booleans()) else work.groups
        walltime_s = draw(st.sampled_from([None, 60.0, 5_000.0]))
        project, saves = draw(st.sampled_from("ab")), draw(st.booleans())
        waits.append(replace(work, groups=groups, walltime_s=walltime_s, project=project, saves=saves))
    projects = PROJECTS if draw(st.booleans()) else ()
    small = seen(*held, *waits, gpu_nodes=GPU_NODES, projects=projects)
    claims = [Claim("window", NOW + 300, NOW + 900, ("g4",))] if draw(st.booleans()) else []
    return Snapshot.of(
        small.nodes, small.running, small.waiting, head=small.head, claims=claims, grace_s=20.0, tree=small.tree
    )


@given(worlds(), POLICIES)
def test_nobody_gets_what_somebody_still_holds(world: Snapshot, policy: Policy) -> None:
    plan = decide(world, policy, NOW)
    held = {work.name: work.grant for work in world.running}
    for resize in plan.resized:
        if resize.after > resize.before:
            held[resize.workload] = resize.grant
    used: dict[str, Resources] = {}
    for grant in [*held.values(), *(action.grant for action in plan.placed)]:
        for part in grant.slices:
            used[part.node] = used.get(part.node, Resources()) + part.resources
    assert all(used.get(node.name, Resources()).fits(node.capacity) for node in world.nodes)


@given(worlds(), POLICIES)
def test_only_those_are_disturbed_who_may_be_and_only_within_their_bounds(world: Snapshot, policy: Policy) -> None:
    plan, by_name = decide(world, policy, NOW), {work.name: work for work in world.running}
    disturbed = [*(one.workload for one in plan.preempted), *(one.workload for one in plan.resized)]
    assert len(set(disturbed)) == len(disturbed)
    for leaver in plan.preempted:
        work = by_name[leaver.workload]
        askers: list[Waiting | Running] = [*world.waiting, *(other for other in world.running if other.service)]
        assert policy.preemption
        assert work.movable
        assert not work.service
        assert any(other.rank < work.rank for other in askers) or world.tree.entries
    for resize in plan.resized:
        work, before = by_name[resize.workload], {part.name: part for part in by_name[resize.workload].grant.slices}
        assert work.resizable
        assert work.elastic is not None
        assert resize.before == work.grant.size("w")
        assert work.elastic.least <= resize.after == resize.grant.size("w") <= work.elastic.most
        assert [part.name for part in resize.grant.slices if part.head] == ["head"]
        names = [part.name for part in resize.grant.slices]
        assert len(set(names)) == len(names), "a slice is one Ray node"
        changed = [part for part in resize.grant.slices if before.get(part.name, part) != part]
        assert not changed, "a slice never changes its size"
        if resize.after > resize.before:
            assert set(before) <= set(names)


@given(worlds(), POLICIES)
def test_everybody_who_waits_has_one_answer_and_the_decision_replays(world: Snapshot, policy: Policy) -> None:
    plan = decide(world, policy, NOW)
    answered = [*(a.workload for a in plan.actions if isinstance(a, Place)), *(wait.workload for wait in plan.waits)]
    assert sorted(answered) == sorted(work.name for work in world.waiting)
    assert replay(write_decision(Decision(world, policy, NOW, plan)), "file").same
