"""Whether simulation is true: 31 mixed workloads live on the laptop site, then played again; about 10 minutes.

The live run is kept in the output folder (`live.json`, `site.yaml`), so a later call, or `--replay FOLDER`, plays only
the simulation: `scenario.yaml` with the measured durations, staging and clean-up, by `fabric simulate run --json`. Both
use the same site and policy. The table compares every start; an order that differs, except where starts were no further
apart live than a beat of the loop, a median error above its bound, or a promise that was not kept, fails the bench.
Needs 8 GiB of free memory.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fabric.config.load import load
from fabric.config.site_file import load_site
from fabric.core.errors import FabricError
from fabric.scheduler.policy import Policy
from fabric.sdk import Client
from fabric.simulator.recorded import RecordedRun, RecordedWorkload, num_preempted, scenario_of
from fabric.simulator.report import Start
from fabric.simulator.truth import BEAT_S, LivePromise, Truth, compare, promises_of
from fabric.store.files import write_atomically
from fabric.workloads.spec import WorkloadSpec
from scripts.benches._own_fabric import FABRIC, LAPTOP, ROOT, OwnFabric, own_fabric
from scripts.benches._truth_work import Deed, deeds

AT_MOST = 0.1
"""Median error of a start; the goal of the project."""
LONGEST_S = 900.0
"""A live run that takes longer is given up."""
LOOK_S = 0.05
"""Seconds between two looks at which clusters are still there."""
NEEDS_GIB = 8
LIVE, SITE, SCENARIO, TABLE = "live.json", "site.yaml", "scenario.yaml", "truth.md"


@contextmanager
def watching(clusters: Path) -> Iterator[dict[str, float]]:
    """When each cluster was first not there any more, by name; a cluster is there as long as its folder is."""
    gone: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        seen: set[str] = set()
        while not over.wait(LOOK_S):
            now, there = time.time(), {path.name for path in clusters.glob("*")}
            gone.update(dict.fromkeys(seen - there - gone.keys(), now))
            seen |= there

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield gone
    finally:
        over.set()
        thread.join()


def act(client: Client, deed: Deed) -> WorkloadSpec | None:
    """Submit or stop; what was submitted."""
    if deed.submits is not None:
        client.submit(deed.submits)
        return deed.submits
    client.stop(deed.stops)
    return None


def live(fabric: OwnFabric, planned: Sequence[Deed]) -> RecordedRun:
    """Do what is planned, wait until everything has ended and is gone, and read it from the records.

    Raises:
        SystemExit: If it takes too long.
    """
    began = time.monotonic()
    specs = []
    with Client(fabric.address, state=fabric.state) as client, watching(fabric.state / "clusters") as gone:
        for deed in planned:
            time.sleep(max(0.0, began + deed.at_s - time.monotonic()))
            if (spec := act(client, deed)) is not None:
                specs.append(spec)
            what = f"stops {deed.stops}" if spec is None else f"submits {spec.name} ({spec.priority})"
            print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)
        for spec in specs:
            left_s = began + LONGEST_S - time.monotonic()
            view = client.wait(str(spec.name), timeout_s=max(1.0, left_s), until_ended=True)
            print(f"{time.monotonic() - began:6.1f} s  {view.name} {view.state}: {view.message}", flush=True)
        while any((fabric.state / "clusters").iterdir()):
            if time.monotonic() > began + LONGEST_S:
                sys.exit("truth: clusters do not go away")
            time.sleep(LOOK_S)
        time.sleep(2 * LOOK_S)
        told = [client.explain(str(spec.name)) for spec in specs]
        promises = client.overview().promises
    print(
        f"promises as `fabric top` counts them: {promises.num_kept} of {promises.num} kept, worst {promises.worst_s} s"
    )
    works = [RecordedWorkload(spec=s, view=t.workload, events=t.events) for s, t in zip(specs, told, strict=True)]
    return RecordedRun(workloads=tuple(works), gone_at=gone, made_on=made_on())


def record(out: Path, seed: int, policy: Path | None) -> None:
    """Make the live run, and leave it and the site in the output folder."""
    if (free := available_gib()) < NEEDS_GIB:
        sys.exit(f"truth: {free:.1f} GiB of memory are free, and it needs {NEEDS_GIB}; try again later")
    sets = [f"policy={json.dumps(load(Policy, policy).model_dump(mode='json'))}"] if policy else []
    write_atomically(out / SITE, load_site(LAPTOP, sets, policy=Policy).model_dump_json(indent=1).encode())
    with own_fabric(out / SITE) as fabric:
        run = live(fabric, deeds(seed))
    write_atomically(out / LIVE, run.model_dump_json(indent=1).encode())


def replay(run: RecordedRun, out: Path) -> list[Start]:
    """Write the scenario of a live run, play it, and tell the simulated starts.

    Raises:
        SystemExit: If the simulation fails.
    """
    scenario = scenario_of(run, site=SITE).model_dump(mode="json", exclude_defaults=True)
    (out / SCENARIO).write_text(json.dumps(scenario, indent=1) + "\n", encoding="utf-8")  # JSON is YAML
    play = [*FABRIC, "simulate", "run", str(out / SCENARIO), "--json"]
    done = subprocess.run(play, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"truth: `fabric simulate run` ended with {done.returncode}: {done.stderr}")
    return [Start(**start) for start in json.loads(done.stdout)["seeds"][0]["starts"]]


def table(run: RecordedRun, truth: Truth, promises: Sequence[LivePromise]) -> str:
    """Markdown: what came out, then every start."""
    errors = sorted(pair.error for pair in truth.pairs)
    late = [promise.late_s for promise in promises if not promise.passed_by]
    delayed = [promise.late_s for promise in promises if promise.passed_by]
    swapped = ", ".join(f"{a.workload} before {b.workload}" for a, b in truth.swapped) or "none"
    lines = [
        f"{len(run.workloads)} workloads, {len(truth.pairs)} starts, {num_preempted(run)} made room; {run.made_on}",
        "",
        f"- order: {len(truth.swapped)} pairs of starts in another order ({swapped})",
        f"- starts that only one run has: {', '.join(f'{n}-{a}' for n, a in truth.unmatched) or 'none'}",
        f"- error of a start: median {100 * truth.median_error:.2f} % (at most {100 * AT_MOST:g} %), "
        f"worst {100 * max(errors, default=0):.2f} %",
        f"- live promises without more urgent arrivals: {len(late)}, latest {_seconds(late)} after the promise; "
        f"with: {len(delayed)}, latest {_seconds(delayed)}",
        "",
        "| workload | attempt | waits from, s | live start, s | simulated, s | error, % |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for pair in truth.pairs:
        instants = f"{pair.queued_s:.2f} | {pair.live_s:.2f} | {pair.simulated_s:.2f}"
        lines.append(f"| {pair.workload} | {pair.attempt} | {instants} | {100 * pair.error:.2f} |")
    return "\n".join(lines) + "\n"


def _seconds(late_s: Sequence[float]) -> str:
    return f"{max(late_s):.1f} s" if late_s else "-"


def true(truth: Truth, promises: Sequence[LivePromise]) -> bool:
    """Whether all bounds are kept."""
    kept = all(promise.late_s <= BEAT_S for promise in promises if not promise.passed_by)
    return kept and not truth.swapped and not truth.unmatched and truth.median_error <= AT_MOST


def available_gib() -> float:
    """Memory that is free or can be freed at once."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 2**20


def made_on() -> str:
    """Date, machine and commit."""
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    return f"{time.strftime('%Y-%m-%d')}, {machine}, commit {commit or 'unknown'}"


def main(words: Sequence[str]) -> int:
    """Record unless it was, play, print and write the table; 1 if a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-truth", help="where the live run is kept")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="only play the live run that is kept here")
    parser.add_argument("--fresh", action="store_true", help="forget the live run and make another")
    parser.add_argument("--seed", type=int, default=1, help="of who comes when; for a new live run")
    parser.add_argument("--policy", type=Path, help="policy file instead of the site's; for a new live run")
    options = parser.parse_args(words)
    out: Path = (options.replay or options.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    try:
        if not options.replay and (options.fresh or not (out / LIVE).exists()):
            record(out, options.seed, options.policy)
        run = load(RecordedRun, out / LIVE)
        truth, promises = compare(run, replay(run, out)), promises_of(run)
    except FabricError as error:
        sys.exit(f"truth: {error.message}")
    text = table(run, truth, promises)
    (out / TABLE).write_text(text, encoding="utf-8")
    print(text)
    return 0 if true(truth, promises) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
