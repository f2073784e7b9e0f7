"""Control killed at random instants under load, hundreds of times, and an audit of what is left; about 3 s a kill.

Rounds of some kills each: a fabric of real processes (control, its store, entrypoints; the Ray nodes only sleep) gets
jobs of all kinds, stops and resizes while it is killed; then everything ends and is compared from outside: what was
accepted is there and has ended as it should, no attempt ran twice, none was lost to a kill, nothing is held, no process
is left, and the ledger gives back once what it grants and never grants more than there is. With `--store postgres` half
of the disturbances are restarts of a real PostgreSQL instead; with `--aim MOMENT` all are kills at such moments. A
round that has ended is a line of the file, so a bench that was stopped goes on where it was; `--fresh` starts again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.disturbances import MOMENTS, aimed_at, kill, restart_of
from tests.kills import Disturb, audit, disturb, playing
from tests.postgres import Postgres, postgres

ROOT = Path(__file__).resolve().parents[2]


def play_round(
    number: int, seed: int, times: int, *, server: Postgres | None, aims: Sequence[str] = ()
) -> dict[str, Any]:
    """One fabric and its disturbances.

    Args:
        number: Of the round.
        seed: Of what is handed in, and when it is disturbed.
        times: Disturbances.
        server: Keeps the records; half of the disturbances are restarts of it.
        aims: Moments to kill at, and nothing else; any moment where there are none.

    Returns:
        Its row.
    """
    how = aimed_at(aims) if aims else kill if server is None else restart_of(server)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fab-kills-") as folder:
        found = _played(Path(folder) / "state", seed, times, server, how=how)
    return {
        "store": "SQLite" if server is None else "PostgreSQL",
        "round": number,
        "seed": seed,
        "times": len(found.done),
        "seen": [row["seen"] for row in found.done],
        "accepted": found.accepted,
        "wrong": found.wrong,
        "ended": found.ended,
        "s": round(time.monotonic() - began, 1),
    }


@dataclass
class Played:
    """What became of a round."""

    wrong: list[str] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)
    accepted: int = 0
    ended: list[int] = field(default_factory=list)
    """Exit codes with which control ended by itself."""


def _played(state: Path, seed: int, times: int, server: Postgres | None, *, how: Disturb) -> Played:
    found, play = Played(), None
    try:
        with playing(state, seed, None if server is None else server.store()) as play:
            found.done = play.done
            disturb(play, times, how)
    except AssertionError as error:
        # What never ended, or was left behind, is a loss like any other; the audit says more about it.
        found.wrong.append(str(error)[-2000:] if "Traceback" in str(error) else str(error)[:500])
    if play is not None:
        found.wrong += audit(play)
        found.accepted, found.ended = len(play.accepted), play.ended
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line per store, and what was under way at the kills."""
    lines = [
        "| store | rounds | disturbances | accepted jobs | wrong | median s a round |",
        "|---|---|---|---|---|---|",
    ]
    for store in sorted({row["store"] for row in rows}):
        own = [row for row in rows if row["store"] == store]
        times, accepted = sum(row["times"] for row in own), sum(row["accepted"] for row in own)
        wrong = sum(len(row["wrong"]) for row in own)
        middle = sorted(row["s"] for row in own)[len(own) // 2]
        lines.append(f"| {store} | {len(own)} | {times} | {accepted} | {wrong} | {middle:.0f} |")
    under_way = Counter(word for row in rows for seen in row["seen"] for word in _words(seen))
    lines += ["", "| under way at the kill | kills |", "|---|---|"]
    lines += [f"| {word} | {count} |" for word, count in sorted(under_way.items())]
    lines += [f"\nround {row['round']}, seed {row['seed']}: {line}" for row in rows for line in row["wrong"]]
    return "\n".join(lines)


def _words(seen: str) -> list[str]:
    return [seen] if seen.startswith(("PostgreSQL", "starting up", "unknown")) else seen.split() or ["nothing"]


@contextmanager
def server_of(store: str) -> Iterator[Postgres | None]:
    """The server that a store needs."""
    if store == "sqlite":
        yield None
        return
    with postgres() as server:
        yield server


def main() -> int:
    """Play what has not been played and print the table; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="kills in all")
    parser.add_argument("--a-round", type=int, default=10, help="kills of one fabric")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite", help="where the records are")
    parser.add_argument(
        "--aim", choices=tuple(MOMENTS), action="append", default=[], help="kill only at this; may repeat"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the next has the next")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kills"), help="where rows are kept")
    parser.add_argument("--fresh", action="store_true", help="forget rows of earlier runs")
    options = parser.parse_args()
    file = options.out.absolute() / f"{options.store}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    if options.fresh:
        file.unlink(missing_ok=True)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    with server_of(options.store) as server:
        while (done := sum(row["times"] for row in rows)) < options.times:
            seed = options.seed + len(rows)
            times = min(options.a_round, options.times - done)
            row = play_round(len(rows), seed, times, server=server, aims=options.aim)
            # A round without a single kill would be played for ever.
            row["times"] = max(1, row["times"])
            rows.append(row)
            with file.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{done + row['times']}/{options.times} seed {seed} {'; '.join(row['wrong']) or 'ok'}", flush=True)
    print(table(rows))
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
