"""What every policy of the table keeps, in any world."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.quantity import Bytes
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Ints, NodeColumns, fitting
from fabric.scheduler.policies.fragmentation import task_mix
from fabric.scheduler.policies.policy import Context, devices, in_steps
from fabric.scheduler.policies.table import POLICIES
from tests.unit.scheduler.policies.world import Box, ask, boxes, some_asks, some_boxes

every_policy = pytest.mark.parametrize("name", POLICIES)
worlds = st.lists(some_boxes, min_size=1, max_size=8)


def _context(nodes: NodeColumns, tasks: list[Ask], seed: int) -> Context:
    return Context(
        seed=(seed,),
        mix=task_mix(tasks, nodes.models),
        siblings=np.array([[0, 0], [1, 3]]),
        needed=Bytes(1000),
        held_bytes=np.arange(len(nodes)) * 400,
    )


def _held_by(context: Context, rows: Ints) -> Context:
    assert context.held_bytes is not None
    return replace(context, held_bytes=context.held_bytes[rows])


@every_policy
@given(world=worlds, asked=some_asks, tasks=st.lists(some_asks, min_size=1, max_size=5), seed=st.integers(0, 99))
def test_scores_are_bounded_and_the_devices_fit(
    name: str, world: list[Box], asked: Ask, tasks: list[Ask], seed: int
) -> None:
    nodes = boxes(*world)
    context, rows = _context(nodes, tasks, seed), np.flatnonzero(fitting(asked, nodes))
    fit = nodes.rows(rows)
    scores = POLICIES[name].score(asked, fit, _held_by(context, rows)) if len(rows) else np.zeros(0)
    assert scores.shape == (len(rows),)
    assert ((scores >= 0) & (scores <= 1)).all()
    for row in range(len(rows)):
        chosen = devices(POLICIES[name], asked, fit.rows(np.array([row])), context)
        assert len(set(chosen)) == len(chosen) == asked.num_gpus
        assert all(fit.free_milli_gpus[row, device] >= asked.gpu.count for device in chosen)


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.by_row])
@given(world=worlds, asked=some_asks, tasks=st.lists(some_asks, min_size=1, max_size=5))
def test_a_policy_by_row_says_the_same_of_a_node_alone(
    name: str, world: list[Box], asked: Ask, tasks: list[Ask]
) -> None:
    nodes = boxes(*world)
    fit = nodes.rows(np.flatnonzero(fitting(asked, nodes)))
    context = Context(mix=task_mix(tasks, nodes.models))
    alone = [POLICIES[name].score(asked, fit.rows(np.array([row])), context)[0] for row in range(len(fit))]
    together = POLICIES[name].score(asked, fit, context) if len(fit) else np.zeros(0)
    assert together.tolist() == pytest.approx(alone, abs=1e-12)


@every_policy
def test_no_policy_changes_what_it_looks_at(name: str) -> None:
    nodes, before = (boxes(Box(left=(500, 1000), model="T4"), Box(left=(1000,))) for _ in range(2))
    context = Context(mix=task_mix([ask(1, 0.5)], nodes.models))
    POLICIES[name].score(ask(1, 0.5), nodes, context)
    devices(POLICIES[name], ask(1, 0.5), nodes.rows(np.array([0])), context)
    assert (nodes.free_milli_gpus == before.free_milli_gpus).all()
    assert (nodes.free_milli_cpus == before.free_milli_cpus).all()


def test_steps_round_down_but_not_what_a_rounding_error_left_below_a_step() -> None:
    assert in_steps(np.array([0.0, 0.289, 0.33 - 0.04, 1.0])).tolist() == [0, 28, 29, 100]


def test_whole_devices_are_the_first_idle_ones() -> None:
    node = boxes(Box(left=(WHOLE_MILLI_GPUS, 500, 1000, 1000)))
    assert devices(POLICIES["best-fit"], ask(1, 2), node, Context()) == (0, 2)
