"""Work that is taken in once: under another name where a made-up one is taken, and never again for the same key.

Knows nothing of what makes names, or of what is kept.
"""

from collections.abc import Callable
from dataclasses import replace

from fabric.control.callers import Caller
from fabric.control.ports import Workloads
from fabric.core.errors import Conflict
from fabric.core.ids import array_named, generated_name
from fabric.workloads.record import Record
from fabric.workloads.spec import WorkloadSpec


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


def repeated(workloads: Workloads, spec: WorkloadSpec, caller: Caller, idempotency_key: str | None) -> Record | None:
    """What the same request has made before; None if it is new.

    What was let in stays so: a repetition must not be refused because a job that comes first has failed or is gone
    since, or a project was closed.

    Args:
        workloads: Where.
        spec: What is asked for.
        caller: Who asks.
        idempotency_key: Equal in repetitions of one request.
    """
    if idempotency_key is None:
        return None
    if caller.project is not None and "project" not in spec.model_fields_set:
        spec = spec.model_copy(update={"project": caller.project})
    earlier = None if caller.project not in {None, spec.project} else workloads.of_key(spec.project, idempotency_key)
    return earlier if earlier is not None and _asks_for(spec, earlier.spec) else None


def _asks_for(spec: WorkloadSpec, made: WorkloadSpec) -> bool:
    """Whether a workload was made of this; an array that was to come first is there by its elements of then."""
    if spec.nameless.model_copy(update={"after": ()}) != made.nameless.model_copy(update={"after": ()}):
        return False
    named, found = set(spec.after), set(made.after)
    meant = found | {array_named(name) for name in found}
    return named <= meant and all(name in named or array_named(name) in named for name in found)
