"""The mixed work of the bench of truth: who comes when, drawn from a seed, and who is stopped by a person.

Knows nothing of fabrics. Sizes suit `configs/sites/laptop.yaml`, so that about three clusters fit at once: work on the
commodity tier takes most of a node's memory, and work on a GPU node most of its cores.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fabric.config.load import decode
from fabric.workloads.spec import WorkloadSpec

SPAN_S = 240.0
"""Seconds over which work comes."""
APART_S = 1.5
"""Fewest seconds between two submissions, more than the beat of a calm loop, so that none is a tie by chance."""
GRACE_S, STARTS_S = 20.0, 15.0
"""The site's grace, which a walltime must hold since the notice comes that much before its end, and what an interpreter
and `ray.init` may take on a busy machine."""

GPU = {"name": "trainers", "tier": "gpu", "cpus": 3.0, "gpus": 2.0, "memory": "1 GiB"}
CPU = {"name": "readers", "tier": "commodity", "cpus": 2.0, "memory": "3500 MiB"}
SMALL = {**CPU, "memory": "2500 MiB", "cpus": 1.0}
KINDS: tuple[tuple[str, int, str, tuple[dict[str, Any], ...]], ...] = (
    ("prep", 7, "batch", (CPU,)),
    ("tune", 6, "batch", ({**GPU, "gpus": 1.0},)),
    ("gang", 3, "batch", ({**GPU, "count": 2},)),
    ("wide", 2, "batch", (GPU, SMALL)),
    ("ask", 4, "interactive", (SMALL,)),
    ("left", 3, "harvest", ({**GPU, "gpus": 1.0},)),
)
"""Name, how many, priority class and groups."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What a person does at an instant."""

    at_s: float
    """Seconds from the beginning."""
    submits: WorkloadSpec | None = None
    stops: str = ""
    """Name of the workload that is stopped."""


def deeds(seed: int) -> tuple[Deed, ...]:
    """All that people do, in order.

    Args:
        seed: What instants, run times and over-estimates follow from.
    """
    chance = random.Random(seed)
    specs = list(_specs(chance))
    chance.shuffle(specs)
    gaps = [chance.expovariate(1.0) for _ in specs]
    scale = SPAN_S / sum(gaps)
    at_s, found = 0.0, []
    for spec, gap in zip(specs, gaps, strict=True):
        found.append(Deed(at_s, spec))
        at_s = round(at_s + max(APART_S, gap * scale), 1)
    return tuple(sorted([*found, *_chain(chance), *_stopped()], key=lambda deed: deed.at_s))


def _specs(chance: random.Random) -> Iterator[WorkloadSpec]:
    """Jobs that nothing ties to others; every third runs Ray tasks, every other says far too much walltime."""
    for kind, num, priority, groups in KINDS:
        for number in range(num):
            sleep_s = round(chance.uniform(35.0, 50.0) if kind == "left" else chance.uniform(8.0, 22.0), 1)
            command = _sleep(sleep_s) if (number + 1) % 3 else _tasks(sleep_s)
            yield _job(f"{kind}-{number}", command, sleep_s * (4.0 if number % 2 else 1.0), groups, priority=priority)
    yield _job("broken", 'python -c "import time; time.sleep(9); raise SystemExit(3)"', 9.0, (CPU,))


def _chain(chance: random.Random) -> Iterator[Deed]:
    """Three jobs, each after the one before."""
    before: tuple[str, ...] = ()
    for number, groups in enumerate(((CPU,), ({**GPU, "gpus": 1.0},), (SMALL,))):
        sleep_s = round(chance.uniform(8.0, 14.0), 1)
        spec = _job(f"stage-{number}", _sleep(sleep_s), sleep_s, groups, after=before)
        yield Deed(41.3 + 2 * number, spec)
        before = (f"stage-{number}",)


def _stopped() -> Iterator[Deed]:
    """A service and a job that a person stops."""
    replicas = {"name": "replicas", "tier": "commodity", "cpus": 1.0, "memory": "3 GiB"}
    service = {"model": "echo", "engine": "echo", "group": "replicas"}
    chat = {"name": "chat", "kind": "service", "priority": "serving", "groups": [replicas], "service": service}
    yield Deed(90.7, decode(WorkloadSpec, chat, "chat"))
    yield Deed(230.7, stops="chat")
    yield Deed(151.9, _job("endless", _sleep(3600.0), 600.0, ({**GPU, "gpus": 1.0},)))
    yield Deed(352.3, stops="endless")


def _job(name: str, command: str, lasts_s: float, groups: tuple[dict[str, Any], ...], **more: Any) -> WorkloadSpec:
    walltime_s = lasts_s + GRACE_S + STARTS_S
    what = {"name": name, "entrypoint": command, "groups": groups, "walltime_s": walltime_s, "max_failures": 0}
    return decode(WorkloadSpec, {**what, **more}, name)


def _sleep(seconds: float) -> str:
    return f'python -c "import time; time.sleep({seconds:g})"'


def _tasks(seconds: float) -> str:
    """Two tasks of Ray that sleep together so long, and a driver that waits for them."""
    program = f"import ray, time; ray.init(); nap = ray.remote(lambda: time.sleep({seconds / 2:g}))"
    return f'python -c "{program}; ray.get(nap.remote()); ray.get(nap.remote())"'
