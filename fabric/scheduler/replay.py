"""A decision as text and back: what was seen, chosen and decided, so that it can be decided again elsewhere.

Knows nothing of files.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ValidationError

from fabric.config.budgets import Budget
from fabric.config.projects import Project
from fabric.core.errors import BadInput
from fabric.scheduler.budgets import Account, decide_within
from fabric.scheduler.columns import amount_of, resources_of
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.learning import known_from, known_to
from fabric.scheduler.machines import node_from, node_to
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Claim, Promise, Running, Snapshot, Told, Waiting
from fabric.scheduler.usage import Usage
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group

VERSION = 6
"""Of the text; one that is not known is refused."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that was made; the same inputs give the same plan."""

    snapshot: Snapshot
    policy: Policy
    now: float
    """Seconds since the epoch."""
    plan: Plan
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """Budgets that it was made within, with what was used of them then, by project."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a decision was made of."""

    snapshot: Snapshot
    policy: Policy
    now: float
    """Seconds since the epoch."""
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """Budgets, with what was used of them, by project."""


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
            "grace_s": seen.grace_s,
            "overhead_s": seen.overhead_s,
            "usage": asdict(seen.usage),
            "known": known_to(seen.known),
            "projects": [project.model_dump(mode="json") for project in seen.tree.projects],
            "running": [_running_to(work) for work in seen.running],
            "waiting": [_waiting_to(work) for work in seen.waiting],
            "claims": [
                [c.name, c.start, c.end, c.nodes, None if c.amount is None else amount_of(c.amount), c.project]
                for c in seen.claims
            ],
            "accounts": {
                project: [account.budget.model_dump(mode="json"), account.used_gpu_s]
                for project, account in sorted(decision.accounts.items())
            },
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
    question, recorded = read_decision(text, where)
    again = plan_to(decide_within(question.accounts, question.snapshot, question.policy, question.now, decider=decide))
    return Replayed(recorded, json.loads(json.dumps(again)))


def read_decision(text: str, where: str) -> tuple[Question, Mapping[str, Any]]:
    """What `write_decision` wrote: the inputs, and the plan as JSON holds it.

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
            [_running_from(value) for value in document["running"]],
            [_waiting_from(value) for value in document["waiting"]],
            head=resources_of(document["head"]),
            claims=[
                Claim(name, start, end, tuple(nodes), None if amount is None else resources_of(amount), project)
                for name, start, end, nodes, amount, project in document["claims"]
            ],
            grace_s=document["grace_s"],
            overhead_s=document["overhead_s"],
            usage=Usage(**document["usage"]),
            known=known_from(document["known"]),
            tree=tree([Project.model_validate_json(json.dumps(value)) for value in document["projects"]]),
        )
        policy = Policy.model_validate_json(json.dumps(document["policy"]))
        accounts = {
            project: Account(Budget.model_validate_json(json.dumps(budget)), used_gpu_s)
            for project, (budget, used_gpu_s) in document["accounts"].items()
        }
        return Question(snapshot, policy, float(document["now"]), accounts), document["plan"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise BadInput(f"{where}: is no recorded decision: {type(error).__name__}: {error}") from None


def plan_to(plan: Plan) -> dict[str, Any]:
    """A plan as JSON holds it."""
    return {
        "placed": [{"workload": place.workload, **_grant_to(place.grant)} for place in plan.placed],
        "preempted": [[action.workload, action.grace_s, action.reason] for action in plan.preempted],
        "resized": [
            {"workload": r.workload, "after": r.after, "grace_s": r.grace_s, "why": r.reason, **_grant_to(r.grant)}
            for r in plan.resized
        ],
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


_PLAIN = ("rank", "project", "submitted", "since", "staged_s", "movable", "settled", "service", "wants")
"""Fields of a running workload that are numbers, flags or texts."""


def _running_to(work: Running) -> dict[str, Any]:
    plain = {name: getattr(work, name) for name in _PLAIN}
    groups = {
        "elastic": _group_to(work.elastic),
        "replicas": _group_to(work.replicas),
        "roams": [_group_to(group) for group in work.roams],
    }
    told = None if work.told is None else asdict(work.told)
    return {"name": work.name, "ends": work.ends, **plain, **groups, "told": told, **_grant_to(work.grant)}


def _running_from(value: Mapping[str, Any]) -> Running:
    plain = {name: value[name] for name in _PLAIN}
    told = None if value["told"] is None else _told_from(value["told"])
    return Running(
        value["name"], _grant_from(value), value["ends"], **plain, told=told,
        elastic=_group_from(value["elastic"]), replicas=_group_from(value["replicas"]),
        roams=tuple(Group.model_validate(group) for group in value["roams"]),
    )  # fmt: skip


def _group_to(group: Group | None) -> dict[str, Any] | None:
    return None if group is None else group.model_dump(mode="json")


def _group_from(value: Any) -> Group | None:
    return None if value is None else Group.model_validate(value)


def _told_from(value: Mapping[str, Any]) -> Told:
    demand = value["demand"]
    known = None if demand is None else Demand(**{**demand, "replicas": tuple(demand["replicas"])})
    return Told(**{**value, "demand": known})


def _waiting_to(work: Waiting) -> dict[str, Any]:
    return {
        "name": work.name,
        "rank": work.rank,
        "submitted": work.submitted,
        "groups": [group.model_dump(mode="json") for group in work.groups],
        "walltime_s": work.walltime_s,
        "blocked_by": work.blocked_by,
        "passed": work.passed,
        "since": work.since,
        "project": work.project,
        "saves": work.saves,
        "service": work.service,
        "expected_s": work.expected_s,
        "deadline": work.deadline,
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
        since=value["since"],
        project=value["project"],
        saves=value["saves"],
        service=value["service"],
        expected_s=value["expected_s"],
        deadline=value["deadline"],
        promise=None if kept is None else Promise(kept[0], tuple((s[0], s[1], s[2], s[3]) for s in kept[1])),
    )
