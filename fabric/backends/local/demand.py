"""Which of Ray's waiting demands no slice of the grant could ever meet, and what would.

Knows nothing of how demands are read.
"""

from collections.abc import Mapping, Sequence

from fabric.workloads.record import Slice

_FLAGS = {"CPU": "--entrypoint-num-cpus (or cpus of a group)", "GPU": "--entrypoint-num-gpus (or gpus of a group)",
          "memory": "--entrypoint-memory (or memory of a group)"}  # fmt: skip


def unmet(demands: Sequence[Mapping[str, float]], slices: Sequence[Slice], held_gpus: Mapping[str, float]) -> str:
    """A sentence about the first demand that fits no slice; empty if every one fits somewhere.

    Args:
        demands: Resources by Ray's names.
        slices: Of the grant.
        held_gpus: Accelerators that the entrypoint itself holds as long as it runs, by slice.
    """
    offers = [_offer(part, held_gpus.get(part.name, 0.0)) for part in slices if not part.only_head]
    for demand in demands:
        wanted = {kind: amount for kind, amount in demand.items() if kind in _FLAGS and amount > 0}
        if wanted and not any(all(offer[kind] >= amount for kind, amount in wanted.items()) for offer in offers):
            return _sentence(wanted, offers)
    return ""


def _offer(part: Slice, held_gpus: float) -> dict[str, float]:
    request = part.resources
    gpus = max(0.0, request.gpus.whole() - held_gpus)
    return {"CPU": request.cpus.whole(), "GPU": gpus, "memory": float(request.memory.count)}


def _sentence(wanted: Mapping[str, float], offers: Sequence[Mapping[str, float]]) -> str:
    asked = " and ".join(f"{amount:g} {kind}" for kind, amount in sorted(wanted.items()))
    largest = {kind: max((offer[kind] for offer in offers), default=0.0) for kind in wanted}
    short = [kind for kind, amount in wanted.items() if largest[kind] < amount] or list(wanted)
    most = ", ".join(f"{largest[kind]:g} {kind}" for kind in sorted(wanted))
    flags = ", ".join(_FLAGS[kind] for kind in sorted(short))
    limit = f"the largest slice of the grant has {most} beside what the entrypoint holds"
    return f"asks Ray for {asked} on one node, but {limit}. Submit again with more: {flags}"
