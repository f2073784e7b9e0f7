"""The policies for a live site, and several of them together."""

from collections.abc import Mapping

import numpy as np
import pytest

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes
from fabric.scheduler.policies.columns import Ask, Ints, NodeColumns
from fabric.scheduler.policies.policy import Context
from fabric.scheduler.policies.table import POLICIES, policy, weighted
from tests.unit.scheduler.policies.world import Box, ask, boxes

RACKS = boxes(Box(place=(0, 0)), Box(place=(0, 1)), Box(place=(1, 2)))


def _scores(name: str, asked: Ask, nodes: NodeColumns, context: Context = Context()) -> list[float]:  # noqa: B008
    return [float(score) for score in POLICIES[name].score(asked, nodes, context)]


def test_pack_prefers_the_node_that_ends_up_fullest_by_its_own_size() -> None:
    large, small = Box(32, gib=8, used_cores=32), Box(8, gib=8, used_cores=8)
    assert _scores("pack", ask(8, gib=4), boxes(large, small)) == [1 - (24 / 64 + 0.5) / 2, 1 - (0 + 0.5) / 2]


def test_pack_counts_devices_only_where_there_are_any() -> None:
    assert _scores("pack", ask(4, gib=4), boxes(Box(8, gib=8), Box(8, (0,), gib=8))) == [0.5, pytest.approx(2 / 3)]


def test_spread_goes_to_another_group_and_gather_to_the_same_rack() -> None:
    context = Context(siblings=np.array([[0, 0]]))
    assert _scores("spread", ask(), RACKS, context) == [0.0, 0.5, 1.0]
    assert _scores("gather", ask(), RACKS, context) == [1.0, 0.5, 0.0]


def test_distance_is_the_mean_over_all_siblings() -> None:
    context = Context(siblings=np.array([[0, 0], [0, 1], [0, 1], [1, 2]]))
    assert _scores("spread", ask(), RACKS, context) == [0.5, 0.375, 0.75]


@pytest.mark.parametrize("siblings", [None, np.empty((0, 2), dtype=np.int64)], ids=["untold", "none"])
def test_the_first_slice_may_go_anywhere(siblings: Ints | None) -> None:
    assert len(set(_scores("spread", ask(), RACKS, Context(siblings=siblings)))) == 1
    assert len(set(_scores("gather", ask(), RACKS, Context(siblings=siblings)))) == 1


def test_locality_is_the_part_of_image_and_weights_that_is_there() -> None:
    context = Context(needed=Bytes(400), held_bytes=np.array([0, 100, 900]))
    assert _scores("locality", ask(), RACKS, context) == [0.0, 0.25, 1.0]
    assert _scores("locality", ask(), RACKS) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("held", [None, np.array([1, 2])], ids=["untold", "two of three"])
def test_locality_refuses_to_guess_what_a_node_holds(held: Ints | None) -> None:
    with pytest.raises(BadInput, match="Give one number for each row"):
        _scores("locality", ask(), RACKS, Context(needed=Bytes(400), held_bytes=held))


def test_work_for_processors_stays_off_nodes_with_idle_accelerators() -> None:
    nodes = boxes(Box(left=(1000, 1000)), Box(left=(1000, 0)), Box(left=(0, 0)), Box())
    assert _scores("keep-gpus-free", ask(1), nodes) == [0.0, 0.25, 0.5, 1.0]
    assert _scores("keep-gpus-free", ask(1, 1), nodes) == [1.0] * 4


def test_several_policies_together_are_their_weighted_mean() -> None:
    context = Context(siblings=np.array([[0, 0]]), needed=Bytes(400), held_bytes=np.array([0, 100, 900]))
    together = weighted(ask(), RACKS, context, weights={"spread": 3.0, "locality": 1.0, "fgd": 0.0})
    assert together.tolist() == [0.0, 0.4375, 1.0]


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({}, "not all zero"),
        ({"pack": 0.0}, "not all zero"),
        ({"pack": 2.0, "spread": -1.0}, "must not be negative"),
        ({"pakc": 1.0}, "no placement policy 'pakc'. Choose one of random, dotprod"),
    ],
)
def test_weights_that_say_nothing_are_refused(weights: Mapping[str, float], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        weighted(ask(), RACKS, Context(), weights=weights)


def test_a_policy_is_found_by_its_name() -> None:
    assert policy("fgd") is POLICIES["fgd"]
