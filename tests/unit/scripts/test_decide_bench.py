"""The bench of decisions: how growth is measured and told."""

from pathlib import Path

import pytest

from scripts.benches import _growth as growth
from scripts.benches.decide import filled, grow, world


def test_sizes_go_along_one_axis_at_a_time_and_end_where_told() -> None:
    found = growth.sizes(2000)
    assert found[:5] == ((100, 1000), (200, 1000), (500, 1000), (1000, 1000), (2000, 1000))
    assert found[5:] == ((1000, 100), (1000, 200), (1000, 500), (1000, 2000))
    assert max(max(size) for size in growth.sizes(10_000)) == 10_000


def test_one_event_is_an_end_and_an_arrival_on_what_the_first_decision_leaves() -> None:
    row = growth.cost(20, 10, 1, world=world, filled=filled)
    assert (row.nodes, row.waiting) == (20, 10)
    assert min(row.anew_s, row.update_s, row.first_s, row.next_s) > 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_power_of_growth_is_that_of_the_figures(power: float) -> None:
    sizes = [100, 300, 1000, 9000]
    assert growth.exponent(sizes, [3e-4 * size**power for size in sizes]) == pytest.approx(power)


def test_a_table_has_a_line_for_each_size() -> None:
    text = growth.table([growth.Cost(100, 1000, 0.0012, 0.0001, 0.05, 0.012345)])
    assert text.splitlines()[-1] == "| 100 | 1,000 | 1.2 | 0.1 | 50 | 12.3 |"
    assert len(text.splitlines()) == 3


@pytest.mark.slow
def test_table_and_picture_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "STEPS", (10, 20))
    monkeypatch.setattr(growth, "FIXED", 20)
    grow(tmp_path / "made", 20, 1)
    assert len((tmp_path / "made" / "growth.md").read_text().splitlines()) == 5
    assert (tmp_path / "made" / "growth.png").read_bytes().startswith(b"\x89PNG")
