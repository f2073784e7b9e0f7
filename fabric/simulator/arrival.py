"""Work that comes in a scenario: what is asked for, when, and how long it really takes.

Knows nothing of sites, nor of who decides.
"""

import math
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.scheduler.ports import Outcome
from fabric.simulator.cluster import Course
from fabric.simulator.progress import Work
from fabric.workloads.spec import WorkloadSpec


class Needed(Settings):
    """A step of a demand."""

    at_s: float = Field(ge=0)
    """Seconds from the beginning."""

    replicas: int = Field(ge=0)
    """Needed from then on."""


class Attempt(Settings):
    """What an attempt takes beside its run time."""

    staging_s: float = Field(default=0.0, ge=0)
    """Seconds from the grant until it runs."""

    leaves_s: float = Field(default=0.0, ge=0)
    """Seconds that it takes to leave when it is asked to, at most the grace; work that saves has `save_s` instead."""

    cleanup_s: float = Field(default=0.0, ge=0)
    """Seconds after its end for which it still holds its nodes."""


class Arrival(Settings):
    """Work that comes, once or again and again."""

    workload: WorkloadSpec
    """What is asked for; its name gets a number where it comes more than once."""

    at_s: float = Field(default=0.0, ge=0)
    """When it is first submitted, in seconds from the beginning."""

    runs_s: float | None = Field(default=None, gt=0)
    """How long it really runs, in seconds; a service without it runs until the scenario's end."""

    stops_at_s: float | None = None
    """When somebody ends it, whatever it does then, in seconds from the beginning; nobody does if left out."""

    staging_s: float = Field(default=0.0, ge=0)
    """Seconds from the grant until it runs, in every attempt."""

    attempts: tuple[Attempt, ...] = ()
    """What each attempt takes beside its run time, where that is known one by one, instead of `staging_s`; those after
    the last are like it."""

    fails: bool = False
    """Whether it ends with an error."""

    count: int = Field(default=1, ge=1, le=100_000)
    """How many times it comes."""

    every_s: float = Field(default=0.0, ge=0)
    """Seconds between two submissions."""

    poisson: bool = False
    """Whether `every_s` is a mean, and the gaps are drawn from an exponential distribution."""

    spread: float = Field(default=0.0, ge=0, le=5)
    """How much run times differ: sigma of the log-normal factor that each is multiplied by; its median is 1."""

    checkpoint_s: float | None = Field(default=None, gt=0)
    """Seconds between two checkpoints of a job; without it, a job that is not elastic begins anew with each attempt."""

    save_s: float = Field(default=0.0, ge=0)
    """Seconds that saving takes when it is asked to leave or to shrink."""

    restart_s: float = Field(default=0.0, ge=0)
    """Seconds without progress after every start but the first, and after every resize."""

    exponent: float = Field(default=1.0, gt=0, le=1)
    """How an elastic job speeds up: workers relative to `count`, to this power; one is linear."""

    demand: tuple[Needed, ...] = ()
    """Replicas that an elastic service really needs over time; it forecasts from what it has seen."""

    cold_start_s: float = Field(default=0.0, ge=0)
    """Seconds from the start of a replica until it is ready, as a service with a demand tells it."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.workload.name is None:
            raise ValueError("the workload of a scenario needs a name")
        if self.workload.kind == "job" and self.runs_s is None and self.stops_at_s is None:
            raise ValueError(f"job {self.workload.name} needs runs_s, the seconds that it really runs, or stops_at_s")
        if self.count > 1 and self.poisson and not self.every_s:
            raise ValueError(f"{self.workload.name}: poisson arrivals need every_s, the mean gap in seconds")
        return self

    @model_validator(mode="after")
    def _stopped(self) -> Self:
        if self.stops_at_s is None:
            return self
        if self.count > 1:
            raise ValueError(f"{self.workload.name}: stops_at_s is for work that comes once, not {self.count} times")
        if self.stops_at_s <= self.at_s:
            raise ValueError(
                f"{self.workload.name} is stopped at {self.stops_at_s:g} s, not after it came at {self.at_s:g} s"
            )
        return self

    @model_validator(mode="after")
    def _attempted(self) -> Self:
        if self.attempts and self.staging_s:
            raise ValueError(f"{self.workload.name}: give attempts or staging_s, not both")
        if self.keeps_work and any(attempt.leaves_s for attempt in self.attempts):
            raise ValueError(f"{self.workload.name} saves when it is asked to leave: give save_s, not leaves_s")
        return self

    @model_validator(mode="after")
    def _demanded(self) -> Self:
        if not self.demand:
            return self
        if self.workload.kind != "service" or self.workload.elastic is None or self.count > 1:
            raise ValueError(f"{self.workload.name}: demand is for one service whose replicas have a min and a max")
        instants = [step.at_s for step in self.demand]
        if any(after <= before for before, after in pairwise(instants)):
            raise ValueError(f"{self.workload.name}: the instants of its demand must rise, got {instants}")
        return self

    @property
    def keeps_work(self) -> bool:
        """Whether what it has done outlives an attempt."""
        return self.workload.kind == "job" and (self.checkpoint_s is not None or self.workload.elastic is not None)

    def courses(self, runs_s: float) -> tuple[Course, ...]:
        """What becomes of each attempt of work that takes `runs_s` at the size asked for, uninterrupted.

        Returns:
            In the order of attempts; those after the last are like it.
        """
        outcome = Outcome.FAILED if self.fails else Outcome.SUCCEEDED
        work = self._work(runs_s) if self.keeps_work else None
        lasts_s = math.inf if work else runs_s
        attempts = self.attempts or (Attempt(staging_s=self.staging_s),)
        return tuple(
            Course(
                lasts_s, attempt.staging_s, outcome,
                work=work, leaves_s=attempt.leaves_s, cleanup_s=attempt.cleanup_s,
            )
            for attempt in attempts
        )  # fmt: skip

    def _work(self, runs_s: float) -> Work:
        group, exponent = self.workload.elastic or self.workload.groups[0], self.exponent

        def rate(workers: int, tier: str) -> float:
            return float((workers / group.count) ** exponent)

        return Work(
            runs_s, rate, group.name,
            restart_s=self.restart_s, period_s=self.checkpoint_s or math.inf, save_s=self.save_s,
        )  # fmt: skip
