"""What a site weighs decides where gangs go."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fabric.core.resources import Resources
from fabric.core.topology import Place
from fabric.scheduler.columns import Node, NodeColumns
from fabric.scheduler.placement import Attempt, place
from fabric.scheduler.policies.choice import Placement, Scores
from fabric.scheduler.policies.columns import Ask
from fabric.scheduler.policies.fragmentation import task_mix
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.table import POLICIES
from fabric.scheduler.policies.view import fixed, free_devices
from fabric.scheduler.shape import shape_of
from fabric.simulator.openb import POLICIES as PUBLISHED
from fabric.simulator.openb_cluster import Cluster
from fabric.workloads.spec import ArtifactSpec
from tests.builders import group
from tests.unit.scheduler.policies.sites import room_of, shape_for, site_of
from tests.unit.scheduler.policies.world import Box, ask, boxes, some_asks, some_boxes

RACKS = ("a-1", "a-2", "b-3")
"""Racks of three nodes each, of two groups."""
TALL_NODES = [
    Node(f"{rack}-{n}", "gpu", Resources.of(8, 2, "64 GiB"), heads=True, place=Place(rack[0], rack))
    for rack in RACKS
    for n in range(3)
]
TALL = NodeColumns.of(TALL_NODES)


def nodes_of(attempt: Attempt, site: NodeColumns = TALL) -> list[str]:
    return [site.names[piece.row] for piece in attempt.pieces]


def placed(weights: Mapping[str, float], workers: int, used: Mapping[str, int] = {}, **more: Any) -> list[str]:
    """Nodes of a gang of workers with two accelerators each, where some nodes have fewer cores left."""
    room = TALL.capacity.copy()
    for name, cpus in used.items():
        room[TALL.row[name], 0] -= cpus * 1000
    scores = Scores.of(Placement(weights=dict(weights)), TALL)
    shape = shape_of([group(count=workers, gpus=2.0)])
    return nodes_of(place(shape, room, TALL, None, scores=scores, **more))


def test_a_gang_gathers_in_a_rack_and_then_in_its_group() -> None:
    assert placed({"gather": 1.0}, 4, {"a-2-1": 2}) == ["a-2-1", "a-2-0", "a-2-2", "a-1-0"]


def test_replicas_spread_over_groups() -> None:
    assert placed({"spread": 1.0}, 4) == ["a-1-0", "b-3-0", "a-2-0", "b-3-1"]


def test_what_a_workload_holds_already_draws_its_next_workers() -> None:
    assert placed({"gather": 1.0}, 2, beside=[TALL.row["b-3-2"]]) == ["b-3-0", "b-3-1"]


def test_a_fuller_node_wins_only_if_the_scores_are_equal() -> None:
    assert placed({"gather": 1.0}, 1, {"b-3-1": 4}) == ["b-3-1"]
    assert placed({"dotprod": 1.0, "gather": 1.0}, 1, {"b-3-1": 4}, beside=[0]) == ["a-1-0"]


def test_weights_of_nothing_leave_the_fullest_node_first() -> None:
    assert Scores.of(Placement(), TALL) is None
    assert placed({}, 2, {"b-3-1": 4}) == ["b-3-1", "a-1-0"]


def test_a_head_follows_its_workers() -> None:
    scores = Scores.of(Placement(weights={"gather": 1.0}), TALL)
    head = shape_of([group("head")]).parts[0]
    room = TALL.capacity.copy()
    room[: TALL.row["b-3-0"], 1] = 0
    room[TALL.row["a-1-0"], 0] = 1000
    found = place(shape_of([group(count=2, gpus=2.0)]), room, TALL, head, scores=scores)
    assert nodes_of(found)[0].startswith("b-3")
    without = place(shape_of([group(count=2, gpus=2.0)]), room, TALL, head)
    assert nodes_of(without)[0] == "a-1-0", "the fullest node"


def test_replicas_go_where_their_weights_are() -> None:
    model = ArtifactSpec(name="apertus", size="140 GiB")
    holding = {"a-2-1": frozenset({"apertus", "vllm"}), "b-3-0": frozenset({"apertus"}), "a-1-0": frozenset({"vllm"})}
    site = NodeColumns.of(replace(node, holds=holding.get(node.name, frozenset())) for node in TALL_NODES)
    scores = Scores.of(Placement(weights={"locality": 1.0}), site)
    replicas = group(count=4, gpus=2.0, weights=model, image=ArtifactSpec(name="vllm", size="12 GiB"))
    found = place(shape_of([replicas]), site.capacity, site, None, scores=scores)
    assert nodes_of(found, site) == ["a-2-1", "b-3-0", "a-1-0", "a-1-1"]
    nothing = place(shape_of([group(gpus=2.0)]), site.capacity, site, None, scores=scores)
    assert nodes_of(nothing, site) == ["a-1-0"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"weights": {"pakc": 1.0}}, "no placement policy 'pakc'. Choose of random, dotprod"),
        ({"weights": {"pack": -1.0}}, "the weight of pack must be 0 or more, not -1.0"),
        ({"weights": {"pack": float("nan")}}, "must be 0 or more, not nan"),
        ({"weights": {"pack": 0.0}}, "one weight at least must be above 0"),
        ({"weights": {"pack": "1"}}, "valid number"),
        ({"weight": {"pack": 1.0}}, "Extra inputs are not permitted"),
        ({"ties": "random"}, "'fullest' or 'name'"),
    ],
)
def test_a_choice_that_says_nothing_or_nonsense_is_refused(fields: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Placement(**fields)


def test_where_only_the_sum_is_known_devices_are_taken_to_be_packed() -> None:
    assert free_devices(np.array([0, 300, 2000, 2300]), 3).tolist() == [
        [0, 0, 0],
        [300, 0, 0],
        [1000, 1000, 0],
        [1000, 1000, 300],
    ]


WORLDS = st.lists(some_boxes, min_size=1, max_size=6)
STREAMS = st.lists(some_asks, min_size=1, max_size=12)


def one_tier(world: list[Box]) -> list[Box]:
    return [replace(box, model="") for box in world]


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in ("random", "gpu-clustering")])
@given(world=WORLDS, stream=STREAMS)
def test_a_gang_of_one_goes_where_the_published_experiment_puts_it(
    name: str, world: list[Box], stream: list[Ask]
) -> None:
    stream = [replace(asked, models=frozenset()) for asked in stream]
    nodes = boxes(*one_tier(world))
    site, cluster = site_of(nodes), Cluster(nodes, POLICIES[name], Context(mix=task_mix(stream, nodes.models)))
    for asked in stream:
        scores = Scores(
            {name: 1.0},
            site,
            mix=task_mix(stream, fixed(site).models),
            ties="name",
            devices=cluster.nodes.free_milli_gpus.copy(),
        )
        found = place(shape_for(asked), room_of(cluster.nodes), site, None, scores=scores)
        expected = cluster.place(asked)
        assert [piece.row for piece in found.pieces] == ([expected.row] if expected else [])


@given(world=WORLDS, stream=STREAMS)
def test_packed_devices_need_not_be_told(world: list[Box], stream: list[Ask]) -> None:
    nodes = boxes(*world)
    packed = free_devices(nodes.free_milli_gpus.sum(axis=1), nodes.free_milli_gpus.shape[1])
    nodes = replace(nodes, free_milli_gpus=packed)
    site = site_of(nodes)
    scores = Scores({"fgd": 1.0}, site, mix=task_mix(stream, fixed(site).models), ties="name")
    for model in nodes.models:
        asked = replace(stream[0], models=frozenset([model]))
        mix = task_mix(stream, nodes.models)
        expected = Cluster(nodes, POLICIES["fgd"], Context(mix=mix)).place(asked)
        tier = f"tier-{model}"
        mine = replace(scores, mix=task_mix(_of_tiers(stream), fixed(site).models))
        found = place(shape_for(asked, tier), room_of(nodes), site, None, scores=mine)
        assert [piece.row for piece in found.pieces] == ([expected.row] if expected else [])


def _of_tiers(stream: list[Ask]) -> list[Ask]:
    """The same asks, whose models are called like tiers."""
    return [replace(asked, models=frozenset(f"tier-{model}" for model in asked.models)) for asked in stream]


def test_no_worker_is_put_on_pieces_of_devices_where_they_are_known() -> None:
    nodes = boxes(Box(8, (500, 500)), Box(8, (1000, 0)))
    site = site_of(nodes)
    scores = Scores({"pack": 1.0}, site, devices=nodes.free_milli_gpus)
    assert [p.row for p in place(shape_for(ask(1, 1)), room_of(nodes), site, None, scores=scores).pieces] == [1]
    assert place(shape_of([group(count=2, gpus=0.75)]), room_of(nodes), site, None, scores=scores).lacks


@given(WORLDS, STREAMS, st.integers(1, 4))
def test_whatever_is_weighed_a_gang_is_whole_and_fits(world: list[Box], stream: list[Ask], count: int) -> None:
    nodes = boxes(*one_tier(world))
    site, room = site_of(nodes), room_of(nodes)
    weights = dict.fromkeys(POLICIES, 1.0)
    shape = shape_of([group(f"g{n}", count, cpus=a.cpus.whole(), gpus=a.gpus.whole()) for n, a in enumerate(stream)])
    scores = Scores.of(Placement(weights=weights), site, expected=shape.parts)
    found = place(shape, room, site, None, scores=scores)
    left = room.copy()
    for row, *amount in found.slots:
        left[row] -= amount
    assert (left >= np.minimum(room, 0)).all()
    by_part = {part.name: sum(p.workers for p in found.pieces if p.part is part) for part in shape.parts}
    lacking = {part.name for part in found.lacks}
    assert by_part == {part.name: 0 if part.name in lacking else count for part in shape.parts}
