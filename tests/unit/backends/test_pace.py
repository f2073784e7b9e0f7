"""Few look as often as they wish; many share what the machine bears, and none is left too long."""

import pytest

from fabric.backends.keeping.pace import LONGEST_S, MOST_PER_S, Pace


def paced(wishes: dict[str, float]) -> Pace:
    """A pace that has heard everybody's wish."""
    pace = Pace()
    for who, wish_s in wishes.items():
        pace.pause_s(who, wish_s)
    return pace


@pytest.mark.parametrize(
    ("world", "others", "wish_s", "pause_s"),
    [
        ("alone", {}, 0.1, 0.1),
        ("a few that run", {f"w-{i}": 0.5 for i in range(20)}, 0.1, 0.1),
        ("a hundred that start", {f"w-{i}": 0.1 for i in range(99)}, 0.1, 1.0),
        ("who runs waits longer by the same factor", {f"w-{i}": 0.1 for i in range(20)}, 0.5, 1.01),
        ("never too long", {f"w-{i}": 0.1 for i in range(500)}, 0.5, LONGEST_S),
    ],
)
def test_pauses_are_longer_by_one_factor_for_all(
    world: str, others: dict[str, float], wish_s: float, pause_s: float
) -> None:
    assert paced(others).pause_s("me", wish_s) == pytest.approx(pause_s), world


def test_all_together_look_no_more_often_than_the_machine_bears() -> None:
    names = [f"w-{i}" for i in range(150)]
    pace = paced(dict.fromkeys(names, 0.1))
    assert sum(1.0 / pace.pause_s(name, 0.1) for name in names) == pytest.approx(MOST_PER_S)


def test_who_has_left_slows_nobody() -> None:
    pace = paced({f"w-{i}": 0.1 for i in range(100)})
    for i in range(100):
        pace.leave(f"w-{i}")
    pace.leave("nobody")
    assert pace.pause_s("me", 0.1) == 0.1


def test_who_wishes_to_pause_for_long_does() -> None:
    assert paced({f"w-{i}": 0.1 for i in range(100)}).pause_s("me", 60.0) == 60.0
