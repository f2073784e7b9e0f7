"""Ranks of a small pre-training run as plain processes, connected by gloo, without Ray."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from fabric.train.loop import Trainer
from fabric.train.parallel import Alone, peers_on
from fabric.train.task import Outcome, StopFile, Task, resume

CPU = torch.device("cpu")


class StopsAt(StopFile):
    """Notices that come at a step."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder)
        self._step = step

    def at_step(self, step: int) -> str:
        """Asks to leave after `step` steps."""
        return "the test says so" if step + 1 == self._step else ""


def train(task: Task, *, leave_at: int = 0) -> Outcome:
    """One attempt at `task` in this process, from its newest checkpoint."""
    task = replace(task, start=resume(task, print))
    return Trainer(task, Alone(), CPU, notices=StopsAt(task.folder, leave_at)).run()


def train_in_turns(task: Task, turns: Sequence[tuple[int, int]]) -> None:
    """Several attempts at `task`, each on so many of two processes and until so many steps (0: to the end)."""
    task.folder.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=_rank, args=(rank, task, turns), daemon=True) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(timeout=240)
    assert [rank.exitcode for rank in ranks] == [0, 0]


def _rank(rank: int, task: Task, turns: Sequence[tuple[int, int]]) -> None:
    torch.set_num_threads(1)
    meeting = (task.folder / "meeting").as_uri()
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    for world, leave_at in turns:
        found = [resume(task, print) if rank == 0 else None]
        distributed.broadcast_object_list(found)
        if rank < world:
            # Only rank 0 gets the notice: the others must learn of it.
            notices = StopsAt(task.folder, 0 if rank else leave_at)
            peers = peers_on(CPU) if world > 1 else Alone()
            outcome = Trainer(replace(task, start=found[0]), peers, CPU, notices=notices).run()
            assert outcome.steps == (leave_at or task.settings.steps)
        distributed.barrier()
    distributed.destroy_process_group()
