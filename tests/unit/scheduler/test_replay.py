"""A recorded decision is decided again to the identical plan."""

import json

import pytest
from hypothesis import given, settings

from fabric.config.budgets import Budget
from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.budgets import Account, decide_within
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision, replay, write_decision
from fabric.scheduler.snapshot import Claim, Promise, Snapshot
from tests.builders import group, piece, running, waiting, world
from tests.unit.scheduler.test_cycle import WORLDS


def recorded(snapshot: Snapshot, policy: Policy | None = None, now: float = 0.0) -> str:
    policy = policy or Policy()
    return write_decision(Decision(snapshot, policy, now, decide(snapshot, policy, now)))


@given(WORLDS)
@settings(max_examples=25)
def test_any_decision_replays(snapshot: Snapshot) -> None:
    assert replay(recorded(snapshot, Policy(protect=2)), "file").same


def test_everything_that_a_decision_looks_at_is_recorded() -> None:
    small = world(
        running("r", piece("g0", resources=Resources.of(2, 2, "2 GiB")), ends=100.0),
        waiting("kept", group("t", 4, "gpu", gpus=1.0), walltime_s=50.0, promise=Promise(100.0, ((2, 2000, 2000, 5),))),
        waiting("after", at=1.0, blocked_by=("r",)),
        waiting("passed", group("t", 4, "gpu", gpus=1.0), at=2.0, walltime_s=9.0, passed=3),
    )
    windows = [Claim("w", 10.0, 20.0, ("c0",)), Claim("f", 5.0, 9.0, ("g1",), Resources.of(gpus=1))]
    snapshot = Snapshot.of(small.nodes, small.running, small.waiting, head=small.head, claims=windows)
    text = recorded(snapshot, Policy(protect="all", max_passed=3), now=7.0)
    assert replay(text, "file").same
    document = json.loads(text)
    assert document["now"] == 7.0
    assert [claim[0] for claim in document["claims"]] == ["f", "w"]


def test_whom_a_budget_kept_waiting_waits_again() -> None:
    snapshot, policy = world(waiting("mine", project="alpha"), waiting("theirs", project="beta")), Policy()
    accounts = {"alpha": Account(Budget(gpu_hours=2.5, running=0), used_gpu_s=1234.5)}
    plan = decide_within(accounts, snapshot, policy, 0.0, decider=decide)
    text = write_decision(Decision(snapshot, policy, 0.0, plan, accounts))
    assert replay(text, "file").same
    assert [place["workload"] for place in json.loads(text)["plan"]["placed"]] == ["theirs"]
    assert not replay(json.dumps({**json.loads(text), "accounts": {}}), "file").same


def test_another_plan_than_the_recorded_one_is_seen() -> None:
    document = json.loads(recorded(world(waiting("a"))))
    document["plan"]["placed"] = []
    found = replay(json.dumps(document), "file")
    assert not found.same
    assert found.again["placed"][0]["workload"] == "a"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no recorded decision"),
        ("[]", "no recorded decision"),
        ("{}", "KeyError"),
        ('{"version": 99}', "version 99"),
        (json.dumps({**json.loads(recorded(world(waiting("a")))), "nodes": [["g0"]]}), "no recorded decision"),
        (json.dumps({**json.loads(recorded(world(waiting("a")))), "policy": {"protect": -2}}), "protect"),
        (json.dumps({**json.loads(recorded(world(waiting("a")))), "accounts": {"a": 1}}), "no recorded decision"),
    ],
)
def test_what_is_no_decision_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        replay(text, "file")
