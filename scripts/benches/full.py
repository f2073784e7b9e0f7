"""The full settings: bits per byte beside xz, and exact match before and after; about 30 minutes.

Runs `prepare`, `pretrain`, `finetune` and `evaluate` with configs/*/…-full.yaml as jobs of a fabric of its own. What a
stage has finished is kept, so a bench that was stopped goes on where it was; `--fresh` starts again.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from fabric.sdk import Client
from scripts.demo_fabric import end_in_order, fabric_up, forget
from scripts.demo_run import UNHAPPY, Stage, spec_of, tail
from scripts.demo_site import Home

STAGES = (
    Stage("prepare", "configs/data/demo.yaml"),
    Stage("pretrain", "configs/train/pretrain-full.yaml", ("prepare",)),
    Stage("finetune", "configs/train/finetune-full.yaml", ("pretrain",)),
    Stage("evaluate", "configs/evaluate/full.yaml", ("pretrain", "finetune")),
)

CHANCE = 0.05
"""Largest p-value at which a gain counts as one."""


def run(client: Client) -> bool:
    """All stages, one after another; whether all succeeded."""
    turn = f"{int(time.time())}"
    for stage in STAGES:
        named = Stage(f"{stage.name}-{turn}", stage.config, tuple(f"{name}-{turn}" for name in stage.after))
        client.submit(spec_of(named))
    for stage in STAGES:
        view = client.wait(f"{stage.name}-{turn}")
        print(f"{stage.name}: {view.state}; {tail(client, view.name, 2)}", flush=True)
        if view.state in UNHAPPY:
            print(tail(client, view.name, 40))
            return False
    return True


def result(artifacts: Path) -> dict[str, Any]:
    """What the manifests say."""
    trained, tuned, judged = (
        json.loads((artifacts / "full" / name / "manifest.json").read_text())["metrics"]
        for name in ("pretrain", "finetune", "evaluate")
    )
    return {"pretrain": trained, "finetune": tuned, "evaluate": judged}


def main() -> int:
    """Run, print a table and JSON; 1 unless both gains are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-full"), help="where records and outputs are kept")
    parser.add_argument("--fresh", action="store_true", help="run all stages again")
    options = parser.parse_args()
    end_in_order()
    state = options.out.absolute()
    home = Home(state)
    if options.fresh:
        forget(home)
    with fabric_up(home, Console(), keep=False) as client:
        if not run(client):
            return 1
    found = result(state / "artifacts" / "default")
    trained, tuned, judged = found["pretrain"], found["finetune"], found["evaluate"]
    bits, xz = judged["bits_per_byte"], judged["xz_bits_per_byte"]
    print("| what | figure |\n|---|---|")
    print(f"| pre-training | {trained['num_tokens']:,.0f} tokens in {trained['trained_s']:.0f} s |")
    print(f"| bits per byte on held-out works | {bits:.3f} (xz -9e {xz:.3f}) |")
    print(f"| fine-tuning | {tuned['num_items']:,.0f} items in {tuned['trained_s']:.0f} s |")
    gain = f"{judged['exact_match_before']:.3f} -> {judged['exact_match']:.3f}"
    print(f"| exact match on {judged['num_items']:.0f} held-out items | {gain} (McNemar p {judged['mcnemar_p']:.2g}) |")
    print(json.dumps(found))
    return int(
        not (bits < xz and judged["exact_match"] > judged["exact_match_before"] and judged["mcnemar_p"] < CHANCE)
    )


if __name__ == "__main__":
    sys.exit(main())
