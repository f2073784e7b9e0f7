"""Run the pieces of the prepare stage on a Ray cluster, and serve training batches from its data nodes.

Knows nothing of what the pieces do. This is the only module of the package that imports Ray.
"""

import logging
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
import ray.data
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from fabric.core.errors import ClusterLost, FabricError, Unavailable
from fabric.data.batches import BatchSource, LocalBatches
from fabric.data.shards import Tokens

Item = TypeVar("Item")
Result = TypeVar("Result")

GROUP_LABEL = "fabric/group"
"""Node label that names the group of the workload that a node was granted for."""

START_TIMEOUT_S = 120.0
"""Longest wait for data workers, in seconds; starting and importing takes 5 to 20 on two busy cores."""

ANSWER_TIMEOUT_S = 60.0
"""Longest wait for one batch, in seconds; a rank then reads it itself."""

_BLOCKS_PER_CPU = 8

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failed:
    """An error on its way back as a value, so that Ray neither wraps nor retries it."""

    error: FabricError


def _attempt(work: Callable[..., Any], *arguments: object) -> bytes:
    """The pickled result of a piece of work, or its error."""
    try:
        return pickle.dumps(work(*arguments))
    except FabricError as error:
        return pickle.dumps(_Failed(error))


def _attempt_row(row: dict[str, bytes]) -> dict[str, bytes]:
    """The same for a row of Ray Data."""
    work, item = pickle.loads(row["task"])  # noqa: S301 - made by `RayEngine` in this run
    return {"answer": _attempt(work, item)}


def _opened(answer: bytes) -> Any:
    """What `_attempt` packed.

    Raises:
        FabricError: What the piece of work raised.
    """
    result = pickle.loads(answer)  # noqa: S301 - made by `_attempt` in this run
    if isinstance(result, _Failed):
        raise result.error
    return result


@contextmanager
def _mapped() -> Iterator[None]:
    """Say in the fabric's words what Ray could not do.

    Raises:
        ClusterLost: If Ray lost a process or node more often than it repeats.
        RayTaskError: If the work itself is wrong, as it came.
    """
    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        raise ClusterLost(
            f"a piece of work was lost with its process or node ({type(error).__name__}: {error}). Run the stage again."
        ) from error


def _connect() -> None:
    """Connect to the cluster this process belongs to, or start one; Ray Data keeps its progress to itself."""
    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It would warn that its bars are off.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


class RayEngine:
    """Pieces of work on the CPUs of a Ray cluster, connected to when first needed; see `fabric.data.prepare.Engine`."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results of all items in any order, through Ray Data: read and worked on in one task a block.

        Raises:
            ClusterLost: If Ray lost a process more often than it repeats.
        """
        _connect()
        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        rows = [{"task": pickle.dumps((work, item))} for item in items]
        blocks = min(len(rows), _BLOCKS_PER_CPU * cpus)
        answers = ray.data.from_items(rows, override_num_blocks=blocks).map(_attempt_row)
        with _mapped():
            for answer in answers.iter_rows():
                yield _opened(answer["answer"])

    def start(self, work: Callable[..., Result], *arguments: object) -> Callable[[], Result]:
        """Begin a task of one CPU."""
        _connect()
        reference = ray.remote(_attempt).options(num_cpus=1).remote(work, *arguments)

        def result() -> Result:
            with _mapped():
                opened: Result = _opened(ray.get(reference))
                return opened

        return result


class _DataWorker:
    """An actor that reads shares of batches."""

    def __init__(self, source: BatchSource) -> None:
        self._batches = LocalBatches(source)

    def share(self, step: int, rank: int, world_size: int) -> Tokens:
        """Rows of `rank` at `step`."""
        return self._batches.batch(step, rank=rank, world_size=world_size)

    def node(self) -> str:
        """Id of the node it runs on."""
        identity: str = ray.get_runtime_context().get_node_id()
        return identity


