"""Each of the six published policies does what its docstring says."""

from collections import Counter

import numpy as np
import pytest

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import Ask, NodeColumns
from fabric.scheduler.policies.policy import Context, devices
from fabric.scheduler.policies.table import POLICIES
from tests.unit.scheduler.policies.world import Box, ask, boxes, mix


def _scores(name: str, asked: Ask, nodes: NodeColumns, context: Context = Context()) -> list[float]:  # noqa: B008
    return [round(float(score), 6) for score in POLICIES[name].score(asked, nodes, context)]


def _order(name: str, asked: Ask, *nodes: Box, context: Context = Context()) -> list[int]:  # noqa: B008
    """Rows, best first."""
    scores = _scores(name, asked, boxes(*nodes), context)
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))


def _device(name: str, asked: Ask, node: Box, context: Context = Context()) -> int:  # noqa: B008
    (chosen,) = devices(POLICIES[name], asked, boxes(node), context)
    return chosen


def test_random_draws_every_node_and_every_device_about_equally_often() -> None:
    nodes = boxes(*[Box(left=(400, 500, 600))] * 4)
    contexts = [Context(seed=(seed,)) for seed in range(400)]
    drawn = Counter(_scores("random", ask(1, 0.5), nodes, context).index(1.0) for context in contexts)
    shared = Counter(_device("random", ask(1, 0.5), Box(left=(400, 500, 600)), context) for context in contexts)
    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 60
    assert set(shared) == {1, 2}
    assert min(shared.values()) > 150


def test_random_repeats_itself_with_the_same_seed() -> None:
    nodes = boxes(*[Box(left=(1000,))] * 9)
    assert _scores("random", ask(1, 1), nodes, Context(seed=(7,))) == _scores(
        "random", ask(1, 1), nodes, Context(seed=(7,))
    )


def test_dot_product_leaves_alone_the_node_that_has_most_of_what_is_asked() -> None:
    processors, accelerators = Box(128, (1000,)), Box(16, (1000,) * 8)
    assert _order("dotprod", ask(16), processors, accelerators) == [1, 0]
    assert _order("dotprod", ask(1, 1), processors, accelerators) == [0, 1]
    assert _scores("dotprod", ask(64, 4), boxes(Box(128, (1000,) * 8))) == [0.5]


def test_best_fit_takes_the_node_that_is_left_with_least() -> None:
    assert _order("best-fit", ask(4, 1), Box(64, (1000, 1000)), Box(8, (1000, 1000)), Box(8, (1000,))) == [2, 1, 0]
    assert _scores("best-fit", ask(4, 1), boxes(Box(4, (1000,)))) == [1.0]


def test_gpu_clustering_prefers_its_like_then_mixed_then_idle_then_other_company() -> None:
    share, whole = ask(1, 0.5).kind, ask(1, 1).kind
    same, mixed = Box(left=(1000,), kinds=share), Box(left=(1000,), kinds=share | whole)
    idle, other = Box(left=(1000,)), Box(left=(1000,), kinds=whole)
    assert _order("gpu-clustering", ask(1, 0.5), other, idle, mixed, same) == [3, 2, 1, 0]


def test_gpu_clustering_prefers_the_fuller_of_equal_company() -> None:
    assert _order("gpu-clustering", ask(1, 0.5), Box(left=(1000, 1000)), Box(left=(1000, 0))) == [1, 0]


def test_gpu_packing_prefers_a_used_device_then_a_used_node_then_a_small_idle_node() -> None:
    used_device, used_node = Box(left=(600, 1000)), Box(left=(400, 1000))
    idle, small_idle = Box(left=(1000,) * 8), Box(left=(1000,))
    assert _order("gpu-packing", ask(1, 0.5), idle, small_idle, used_node, used_device) == [3, 2, 1, 0]
    assert _scores("gpu-packing", ask(1, 0.5), boxes(used_device, used_node, small_idle)) == [0.94, 0.49, 0.32]


def test_gpu_packing_prefers_the_tighter_of_two_used_devices() -> None:
    assert _order("gpu-packing", ask(1, 0.3), Box(left=(900, 0)), Box(left=(300, 0))) == [1, 0]


@pytest.mark.parametrize("name", ["gpu-clustering", "gpu-packing"])
def test_policies_for_devices_say_nothing_about_work_without(name: str) -> None:
    assert _scores(name, ask(1), boxes(Box(left=(1000,)), Box(left=(500,)))) == [0.0, 0.0]


@pytest.mark.parametrize("name", ["dotprod", "gpu-clustering", "gpu-packing", "best-fit"])
def test_a_share_goes_to_the_tightest_device(name: str) -> None:
    assert _device(name, ask(1, 0.5), Box(left=(1000, 400, 600, 900))) == 2


def test_fgd_fills_the_gap_that_nobody_else_could_use() -> None:
    context = Context(mix=mix(ask(1, 1), ask(1, 0.3)))
    whole, rest = Box(left=(1000,)), Box(left=(300,))
    assert _order("fgd", ask(1, 0.3), whole, rest, context=context) == [1, 0]


def test_fgd_leaves_room_for_the_tasks_that_are_to_come() -> None:
    """The tightest device is no good if what is left of it is of use to nobody."""
    context = Context(mix=mix(ask(1, 0.5), ask(1, 0.4)))
    assert _device("fgd", ask(1, 0.5), Box(left=(600, 1000)), context) == 1
    assert _device("best-fit", ask(1, 0.5), Box(left=(600, 1000))) == 0


def test_fgd_keeps_processors_for_the_idle_devices_beside_them() -> None:
    context = Context(mix=mix(ask(4, 1)))
    assert _order("fgd", ask(4), Box(4, (1000,)), Box(8, (1000,)), context=context) == [1, 0]
    assert _scores("fgd", ask(4), boxes(Box(8, (1000,))), context) == [0.5]
    assert _scores("fgd", ask(4), boxes(Box(4, (1000,))), context) == [round(1 / (1 + np.exp(1)), 6)]


def test_fgd_without_a_task_mix_says_what_it_needs() -> None:
    with pytest.raises(BadInput, match="give the context a task mix"):
        _scores("fgd", ask(1, 1), boxes(Box(left=(1000,))))
