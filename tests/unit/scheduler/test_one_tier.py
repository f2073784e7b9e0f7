"""Accelerators of different kinds are not mixed in one group, unless it names what it wants."""

from collections.abc import Sequence

from fabric.core.resources import Resources
from fabric.scheduler.columns import Node, NodeColumns
from fabric.scheduler.placement import place, shortfalls
from fabric.scheduler.shape import shape_of
from fabric.workloads.spec import Group
from tests.builders import cpu_node, group


def tier(name: str, nodes: int, speed: float = 1.0, gpus: int = 2) -> list[Node]:
    return [Node(f"{name}-{n}", name, Resources.of(8, gpus, "32 GiB"), speed=speed) for n in range(nodes)]


MIXED = NodeColumns.of([*tier("a100", 3, 0.5), *tier("h100", 2), *tier("gh200", 2), cpu_node("c0"), cpu_node("c1")])


def where(*groups: Group, free: Sequence[str] = MIXED.names) -> list[str]:
    """Nodes of a gang where only some of the nodes are free."""
    room = MIXED.capacity.copy()
    for row, name in enumerate(MIXED.names):
        room[row] *= name in free
    found = place(shape_of(groups), room, MIXED, None)
    return [MIXED.names[piece.row] for piece in found.pieces] if not found.lacks else []


def test_tiers_are_tried_by_speed_and_then_by_name() -> None:
    assert MIXED.gpu_tiers == ("gh200", "h100", "a100")
    assert MIXED.speeds == {"a100": 0.5, "h100": 1.0, "gh200": 1.0, "commodity": 1.0}
    assert where(group(gpus=1.0)) == ["gh200-0"]


def test_a_gang_stays_on_the_fastest_tier_that_takes_all_of_it() -> None:
    assert where(group(count=4, gpus=1.0)) == ["gh200-0", "gh200-1"]
    assert where(group(count=6, gpus=1.0)) == ["a100-0", "a100-1", "a100-2"]


def test_a_gang_is_not_spread_over_kinds_of_accelerators() -> None:
    assert where(group(count=8, gpus=1.0)) == []
    assert where(group(count=4, gpus=1.0), free=["gh200-0", "h100-0", "a100-0"]) == []
    assert where(group(count=4, gpus=1.0), free=["gh200-0", "h100-0", "a100-0", "a100-2"]) == ["a100-0", "a100-2"]


def test_groups_that_name_tiers_may_be_of_different_kinds() -> None:
    assert where(group("fast", 4, "gh200", gpus=1.0), group("slow", 2, "a100", gpus=1.0)) == [
        "gh200-0",
        "gh200-1",
        "a100-0",
    ]


def test_work_without_accelerators_may_spread_over_every_tier() -> None:
    assert len(where(group(count=9, cpus=7.0))) == 0
    assert len(where(group(count=7, cpus=5.0))) == 7


def test_what_is_missing_is_told_of_the_tier_that_takes_the_most() -> None:
    shape = shape_of([group(count=8, gpus=1.0)])
    (lack,) = shortfalls(shape, MIXED.capacity, MIXED, None)
    assert str(lack) == (
        "group workers: 6 of 8 workers (1 GPUs + 1 CPUs + 1 GiB each) fit on any tier now, 2 GPUs short"
    )


def test_a_site_without_accelerators_says_so() -> None:
    site = NodeColumns.of([cpu_node("c0")])
    (lack,) = shortfalls(shape_of([group(gpus=1.0)]), site.capacity, site, None)
    assert (lack.fitting, str(lack.missing)) == (0, "1 GPUs")
