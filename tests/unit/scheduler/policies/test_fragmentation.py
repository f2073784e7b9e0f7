"""The expected fragment, reckoned by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import Ask
from fabric.scheduler.policies.fragmentation import TaskMix, fragments, task_mix
from tests.unit.scheduler.policies.world import Box, ask, boxes, mix, some_asks, some_boxes

HALF, WHOLE, PAIR, NONE = ask(2, 0.5), ask(4, 1), ask(8, 2), ask(2)


def _of(tasks: TaskMix, *nodes: Box) -> list[float]:
    columns = boxes(*nodes)
    found = fragments(tasks, columns.free_milli_cpus, columns.free_milli_gpus, columns.model)
    return [float(value) for value in found]


@pytest.mark.parametrize(
    ("world", "node", "expected"),
    [
        ("everything fits everywhere", Box(16, (1000, 1000)), [0, 0, 0]),
        ("a part of a device is too small for a whole one", Box(16, (500, 1000)), [0, 500, 1500]),
        ("two halves are no device", Box(16, (500, 500)), [0, 1000, 1000]),
        ("without processors all idle devices are a fragment", Box(1, (500, 1000)), [1500, 1500, 1500]),
        ("a full node has no fragment", Box(16, (0, 0)), [0, 0, 0]),
    ],
)
def test_a_fragment_is_what_a_task_cannot_use(world: str, node: Box, expected: list[float]) -> None:
    assert [_of(mix(task), node)[0] for task in (HALF, WHOLE, PAIR)] == expected, world


def test_the_mix_weighs_its_tasks_by_how_often_they_come() -> None:
    assert _of(mix(HALF, HALF, HALF, WHOLE), Box(16, (500,))) == [125]


def test_for_work_without_devices_every_idle_device_is_a_fragment() -> None:
    assert _of(mix(HALF, NONE), Box(16, (1000, 500))) == [750]


def test_a_task_that_wants_another_model_cannot_use_the_node() -> None:
    tasks = mix(ask(2, 1, models="T4"), WHOLE, models=("G2", "T4"))
    assert _of(tasks, Box(16, (1000,), "G2"), Box(16, (1000,), "T4")) == [500, 0]


def test_rare_shapes_are_left_out_and_the_rest_stands_for_all() -> None:
    tasks = task_mix([HALF] * 96 + [WHOLE] * 4, ("",))
    assert tasks.weight.tolist() == [[1.0]]
    assert tasks.level_milli_gpus.tolist() == [500]


def test_memory_does_not_make_a_shape_of_its_own() -> None:
    assert len(mix(ask(2, 0.5, gib=1), ask(2, 0.5, gib=2)).num_devices) == 1


@pytest.mark.parametrize(("tasks", "popularity"), [([], 0.95), ([HALF], 0.0), ([HALF], 1.1)])
def test_a_mix_of_nothing_is_refused(tasks: list[Ask], popularity: float) -> None:
    with pytest.raises(BadInput, match="a task mix needs tasks"):
        task_mix(tasks, ("",), popularity)


@given(tasks=st.lists(some_asks, min_size=1, max_size=6), world=st.lists(some_boxes, min_size=1, max_size=6))
def test_a_fragment_is_part_of_what_is_idle(tasks: list[Ask], world: list[Box]) -> None:
    columns = boxes(*world)
    found = fragments(task_mix(tasks, columns.models), columns.free_milli_cpus, columns.free_milli_gpus, columns.model)
    idle = columns.free_milli_gpus.sum(axis=1)
    assert (found >= -1e-6).all()
    assert (found <= idle + 1e-6).all()
    assert np.isfinite(found).all()
