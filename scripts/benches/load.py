"""How much the control plane bears: the knee, a flood and a kill, 5,000 waiting, 10,000 passing, overhead; 25 minutes.

Control, its store and its HTTP are real; only the Ray nodes are processes that sleep. Clients are open-loop: they ask
at instants that were fixed before, and latency counts from those. Each part is a file of its own in the folder of
results, so a benchmark that was stopped goes on where it was; `--fresh` begins anew. Exit status 1 if a goal is missed.

    knee      50 to 500 submissions a second for 15 s each, each on a fabric of its own: where answers stop keeping up
    steady    50 a second for 60 s: p99 at most 500 ms
    flood     500 a second for 10 s: each answered within 5 s with success or 429/503 and Retry-After; then kill -9 and
              a new start: every success is there once, none is doubled
    crowd     5,000 waiting jobs, 180 who follow logs and 20 who read a byte a second, 20 submissions a second
    through   10,000 jobs that run and end: memory of control
    overhead  200 submissions one after the other on an idle fabric: from the answer to the backend being asked
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.benches._load_client import arrivals, offered, session_of, summary
from scripts.benches._load_fabric import ROOT, Loaded, circumstances, filled, loaded, submission
from scripts.benches._load_parts import crowded, flooded, overhead, through

RATES = (50, 100, 200, 300, 400, 500)
KNEE_S, STEADY_S = 15.0, 60.0
STEADY_RATE = 50
STEADY_P99_S = 0.5
"""Goal of the project."""
RESULTS = Path("scripts/benches/results/load")


async def _offer(fabric: Loaded, rate: int, seconds: float) -> dict[str, Any]:
    async with session_of(fabric.control.address, fabric.key) as session:
        answers = await offered(session, arrivals(rate, seconds, seed=rate), lambda n: submission(f"at-{rate}-{n}"))
    return {"rate": rate, "seconds": seconds, **summary(answers, seconds), "rss_mib": fabric.rss_mib()}


def knee(rate: int) -> dict[str, Any]:
    """One rate of the knee; no goal but that nobody is left without an answer."""
    with loaded() as fabric:
        found = asyncio.run(_offer(fabric, rate, KNEE_S))
    return {**found, "missed": ["somebody got no answer"] if found["others"] else []}


def steady() -> dict[str, Any]:
    """A rate that is borne."""
    with loaded() as fabric:
        found = asyncio.run(_offer(fabric, STEADY_RATE, STEADY_S))
    slow = found["p99_s"] is None or found["p99_s"] > STEADY_P99_S
    missed = [f"p99 {found['p99_s']} s is above {STEADY_P99_S} s"] if slow else []
    missed += ["some were refused or got no answer"] if found["refused"] or found["others"] else []
    return {**found, "missed": missed}


def crowd() -> dict[str, Any]:
    """Many who wait and many who read."""
    with loaded(before=lambda state: filled(state, 5000)) as fabric:
        return crowded(fabric)


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    **{f"knee-{rate}": lambda rate=rate: knee(rate) for rate in RATES},  # type: ignore[misc]
    "steady": steady,
    "flood": flooded,
    "crowd": crowd,
    "through": through,
    "overhead": overhead,
}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: the rates, then every other figure of the other parts."""
    rates = [row for row in rows.values() if "rate" in row]
    names = ("rate", "accepted_per_s", "p50_s", "p99_s", "most_s", "refused", "refused_p99_s", "client_late_p99_s")
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(str(row.get(name)) for name in names)} |" for row in rates]
    lines += ["", "| part | figure | |", "|---|---|---|"]
    for part, row in rows.items():
        if "rate" not in row:
            lines += [f"| {part} | {name} | {value} |" for name, value in row.items() if name not in {"missed", "on"}]
    lines += [f"\nMISSED {part}: {line}" for part, row in rows.items() for line in row["missed"]]
    return "\n".join(lines)


def main() -> int:
    """Measure what has not been measured and print the table; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is given")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    folder = options.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    rows: dict[str, dict[str, Any]] = {}
    for name in options.parts or PARTS:
        file = folder / f"{name}.json"
        if options.fresh or not file.exists():
            on = circumstances()
            file.write_text(json.dumps({**PARTS[name](), "on": on}, indent=1) + "\n")
        rows[name] = json.loads(file.read_text())
        print(f"{name}: {'; '.join(rows[name]['missed']) or 'ok'}", flush=True)
    print(table(rows))
    return int(any(row["missed"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
