"""The experiment on clusters so small that its curves can be reckoned by hand."""

from collections import Counter

import pytest

from fabric.core.errors import BadInput
from fabric.scheduler.policies.columns import Ask
from fabric.simulator.openb import DEMAND, POLICIES, arrivals, simulate
from tests.unit.scheduler.policies.world import Box, ask, boxes

NODES = boxes(*[Box(8, (1000,) * 4)] * 25)
"""A hundred devices: one of them is one percent."""


def test_every_pod_arrives_once_before_any_copy() -> None:
    pods = [ask(cores, 1) for cores in range(1, 31)]
    arriving = arrivals(pods, 100_000, seed=1)
    assert Counter(arriving[:30]) == Counter(pods)
    assert arriving[:30] != pods
    assert set(arriving[30:]) <= set(pods)


def test_copies_arrive_until_the_next_would_exceed_the_demand() -> None:
    assert len(arrivals([ask(1, 1)], 10_000, seed=1)) == 13
    assert len(arrivals([ask(1, 0.75)], 10_000, seed=1)) == 17


def test_a_workload_beyond_the_demand_is_cut() -> None:
    assert len(arrivals([ask(1, 1)] * 50, 10_000, seed=1)) == 13


def test_arrivals_depend_on_the_seed_alone() -> None:
    pods = [ask(cores, 0.5) for cores in range(1, 31)]
    assert arrivals(pods, 100_000, seed=1) == arrivals(pods, 100_000, seed=1) != arrivals(pods, 100_000, seed=2)


@pytest.mark.parametrize("pods", [[], [ask(1)]], ids=["no pods", "none with devices"])
def test_demand_that_can_never_be_reached_is_refused(pods: list[Ask]) -> None:
    with pytest.raises(BadInput, match="no pod asks for an accelerator"):
        arrivals(pods, 10_000, seed=1)


@pytest.mark.parametrize("policy", POLICIES)
def test_allocation_follows_demand_until_the_cluster_is_full(policy: str) -> None:
    run = simulate(NODES, [ask(1, 1)], policy, seed=1)
    assert run.allocation_pct == {50: 50, 80: 80, 90: 90, 100: 100, 110: 100, 130: 100}
    assert run.fragmentation_pct == {50: 0, 80: 0, 90: 0, 100: 0, 110: 0, 130: 0}
    assert (run.num_pods, run.num_lost) == (130, 30)
    assert run.num_pods == DEMAND * 100


def test_devices_without_processors_are_a_fragment() -> None:
    """Six cores are not enough for a fourth task of two: one device in four stays idle and of no use."""
    nodes = boxes(*[Box(6, (1000,) * 4)] * 25)
    run = simulate(nodes, [ask(2, 1)], "best-fit", seed=1)
    assert run.allocation_pct[100] == 75
    assert run.fragmentation_pct[100] == 100
    assert 0 < run.fragmentation_pct[50] < 100


def test_a_demand_stands_for_all_arrivals_that_round_to_it() -> None:
    """At 89.6, 90.0 and 90.4 percent of demand the mean of what is granted is told."""
    run = simulate(NODES, [ask(1, 0.4)], "best-fit", seed=1)
    # Two of 0.4 to a device; the 200 that fit are granted first.
    assert run.allocation_pct[50] == pytest.approx(50.0)
    assert run.allocation_pct[90] == pytest.approx(80.0)
    assert run.num_lost == 125


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_gives_the_same_run_and_another_another(policy: str) -> None:
    pods = [ask(cores, share) for cores in (1, 2, 3) for share in (0.3, 0.5, 1, 2)] + [ask(4)]
    assert simulate(NODES, pods, policy, seed=5) == simulate(NODES, pods, policy, seed=5)
    assert simulate(NODES, pods, policy, seed=5) != simulate(NODES, pods, policy, seed=6)


def test_policies_see_the_same_arrivals_and_differ_in_what_they_grant() -> None:
    pods = [ask(cores, share) for cores in (1, 2, 3) for share in (0.3, 0.6, 1, 2)] + [ask(4)]
    runs = [simulate(NODES, pods, policy, seed=5) for policy in POLICIES]
    assert len({run.num_pods for run in runs}) == 1
    assert len({run.allocation_pct[110] for run in runs}) > 2
    assert max(run.allocation_pct[110] for run in runs) <= 100


def test_an_unknown_policy_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="Choose one of random"):
        simulate(NODES, [ask(1, 1)], "worst-fit", seed=1)
