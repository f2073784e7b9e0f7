"""A service request by request: the reference for the queueing model.

Knows nothing of schedulers: when replicas are ready is given. Requests are taken in the order of arrival by the
replica that can begin first, which is what a router achieves that sends each to the least loaded one.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.queue import Steps
from fabric.simulator.hti.replica import Floats


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of requests in the order of arrival."""

    arrived_s: Floats
    prefill_s: Floats
    """Seconds of reading its prompt."""
    decode_s: Floats
    """Seconds from its first to its last token."""


@dataclass(frozen=True, slots=True, order=True)
class Life:
    """When a replica takes requests; what it has begun it finishes."""

    ready_s: float
    gone_s: float


def draw_requests(rates_rps: Sequence[float], window_s: float, costs: tuple[Floats, Floats], *, seed: int) -> Requests:
    """Poisson arrivals with one rate for each window, and costs drawn with replacement.

    Args:
        rates_rps: Requests per second in each window.
        window_s: Length of a window.
        costs: Seconds of reading and of decoding, of the same requests.
        seed: Of chance.
    """
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.asarray(rates_rps) * window_s)
    starts = np.repeat(np.arange(len(counts)) * window_s, counts)
    arrived = np.sort(starts + rng.uniform(0.0, window_s, len(starts)))
    drawn = rng.integers(len(costs[0]), size=len(arrived))
    return Requests(arrived, costs[0][drawn], costs[1][drawn])


def lives(steps: Steps) -> tuple[Life, ...]:
    """Replicas that give the ready numbers of `steps`; the youngest leave first."""
    serving: list[float] = []
    ended = []
    for at, count in steps:
        while len(serving) > count:
            ended.append(Life(serving.pop(), at))
        serving += [at] * (count - len(serving))
    return tuple(sorted(ended + [Life(ready, np.inf) for ready in serving]))


def ttft_s(requests: Requests, replicas: Sequence[Life], batch_limit: int) -> Floats:
    """Seconds from arrival to first token of every request; infinite where no replica is left.

    Raises:
        BadInput: If `batch_limit` is below one.
    """
    if batch_limit < 1:
        raise BadInput(f"a batch holds at least one request, not {batch_limit}")
    # Each replica's places in the batch, as a heap of the instants at which they are free again.
    places = [[life.ready_s] * batch_limit for life in replicas]
    ready = [(life.ready_s, index) for index, life in enumerate(replicas)]
    heapq.heapify(ready)
    columns = (requests.arrived_s.tolist(), requests.prefill_s.tolist(), requests.decode_s.tolist())
    first_token = np.full(len(requests.arrived_s), np.inf)
    for number, (arrived, reading, writing) in enumerate(zip(*columns, strict=True)):
        while ready and max(ready[0][0], arrived) >= replicas[ready[0][1]].gone_s:
            heapq.heappop(ready)
        if not ready:
            break
        free, index = ready[0]
        read = max(free, arrived) + reading
        heapq.heapreplace(places[index], read + writing)
        heapq.heapreplace(ready, (max(read, places[index][0]), index))
        first_token[number] = read - arrived
    return first_token
