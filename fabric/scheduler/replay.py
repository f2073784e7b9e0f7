"""A decision as text and back: what was seen, chosen and decided, so that it can be decided again elsewhere.

Knows nothing of files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fabric.core.errors import BadInput
from fabric.scheduler.columns import amount_of, resources_of
from fabric.scheduler.cycle import decide
from fabric.scheduler.machines import node_from, node_to
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Claim, Promise, Running, Snapshot, Waiting
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group

VERSION = 1
"""Of the text; one that is not known is refused."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that was made; the same three inputs give the same plan."""

    snapshot: Snapshot
    policy: Policy
    now: float
    """Seconds since the epoch."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded decision, decided again."""

    recorded: Mapping[str, Any]
    """The plan as it was written."""
    again: Mapping[str, Any]
    """The plan that the same inputs give now."""

    @property
    def same(self) -> bool:
        """Whether the plans are identical."""
        return self.recorded == self.again


def write_decision(decision: Decision) -> str:
    """A decision as JSON."""
    seen = decision.snapshot
    return json.dumps(
        {
            "version": VERSION,
            "now": decision.now,
            "policy": decision.policy.model_dump(mode="json"),
            "head": amount_of(seen.head),
            "nodes": [node_to(node) for node in seen.nodes],
            "running": [{"name": w.name, "ends": w.ends, **_grant_to(w.grant)} for w in seen.running],
            "waiting": [_waiting_to(work) for work in seen.waiting],
            "claims": [
                [c.name, c.start, c.end, c.nodes, None if c.amount is None else amount_of(c.amount)]
                for c in seen.claims
            ],
            "plan": plan_to(decision.plan),
        },
        indent=1,
    )


def replay(text: str, where: str) -> Replayed:
    """Decide again what `write_decision` wrote.

    Args:
        text: The JSON.
        where: Where it comes from, for messages.

    Raises:
        BadInput: If it is not such a text.
    """
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise BadInput(f"{where}: is of version {document['version']}, but this fabric reads {VERSION}.")
        snapshot = Snapshot.of(
            [node_from(value) for value in document["nodes"]],
            [Running(v["name"], _grant_from(v), v["ends"]) for v in document["running"]],
            [_waiting_from(value) for value in document["waiting"]],
            head=resources_of(document["head"]),
            claims=[
                Claim(name, start, end, tuple(nodes), None if amount is None else resources_of(amount))
                for name, start, end, nodes, amount in document["claims"]
            ],
        )
        policy = Policy.model_validate_json(json.dumps(document["policy"]))
        again = plan_to(decide(snapshot, policy, document["now"]))
        return Replayed(document["plan"], json.loads(json.dumps(again)))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise BadInput(f"{where}: is no recorded decision: {type(error).__name__}: {error}") from None


def plan_to(plan: Plan) -> dict[str, Any]:
    """A plan as JSON holds it."""
    return {
        "placed": [{"workload": place.workload, **_grant_to(place.grant)} for place in plan.placed],
        "waits": [
            {
                "workload": wait.workload,
                "reason": wait.reason,
                "expected_start": wait.expected_start,
                "promised": wait.promised,
            }
            for wait in plan.waits
        ],
        "promises": {name: [kept.start, kept.slots] for name, kept in sorted(plan.promises.items())},
        "passed": dict(sorted(plan.passed.items())),
    }


def _grant_to(grant: Grant) -> dict[str, Any]:
    slices = [[s.name, s.group, s.node, s.tier, s.workers, amount_of(s.resources), s.head] for s in grant.slices]
    return {"slices": slices, "reason": grant.reason}


def _grant_from(value: Mapping[str, Any]) -> Grant:
    slices = (
        Slice(name, group, node, tier, workers, resources_of(amount), head)
        for name, group, node, tier, workers, amount, head in value["slices"]
    )
    return Grant(tuple(slices), value["reason"])


def _waiting_to(work: Waiting) -> dict[str, Any]:
    return {
        "name": work.name,
        "rank": work.rank,
        "submitted": work.submitted,
        "groups": [group.model_dump(mode="json") for group in work.groups],
        "walltime_s": work.walltime_s,
        "blocked_by": work.blocked_by,
        "passed": work.passed,
        "promise": None if work.promise is None else [work.promise.start, work.promise.slots],
    }


def _waiting_from(value: Mapping[str, Any]) -> Waiting:
    kept = value["promise"]
    return Waiting(
        name=value["name"],
        rank=value["rank"],
        submitted=value["submitted"],
        groups=tuple(Group.model_validate(group) for group in value["groups"]),
        walltime_s=value["walltime_s"],
        blocked_by=tuple(value["blocked_by"]),
        passed=value["passed"],
        promise=None if kept is None else Promise(kept[0], tuple((s[0], s[1], s[2], s[3]) for s in kept[1])),
    )
