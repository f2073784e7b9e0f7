"""What the loop remembers is the same as what it would read anew."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.config.projects import Project
from fabric.core.resources import Resources
from fabric.scheduler import quota
from fabric.scheduler.columns import NodeColumns
from fabric.scheduler.holding import held_by
from fabric.scheduler.promises import set_aside_of
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Claim, Node, NodeState, Promise, Told, snapshot
from fabric.scheduler.world import NOBODY, World
from fabric.workloads.record import Grant, Instants, Record, SetAside
from fabric.workloads.spec import Group, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import HEAD, group, hybrid, job, piece, record

NODES = tuple(sorted(hybrid(), key=lambda node: node.name))


def same(world: World, records: dict[str, Record], nodes: tuple[Node, ...] = NODES) -> None:
    """The remembered snapshot is the one made from scratch, its idle amounts included."""
    known, anew = world.snapshot, snapshot(records, nodes, HEAD)
    assert known == anew
    assert (known.idle == anew.idle).all()


def holding(name: str, state: State, node: str, **more: Any) -> Record:
    spec = job(name, "true", group("t", 1, gpus=0.5), walltime_s=100.0, **more)
    return replace(record(spec, state, at=1.0), grant=Grant((piece(node, head=True),)), at=Instants(1.0, granted=2.0))


MOVES = st.tuples(st.sampled_from("abcde"), st.sampled_from(list(State)), st.sampled_from(["g0", "g1", "c0", "c1"]))


@given(st.lists(MOVES, max_size=25))
def test_after_any_changes_the_snapshot_is_the_one_made_from_scratch(moves: list[tuple[str, State, str]]) -> None:
    world, records = World({}, NODES, HEAD), dict[str, Record]()
    for name, state, node in moves:
        after = ("a",) if name == "b" else ()
        changed = holding(name, state, node, after=after)
        if state is State.QUEUED:
            changed = replace(changed, grant=None)
        records[name] = changed
        world.put(changed)
        if after and "a" in records:  # what a record comes after is told with it
            world.put(records["a"])
        if len(records) % 2:
            same(world, records)
    same(world, records)


@given(st.lists(MOVES, max_size=15))
def test_after_any_changes_what_projects_hold_is_what_runs_for_them(moves: list[tuple[str, State, str]]) -> None:
    projects = tree([Project(name="vision"), Project(name="speech")])
    world = World({}, NODES, HEAD, tree=projects)
    for name, state, node in moves:
        changed = holding(name, state, node, project="vision" if name < "c" else "speech")
        world.put(replace(changed, grant=None) if state is State.QUEUED else changed)
        known = world.snapshot
        assert known.held == held_by(((work.project, work.slots) for work in known.running), projects, known.site)


def test_only_what_a_decision_looks_at_counts_as_a_change() -> None:
    waits = record(job("a"))
    world = World({"a": waits}, NODES, HEAD)
    world.looked_at()
    world.put(replace(waits, waits_for="1 GPU short", message="told"))
    assert not world.changed
    world.put(replace(waits, passed=1))
    assert world.changed


def test_work_that_begins_to_run_when_and_where_it_was_to_is_no_change_unless_it_can_be_resized() -> None:
    def change_when_it_runs(at: float, *groups: Group) -> bool:
        spec, grant = job("a", "true", *groups, walltime_s=100.0), Grant((piece("g0", "t", head=True),))
        starts = replace(record(spec, State.STARTING), grant=grant, at=Instants(1.0, granted=2.0))
        world = World({"a": starts}, NODES, HEAD)
        world.looked_at()
        world.put(replace(starts, state=State.RUNNING, at=Instants(1.0, granted=2.0, running=at)))
        same(world, world.records)
        return world.changed

    assert not change_when_it_runs(2.0, group("t"))
    assert change_when_it_runs(5.0, group("t")), "it ends later than was expected"
    assert change_when_it_runs(2.0, group("t", 2, min=1, max=2)), "it may be resized from now on"


@pytest.mark.parametrize(("sizes", "changed"), [({}, False), ({"min": 1, "max": 2}, True)])
def test_the_first_word_of_running_work_is_a_change_only_if_it_can_be_resized(
    sizes: dict[str, Any], changed: bool
) -> None:
    running = holding("a", State.RUNNING, "g0")
    spec = job("a", "true", group("t", 1, **sizes), walltime_s=100.0)
    world = World({"a": replace(running, spec=spec)}, NODES, HEAD)
    world.looked_at()
    assert world.tell("a", Told(1, workers=1))
    assert world.changed is changed


def test_a_job_that_succeeds_lets_its_dependents_be_looked_at() -> None:
    first, second = holding("a", State.RUNNING, "c0"), record(job("b", after=("a",)))
    world = World({"a": first, "b": second}, NODES, HEAD)
    before = world.snapshot.waiting
    world.put(replace(first, state=State.SUCCEEDED))
    assert [work.blocked_by for work in (*before, *world.snapshot.waiting)] == [("a",), ()]
    assert world.dependents("a") == ["b"]


def test_a_promise_is_kept_while_its_owner_waits() -> None:
    kept = Promise(50.0, ((0, 1, 0, 0),))
    world = World({"a": record(job("a")), "b": record(job("b"))}, NODES, HEAD)
    world.looked_at()
    assert world.keep_promises({"a": kept}) == {"a": set_aside_of(kept, NodeColumns.of(NODES))}
    world.put(replace(record(job("a")), message="told"))
    assert [work.promise for work in world.snapshot.waiting] == [kept, None]
    assert world.keep_promises({"a": kept}) == {}
    assert world.keep_promises({"b": kept}).keys() == {"a", "b"}
    assert [work.promise for work in world.snapshot.waiting] == [None, kept]
    assert not world.changed


def test_a_promise_goes_with_its_node_and_stays_when_another_one_changes() -> None:
    first, second = Promise(50.0, ((2, 1, 0, 0),)), Promise(60.0, ((3, 1, 0, 0),))
    world = World({"a": record(job("a")), "b": record(job("b"))}, NODES, HEAD)
    world.keep_promises({"a": first, "b": second})
    fewer = tuple(replace(n, state=NodeState.DOWN) if n.name == "g0" else n for n in NODES if n.name != "c1")
    world.move_nodes(fewer)
    # g0 had row 2 and is down; g1 had row 3 and has row 2 now.
    assert [work.promise for work in world.snapshot.waiting] == [None, Promise(60.0, ((2, 1, 0, 0),))]
    assert world.snapshot.idle[world.snapshot.site.row["g0"]].tolist() == [0, 0, 0]
    assert world.keep_promises({}) == {"a": None, "b": None}


SMALL = Resources.of(1, 0, "1 GiB")


@pytest.mark.parametrize(
    ("what", "parts", "kept"),
    [
        ("its nodes are as they were", (("c0", SMALL), ("c1", SMALL)), True),
        ("a node is gone", (("c0", SMALL), ("c9", SMALL)), False),
        ("a node is down", (("c0", SMALL), ("g0", SMALL)), False),
        ("two slices fill a node", (("c1", SMALL * 2), ("c1", SMALL * 2)), True),
        ("a node has become too small for both", (("c1", SMALL * 3), ("c1", SMALL * 2)), False),
    ],
)
def test_what_a_record_says_is_set_aside_comes_back_if_its_nodes_can_hold_it(
    what: str, parts: tuple[tuple[str, Resources], ...], kept: bool
) -> None:
    nodes = tuple(replace(node, state=NodeState.DOWN) if node.name == "g0" else node for node in NODES)
    world = World({"a": replace(record(job("a")), set_aside=SetAside(50.0, parts))}, nodes, HEAD)
    (waits,) = world.snapshot.waiting
    assert (waits.promise is not None) is kept, what
    if waits.promise:
        assert set_aside_of(waits.promise, world.snapshot.site) == SetAside(50.0, parts)
        assert world.keep_promises({"a": waits.promise}) == {}
    # What the record says wrongly is corrected by the next plan, also if that promises nothing.
    assert world.keep_promises({}) == {"a": None}


def test_other_claims_are_a_change_and_the_same_ones_are_none() -> None:
    window = Claim("service", 10.0, 20.0, ("g0",))
    world = World({}, NODES, HEAD, claims=(window,))
    world.looked_at()
    world.move_claims((window,))
    assert not world.changed
    later = replace(window, name="again", start=30.0, end=40.0)
    world.move_claims((later, window))
    assert world.changed
    assert world.snapshot.claims == (window, later)


def test_grace_and_projects_are_in_the_snapshot_also_after_nodes_moved() -> None:
    projects = quota.tree([Project(name="physics")])
    world = World({}, NODES, HEAD, grace_s=7.0, tree=projects)
    world.move_nodes(NODES[1:])
    assert (world.snapshot.grace_s, world.snapshot.tree) == (7.0, projects)


def test_a_node_that_comes_back_has_what_its_workloads_leave() -> None:
    held = holding("a", State.RUNNING, "g0")
    down = tuple(replace(node, state=NodeState.DRAINING) if node.name == "g0" else node for node in NODES)
    world = World({"a": held}, down, HEAD)
    world.move_nodes(NODES)
    idle = world.snapshot.idle[world.snapshot.site.row["g0"]].tolist()
    assert idle == [3000, 2000, 7 * 2**30]
    assert Resources.of(4, 2, "8 GiB") == NODES[2].capacity


def test_what_the_cluster_of_a_job_that_ended_still_occupies_counts_for_its_project() -> None:
    projects = tree([Project(name="ml"), Project(name="default")])
    runs = holding("a", State.RUNNING, "g0", project="ml")
    assert runs.grant is not None
    parts, world = runs.grant.slices, World({"a": runs}, NODES, HEAD, tree=projects)
    before = world.snapshot.held
    world.put(replace(runs, state=State.SUCCEEDED))
    world.hold("a-1", parts, 50.0)
    assert world.snapshot.held == before
    again = World(world.records, NODES, HEAD, tree=projects, before=world)
    again.hold("a-1", parts, 60.0)
    assert again.snapshot.held == before, "also once everything was read anew"
    after_a_restart = World({}, NODES, HEAD, tree=projects)
    after_a_restart.hold("a-1", parts, 60.0)
    assert list(after_a_restart.snapshot.held.whole) == [NOBODY], "nobody knows whose it is"
    again.hold("a-1", (), 70.0)
    assert not again.snapshot.held.whole


def test_what_a_shrinking_gang_is_about_to_give_back_counts_for_its_project() -> None:
    projects = tree([Project(name="ml"), Project(name="default")])
    spec = job("a", "true", group("t", 2, min=1, max=2), project="ml")
    whole = Grant((piece("c0", "t", head=True), piece("c1", "t")))
    runs = replace(record(spec, State.RUNNING), grant=whole)
    world = World({"a": runs}, NODES, HEAD, tree=projects)
    before = world.snapshot.held
    world.put(replace(runs, state=State.RESIZING, target=Grant(whole.slices[:1]), leave_by=9.0))
    assert {work.name: work.project for work in world.snapshot.running} == {"a": "ml", "a (shrinks)": "ml"}
    assert world.snapshot.held == before


def test_how_long_the_owners_last_two_runs_took_is_what_the_next_is_expected_to_take() -> None:
    world = World({}, NODES, HEAD, predicts=True)
    for number, ran_s in enumerate((500.0, 10.0, 30.0)):
        ran = holding(f"sweep-{number}", State.RUNNING, "c0")
        world.put(replace(ran, at=replace(ran.at, running=100.0)))
        world.put(replace(ran, state=State.SUCCEEDED, at=replace(ran.at, running=100.0, ended=100.0 + ran_s)))
    world.put(record(job("sweep-3", "true", walltime_s=100.0)))
    world.put(record(job("other-1", "true", walltime_s=100.0)))
    assert {work.name: work.likely_s for work in world.snapshot.waiting} == {"sweep-3": 20.0, "other-1": 100.0}


def test_jobs_of_unknown_length_are_ordered_by_the_service_they_have_had() -> None:
    world = World({}, NODES, HEAD, predicts=True)
    for name, ran_s in (("fresh", 0.0), ("some", 3_000.0), ("more", 4_000.0), ("most", 50_000.0)):
        world.put(record(job(name, "true"), ran_s=ran_s))
    likely = {work.name: work.likely_s for work in world.snapshot.waiting}
    assert likely == {"fresh": 0.0, "some": 0.0, "more": 3250.0, "most": 18000.0}
    wide = group("w", 2, gpus=2.0)
    world.put(record(job("wide", "true", wide), ran_s=1_000.0))
    assert {work.name: work.likely_s for work in world.snapshot.waiting}["wide"] == 3250.0 / 4


def test_of_work_that_saves_only_what_is_left_counts() -> None:
    world = World({}, NODES, HEAD, predicts=True)
    for name, saves in (("saves", True), ("again", False)):
        world.put(record(job(name, "true", walltime_s=100.0, checkpoints=saves), ran_s=30.0))
    assert {work.name: work.likely_s for work in world.snapshot.waiting} == {"saves": 70.0, "again": 100.0}


def test_services_are_not_ordered_by_length() -> None:
    chat = WorkloadSpec(name="chat", kind="service", service=ServiceSpec(model="m@champion"))
    world = World({"chat": record(chat)}, NODES, HEAD, predicts=True)
    assert world.snapshot.waiting[0].expected_s is None


def test_what_projects_hold_is_counted_as_time_goes_on() -> None:
    projects = tree((Project(name="a"), Project(name="b")))
    world = World({}, NODES, HEAD, tree=projects)
    world.use(100.0, 1e9)
    busy = holding("x", State.RUNNING, "g0")
    world.put(replace(busy, spec=busy.spec.model_copy(update={"project": "a"})))
    world.use(100.0, 1e9)
    world.use(108.0, 1e9)
    usage = world.snapshot.usage
    # One of eight CPUs of the commodity tier for eight seconds.
    assert (usage.at, round(usage.of("a"), 3), usage.of("b")) == (108.0, 1.0, 0.0)
