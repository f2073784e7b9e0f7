import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.data.order import Shuffle


@given(num_items=st.integers(1, 300), seed=st.integers(0, 2**70), epoch=st.integers(0, 5))
def test_every_epoch_holds_every_item_once(num_items: int, seed: int, epoch: int) -> None:
    shuffle = Shuffle(num_items, seed)
    start = epoch * num_items
    assert sorted(shuffle.at(start + i) for i in range(num_items)) == list(range(num_items))


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {tuple(Shuffle(50, seed).at(50 * epoch + i) for i in range(50)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_the_order_never_changes_from_one_release_to_the_next() -> None:
    first, second = [5, 7, 2, 9, 3, 0, 6, 1, 8, 4], [1, 9, 8, 3, 5, 6, 4, 7, 2, 0]
    assert [Shuffle(10, 7).at(i) for i in range(20)] == first + second


def test_items_land_evenly() -> None:
    first_half = [sum(Shuffle(1000, seed).at(i) < 500 for i in range(500)) for seed in range(20)]
    assert all(200 < count < 300 for count in first_half)


def test_a_huge_epoch_needs_no_table() -> None:
    shuffle = Shuffle(10**15, 1)
    assert len({shuffle.at(10**15 * 3 + i) for i in range(100)}) == 100


@pytest.mark.parametrize(("num_items", "position"), [(0, 0), (-1, 0), (5, -1)])
def test_there_is_no_item_outside(num_items: int, position: int) -> None:
    with pytest.raises(ValueError, match="must"):
        Shuffle(num_items, 0).at(position)
