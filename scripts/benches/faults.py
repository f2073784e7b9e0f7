"""The kills of the ray tier, many times over: control, the supervisor, a raylet; about 4 minutes a round.

Each kill comes at an instant drawn from a seed that the table shows, and each run asserts from outside that nothing is
lost: operating system processes, bytes of the log, steps on the disk. A run that has ended is a line of the table's
file, so a bench that was stopped goes on where it was; `--fresh` starts again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "control": "tests/ray/test_training_faults.py::test_a_killed_control_leaves_training_running_and_its_log_whole",
    "up and control": "tests/ray/test_faults.py::test_killing_up_and_control_together_then_up_again_adopts_the_job",
    "raylet": (
        "tests/ray/test_training_faults.py::test_a_killed_raylet_costs_training_the_steps_since_its_last_checkpoint"
    ),
}
"""What is killed, and the test that does it."""


def run(name: str, turn: int, logs: Path) -> dict[str, Any]:
    """One kill; its row."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-rA", "--timeout=600", TESTS[name]]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    log = logs / f"{name.replace(' ', '-')}-{turn}.log"
    log.write_text(done.stdout + done.stderr)
    seed = re.search(r"^seed (\d+)", done.stdout, re.MULTILINE)
    return {
        "killed": name,
        "turn": turn,
        "seed": int(seed[1]) if seed else None,
        "lost": done.returncode != 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """Run what has not been run yet and print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="rounds")
    parser.add_argument("--only", choices=tuple(TESTS), action="append", help="kill only this; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-faults"), help="where rows and logs are kept")
    parser.add_argument("--fresh", action="store_true", help="forget rows of earlier runs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "rows.jsonl"
    if options.fresh:
        file.unlink(missing_ok=True)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["killed"], row["turn"]) for row in rows}
    for turn in range(options.times):
        for name in options.only or TESTS:
            if (name, turn) in done:
                continue
            row = run(name, turn, options.out)
            rows.append(row)
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(
                f"{turn + 1}/{options.times} {name:20} seed {row['seed']} {'LOST' if row['lost'] else 'ok'}", flush=True
            )
    print(table(rows))
    return int(any(row["lost"] for row in rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per kind of kill."""
    lines = ["| killed | runs | losses | seeds | median s |", "|---|---|---|---|---|"]
    for name in TESTS:
        own = [row for row in rows if row["killed"] == name]
        if own:
            middle = sorted(row["seconds"] for row in own)[len(own) // 2]
            seeds = " ".join(str(row["seed"]) for row in own)
            lines.append(f"| {name} | {len(own)} | {sum(row['lost'] for row in own)} | {seeds} | {middle:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
