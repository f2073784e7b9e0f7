"""Trainer overhead: tokens/s of our one-rank loop under Ray Train against a plain torch loop; about 6 minutes.

Both arms train the same model on the same samples from memory, with the same seed and threads, in the order A-B-B-A.
Every arm is a process of its own, warms up for 20 steps and is measured in windows of 50 steps. A finished arm is kept
in the output folder, so a bench that was stopped goes on where it was; `--fresh` starts again.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from fabric.config.load import load
from fabric.train.report import Silent
from fabric.train.samples import HeldOut, Tokens, share
from fabric.train.settings import (
    BatchSettings,
    CheckpointSettings,
    ModelSettings,
    OptimiserSettings,
    PretrainSettings,
    TrainerSettings,
    ValidationSettings,
)
from fabric.train.task import Task

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("ours", "plain", "plain", "ours")
WARM_UP_STEPS, WINDOW_STEPS = 20, 50
AT_LEAST = 0.97
"""Ours / plain; the goal of the project for one rank."""


class MemorySource:
    """Samples drawn from their number."""

    def __init__(self, rows: int, context: int, vocab_size: int) -> None:
        self.rows, self.context, self.vocab_size = rows, context, vocab_size

    def batches(self, *, rank: int, world_size: int, start_step: int = 0) -> Iterator[Tokens]:
        """A rank's share of each step."""
        step = start_step
        while True:
            numbers = share(step, self.rows, rank=rank, world_size=world_size)
            draws = [np.random.default_rng(n).integers(0, self.vocab_size, self.context + 1) for n in numbers]
            yield np.stack(draws)
            step += 1


def task_of(folder: Path, options: argparse.Namespace) -> Task:
    """The run that both arms make."""
    shape = load(ModelSettings, ROOT / "configs/models" / f"{options.model}.yaml")
    steps = WARM_UP_STEPS + WINDOW_STEPS * options.windows
    settings = PretrainSettings(
        output="bench",
        data="memory",
        model=options.model,
        steps=steps,
        batch=BatchSettings(rows=options.rows, micro_rows=options.rows),
        optimiser=OptimiserSettings(kind="adamw"),
        checkpoints=CheckpointSettings(every_steps=steps),
        validation=ValidationSettings(every_steps=steps, subset_tokens=2),
        trainers=TrainerSettings(cpus=options.threads, threads=options.threads),
    )
    source = MemorySource(options.rows, shape.context_tokens, shape.vocab_size)
    return Task(settings, shape, folder, source, HeldOut(()), Silent(), data_version="memory")


def ours(folder: Path, options: argparse.Namespace) -> list[float]:
    """Seconds since the first step at which each step ended, in our loop under Ray Train."""
    import ray

    from fabric.train import ray_train

    ray.init(num_cpus=options.threads, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    task = task_of(folder, options)
    folder.mkdir(parents=True)
    ray_train.pretrain(task, labelled=False, grace_s=None, say=print)
    ray.shutdown()
    return [record["trained_s"] for record in task.losses.records()]


def plain(folder: Path, options: argparse.Namespace) -> list[float]:
    """The same of a loop as anybody writes it."""
    import torch
    from torch.nn.functional import cross_entropy

    from fabric.train import model as models
    from fabric.train.optimise import build_optimisers
    from fabric.train.parallel import Alone

    torch.set_num_threads(options.threads)
    task = task_of(folder, options)
    model = models.build(task.shape, task.settings.seed)
    (optimiser,) = build_optimisers(model, task.settings.optimiser, Alone())
    batches = task.source.batches(rank=0, world_size=1)
    ends, began = [], time.monotonic()
    for rows in islice(batches, task.settings.steps):
        tokens = torch.from_numpy(rows)
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), task.settings.optimiser.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        loss.item()
        ends.append(time.monotonic() - began)
    return ends


ARMS = {"ours": ours, "plain": plain}


def measure(arm: str, file: Path, options: argparse.Namespace) -> None:
    """Run an arm in this process and leave its windows, in tokens/s, in `file`."""
    folder = file.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    ends = ARMS[arm](folder, options)
    shutil.rmtree(folder, ignore_errors=True)
    marks = ends[WARM_UP_STEPS - 1 :: WINDOW_STEPS]
    tokens = WINDOW_STEPS * options.rows * task_of(folder, options).shape.context_tokens
    windows = [tokens / (end - start) for start, end in pairwise(marks)]
    file.write_text(json.dumps(windows))


def run_arms(options: argparse.Namespace) -> dict[str, list[float]]:
    """All windows of each arm; arms that are there already are not run again."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn, arm in enumerate(ORDER):
        file = options.out / f"{turn}-{arm}.json"
        if not file.exists():
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(arm, file, options))
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(f"bench: the arm {arm} failed")
        windows = json.loads(file.read_text())
        print(f"{turn + 1}/{len(ORDER)} {arm:6} " + " ".join(f"{rate:7.0f}" for rate in windows), flush=True)
        found[arm] += windows
    return found


def main() -> int:
    """Measure, print a table and JSON; 1 if the ratio is below its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-train"), help="where finished arms are kept")
    parser.add_argument("--fresh", action="store_true", help="measure all arms again")
    parser.add_argument("--model", default="llama-3m", help="a file under configs/models")
    parser.add_argument("--rows", type=int, default=2, help="sequences per step")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, in both arms")
    parser.add_argument("--windows", type=int, default=5, help="windows per arm")
    options = parser.parse_args()
    options.out = options.out.resolve()  # Ray wants it absolute
    if options.fresh:
        shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    found = run_arms(options)
    medians = {arm: statistics.median(windows) for arm, windows in found.items()}
    ratio = medians["ours"] / medians["plain"]
    for arm, windows in found.items():
        print(f"{arm:6} median {medians[arm]:7.0f} tokens/s  from {min(windows):7.0f} to {max(windows):7.0f}")
    print(f"ratio  {ratio:.3f} (at least {AT_LEAST})")
    result = {"ratio": ratio, "at_least": AT_LEAST, "tokens_per_s": found, "model": options.model, "rows": options.rows}
    (options.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return 0 if ratio >= AT_LEAST else 1


if __name__ == "__main__":
    from scripts.benches import train  # Ray's workers find what is pickled by the name of its module

    sys.exit(train.main())
