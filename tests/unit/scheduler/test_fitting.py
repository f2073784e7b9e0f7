"""Counting what fits once others gave something back says what placing says."""

from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.columns import NodeColumns, Slot, amount_of, subtract
from fabric.scheduler.fitting import Fitting
from fabric.scheduler.placement import place
from fabric.scheduler.shape import head_part, shape_of
from fabric.workloads.spec import Group
from tests.builders import HEAD, cpu_node, gpu_node, group

SITE = NodeColumns.of([*(gpu_node(f"g{i}", gpus=4, cpus=8) for i in range(3)), cpu_node("c0"), cpu_node("c1")])
"""Rows 0 and 1 are the commodity nodes, the others have accelerators."""
GANGS = st.sampled_from([
    (group("w", 3, "gpu", gpus=1),),
    (group("w", 2, "gpu", gpus=2, cpus=3.0),),
    (group("w", 2, None, gpus=4),),
    (group("w", 4, "commodity"),),
    (group("w", 2, "gpu", gpus=1), group("load", 1, "commodity", cpus=2.0)),
])  # fmt: skip
"""With and without a known tier, on one that holds heads, and of two groups."""
HELD = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12)
"""Row, CPUs and accelerators of what is held; the first are given back."""


def slots(held: list[tuple[int, int, int]]) -> list[Slot]:
    return [(row, *amount_of(Resources.of(cpus, gpus, "1 GiB"))) for row, cpus, gpus in held]


@given(GANGS, HELD, st.integers(0, 12), st.booleans())
def test_a_gang_fits_by_counting_where_it_can_be_placed(
    groups: tuple[Group, ...], held: list[tuple[int, int, int]], given_back: int, with_head: bool
) -> None:
    shape, head = shape_of(groups), head_part(HEAD) if with_head else None
    room = SITE.capacity.copy()
    subtract(room, slots(held))
    left = room.copy()
    subtract(left, slots(held[:given_back]), sign=-1)
    gang = Fitting(shape, room, SITE, head)
    assert gang.after(slots(held[:given_back])) == (not place(shape, left, SITE, head).lacks)
