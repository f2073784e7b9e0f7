"""Work whose name was made up here: where somebody has that name, it gets another one.

Knows nothing of what makes names, or of what is kept.
"""

from collections.abc import Callable
from dataclasses import replace

from fabric.control.ports import Workloads
from fabric.core.errors import Conflict
from fabric.core.ids import generated_name
from fabric.workloads.record import Record


def kept(
    workloads: Workloads, record: Record, idempotency_key: str | None, *, made_up_of: Callable[[int], bytes] | None
) -> Record:
    """Have a workload taken in.

    Args:
        workloads: Where.
        record: As it should be.
        idempotency_key: Equal in repetitions of one request.
        made_up_of: So many random bytes, where the name was made up of such; None where somebody chose it.

    Returns:
        What was taken in, now or at the first such request.

    Raises:
        Conflict: If somebody chose a name that is taken, or the key was used for something else.
    """
    while True:
        try:
            return workloads.submit(record, idempotency_key)
        except Conflict as error:
            # Six digits are few beside thousands of names; the conflict of a key names the other workload.
            if made_up_of is None or error.fields.get("name") != record.name:
                raise
        name = generated_name(record.spec.kind, made_up_of(3))
        record = replace(record, name=name, spec=record.spec.model_copy(update={"name": name}))
