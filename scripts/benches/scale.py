"""A thousand nodes: our door and our adoption beside real Kueue, on the same 300 gangs; about 20 minutes a round.

Nodes and pods do not exist (kwok); API server, scheduler, controllers, KubeRay's operator and Kueue are real, and the
same for every way. A fifth of the nodes has four GPUs, a gang is a head on a commodity node and two workers that take
a GPU node each, and three times as many gangs are asked for as fit. The clock starts before the first request and stops
when as many gangs as fit are `ready` by KubeRay's own status, as a watch hears it. Everything is deleted and gone
before the next run, and the order of the ways rotates. Goals: the door at most 0.8 of Kueue's time, adoption at most
1.0, and by neither a gang that stays started in part (for longer than its pods take to be bound one after the other).

`--mixed` plays ten minutes of mixed gangs instead, and `--climb` doubles the nodes until something stops. A run that
has ended is a file of its own, so a bench that was stopped goes on where it was; files of other commits are not taken.
What of the rig is not built yet is built first, Kueue included where it is compared with.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benches._scale_arms import WAYS, measured, staged
from scripts.benches._scale_mixed import played
from scripts.benches._scale_world import World, make_nodes, remove_nodes
from scripts.rigging.api import Api
from scripts.rigging.building import build
from scripts.rigging.errors import RigError
from scripts.rigging.layout import FAKE_PODS, ROOT, layout
from scripts.rigging.rig import Rig

RESULTS = Path(__file__).with_name("results") / "scale"
AT_MOST = {"door": 0.8, "adoption": 1.0}
"""Of Kueue's time; the goals of the project."""
SETTLES_S = 5.0
"""How long the pods of a gang may be bound one after the other; a gang that is started in part for longer is a miss."""
MOST_NODES = 64_000


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """The ways in the order of a round: each comes first, in the middle and last equally often."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]


def verdict(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What misses its goal, a sentence each; nothing if all is well.

    Args:
        rows: Figures of runs, with their way.
    """
    missed = [f"{row['way']}, round {row['round']}: {row['problem']}" for row in rows if row["problem"]]
    medians = {way: statistics.median(found) for way in WAYS if (found := _seconds(rows, way))}
    for way, most in AT_MOST.items():
        if way in medians and "kueue" in medians and medians[way] > most * medians["kueue"]:
            ratio = medians[way] / medians["kueue"]
            missed.append(f"{way} takes {ratio:.2f} of Kueue's time, and may take {most:g}")
    for row in rows:
        if row["way"] in AT_MOST and row["longest_half_started_s"] > SETTLES_S:
            missed.append(f"{row['way']}: a gang was started in part for {row['longest_half_started_s']:.1f} s")
        missed += [f"{row['way']}: {sentence}" for sentence in row["overcommitted"][:1]]
    return missed


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a line for each way."""
    lines = [
        "| way | runs | s to ready, median (range) | of Kueue's | most half-started | longest, s | calls a gang "
        "| of control | grant to release p99, s | control or Kueue, MiB | operator, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    kueue = statistics.median(_seconds(rows, "kueue")) if _seconds(rows, "kueue") else None
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        if own:
            lines.append(_line(way, own, _seconds(rows, way), kueue))
    return "\n".join(lines)


def _line(way: str, own: Sequence[Mapping[str, Any]], seconds: Sequence[float], kueue: float | None) -> str:
    middle = statistics.median(seconds) if seconds else None
    spread = f"{middle:.1f} ({min(seconds):.1f} to {max(seconds):.1f})" if middle else "never"
    ratio = f"{middle / kueue:.2f}" if middle and kueue else ""
    last = own[-1]
    memory, p99 = last["memory_mib"], [r["grant_to_release_s"]["p99"] for r in own if "grant_to_release_s" in r]
    cells = [
        way, len(own), spread, ratio, max(r["most_half_started"] for r in own),
        f"{max(r['longest_half_started_s'] for r in own):.2f}", statistics.median(r["calls_per_gang"] for r in own),
        last["control_calls_per_gang"] or "", f"{max(p99):.2f}" if p99 else "",
        memory.get("control", memory.get("kueue", "")), memory["kuberay-operator"],
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _seconds(rows: Sequence[Mapping[str, Any]], way: str) -> list[float]:
    return [row["seconds"] for row in rows if row["way"] == way and row["seconds"] is not None]


def provenance() -> dict[str, Any]:
    """Machine and commit of a run."""
    commit, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--", ".", f":!{RESULTS}")
    return {
        "commit": f"{commit}-dirty" if changed else commit,
        "cpus": os.cpu_count(),
        "at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
    }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def kept(file: Path, run: Any) -> dict[str, Any]:
    """The figures in a file of this commit, or of a run that is made now and kept there.

    Args:
        file: Of one run.
        run: Makes it.
    """
    now = provenance()
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        if found["commit"] == now["commit"] and not found["problem"]:
            return found
    row: dict[str, Any] = {**now, **run()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(row, indent=1) + "\n")
    return row


@contextmanager
def nodes_of(api: Api, world: World) -> Iterator[None]:
    """The nodes of a world; afterwards there are none that do not exist."""
    remove_nodes(api)
    # Pods that do not exist are not reached at once, as a head that does not listen yet, and not after a time-out.
    subprocess.run(["ip", "route", "replace", "unreachable", FAKE_PODS], check=True)
    try:
        make_nodes(api, world)
        yield
    finally:
        remove_nodes(api)
        subprocess.run(["ip", "route", "delete", "unreachable", FAKE_PODS], check=False)


def compare(rig: Rig, api: Api, options: argparse.Namespace, folder: Path) -> list[str]:
    """Run every way so many times, and print the table; what misses its goal."""
    world, rows = World(options.nodes), []
    with nodes_of(api, world):
        for number in range(options.times):
            for way in rotated(options.only or list(WAYS), number):

                def run(way: str = way, number: int = number) -> dict[str, Any]:
                    with staged(rig, api, world, folder) as stage:
                        return {"way": way, "round": number, "nodes": world.num_nodes, **measured(stage, WAYS[way])}

                rows.append(kept(options.out / f"{way}_{number}_{world.num_nodes}.json", run))
                print(f"{way:9} {rows[-1]['seconds'] or 'never'} s {rows[-1]['problem']}", flush=True)
    print(table(rows))
    return verdict(rows)


def mix(rig: Rig, api: Api, options: argparse.Namespace, folder: Path) -> list[str]:
    """Play mixed gangs; what went wrong."""
    world = World(options.nodes)

    def run() -> dict[str, Any]:
        with nodes_of(api, world), staged(rig, api, world, folder) as stage:
            return played(stage, options.seed)

    row = kept(options.out / f"mixed_{options.seed}_{world.num_nodes}.json", run)
    print(json.dumps({name: value for name, value in row.items() if name != "requests"}, indent=1))
    return [row["problem"]] if row["problem"] else []


def climb(rig: Rig, api: Api, options: argparse.Namespace, folder: Path) -> list[str]:
    """Double the nodes until something stops, by our door; nothing of it is a miss."""
    number = options.nodes
    while number <= MOST_NODES:
        world = World(number)

        def run(world: World = world) -> dict[str, Any]:
            try:
                with nodes_of(api, world), staged(rig, api, world, folder) as stage:
                    return {"way": "door", "nodes": world.num_nodes, **measured(stage, WAYS["door"])}
            except RigError as error:
                return {"way": "door", "nodes": world.num_nodes, "seconds": None, "problem": str(error)}

        row = kept(options.out / f"climb_{number}.json", run)
        print(f"{number} nodes, {world.fit} gangs: {row['seconds']} s {row['problem']}", flush=True)
        if row["problem"]:
            break
        number *= 2
    return []


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="rounds of all ways")
    parser.add_argument("--nodes", type=int, default=1000, help="nodes, a multiple of ten")
    parser.add_argument("--only", choices=tuple(WAYS), action="append", help="only this way; may be repeated")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--mixed", action="store_true", help="ten minutes of mixed gangs by our door")
    kinds.add_argument("--climb", action="store_true", help="by our door with twice the nodes, until something stops")
    parser.add_argument("--seed", type=int, default=0, help="of the mixed gangs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    options = parser.parse_args()
    try:
        missed = _on_the_rig(options)
    except RigError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for sentence in missed:
        print(f"missed: {sentence}")
    return int(bool(missed))


def _on_the_rig(options: argparse.Namespace) -> list[str]:
    """Build what is missing, bring the rig up unless it is, and play; what misses its goal."""
    compares = not (options.mixed or options.climb)
    play = compare if compares else mix if options.mixed else climb
    build(layout(), peers=compares and "kueue" in (options.only or WAYS))
    rig = Rig(layout())
    was_up = rig.status().up
    try:
        rig.up()
        with rig.api() as api, tempfile.TemporaryDirectory(prefix="scale-") as folder:
            return play(rig, api, options, Path(folder))
    finally:
        if not was_up:
            rig.down()


if __name__ == "__main__":
    sys.exit(main())
