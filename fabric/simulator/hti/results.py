"""One run of an arm as figures, kept in a file of its own so that a long benchmark can be stopped and go on.

Knows nothing of how arms are compared. A file's name says arm, load, seed, days and the code that made it; equal names
hold equal runs, apart from the times that decisions took.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fabric.core.errors import Corrupt
from fabric.scheduler.forecast import Demand
from fabric.simulator.hti.arms import arm, asked, manner
from fabric.simulator.hti.bound import capacity_left, demand_of, lower_bound
from fabric.simulator.hti.demand import Forecasting, Method, demands
from fabric.simulator.hti.fairness import least_shares, rho_p95
from fabric.simulator.hti.metrics import WIDE_GPUS, Figures, measure, wait_s
from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.play import Played, play
from fabric.simulator.hti.services import table_of, traffic_of
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces
from fabric.simulator.hti.workload import Workload, digest, draw_workload

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Key:
    """Which run."""

    arm: str
    load: float
    seed: int
    days: int
    code: str
    """Digest of the code and the benchmark's settings."""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.arm}_{self.load:g}_{self.seed}_{self.days}d_{self.code}.json"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; a figure about nothing is not-a-number."""

    key: Key
    figures: dict[str, float]
    """Of `Figures`, and of fairness, promises and decisions."""
    wide_waits_s: tuple[float, ...]
    """Waits of the wide gangs, whose percentile is taken over all seeds."""
    workload: str
    """Digest of what arrived."""
    cpu_s: float
    """Processor seconds of the run."""


def code_digest(package: Path, scenario: Path, name: str) -> str:
    """Digest of all that a run of an arm follows from; the peers count only for theirs.

    Args:
        package: Folder of the library.
        scenario: The benchmark's settings.
        name: Of the arm.
    """
    files = [file for part in ("scheduler", "simulator", "workloads") for file in (package / part).rglob("*.py")]
    if not arm(name).peer:
        files = [file for file in files if "peers" not in file.relative_to(package).parts]
    found = hashlib.sha256(scenario.read_bytes())
    for file in sorted(files):
        found.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:_DIGITS]


class Runs:
    """Draws workloads once for all arms, and runs what has not been run yet."""

    def __init__(self, settings: HtiSettings, traces: Traces, folder: Path, *, guarantees: bool = True) -> None:
        """Read nothing yet but the tables of the services.

        Args:
            settings: The benchmark.
            traces: What it is drawn from.
            folder: Of the result files.
            guarantees: Whether the site guarantees its projects their shares.
        """
        self._guarantees = guarantees
        self._settings, self._traces, self._folder = settings, traces, folder
        self._tables: Sequence[ReplicaTable] = [table_of(service, settings, traces) for service in settings.services]
        self._told: dict[tuple[float, int, Method], dict[str, tuple[Demand, ...]]] = {}
        self._drawn: dict[tuple[float, int], Workload] = {}

    def workload(self, load: float, seed: int) -> Workload:
        """What arrives; the last one drawn is remembered."""
        if (load, seed) not in self._drawn:
            drawn = draw_workload(self._settings, self._traces, self._tables, load=load, seed=seed)
            self._drawn = {(load, seed): drawn}
        return self._drawn[load, seed]

    def get(self, key: Key) -> Result:
        """The result of a run, from its file or from running it now.

        Raises:
            Corrupt: If the file holds no result.
        """
        file = self._folder / key.file
        if file.exists():
            return read(file)
        result = self._run(key)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
        part.rename(file)
        return result

    def bound_s(self, load: float, seed: int) -> float:
        """The mean completion time that nobody can beat (B8), in seconds."""
        workload = self.workload(load, seed)
        capacity = capacity_left(workload.services, reference_gpus=self._settings.reference_gpus)
        return lower_bound([demand_of(job) for job in workload.training], capacity).mean_s

    def _run(self, key: Key) -> Result:
        workload, settings = self.workload(key.load, key.seed), self._settings
        traffic = [traffic_of(service, settings, self._traces, seed=key.seed) for service in workload.services]
        how = replace(
            manner(key.arm, settings), told=self._demands(workload, arm(key.arm).method), guarantees=self._guarantees
        )
        began = time.process_time()
        played = play(settings, asked(key.arm, workload), traffic, how)
        cpu_s = time.process_time() - began
        run = played.log
        wide = tuple(wait_s(job, run.ended_s) for job in run.jobs if job.gpus >= WIDE_GPUS)
        return Result(key, figures_of(played, workload, settings), wide, digest(workload), cpu_s)

    def _demands(self, workload: Workload, method: Method) -> dict[str, tuple[Demand, ...]]:
        """What the services tell; the last ones reckoned are remembered, as all arms of a seed are told the same."""
        kept = (workload.load, workload.seed, method)
        if kept not in self._told:
            self._told = {kept: {s.name: demands(s, Forecasting(method)) for s in workload.services}}
        return self._told[kept]


def figures_of(played: Played, workload: Workload, settings: HtiSettings) -> dict[str, float]:
    """All figures of a run by name."""
    measured: Figures = measure(
        played.log,
        reference_gpus=settings.reference_gpus,
        slo_ttft_s=settings.slo_ttft_s,
        tokens_per_gpu_s=settings.harvest.tokens_per_gpu_s,
    )
    found = {name: float(value) for name, value in asdict(measured).items() if isinstance(value, int | float)}
    found |= {f"slo {name}": share for name, share in measured.slo_by_service}
    shares = least_shares(played.log, workload.projects, reference_gpus=settings.reference_gpus)
    late = played.late_s
    return found | {
        "rho_p95": rho_p95(played.log, reference_gpus=settings.reference_gpus),
        "least_share": min(shares.values(), default=math.nan),
        "preempted_gpu_h": sum(
            (part.end_s - part.start_s) * part.gpus * part.speed / 3600
            for job in played.log.jobs
            for part in job.segments
            if part.ended == "preempted"
        ),
        "promises": float(len(late)),
        "late_share": sum(error > 1.0 for error in late) / len(late) if late else math.nan,
        "late_p50_s": float(np.quantile(late, 0.5)) if late else math.nan,
        "late_p99_s": float(np.quantile(late, 0.99)) if late else math.nan,
        "decisions": float(played.num_decisions),
        "decision_mean_s": float(np.mean(played.log.decisions_s)) if played.log.decisions_s else math.nan,
    }


def read(file: Path) -> Result:
    """A result from its file.

    Raises:
        Corrupt: If it holds none.
    """
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        key = Key(**found.pop("key"))
        return Result(key=key, wide_waits_s=tuple(found.pop("wide_waits_s")), **found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{file}: holds no result ({type(error).__name__}: {error}). Delete it to run it again."
        ) from None
