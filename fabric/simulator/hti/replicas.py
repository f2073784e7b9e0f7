"""When each replica of a service had its accelerators, answered and left, from the grants of the service over time.

Knows nothing of requests or of why a grant changed.

A replica is ready after its cold start; the k-th start of a service takes the k-th of its drawn times in every arm. A
slice that takes the place of a larger one starts its replicas anew. Of a slice's replicas the youngest leave first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fabric.scheduler.forecast import Demand
from fabric.simulator.hti.jobs import Service
from fabric.simulator.hti.logs import ReplicaLog
from fabric.workloads.record import Grant


@dataclass(slots=True)
class _State:
    service: Service
    lead_s: float
    starts: int = 0
    slices: dict[str, list[ReplicaLog]] = field(default_factory=dict)
    """Replicas that are there, by slice."""
    asked: list[float] = field(default_factory=list)
    """Instants from when on replicas are wanted that are not granted yet, rising."""
    ended: list[ReplicaLog] = field(default_factory=list)

    @property
    def held(self) -> int:
        return sum(map(len, self.slices.values()))


class Replicas:
    """Of all services."""

    def __init__(self, services: Mapping[str, Service], leads_s: Mapping[str, float]) -> None:
        """Take services, and the seconds before a replica is needed at which it must be asked for, by name."""
        self._states = {name: _State(service, leads_s[name]) for name, service in services.items()}
        self._disturbed = -float("inf")

    def wanted(self, name: str, demand: Demand, now: float) -> None:
        """Note since when a service wants more replicas than it has: its forecast, ahead by its lead.

        One that a newer forecast wants only later is not overdue, whatever older ones said.
        """
        state = self._states[name]
        missing = max(0, max(demand.replicas) - state.held)
        before, state.asked = state.asked, []
        for number in range(missing):
            rises = demand.rises_above(state.held + number, now)
            due = now if rises is None else rises - state.lead_s
            known = before[number] if number < len(before) else now
            state.asked.append(due if due > now else min(known, now))

    def disturbed(self, now: float) -> None:
        """Note that others were told to leave or to shrink."""
        self._disturbed = now

    def granted(self, name: str, grant: Grant | None, now: float) -> None:
        """Take in what a service holds from now on."""
        state = self._states[name]
        sizes = {
            f"{part.name} on {part.node}": part.workers
            for part in (grant.slices if grant else ())
            if not part.only_head
        }
        for key in list(state.slices):
            self._drop(state, key, sizes.get(key, 0), now)
        for key, size in sizes.items():
            there = state.slices.setdefault(key, [])
            there += [self._start(state, now) for _ in range(size - len(there))]

    def logs(self) -> tuple[ReplicaLog, ...]:
        """Every replica that was ever granted, by instant."""
        found = [
            log
            for state in self._states.values()
            for log in (*state.ended, *(r for s in state.slices.values() for r in s))
        ]
        return tuple(sorted(found, key=lambda log: (log.granted_s or 0.0, log.service, log.ready_s or 0.0)))

    def _start(self, state: _State, now: float) -> ReplicaLog:
        asked = min(now, state.asked.pop(0)) if state.asked else now
        colds = state.service.cold_starts_s
        cold_s = colds[state.starts % len(colds)]
        state.starts += 1
        return ReplicaLog(
            service=state.service.name, gpus=state.service.gpus_per_replica, asked_s=asked, granted_s=now,
            ready_s=now + cold_s, ended_s=None, reclaimed=self._disturbed >= asked and now > asked,
        )  # fmt: skip

    def _drop(self, state: _State, key: str, left: int, now: float) -> None:
        there = state.slices[key]
        while len(there) > left:
            log = there.pop()
            never = log.ready_s is not None and log.ready_s > now
            state.ended.append(replace(log, ended_s=now, ready_s=None if never else log.ready_s))
        if not there:
            del state.slices[key]
