"""What a pod may use: limits, object store and volumes of a slice, from its grant and its tier's RAM bill.

Knows nothing of manifests.
"""

from dataclasses import dataclass

from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.scheduler.ram import bill
from fabric.scheduler.ram_lines import OBJECT_STORE_LEAST, Needs, Terms
from fabric.workloads.record import Slice

_OBJECT_STORE_PERMILLE = 300
"""Part of a slice's memory that its object store may take where the tier says nothing: Ray's own default."""


@dataclass(frozen=True, slots=True)
class PodAmounts:
    """Sizes of one pod."""

    memory: Bytes
    """Limit that the kernel enforces."""
    application: Bytes
    """What Ray may give to tasks and actors."""
    object_store: Bytes
    dev_shm: Bytes | None
    """Size limit of shared memory; None leaves it to KubeRay, which takes the memory limit."""
    files: Bytes | None
    """Size limit of /tmp, where Ray keeps session, logs and spilled objects; None where nobody set one."""
    spills: bool
    """Whether Ray may spill objects to files."""


def pod_amounts(part: Slice, terms: Terms) -> PodAmounts:
    """Divide what a slice was granted as its bill was put together.

    Raises:
        BadInput: If it was granted a part of an accelerator, which no pod can have.
    """
    if part.resources.gpus.count % 1000:
        raise BadInput(
            f"slice {part.name} has {part.resources.gpus.whole():g} GPUs, but tier {part.tier} gives pods whole "
            "accelerators only. Ask for whole ones.",
            tier=part.tier,
        )
    memory = part.resources.memory
    if terms.caps is None:
        store = max(OBJECT_STORE_LEAST, _permille(memory, _OBJECT_STORE_PERMILLE))
        return PodAmounts(memory, memory, store, None, None, spills=True)
    # The bill of a slice that asks for nothing: what is left of the memory was asked for, and so much store with it.
    fixed = bill(Needs(Resources()), Terms(terms.tier, terms.diskless, terms.caps, None, terms.block))
    beside = Bytes(max(0, fixed.slice.memory.count - OBJECT_STORE_LEAST.count))
    rest = memory.shortfall(beside)
    caps = terms.caps
    application = Bytes(rest.count * 1000 // (1000 + caps.object_store_permille))
    most = max(caps.object_store_most, OBJECT_STORE_LEAST)
    store = min(most, max(OBJECT_STORE_LEAST, _permille(application, caps.object_store_permille)))
    uncounted = fixed.slice.memory.shortfall(fixed.limit)
    return PodAmounts(
        memory.shortfall(uncounted),
        application,
        store,
        store + caps.shm,
        caps.scratch + caps.logs + caps.spill,
        spills=bool(caps.spill) or not terms.diskless,
    )


def _permille(size: Bytes, permille: int) -> Bytes:
    return Bytes(size.count * permille // 1000)
