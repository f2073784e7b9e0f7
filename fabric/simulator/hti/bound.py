"""A completion time that no scheduler can beat, for all it knows: the clairvoyant relaxation B8.

Knows nothing of nodes. What is relaxed:

- everything about the future is known;
- accelerators are one divisible pool, without nodes, topology or fragmentation; the older pool's count by their speed;
- starts, stops, moves and resizes cost nothing and lose nothing;
- serving takes what it needs in each window and not a replica more;
- an elastic job does its work with the fewest GPU-seconds of any size, and yet as fast as at its largest.

Three bounds hold for the sum of completion times; the largest counts:

1. run times: no job ends sooner than its shortest run time after submission;
2. shortest remaining work first, on the whole pool as one machine. At every instant it leaves the fewest jobs
   unfinished of all ways to share the pool, also where its capacity varies (exchange argument of Schrage, 1968);
3. mean busy times: a job's work is not done faster than in its shortest run time, so it ends at least half of that
   after the mean instant of its work; and the sum of these means is least if the job with the least work is always
   served first (Goemans's relaxation of 1|r,pmtn|sum wM with w = 1, solved by exchange).
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fabric.core.errors import BadInput
from fabric.simulator.hti.jobs import Service, TrainingJob


@dataclass(frozen=True, slots=True)
class Demand:
    """A job as the relaxation sees it."""

    submit_s: float
    work_gpu_s: float
    """Fewest GPU-seconds of any size."""
    least_run_s: float
    """Run time at its largest size."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Lower bounds of the mean completion time, in seconds."""

    run_times_s: float
    shortest_first_s: float
    busy_times_s: float

    @property
    def mean_s(self) -> float:
        """The largest of the three."""
        return max(self.run_times_s, self.shortest_first_s, self.busy_times_s)


def demand_of(job: TrainingJob) -> Demand:
    """What `job` asks of the relaxed machine; its least work is that of its smallest size, as curves are concave."""
    least_work = job.min_gpus * job.run_s / job.speedup(job.min_gpus)
    return Demand(job.submit_s, least_work, job.run_s / job.speedup(job.max_gpus))


def capacity_left(services: Sequence[Service], *, reference_gpus: float) -> tuple[tuple[float, float], ...]:
    """Accelerators that serving's need leaves, as (instant, number) steps; all of them after the last window.

    Raises:
        BadInput: If the services have windows of different length or number, or need more than there is.
    """
    if len({(service.window_s, len(service.needed)) for service in services}) > 1:
        raise BadInput("services need windows of the same length and number")
    if not services:
        return ((0.0, reference_gpus),)
    window_s, num = services[0].window_s, len(services[0].needed)
    needs = [sum(service.needed[i] * service.gpus_per_replica for service in services) for i in range(num)]
    if max(needs) > reference_gpus:
        raise BadInput(f"services need {max(needs)} of {reference_gpus:g} GPUs in one window")
    return (*((i * window_s, reference_gpus - need) for i, need in enumerate(needs)), (num * window_s, reference_gpus))


def lower_bound(jobs: Sequence[Demand], capacity: Sequence[tuple[float, float]]) -> Bound:
    """Bounds of the mean completion time of `jobs` on a pool of changing capacity.

    Args:
        jobs: At least one.
        capacity: (instant, accelerators) steps, rising, the first at or before every submission; the last stays.

    Raises:
        BadInput: If there are no jobs, or the capacity does not begin before them, does not rise, or ends at nothing.
    """
    times = [at for at, _ in capacity]
    if not jobs or not times or times[0] > min(job.submit_s for job in jobs):
        raise BadInput("a bound needs jobs, and a capacity that begins before them")
    if sorted(set(times)) != times or capacity[-1][1] <= 0 or min(gpus for _, gpus in capacity) < 0:
        raise BadInput("capacity needs rising instants and numbers that are not negative, and must not end at nothing")
    submits = sum(job.submit_s for job in jobs)
    ends, _ = _serve(jobs, capacity, key=lambda work, left: left)
    _, busy = _serve(jobs, capacity, key=lambda work, left: work)
    halves = sum(job.least_run_s / 2 for job in jobs)
    return Bound(
        run_times_s=sum(job.least_run_s for job in jobs) / len(jobs),
        shortest_first_s=(ends - submits) / len(jobs),
        busy_times_s=(busy - submits + halves) / len(jobs),
    )


def _serve(
    jobs: Sequence[Demand], capacity: Sequence[tuple[float, float]], *, key: Callable[[float, float], float]
) -> tuple[float, float]:
    """Give the whole pool to the job with the least key of (work, work left), at every instant.

    Returns:
        The sum of the jobs' ends, and the sum of the mean instants of their work.
    """
    arrivals = sorted(range(len(jobs)), key=lambda i: jobs[i].submit_s)
    marks = [at for at, _ in capacity[1:]]
    waiting: list[tuple[float, int]] = []
    left = [job.work_gpu_s for job in jobs]
    now, arrived, step = capacity[0][0], 0, 0
    ends = busy = 0.0
    while arrived < len(jobs) or waiting:
        while arrived < len(jobs) and jobs[arrivals[arrived]].submit_s <= now:
            index = arrivals[arrived]
            heapq.heappush(waiting, (key(jobs[index].work_gpu_s, left[index]), index))
            arrived += 1
        while step < len(marks) and marks[step] <= now:
            step += 1
        until = min(
            jobs[arrivals[arrived]].submit_s if arrived < len(jobs) else float("inf"),
            marks[step] if step < len(marks) else float("inf"),
        )
        gpus = capacity[step][1]
        if not waiting or gpus == 0:
            now = until
            continue
        _, index = heapq.heappop(waiting)
        end = now + left[index] / gpus
        stop = min(end, until)
        busy += gpus * (stop**2 - now**2) / 2 / jobs[index].work_gpu_s
        if end <= until:
            ends += end
        else:
            left[index] -= gpus * (stop - now)
            heapq.heappush(waiting, (key(jobs[index].work_gpu_s, left[index]), index))
        now = stop
    return ends, busy
