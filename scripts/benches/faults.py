"""The kills of a tier, many times over; about 5 minutes a round.

On this machine's own processes: control, the supervisor, a raylet. With `--on cluster`, in pods of the rig: control, a
training's pod, a whole node, and the operator, the API server and etcd for 30 seconds each; some 20 minutes a round.
The rig is built if need be, brought up once, made whole after every kill, and taken down again unless it was up before.

Each kill comes at an instant drawn from a seed that the table shows (`--seed` repeats one), and each run asserts from
outside that nothing is lost: operating system processes, bytes of the log, steps on the disk. A run that has ended is a
line of the table's file, so a bench that was stopped goes on where it was; one that ran out of time says nothing about
losses and is run again at the next call. `--fresh` starts again.
"""

import argparse
import json
import os
import random
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scripts.leftovers import adopt_orphans, end, find
from scripts.rigging.api import wait_until
from scripts.rigging.building import build
from scripts.rigging.errors import RigError
from scripts.rigging.layout import layout
from scripts.rigging.leaving import standing
from scripts.rigging.refusing import refusal
from scripts.rigging.rig import Rig
from scripts.tiers import CLUSTER, GIVE_UP_S, MARKER, ROOT, SETTLE_S, environment, run_pytest

FAULTS, TRAINING = "tests/ray/test_faults.py::", "tests/ray/test_training_faults.py::"
ON_RIG = "tests/cluster/test_fabric.py::"
LOST_POD = ON_RIG + "test_a_lost_pod_costs_an_attempt_and_training_goes_on_from_its_checkpoint"
DEAD_PART = ON_RIG + "test_work_runs_on_while_a_part_of_kubernetes_is_dead"
TESTS = {
    "control": TRAINING + "test_a_killed_control_leaves_training_running_and_its_log_whole",
    "up and control": FAULTS + "test_killing_up_and_control_together_then_up_again_adopts_the_job",
    "control, job starts": FAULTS + "test_killing_control_while_a_job_starts_costs_no_attempt_and_starts_it_once",
    "control, job stops": FAULTS + "test_killing_control_while_a_job_stops_leaves_it_the_rest_of_its_grace",
    "raylet": TRAINING + "test_a_killed_raylet_costs_training_the_steps_since_its_last_good_checkpoint",
}
"""What is killed, and the test that does it."""
CLUSTER_TESTS = {
    "control, pods": ON_RIG + "test_training_takes_steps_over_both_nodes_and_a_killed_control_finds_it_again",
    "pod of a trainer": LOST_POD,
    "node": ON_RIG + "test_a_lost_node_is_told_and_its_training_goes_on_from_its_checkpoint_when_the_node_is_back",
    **{f"{part} for 30 s": f"{DEAD_PART}[{part}]" for part in ("kuberay-operator", "kube-apiserver", "etcd")},
}
"""The same where the work runs in pods of the rig."""
OUTAGE_S = 30
"""How long a part of Kubernetes stays dead."""
PLACES = {"processes": TESTS, "cluster": CLUSTER_TESTS}

WHOLE_S = 60.0
"""How long the rig may take to be as it was after a test, in seconds, before what does not run is started again."""
LIMIT_S = 900.0
"""Seconds for one test; it is unfinished after them."""

OK, LOST, UNFINISHED = "ok", "LOST", "unfinished"
RECOVERY = re.compile(r"^recovery ([\d.]+) s$", re.MULTILINE)
"""What a test says of how long it took until all was as before."""
PASSED, FAILED = 0, 1
"""Exit statuses of pytest; any other means that the test did not come to its end."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where kills are."""

    own: Callable[[], Collection[int]] = tuple
    """Which processes belong to it, and stay."""
    mend: Callable[[], None] = lambda: None
    """Makes it whole again."""


@contextmanager
def place(on: str) -> Iterator[Place]:
    """Where kills are: this machine, or the rig, which is up meanwhile and afterwards as it was before.

    Raises:
        RigError: If the rig cannot be built or does not come up.
    """
    if on != "cluster":
        yield Place()
        return
    if os.environ.get(CLUSTER):
        raise RigError(f"{CLUSTER} names another cluster, and these kills break parts of the rig: unset it")
    if reason := refusal():
        raise RigError(reason)
    build(layout())
    rig = Rig(layout())
    was_up = rig.status().up
    try:
        rig.up()
        yield Place(partial(standing, layout()), partial(mend, rig))
    finally:
        if not was_up:
            rig.down()


def mend(rig: Rig) -> None:
    """Wait until the rig is whole; start what a test that was cut off has left dead.

    Raises:
        RigError: If it does not come back.
    """
    try:
        wait_until("the rig is whole", lambda: rig.status().up, WHOLE_S)
    except RigError:
        rig.up()


