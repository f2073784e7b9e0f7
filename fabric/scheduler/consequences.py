"""What a plan means for the records of those who leave, grow or shrink, and what of it is worth a line of history.

Knows nothing of stores or backends.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fabric.scheduler.life import preempted
from fabric.scheduler.plan import Plan
from fabric.workloads.record import Record
from fabric.workloads.states import State


def disturbed(records: Mapping[str, Record], plan: Plan, now: float) -> dict[str, Record]:
    """What is recorded of those who leave for others, and of those who grow or shrink.

    Args:
        records: By name.
        plan: What was decided.
        now: Seconds since the epoch.
    """
    changes: dict[str, Record] = {}
    for action in plan.preempted:
        record = records[action.workload]
        if record.state in {State.PLACING, State.STARTING}:
            changes[record.name] = preempted(record, action.reason, now)
        else:
            message, by = f"asked to leave: {action.reason}", now + action.grace_s
            changes[record.name] = record.to(State.DRAINING, leave_by=by, message=message)
    for resize in plan.resized:
        record = records[resize.workload]
        if resize.after > resize.before:
            update: dict[str, Any] = {"grant": resize.grant, "generation": record.generation + 1}
        else:
            update = {"target": resize.grant, "leave_by": now + resize.grace_s}
        # A service may be given another size while it still grows.
        same = record.state is State.RESIZING
        changed = replace(record, **update) if same else record.to(State.RESIZING, **update)
        changes[record.name] = replace(changed, message=resize.reason)
    return changes


def remembered(record: Record, plan: Plan) -> Record:
    """A queued record with its first promise, and how often it was passed."""
    promised, passed = record.promised_start, record.passed + plan.passed.get(record.name, 0)
    if promised is None and record.name in plan.promises:
        promised = plan.promises[record.name].start
    if (promised, passed) == (record.promised_start, record.passed):
        return record
    return replace(record, promised_start=promised, passed=passed)


def tells(old: Record, new: Record) -> bool:
    """Whether a change is worth a line of history."""
    return (old.state, old.attempt, old.message, old.condition) != (new.state, new.attempt, new.message, new.condition)
