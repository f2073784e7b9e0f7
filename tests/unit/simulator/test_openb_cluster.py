"""A cluster that fills up keeps what it promised, however it remembers its scores."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.scheduler.policies.columns import Ask
from fabric.scheduler.policies.fragmentation import task_mix
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.table import POLICIES
from fabric.simulator.openb import POLICIES as PUBLISHED
from fabric.simulator.openb_cluster import Cluster, Placed
from tests.unit.scheduler.policies.world import Box, ask, boxes, some_asks, some_boxes

worlds = st.lists(some_boxes, min_size=1, max_size=6)
streams = st.lists(some_asks, min_size=1, max_size=25)


def _filled(name: str, world: list[Box], stream: list[Ask], *, by_row: bool | None = None) -> list[Placed | None]:
    nodes = boxes(*world)
    policy = POLICIES[name] if by_row is None else replace(POLICIES[name], by_row=by_row)
    cluster = Cluster(nodes, policy, Context(seed=(3,), mix=task_mix(stream, nodes.models)))
    return [cluster.place(asked) for asked in stream]


@pytest.mark.parametrize("name", PUBLISHED)
@given(world=worlds, stream=streams)
def test_no_node_and_no_device_is_ever_given_twice(name: str, world: list[Box], stream: list[Ask]) -> None:
    left = boxes(*world)
    for asked, placed in zip(stream, _filled(name, world, stream), strict=True):
        if placed is None:
            continue
        left.free_milli_cpus[placed.row] -= asked.cpus.count
        left.free_bytes[placed.row] -= asked.memory.count
        for device in placed.devices:
            left.free_milli_gpus[placed.row, device] -= asked.gpu.count
        assert len(placed.devices) == asked.num_gpus
        assert not asked.models or left.models[left.model[placed.row]] in asked.models
    assert min(left.free_milli_cpus.min(), left.free_bytes.min(), left.free_milli_gpus.min()) >= 0


@pytest.mark.parametrize("name", PUBLISHED)
@given(world=worlds, stream=streams)
def test_the_same_stream_is_placed_in_the_same_way_again(name: str, world: list[Box], stream: list[Ask]) -> None:
    assert _filled(name, world, stream) == _filled(name, world, stream)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if POLICIES[name].by_row])
@given(world=worlds, stream=streams)
def test_kept_scores_place_as_fresh_ones_do(name: str, world: list[Box], stream: list[Ask]) -> None:
    assert _filled(name, world, stream, by_row=True) == _filled(name, world, stream, by_row=False)


def test_an_ask_is_lost_only_if_it_fits_nowhere() -> None:
    world = [Box(4, (1000,)), Box(4, (1000,))]
    placed = _filled("best-fit", world, [ask(1, 0.75), ask(1, 0.75), ask(1, 0.5), ask(1, 0.25), ask(1, 1)])
    assert placed == [Placed(0, (0,)), Placed(1, (0,)), None, Placed(0, (0,)), None]


def test_scores_that_differ_by_less_than_a_step_leave_it_to_the_first_node() -> None:
    nodes = boxes(Box(18), Box(17))
    assert Cluster(nodes, POLICIES["best-fit"], Context()).place(ask(1)) == Placed(0, ())
    assert Cluster(nodes, POLICIES["best-fit"], Context(), exact=True).place(ask(1)) == Placed(1, ())


def test_the_nodes_that_were_given_are_left_as_they_were() -> None:
    nodes = boxes(Box(4, (1000,)))
    cluster = Cluster(nodes, POLICIES["best-fit"], Context())
    cluster.place(ask(1, 1))
    assert nodes.free_milli_gpus.tolist() == [[1000]]
    assert cluster.nodes.free_milli_gpus.tolist() == [[0]]
    assert np.array_equal(cluster.nodes.kinds, [2])
