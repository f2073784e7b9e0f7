"""Run the ranks of a training job as Ray Train workers: the one module of this package that imports Ray.

Knows nothing of models or data: a job is a function that every rank calls with its place among the others.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray
import torch
from ray.exceptions import RayError
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig, get_context, get_preemption_info
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

from fabric.config import env
from fabric.core.errors import ClusterLost, FabricError
from fabric.train.attend import Attended, stops_on_sigterm, tells_progress
from fabric.train.manifest import write_atomically
from fabric.train.parallel import Peers, peers_on
from fabric.train.pinning import pin
from fabric.train.report import Say
from fabric.train.settings import TrainerSettings
from fabric.train.sizes import Sized, at_every_size
from fabric.train.task import Outcome, StopFile, Task

GROUP_LABEL = "fabric/group"
"""Label of a Ray node that names the workload's group it belongs to."""

RANKS = "ranks"
"""Folder, below the output, with a file for each rank of the last attempt: where it runs."""

SLICE_LABEL = "fabric/slice"
"""Label of a Ray node that names the slice of the workload that it is."""


class SizedRun(Attended, Sized, Protocol):
    """A run whose ranks record what they do, and that goes on at another size."""


T = TypeVar("T", bound=SizedRun)
R = TypeVar("R")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rank:
    """One rank's place in a running job."""

    peers: Peers
    """This rank and the others."""

    device: torch.device
    """Where to compute: CUDA where torch sees it, the CPU otherwise, whatever Ray calls a GPU."""

    notices: "RayNotices"
    """Whether to save and leave."""


class RayNotices:
    """Notices of a stop file, and of Ray nodes that are about to leave the cluster."""

    def __init__(self, folder: Path, every_steps: int) -> None:
        self._file = StopFile(folder)
        self._every_steps = every_steps
        self._preempted = ""

    def at_step(self, step: int) -> str:
        """Why to leave, or an empty string; asks Ray, which waits for all ranks, at every so many steps."""
        if not self._preempted and step % self._every_steps == 0 and (info := get_preemption_info()) is not None:
            ranks = ", ".join(str(rank) for rank in info.preempted_ranks)
            self._preempted = f"the nodes of rank {ranks} are about to leave the cluster"
        return self.now()

    def now(self) -> str:
        """Why to leave, or an empty string."""
        return self._preempted or self._file.now()


class _Trainer(TorchTrainer):
    """Ray's trainer without the actor that removes the placement group of a run whose controller it finds dead.

    That actor asks the state API of the cluster that Ray's default folder names last, which on a machine with several
    clusters is another one; there the controller is unknown, and it ends a run that is well. Nothing is lost without
    it: a job has one run, and Ray removes the job's placement groups when the job ends.
    """

    def _create_default_callbacks(self) -> list[Any]:
        every: list[Any] = super()._create_default_callbacks()
        return [each for each in every if not isinstance(each, PlacementGroupCleanerCallback)]


def connect() -> None:
    """Connect to the Ray cluster that this process belongs to, or start one here; a second call does nothing.

    Raises:
        ClusterLost: If the cluster does not answer, or not to us.
    """
    try:
        if not ray.is_initialized():
            ray.init(logging_level=logging.WARNING)
    except (ConnectionError, RayError) as error:
        cause = error.__cause__ or error
        raise ClusterLost(f"{error}: {_last_line(cause)} Run it again once the cluster is there.") from error


def _note_place(folder: Path, rank: Rank) -> None:
    """Leave where a rank runs in `ranks/rank-N.json`, for the report of a run and for those who look after it."""
    here = ray.get_runtime_context()
    place = {
        "rank": rank.peers.rank,
        "world_size": rank.peers.world,
        "pid": os.getpid(),
        "ray_node": here.get_node_id(),
        "labels": here.get_node_labels(),
        "accelerators": here.get_accelerator_ids(),
        "device": str(rank.device),
        "threads": torch.get_num_threads(),
    }
    (folder / RANKS).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RANKS / f"rank-{rank.peers.rank}.json", json.dumps(place, indent=1) + "\n")


