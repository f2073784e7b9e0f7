"""What the loop remembers is the same as what it would read anew."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.snapshot import Node, NodeState, Promise, snapshot
from fabric.scheduler.world import World
from fabric.workloads.record import Grant, Instants, Record
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


def test_only_what_a_decision_looks_at_counts_as_a_change() -> None:
    waits = record(job("a"))
    world = World({"a": waits}, NODES, HEAD)
    world.looked_at()
    world.put(replace(waits, waits_for="1 GPU short", message="told"))
    assert not world.changed
    world.put(replace(waits, passed=1))
    assert world.changed


def test_a_job_that_succeeds_lets_its_dependents_be_looked_at() -> None:
    first, second = holding("a", State.RUNNING, "c0"), record(job("b", after=("a",)))
    world = World({"a": first, "b": second}, NODES, HEAD)
    before = world.snapshot.waiting
    world.put(replace(first, state=State.SUCCEEDED))
    assert [work.blocked_by for work in (*before, *world.snapshot.waiting)] == [("a",), ()]
    assert world.dependents("a") == ["b"]


def test_a_promise_is_kept_while_its_owner_waits_and_forgotten_when_the_nodes_change() -> None:
    kept = Promise(50.0, ((0, 1, 0, 0),))
    world = World({"a": record(job("a")), "b": record(job("b"))}, NODES, HEAD)
    world.keep_promises({"a": kept})
    world.put(replace(record(job("a")), message="told"))
    assert [work.promise for work in world.snapshot.waiting] == [kept, None]
    world.keep_promises({"b": kept})
    assert [work.promise for work in world.snapshot.waiting] == [None, kept]
    down = tuple(replace(node, state=NodeState.DOWN) if node.name == "g0" else node for node in NODES)
    world.move_nodes(down)
    assert [work.promise for work in world.snapshot.waiting] == [None, None]
    assert world.snapshot.idle[world.snapshot.site.row["g0"]].tolist() == [0, 0, 0]


def test_a_node_that_comes_back_has_what_its_workloads_leave() -> None:
    held = holding("a", State.RUNNING, "g0")
    down = tuple(replace(node, state=NodeState.DRAINING) if node.name == "g0" else node for node in NODES)
    world = World({"a": held}, down, HEAD)
    world.move_nodes(NODES)
    idle = world.snapshot.idle[world.snapshot.site.row["g0"]].tolist()
    assert idle == [3000, 2000, 7 * 2**30]
    assert Resources.of(4, 2, "8 GiB") == NODES[2].capacity
