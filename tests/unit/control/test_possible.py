"""Whether the empty site could hold a gang is looked at once for all that ask alike."""

from typing import Any

import pytest

from fabric.control import admission
from fabric.control.admission import MOST_REMEMBERED, Possible
from fabric.core.errors import DoesNotFit
from fabric.core.resources import Resources
from fabric.scheduler.placement import require_possible
from fabric.workloads.spec import Group
from tests.builders import cpu_node, hybrid


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def counted(name: str, *rest: Any) -> None:
        names.append(name)
        require_possible(name, *rest)

    monkeypatch.setattr(admission, "require_possible", counted)
    return names


def test_a_gang_that_was_found_possible_is_looked_at_again_only_on_other_nodes(looked: list[str]) -> None:
    possible, nodes = Possible(Resources()), hybrid()
    for name in ("a", "b"):
        possible.require(name, (Group(count=2),), nodes)
    possible.require("c", (Group(count=3),), nodes)
    assert looked == ["a", "c"]
    possible.require("d", (Group(count=2),), hybrid())
    assert looked == ["a", "c", "d"]


def test_one_that_is_impossible_is_refused_by_its_own_name_each_time(looked: list[str]) -> None:
    possible, nodes = Possible(Resources()), (cpu_node("c", 4),)
    for name in ("a", "b"):
        with pytest.raises(DoesNotFit, match=f"^{name}: group workers asks for"):
            possible.require(name, (Group(cpus=99.0),), nodes)
    assert looked == ["a", "b"]


def test_what_is_remembered_has_an_end(looked: list[str]) -> None:
    possible, nodes = Possible(Resources()), (cpu_node("c", 4),)
    possible._known = (nodes, {(Group(count=number + 2),) for number in range(MOST_REMEMBERED)})
    possible.require("a", (Group(),), nodes)
    assert possible._known == (nodes, {(Group(),)})