@dataclass(frozen=True)
class DataWorkers:
    """Actors on the data nodes that read batches for ranks elsewhere; picklable, so that every rank holds it.

    Step `k` is asked of worker `k` modulo their number. What it answers is a function of the source, `k`, the rank and
    the world size alone, so the order is exact and a worker that is started again goes on where it was.
    """

    source: BatchSource
    """Where batches come from."""

    actors: tuple[Any, ...]
    """Handles of the workers; they live as long as the driver that started them."""

    prefetch_steps: int
    """Steps that a rank asks for in advance."""

    def batches(self, *, rank: int, world_size: int, start_step: int = 0) -> Iterator[Tokens]:
        """Rows of `rank` for `start_step` and every step after it, without end.

        A batch that does not come, because the data nodes are gone or busy, is read by the rank itself; a warning says
        so.

        Raises:
            BadInput: If the batch cannot be cut into equal shares.
            Conflict: If a worker that was started again finds another version than the run began with.
            Corrupt: If a shard cannot be read.
        """
        local = LocalBatches(self.source)
        asked: deque[tuple[int, Any]] = deque()
        step = start_step
        while True:
            while len(asked) <= self.prefetch_steps:
                ahead = step + len(asked)
                worker = self.actors[ahead % len(self.actors)]
                asked.append((ahead, worker.share.remote(ahead, rank, world_size)))
            step, reference = asked.popleft()
            yield self._answer(reference, local, step=step, rank=rank, world_size=world_size)
            step += 1

    def _answer(self, reference: Any, local: LocalBatches, *, step: int, rank: int, world_size: int) -> Tokens:
        try:
            answer: Tokens = ray.get(reference, timeout=ANSWER_TIMEOUT_S)
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, FabricError) else error from error
        except (RayActorError, GetTimeoutError) as error:
            kind = type(error).__name__
            _logger.warning(
                "step %d: data worker gave no answer (%s); rank %d reads the batch itself", step, kind, rank
            )
            return local.batch(step, rank=rank, world_size=world_size)
        # Ray's copy is read-only shared memory, which torch warns of.
        return answer.copy()

    def nodes(self) -> tuple[str, ...]:
        """Ids of the Ray nodes that the workers run on, one each."""
        return tuple(ray.get([actor.node.remote() for actor in self.actors], timeout=START_TIMEOUT_S))

    def stop(self) -> None:
        """End the workers; ranks that still read go on by themselves."""
        for actor in self.actors:
            ray.kill(actor)


def start_data_workers(
    source: BatchSource, *, count: int, cpus: float = 1.0, group: str | None = None, prefetch_steps: int = 4
) -> DataWorkers:
    """Start data workers and wait until each can answer.

    Args:
        source: Where batches come from; the folder must be reached from their nodes and from the ranks.
        count: Workers.
        cpus: CPU cores of each.
        group: Group of the workload whose nodes they run on; None, as under plain Ray, lets them run anywhere.
        prefetch_steps: Steps that a rank asks for in advance.

    Raises:
        Unavailable: If no node of the group takes them in time.
        NotFound: If there is no data set at the source.
        Conflict: If there is another version of it than the run began with.
        Corrupt: If a file of it is missing.
    """
    source.samples()
    selector = {GROUP_LABEL: group} if group else {}
    actor = ray.remote(_DataWorker).options(
        num_cpus=cpus, label_selector=selector, scheduling_strategy="SPREAD", max_restarts=-1, max_task_retries=-1
    )
    workers = DataWorkers(source, tuple(actor.remote(source) for _ in range(count)), prefetch_steps)
    try:
        workers.nodes()
    except (GetTimeoutError, RayActorError) as error:
        workers.stop()
        where = f"nodes labelled {GROUP_LABEL}={group}" if group else "the cluster"
        raise Unavailable(
            f"{count} data workers of {cpus:g} CPUs did not start on {where} within {START_TIMEOUT_S:.0f} s "
            f"({type(error).__name__}). Grant that group enough CPUs, or ask for fewer workers."
        ) from error
    return workers