def run(name: str, turn: int, seed: int, logs: Path, *, own: Callable[[], Collection[int]] = tuple) -> dict[str, Any]:
    """One kill; its row.

    Args:
        name: Of the kill.
        turn: Number of the round.
        seed: Of its instant.
        logs: Folder for what pytest prints.
        own: Says which processes stay.
    """
    mark, log = uuid.uuid4().hex, logs / f"{name.replace(', ', '-').replace(' ', '-')}-{turn}.log"
    test = (TESTS | CLUSTER_TESTS)[name]
    arguments = [test, "-q", "-p", "no:randomly", "-p", "no:xdist", "-rA", "--seed", str(seed), f"--outage={OUTAGE_S}"]
    began = time.monotonic()
    status = run_pytest([*arguments, f"--timeout={LIMIT_S:g}"], environment(mark), LIMIT_S + GIVE_UP_S, log)
    seconds = round(time.monotonic() - began, 1)
    left = find(MARKER, mark, SETTLE_S, own)
    end(left)
    with log.open("a") as out:
        out.writelines(f"left behind: {process.pid} {process.command}\n" for process in left)
    said = log.read_text(errors="replace")
    row = {"killed": name, "turn": turn, "seed": seed, "outcome": verdict(status, said, len(left)), "left": len(left)}
    took = RECOVERY.search(said)
    return {**row, "seconds": seconds, "recovery_s": float(took[1]) if took else None}


def verdict(status: int, said: str, num_left: int) -> str:
    """What a run of pytest says about losses; one that was skipped says nothing.

    Args:
        status: Pytest's exit status.
        said: What it printed.
        num_left: Processes that were there afterwards.
    """
    if status not in (PASSED, FAILED) or (status == FAILED and "from pytest-timeout" in said):
        return UNFINISHED
    if status == PASSED and "1 passed" not in said:
        return UNFINISHED
    return OK if status == PASSED and not num_left else LOST


def main() -> int:
    """Run what has not been run yet and print the table; 1 if anything was lost or is unfinished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="rounds")
    parser.add_argument("--on", choices=tuple(PLACES), default="processes", help="where the work runs")
    parser.add_argument(
        "--only", choices=(*TESTS, *CLUSTER_TESTS), action="append", help="kill only this; may be repeated"
    )
    parser.add_argument("--seed", type=int, help="repeat the kills of this seed; drawn for each run if not given")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-faults"), help="where rows and logs are kept")
    parser.add_argument("--fresh", action="store_true", help="forget rows of earlier runs")
    options = parser.parse_args()
    options.out = options.out.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    file = options.out / "rows.jsonl"
    if options.fresh:
        file.unlink(missing_ok=True)
    kept = map(json.loads, file.read_text().splitlines() if file.exists() else [])
    rows = {(row["killed"], row["turn"]): row for row in kept}
    wanted = [(name, turn) for turn in range(options.times) for name in options.only or PLACES[options.on]]
    adopt_orphans()
    try:
        with place(options.on) as where:
            for name, turn in wanted:
                if rows.get((name, turn), {}).get("outcome", UNFINISHED) != UNFINISHED:
                    continue
                seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
                row = rows[name, turn] = run(name, turn, seed, options.out, own=where.own)
                with file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(f"{turn + 1}/{options.times} {name:20} seed {seed} {row['outcome']}", flush=True)
                where.mend()
    except RigError as error:
        print(f"bench: the rig: {error}", file=sys.stderr)
        return 1
    print(table(list(rows.values())))
    return int(any(rows[each]["outcome"] != OK for each in wanted))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per kind of kill."""
    lines = ["| killed | runs | losses | unfinished | seeds | median s | recovery s |", "|---|---|---|---|---|---|---|"]
    for name in (*TESTS, *CLUSTER_TESTS):
        own = [row for row in rows if row["killed"] == name]
        if own:
            outcomes = Counter(row["outcome"] for row in own)
            middle = sorted(row["seconds"] for row in own)[len(own) // 2]
            seeds = " ".join(str(row["seed"]) for row in own)
            counts = f"{len(own) - outcomes[UNFINISHED]} | {outcomes[LOST]} | {outcomes[UNFINISHED]}"
            lines.append(f"| {name} | {counts} | {seeds} | {middle:.0f} | {_recovery(own)} |")
    return "\n".join(lines)


def _recovery(rows: list[dict[str, Any]]) -> str:
    """Median and longest, of those that said so."""
    found = sorted(row["recovery_s"] for row in rows if row.get("recovery_s") is not None)
    return f"{found[len(found) // 2]:.0f}, at most {found[-1]:.0f}" if found else "-"


if __name__ == "__main__":
    sys.exit(main())
