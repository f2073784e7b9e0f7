"""The nodes of a site as placement policies see them, and a part of a gang as one of its workers asks.

Knows nothing of weights, and nothing of who decides.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.scheduler.columns import CPUS, GPUS, MEMORY, Amount, Amounts, Rows
from fabric.scheduler.columns import NodeColumns as Site
from fabric.scheduler.policies.columns import WHOLE_MILLI_GPUS, Ask, Ints, NodeColumns
from fabric.scheduler.policies.fragmentation import TaskMix, mix_of
from fabric.scheduler.shape import Part


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """What policies see of a site and what no decision changes; one row each as in the site."""

    num_devices: Ints
    model: Ints
    """A tier's accelerators are one model, called like the tier; "" for none."""
    models: tuple[str, ...]
    group: Ints
    rack: Ints


@lru_cache(maxsize=8)
def fixed(site: Site) -> Fixed:
    """What policies see of `site` and what no decision changes; remembered for the sites seen last."""
    models = ("", *site.gpu_tiers)
    number = {tier: at for at, tier in enumerate(models)}
    groups = {name: at for at, name in enumerate(sorted({place.group for place in site.places}))}
    racks = {place: at for at, place in enumerate(sorted(set(site.places)))}
    return Fixed(
        num_devices=-(-site.capacity[:, GPUS] // WHOLE_MILLI_GPUS),
        model=np.array([number.get(tier, 0) for tier in site.tier_of], dtype=np.int64),
        models=models,
        group=np.array([groups[place.group] for place in site.places], dtype=np.int64),
        rack=np.array([racks[place] for place in site.places], dtype=np.int64),
    )


def free_devices(free_milli_gpus: Ints, num_devices: int) -> Ints:
    """(N, D) What each device has left, where only the sum of a node is known.

    Taken as if work had been packed: as many whole devices as the sum holds, one with the rest, others with nothing.
    Where two devices are half used each, this says that one is idle and one is full.

    Args:
        free_milli_gpus: (N,) Sums.
        num_devices: D, at least 1 and enough for the largest sum.
    """
    before = np.arange(num_devices) * WHOLE_MILLI_GPUS
    left: Ints = np.clip(free_milli_gpus[:, None] - before, 0, WHOLE_MILLI_GPUS)
    return left


def view(site: Site, rows: Rows, free: Amounts, *, devices: Ints | None = None) -> NodeColumns:
    """Some nodes of a site as policies see them.

    What runs on a node is not known here: accelerators in use count as whole ones, each held by other work, and a rest
    as a share (`NodeColumns.kinds`).

    Args:
        site: All nodes.
        rows: Which of them.
        free: What each of these has left.
        devices: What each device of every node of the site has left, where that is known. It holds for a node whose sum
            is still the same; for the others it is reckoned as `free_devices` says.
    """
    seen = fixed(site)
    num_devices, left = seen.num_devices[rows], free[:, GPUS]
    told = 1 if devices is None else devices.shape[1]
    each = free_devices(left, max(int(num_devices.max(initial=1)), told))
    if devices is not None:
        exact = np.zeros_like(each)
        exact[:, :told] = devices[rows]
        each = np.where((exact.sum(axis=1) == left)[:, None], exact, each)
    used, shared = np.divmod(num_devices * WHOLE_MILLI_GPUS - left, WHOLE_MILLI_GPUS)
    return NodeColumns(
        capacity_milli_cpus=site.capacity[rows, CPUS],
        free_milli_cpus=free[:, CPUS],
        capacity_bytes=site.capacity[rows, MEMORY],
        free_bytes=free[:, MEMORY],
        num_devices=num_devices,
        free_milli_gpus=each,
        model=seen.model[rows],
        kinds=np.where(used > 0, 1 << 1, 0) | np.where(shared > 0, 1, 0),
        group=seen.group[rows],
        rack=seen.rack[rows],
        models=seen.models,
    )


@lru_cache(maxsize=1 << 12)
def ask_of(request: Amount, models: frozenset[str] = frozenset()) -> Ask:
    """What one worker asks of a node; of more than one device, a rest that is no whole one is left out."""
    cpus, gpus, memory = request
    whole = gpus // WHOLE_MILLI_GPUS
    share = WHOLE_MILLI_GPUS if whole else gpus
    return Ask(MilliCpus(cpus), Bytes(memory), whole or bool(gpus), MilliGpus(share), models)


def most_by_device(ask: Ask, nodes: NodeColumns) -> Ints | None:
    """(N,) How many workers the devices of each node take; None if they need none."""
    if not ask.num_gpus:
        return None
    left = nodes.free_milli_gpus
    if ask.shares:
        return (left // ask.gpu.count).sum(axis=1)  # type: ignore[no-any-return]
    return (left == WHOLE_MILLI_GPUS).sum(axis=1) // ask.num_gpus  # type: ignore[no-any-return]


def expected_mix(parts: Iterable[Part], site: Site) -> TaskMix | None:
    """The tasks to come, taken to be like the workers of `parts`; None if there are none."""
    counts: Counter[Ask] = Counter()
    for part in parts:
        models = frozenset(() if part.tier is None else (part.tier,))
        counts[ask_of(part.request, models)] += part.count
    return mix_of(counts, fixed(site).models) if counts else None


def needed_bytes(part: Part) -> Bytes:
    """Image and weights that must be on a node before a worker starts there."""
    return sum((artifact.size for artifact in (part.image, part.weights) if artifact), Bytes(0))


def held_bytes(part: Part, rows: Rows, site: Site) -> Ints:
    """(N,) How much of that some nodes have."""
    held: Ints = np.zeros(len(site.names), dtype=np.int64)
    for artifact in (part.image, part.weights):
        if artifact and artifact.name in site.holders:
            held[site.holders[artifact.name]] += artifact.size.count
    return held[rows]
