"""NUMA nodes say how accelerators show their memory, and ranks use the cores beside them."""

from collections.abc import Sequence

import pytest

from fabric.core.numa import Numa, NumaNode, cores_for, cpus_of

GIB = 2**30
GH200 = tuple(NumaNode(n, 72, 120 * GIB) for n in range(4)) + tuple(
    NumaNode(n, 0, 94 * GIB if n in {4, 12, 20, 28} else 0) for n in range(4, 36)
)


@pytest.mark.parametrize(
    ("nodes", "coherent", "said"),
    [
        (GH200, True, "36 NUMA nodes (4 with cores, 4 of accelerators), mode numa"),
        (GH200[:4], True, "4 NUMA nodes (4 with cores, 0 of accelerators), mode cdmm"),
        (GH200[:2], False, "2 NUMA nodes (2 with cores, 0 of accelerators), mode plain"),
    ],
)
def test_the_mode_of_the_driver_is_seen_in_the_nodes_without_cores(
    nodes: tuple[NumaNode, ...], coherent: bool, said: str
) -> None:
    assert str(Numa(nodes, coherent)) == said


FOUR = {0: (0, 1), 2: (2, 3), 10: (4, 5), 4: (), 11: (6, 7)}


@pytest.mark.parametrize(
    ("rank", "num_ranks", "beside", "allowed", "cores"),
    [
        (0, 4, 10, range(8), {4, 5}),
        (0, 4, 10, (5, 6), {5}),
        (0, 4, None, range(8), {0, 1}),
        (3, 4, None, range(8), {6, 7}),
        (0, 2, None, range(8), set(range(8))),
        (0, 4, 4, range(8), set(range(8))),
        (0, 4, 10, (0, 1), {0, 1}),
        (1, 2, None, (4, 7), {7}),
    ],
)
def test_a_rank_uses_the_cores_beside_its_accelerator_and_else_its_own_or_all(
    rank: int, num_ranks: int, beside: int | None, allowed: Sequence[int], cores: set[int]
) -> None:
    assert cores_for(rank, num_ranks, FOUR, allowed, beside=beside) == cores


def test_lists_of_cpus_are_read_as_linux_writes_them() -> None:
    assert cpus_of("0-3,8,10-11\n") == (0, 1, 2, 3, 8, 10, 11)
    assert cpus_of("\n") == ()
    with pytest.raises(ValueError, match="invalid literal"):
        cpus_of("all")
