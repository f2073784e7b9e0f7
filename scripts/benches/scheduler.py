"""HTI-14: ours beside Slurm, Kueue, KAI, Gavel, Sia and Lyra; the short version about 10 minutes, --full for hours.

Reads the traces from FABRIC_TRACES. Every run has a file of its own below the results' folder, named after arm, load,
seed, days and the code, so a benchmark that was stopped goes on. At the end: a report in Markdown and a picture for
each load. Short: one seed, two days, load 0.95, few arms. Full: 14 days, 10 seeds and all arms at 0.95, 5 seeds without
ablations at 0.85 and 1.05.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fabric.config import env
from fabric.config.load import load as load_settings
from fabric.core.errors import FabricError
from fabric.simulator.hti.arms import ARMS, REPORTING_SEEDS, TUNING_SEEDS, arm
from fabric.simulator.hti.charts import draw
from fabric.simulator.hti.goals import BOUND
from fabric.simulator.hti.report import report
from fabric.simulator.hti.results import Key, Result, Runs, code_digest
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import read_traces

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "configs" / "simulate" / "hti-14.yaml"
MAIN_LOAD = 0.95
"""Load at which everything is run."""
SHORT_ARMS = ("ours", "b1-static", "b2-slurm", "b3-kueue")
SHORT_DAYS = 2
SIDE_SEEDS = 5
"""Seeds at the other loads."""


def main(words: Sequence[str]) -> int:
    """Run what is missing, print and write the report; 1 if an arm could not be run."""
    chosen = _chosen(words)
    folder = env.get(env.TRACES)
    if not folder:
        print("scheduler: set FABRIC_TRACES to the folder of public traces", file=sys.stderr)
        return 2
    settings = load_settings(HtiSettings, SCENARIO).model_copy(update={"days": chosen.days})
    runs = Runs(settings, read_traces(Path(folder)), chosen.results, guarantees=not chosen.no_guarantees)
    tables: dict[float, dict[str, list[Result]]] = {}
    failed: dict[str, str] = {}
    for load, seed, name in _wanted(chosen):
        if name in failed:
            continue
        code = code_digest(ROOT / "fabric", SCENARIO, name) + ("-unguaranteed" if chosen.no_guarantees else "")
        key = Key(name, load, seed, chosen.days, code)
        began = time.perf_counter()
        try:
            result = runs.get(key)
        except FabricError as error:
            failed[name] = error.message
            print(f"{name}: left out: {error.message}", file=sys.stderr, flush=True)
            continue
        tables.setdefault(load, {}).setdefault(name, []).append(result)
        _say(result, time.perf_counter() - began)
    for load, table in tables.items():
        table[BOUND] = [_bound(runs, result) for result in next(iter(table.values()))]
        draw(table, chosen.results / f"hti-{load:g}.png")
    text = report(tables, _provenance(chosen, failed))
    (chosen.results / "report.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed else 0


def _chosen(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench scheduler", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="14 days, all loads, all arms")
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), help="only these")
    parser.add_argument("--seeds", type=int, help="how many of the reporting seeds")
    parser.add_argument("--tune", action="store_true", help="the tuning seeds, which are never reported, instead")
    parser.add_argument("--loads", type=float, nargs="*")
    parser.add_argument("--days", type=int, help="length of the benchmark")
    parser.add_argument("--no-guarantees", action="store_true", help="a site that guarantees its projects nothing")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "hti", help="folder of the result files")
    chosen = parser.parse_args(words)
    full = chosen.full
    chosen.arms = chosen.arms or (list(ARMS) if full else list(SHORT_ARMS))
    chosen.loads = chosen.loads or ([MAIN_LOAD, 0.85, 1.05] if full else [MAIN_LOAD])
    chosen.days = chosen.days or (14 if full else SHORT_DAYS)
    chosen.seeds = chosen.seeds or (len(REPORTING_SEEDS) if full else 1)
    return chosen


def _wanted(chosen: argparse.Namespace) -> Iterator[tuple[float, int, str]]:
    """Load, seed and arm of every run; all arms of a seed one after another, as they share its workload."""
    for load in chosen.loads:
        side = load != MAIN_LOAD
        seeds = TUNING_SEEDS if chosen.tune else REPORTING_SEEDS
        for seed in seeds[: min(chosen.seeds, SIDE_SEEDS) if side else chosen.seeds]:
            for name in chosen.arms:
                if name == "ours" or arm(name).peer or not side:
                    yield load, seed, name


def _bound(runs: Runs, like: Result) -> Result:
    """The clairvoyant bound as if it were a run."""
    key = Key(BOUND, like.key.load, like.key.seed, like.key.days, like.key.code)
    mean_s = runs.bound_s(key.load, key.seed)
    return Result(key, {"jct_mean_s": mean_s}, (), like.workload, 0.0)


def _say(result: Result, took_s: float) -> None:
    found, key = result.figures, result.key
    print(
        f"{key.load:.2f} seed {key.seed:3d} {key.arm:14s} SLO {found['slo_attainment']:.4f} "
        f"JCT {found['jct_mean_s'] / 3600:.3f} h wait {found['wait_mean_s'] / 3600:.3f} h "
        f"useful {found['useful_share']:.4f} wasted {found['wasted_gpu_h']:.0f} GPU-h "
        f"decision p99 {found['decision_p99_s']:.3f} s; {result.cpu_s:.0f} CPU s, now {took_s:.0f} s",
        flush=True,
    )


def _provenance(chosen: argparse.Namespace, failed: Mapping[str, str]) -> dict[str, str]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "commit": commit or "unknown",
        "length": f"{chosen.days} days",
        "guarantees": "none" if chosen.no_guarantees else "serving its peak, projects their shares of the rest",
        "made on": f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}",
        "left out": "; ".join(f"{name}: {why}" for name, why in failed.items()) or "nothing",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
