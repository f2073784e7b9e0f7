"""Our simulator beside published results: KTH-SP2, SDSC-SP2 and Lublin-1, job by job; about 5 minutes.

Reads the traces below FABRIC_TRACES (default: the folder shared/traces beside this repository). Exit status 1 if a
figure differs in any printed digit.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

from fabric.config import env
from fabric.simulator.batch import EASY, run_batch
from fabric.simulator.metrics import average_bounded_slowdown, mean_wait_s, utilisation
from fabric.simulator.published import BATCH, LUBLIN, LUBLIN_PROCESSORS, WINDOWS, PublishedBatch, PublishedWindows
from fabric.simulator.swf import read_swf
from fabric.simulator.windows import run_windows

ROOT = Path(__file__).resolve().parents[2]
WHOLE = 100.0
"""Per cent of the waits that must be equal."""
ROW = "{:32} {:>12} {:>12} {:>10} {:>10} {:>9} {:>9} {:>10}"
HEADS = ("run", "published", "ours", "equal %", "util.", "passes", "CPU s", "passes/s")


def batch(run: PublishedBatch, traces: Path) -> dict[str, object]:
    """One log of pyss."""
    file = traces / run.file
    with gzip.open(file, "rt") as lines:
        waits = {int(line.split()[0]): float(line.split()[2]) for line in lines if line.strip() and line[0] != ";"}
    jobs = read_swf(file, run.processors)
    began = time.process_time()
    ran = run_batch(jobs, run.processors, policy=EASY.model_copy(update={"backfill": run.order}), exact=run.exact)
    took_s = time.process_time() - began
    equal = sum(waits[job.number] == job.wait_s for job in ran.jobs)
    return {
        "run": f"{run.log}.{run.suffix}", "published": f"{run.avebsld:.4f}",
        "ours": f"{average_bounded_slowdown(ran.jobs):.4f}", "equal": 100 * equal / len(waits),
        "mean_wait_s": mean_wait_s(ran.jobs), "utilisation": utilisation(ran.jobs, run.processors),
        "passes": ran.num_passes, "cpu_s": took_s,
    }  # fmt: skip


def windows(run: PublishedWindows, traces: Path) -> dict[str, object]:
    """Ten windows of RLScheduler."""
    jobs = read_swf(traces / LUBLIN, LUBLIN_PROCESSORS)
    began = time.process_time()
    ran = run_windows(jobs, LUBLIN_PROCESSORS, order=run.order, backfill=run.backfill)
    return {
        "run": f"Lublin-1 {run.order} {'backfill' if run.backfill else ''}",
        "published": f"{run.bsld:.2f} {run.utilisation:.3f}", "ours": f"{ran.bsld:.2f} {ran.utilisation:.3f}",
        "utilisation": ran.utilisation, "passes": ran.num_passes, "cpu_s": time.process_time() - began,
    }  # fmt: skip


def shown(found: dict[str, object]) -> str:
    """One line of the table."""
    passes, took_s = float(str(found["passes"])), float(str(found["cpu_s"]))
    equal = f"{float(str(found['equal'])):.4f}" if "equal" in found else "-"
    columns = (found["run"], found["published"], found["ours"], equal, f"{float(str(found['utilisation'])):.4f}")
    return ROW.format(*map(str, columns), f"{passes:.0f}", f"{took_s:.1f}", f"{passes / took_s:.0f}")


def main() -> int:
    """Run, print a table and JSON; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="runs whose name begins with this, such as KTH")
    options = parser.parse_args()
    traces = Path(env.get(env.TRACES) or ROOT.parent / "shared" / "traces")
    if not (traces / LUBLIN).exists():
        print(f"validate: skipped, as there are no traces in {traces}; set {env.TRACES}")
        return 0
    print(ROW.format(*HEADS))
    rows = []
    for name, work in [
        *((f"{run.log}.{run.suffix}", (batch, run)) for run in BATCH),
        *((f"Lublin-1 {run.order}", (windows, run)) for run in WINDOWS),
    ]:
        if name.startswith(options.only):
            function, run = work
            rows.append(function(run, traces))  # type: ignore[operator]
            print(shown(rows[-1]), flush=True)
    wrong = [row["run"] for row in rows if row["published"] != row["ours"] or row.get("equal", WHOLE) != WHOLE]
    print(f"{len(rows) - len(wrong)} of {len(rows)} equal the published results")
    print(json.dumps(rows))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