def run_ranks(
    work: Callable[[Rank], R],
    trainers: TrainerSettings,
    folder: Path,
    *,
    name: str,
    labelled: bool,
    say: Say,
    slices: tuple[str, ...] = (),
) -> R:
    """Run `work` once per rank and return what rank 0 returned; an attempt ends or fails, nothing is retried.

    Args:
        work: Called on every rank; picklable, from a module that the workers can import.
        trainers: How many ranks, and what each may use.
        folder: Output of the job, absolute and reached by all ranks; Ray's own records go to `ray/` below it.
        name: What Ray calls the run.
        labelled: Whether the ranks go to nodes labelled with the group of `trainers`, as the fabric labels them.
        say: Told where the ranks get something else than asked for.
        slices: Of a labelled cluster, the only slices that ranks may be in; all of their group if none is named.

    Raises:
        FabricError: The one that a rank raised, if it was one of ours.
        ClusterLost: If a rank or its node died, or anything else went wrong in it.
    """
    connect()
    if trainers.gpus and not labelled and not ray.cluster_resources().get("GPU"):
        # An ordinary Ray cluster without GPUs would keep the ranks waiting for ever.
        say("this Ray cluster has no GPUs: the ranks ask for CPUs only")
        trainers = trainers.model_copy(update={"gpus": 0.0})
    every, threads = trainers.notice_every_steps, trainers.threads
    shutil.rmtree(folder / RANKS, ignore_errors=True)  # of a group of ranks that has left

    def loop() -> R:
        for chatty in ("httpx", "httpcore"):  # Ray Train shows INFO of every library in the job's log
            logging.getLogger(chatty).setLevel(logging.WARNING)
        if threads:
            torch.set_num_threads(threads)
        device = get_device() if torch.cuda.is_available() else torch.device("cpu")
        if env.get(env.PIN):
            pin(get_context().get_local_rank(), get_context().get_local_world_size(), _pci(device))
        rank = Rank(peers_on(device), device, RayNotices(folder, every))
        _note_place(folder, rank)
        return work(rank)

    trainer = _Trainer(
        loop,
        torch_config=TorchConfig(backend="nccl" if trainers.gpus and torch.cuda.is_available() else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=trainers.count,
            use_gpu=trainers.gpus > 0,
            resources_per_worker=_resources(trainers),
            label_selector=_selector(trainers, slices) if labelled else None,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=0),
            # What it would print of a failure is a trace, and is raised as an error of ours below.
            logging_config=LoggingConfig(log_level="CRITICAL"),
        ),
    )
    try:
        result: R = trainer.fit().return_value
    except (TrainingFailedError, RayError) as error:
        cause = _ours(error)
        raise cause from error
    return result


def attempt(
    work: Callable[[T, Rank], R],
    task: T,
    trainers: TrainerSettings,
    *,
    labelled: bool,
    grace_s: float | None,
    say: Say,
) -> R:
    """As `run_ranks` at every size that the fabric gives it, telling a person how far it is; SIGTERM is a notice.

    Args:
        work: Called on every rank with the task; with `left_because` in its answer if it left early.
        task: The run.
        trainers: How many ranks, and what each may use.
        labelled: Whether nodes carry the fabric's labels.
        grace_s: Seconds between SIGTERM and the kill, if known.
        say: Told of progress every few seconds.

    Raises:
        FabricError: As `run_ranks`.
    """
    connect()  # before the signal's handler is set, as Ray sets one too

    def start(task: T, trainers: TrainerSettings, slices: tuple[str, ...]) -> R:
        name, one = task.folder.name, partial(work, task)
        return run_ranks(one, trainers, task.folder, name=name, labelled=labelled, say=say, slices=slices)

    with stops_on_sigterm(task, grace_s, say) as stopping, tells_progress(task, say):
        return at_every_size(start, task, trainers, stopping=stopping, say=say)


def pretrain(task: Task, *, labelled: bool, grace_s: float | None, say: Say) -> Outcome:
    """Pre-train from the task's start to its end, or until SIGTERM or a node's notice.

    Args:
        task: The run.
        labelled: Whether nodes carry the fabric's labels.
        grace_s: Seconds between SIGTERM and the kill, if known.
        say: Told of progress every few seconds.

    Raises:
        FabricError: As `run_ranks`.
    """

    def work(task: Task, rank: Rank) -> Outcome:
        from fabric.train.loop import Trainer  # transformers, which the driver can do without

        return Trainer(task, rank.peers, rank.device, notices=rank.notices).run()

    return attempt(work, task, task.settings.trainers, labelled=labelled, grace_s=grace_s, say=say)


def _pci(device: torch.device) -> str | None:
    """Where a device is on the PCI bus; None of a CPU."""
    if device.type != "cuda":
        return None
    at = torch.cuda.get_device_properties(device)
    return f"{at.pci_domain_id:04x}:{at.pci_bus_id:02x}:{at.pci_device_id:02x}.0"


def _selector(trainers: TrainerSettings, slices: tuple[str, ...]) -> dict[str, str]:
    own = {GROUP_LABEL: trainers.group}
    return {**own, SLICE_LABEL: f"in({','.join(slices)})"} if slices else own


def _resources(trainers: TrainerSettings) -> Mapping[str, float]:
    asked = {"CPU": trainers.cpus, "GPU": trainers.gpus}
    return {name: amount for name, amount in asked.items() if amount}


def _ours(error: Exception) -> FabricError:
    """What went wrong, without Ray's wrapping."""
    failures = error.worker_failures if isinstance(error, WorkerGroupError) else {}
    for cause in failures.values():
        found: Any = cause
        while found is not None:
            if isinstance(found, FabricError):
                return found
            # Ray keeps what a rank raised behind a wrapper's private name, and what killed it behind another.
            found = getattr(found, "_base_exc", None) or getattr(found, "health_check_failure", None)
    if failures:
        _logger.error("%s", error)  # not foreseen, so whoever looks for the reason needs the rank's trace
    first = "; ".join(f"rank {rank}: {_last_line(cause)}" for rank, cause in sorted(failures.items()))
    return ClusterLost(
        f"training stopped: {first or _last_line(error)}. Run it again to go on from the last checkpoint."
    )


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
