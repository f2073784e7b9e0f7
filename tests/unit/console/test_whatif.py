"""The past decided again: what was, what would be decided now, and what if."""

import pytest

from fabric.api.overview import Amounts
from fabric.api.past import PastGroup, PastView, PastWork, TierFacts
from fabric.console.pages.simulate import answer_of, stairs
from fabric.console.whatif import AS_NOW, POLICIES, Answer, what_if
from fabric.core.errors import BadInput
from fabric.scheduler.policy import Policy

NOW = 10_000.0
GPU = Amounts(cpus=4, gpus=2, memory_bytes=2**33)


def tier(name: str = "gpu", nodes: int = 1, each: Amounts = GPU, heads: bool = True) -> TierFacts:
    return TierFacts(name=name, nodes=nodes, each=each, heads=heads)


def ran(name: str, at: float, waited: float, for_s: float, gpus: float = 2.0, **more: object) -> PastWork:
    fields = {
        "name": name, "project": "a", "kind": "job", "priority": "batch", "state": "succeeded", "submitted_at": at,
        "groups": (PastGroup(tier="gpu", gpus=gpus),), "granted_at": at + waited, "running_at": at + waited,
        "ended_at": at + waited + for_s, "walltime_s": for_s,
    }  # fmt: skip
    return PastWork.model_validate({**fields, **more})


def past(*works: PastWork, **more: object) -> PastView:
    fields = {
        "at": NOW, "tiers": (tier(),), "policy": Policy().model_dump(mode="json"), "head": Amounts(), "grace_s": 0.0,
        "overhead_s": 0.0, "works": tuple(sorted(works, key=lambda work: -work.submitted_at)),
    }  # fmt: skip
    return PastView.model_validate({**fields, **more})


CROWD = (ran("a", 0.0, 50.0, 100.0), ran("b", 10.0, 200.0, 100.0), ran("c", 20.0, 300.0, 100.0))
"""One node, three who each want all of it, and waited longer than they had to."""


def test_the_past_is_told_as_it_was_and_decided_again_without_what_it_wasted() -> None:
    answer = what_if(past(*CROWD), AS_NOW, {})
    assert (answer.was.mean_wait_s, answer.was.longest_wait_s) == (550 / 3, 300.0)
    assert (answer.now.mean_wait_s, answer.now.longest_wait_s) == (90.0, 180.0)
    assert answer.now == answer.otherwise
    assert (answer.num_works, answer.left_out) == (3, ())
    assert answer.now.span_s == 300.0


def test_more_nodes_shorten_waits_and_are_in_use() -> None:
    answer = what_if(past(*CROWD), AS_NOW, {"gpu": 2})
    assert answer.otherwise.mean_wait_s == 0.0
    assert answer.now.mean_wait_s == 90.0
    assert [each.there for each in answer.otherwise.occupancy] == [6.0]


def test_another_policy_lets_the_shortest_pass() -> None:
    works = (ran("a", 0.0, 0.0, 100.0), ran("long", 1.0, 0.0, 400.0), ran("mid", 2.0, 0.0, 60.0, gpus=1.0))
    two = (*works, ran("short", 3.0, 0.0, 30.0, gpus=1.0))
    found = {name: what_if(past(*two), name, {}).otherwise.mean_wait_s for name in POLICIES}
    assert found["nobody passes"] == max(found.values())


def test_what_runs_still_counts_as_far_as_it_ran_and_what_waits_by_its_walltime() -> None:
    runs = ran("runs", 9000.0, 0.0, 0.0, ended_at=None, state="running", walltime_s=2000.0)
    waits = ran("waits", 9500.0, 0.0, 50.0, granted_at=None, running_at=None, ended_at=None, state="queued")
    endless = ran("endless", 9600.0, 0.0, 0.0, granted_at=None, running_at=None, ended_at=None, walltime_s=None)
    never = ran("never", 9700.0, 0.0, 0.0, granted_at=None, running_at=None, state="cancelled")
    answer = what_if(past(runs, waits, endless, never), AS_NOW, {})
    assert answer.left_out == ("endless", "never")
    assert answer.was.num_started == 1
    assert answer.now.longest_wait_s == 500.0


def test_a_gang_is_decided_again_as_one() -> None:
    group = PastGroup(tier="gpu", gpus=1.0, count=2)
    answer = what_if(past(ran("swarm", 0.0, 0.0, 10.0, groups=(group,))), AS_NOW, {})
    assert [each.steps for each in answer.now.occupancy] == [((0.0, 2.0), (10.0, 0.0))]


@pytest.mark.parametrize(
    ("policy", "more", "says"),
    [
        ("best", {}, "there is no policy 'best' to try"),
        (AS_NOW, {"gpu": -1}, "tier gpu would have 0 nodes"),
        (AS_NOW, {"gpu": 10_000}, "tier gpu would have 10001 nodes"),
    ],
)
def test_what_cannot_be_is_refused(policy: str, more: dict[str, int], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        what_if(past(*CROWD), policy, more)


def test_a_time_in_which_nothing_ran_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing of this time can be decided again"):
        what_if(past(), AS_NOW, {})
    with pytest.raises(BadInput, match="nothing of this time"):
        what_if(past(ran("huge", 0.0, 0.0, 1.0, gpus=99.0)), AS_NOW, {})


def test_the_page_says_how_much_shorter_waits_would_be() -> None:
    shown = answer_of(what_if(past(*CROWD), AS_NOW, {"gpu": 2}))
    for words in ("3 workloads decided again", ">1 min 30 s<", "-100 %", "gpu: GPUs in use", "gpu: what if"):
        assert words in shown
    same: Answer = what_if(past(*CROWD, ran("endless", 5.0, 0.0, 0.0, running_at=None)), AS_NOW, {})
    assert "1 left out" in answer_of(same)
    assert "%</span>" not in answer_of(same)


def test_steps_are_drawn_as_stairs() -> None:
    assert stairs(((0.0, 2.0), (5.0, 1.0))) == [(0.0, 2.0), (5.0, 2.0), (5.0, 1.0)]
