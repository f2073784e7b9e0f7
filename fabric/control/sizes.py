"""The size at which a workload should work now, and the sizes that it may be asked to have.

Knows nothing of who asks: values in, values out.
"""

from fabric.api.admin import SizeView
from fabric.core.errors import BadInput, Conflict
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import Group
from fabric.workloads.states import State


def size_of(record: Record, works_at: int | None) -> SizeView:
    """What a workload that asks is told.

    One that is to shrink hears of the smaller size at once, one that grows of the larger only when all of it is there.

    Args:
        record: As stored.
        works_at: Size at which its present attempt said that it works; None if it never did.
    """
    group = record.spec.elastic
    if group is None:
        return SizeView()
    unknown = SizeView(group=group.name, generation=record.generation)
    if record.grant is None:
        return unknown
    if record.target is not None:
        return _told(record, group, record.target)
    if record.state is not State.RESIZING or (works_at is not None and works_at >= record.grant.size(group.name)):
        return _told(record, group, record.grant)
    return unknown.model_copy(update={"workers": works_at})


def _told(record: Record, group: Group, grant: Grant) -> SizeView:
    return SizeView(
        group=group.name,
        workers=grant.size(group.name),
        slices=tuple(part.name for part in grant.slices if part.group == group.name),
        generation=record.generation,
        leave_by=record.leave_by,
    )


def check_scale(record: Record, workers: int) -> None:
    """Refuse a size that a workload cannot be asked to have.

    Raises:
        Conflict: If it has ended.
        BadInput: If it is no service, is not elastic, or that is none of its sizes.
    """
    name, group = record.name, record.spec.elastic
    if record.state.final:
        raise Conflict(f"{name} has already {record.state}", workload=name, state=str(record.state))
    if record.spec.kind != "service":
        raise BadInput(f"{name} is a job: the scheduler sizes it between min and max of its group", workload=name)
    if group is None:
        raise BadInput(
            f"{name} has a fixed number of replicas. Deploy it again with --max, or min and max of its group.",
            workload=name,
        )
    if not group.least <= workers <= group.most or (workers - group.least) % group.step:
        steps = f" in steps of {group.step}" if group.step > 1 else ""
        raise BadInput(
            f"{name} can have {group.least} to {group.most} replicas{steps}, not {workers}",
            workload=name, least=group.least, most=group.most,
        )  # fmt: skip
