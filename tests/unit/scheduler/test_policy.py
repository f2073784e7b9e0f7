"""Policies as files, good and bad, and the orders they name."""

from pathlib import Path
from typing import get_args

import pytest

from fabric.config.load import load
from fabric.core.errors import BadConfig
from fabric.scheduler.order import SCORES, in_order
from fabric.scheduler.policy import Policy, QueueOrder
from tests.builders import group, waiting, world


def written(folder: Path, text: str) -> Policy:
    file = folder / "policy.yaml"
    file.write_text(text)
    return load(Policy, file)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", Policy()),
        ("protect: all", Policy(protect="all")),
        ("protect: 3\nbackfill: shortest\nmax_passed: 50", Policy(protect=3, backfill="shortest", max_passed=50)),
        ("backfill: off", Policy(backfill="off")),
        ("max_passed: null\nhorizon_s: 3600", Policy(max_passed=None, horizon_s=3600.0)),
    ],
)
def test_a_policy_file_is_read(tmp_path: Path, text: str, policy: Policy) -> None:
    assert written(tmp_path, text) == policy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("protect: -1", "protect"),
        ("protect: most", "protect"),
        ("protect: 1.5", "protect"),
        ("protects: 1", "Did you mean 'protect'"),
        ("order: lifo", "order"),
        ("backfill: sometimes", "backfill"),
        ("backfill: off\nprotect: 0", "choose one"),
        ("backfill_rule: strict-shadow\nprotect: 2", "protect must be 1"),
        ("sticky: true\nprotect: all", "protect must be 1"),
        ("max_passed: 0", "max_passed"),
        ("horizon_s: 0", "horizon_s"),
    ],
)
def test_a_bad_policy_file_is_refused_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        written(tmp_path, text)


def test_every_order_that_a_file_may_name_is_in_the_table() -> None:
    assert set(SCORES) == set(get_args(QueueOrder))


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("fcfs", "early-wide-long"),
        ("sjf", "short"),
        ("wfp3", "early-wide-long"),
        ("uni", "short"),
        ("f1", "short"),
    ],
)
def test_an_order_puts_first_what_it_pulls_for(order: QueueOrder, first: str) -> None:
    queue = [
        waiting("early-wide-long", group(count=64), at=10.0, walltime_s=20.0),
        waiting("short", group(count=2), at=12.0, walltime_s=10.0),
    ]
    assert in_order(world(*queue), Policy(order=order), 20.0)[0].name == first


@pytest.mark.parametrize("order", get_args(QueueOrder))
def test_the_class_comes_before_any_order(order: QueueOrder) -> None:
    queue = [
        waiting("batch", at=1.0, walltime_s=1.0),
        waiting("urgent", group(count=50), at=99.0, walltime_s=900.0, priority="interactive"),
        waiting("also-batch", at=1.0, walltime_s=1.0),
    ]
    names = [work.name for work in in_order(world(*queue), Policy(order=order), 100.0)]
    assert names == ["urgent", "also-batch", "batch"]
