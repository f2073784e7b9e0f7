"""A scenario: a site, the work that comes, how long it really runs, and the windows in which nodes are taken away.

Knows nothing of how it is decided. One seed draws all that is left to chance.
"""

from graphlib import CycleError, TopologicalSorter
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.config.site import Site
from fabric.core.errors import BadInput
from fabric.scheduler import machines
from fabric.scheduler.placement import require_possible
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Outcome, WantedCluster
from fabric.scheduler.snapshot import Claim, Node
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Act, Engine
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State


class Arrival(Settings):
    """Work that comes, once or again and again."""

    workload: WorkloadSpec
    """What is asked for; its name gets a number where it comes more than once."""

    at_s: float = Field(default=0.0, ge=0)
    """When it is first submitted, in seconds from the beginning."""

    runs_s: float | None = Field(default=None, gt=0)
    """How long it really runs, in seconds; a service without it runs until the scenario's end."""

    staging_s: float = Field(default=0.0, ge=0)
    """Seconds from the grant until it runs."""

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

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.workload.name is None:
            raise ValueError("the workload of a scenario needs a name")
        if self.workload.kind == "job" and self.runs_s is None:
            raise ValueError(f"job {self.workload.name} needs runs_s, the seconds that it really runs")
        if self.count > 1 and self.poisson and not self.every_s:
            raise ValueError(f"{self.workload.name}: poisson arrivals need every_s, the mean gap in seconds")
        return self


class Window(Settings):
    """A time in which nodes are taken away, as for maintenance."""

    name: str
    """Name, shown to people."""

    start_s: float = Field(ge=0)
    """Seconds from the beginning."""

    end_s: float
    """Seconds from the beginning."""

    tier: str
    """Tier whose nodes are taken."""

    nodes: int | None = Field(default=None, ge=1)
    """How many of them, by name; all if left out."""

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError(f"window {self.name} ends at {self.end_s:g} s, not after its start at {self.start_s:g} s")
        return self


class Scenario(Settings):
    """What happens at a site."""

    site: str
    """Site file, relative to the scenario's folder."""

    policy: str | None = None
    """Policy file, relative to the scenario's folder; the fabric's own choices if left out."""

    until_s: float | None = Field(default=None, gt=0)
    """When services that have no end are stopped, in seconds from the beginning."""

    arrivals: tuple[Arrival, ...] = Field(min_length=1)
    """The work."""

    windows: tuple[Window, ...] = ()
    """When nodes are taken away."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [arrival.workload.name or "" for arrival in self.arrivals]
        if len(set(names)) != len(names):
            raise ValueError(f"workloads need different names, got {names}")
        self._check_order(set(names))
        endless = [a.workload.name for a in self.arrivals if a.runs_s is None]
        if endless and self.until_s is None:
            raise ValueError(f"{', '.join(map(str, endless))} has no end; give until_s for the scenario")
        return self

    def _check_order(self, names: set[str]) -> None:
        """Every workload comes after known ones, and none after itself, over any number of steps.

        Raises:
            ValueError: Naming the circle, or the unknown one.
        """
        once = {a.workload.name for a in self.arrivals if a.count == 1}
        after = {a.workload.name or "": a.workload.after for a in self.arrivals}
        for name, firsts in after.items():
            for first in firsts:
                if first not in names:
                    raise ValueError(f"{name} comes after {first}, which is none of the workloads")
                if first not in once:
                    raise ValueError(f"{name} comes after {first}, which comes more than once; name a single one")
        try:
            TopologicalSorter(after).prepare()
        except CycleError as error:
            circle = " after ".join(reversed(error.args[1]))
            raise ValueError(f"nothing of this could ever start: {circle}") from None


def nodes_of(site: Site) -> tuple[Node, ...]:
    """Every node of a site, ready."""
    return machines.nodes_of(site.tiers)


def simulate(scenario: Scenario, site: Site, policy: Policy, seed: int) -> Engine:
    """Let a scenario happen once.

    Args:
        scenario: What comes.
        site: Where.
        policy: How is decided.
        seed: What chance follows from.

    Returns:
        The engine after everything has ended, with the records and their history.

    Raises:
        BadInput: If a workload or a window names a tier that the site does not have.
        DoesNotFit: If no empty site could hold a workload.
    """
    nodes, claims = nodes_of(site), _claims(scenario, site)
    records, courses = _draw(scenario, np.random.default_rng(seed))
    for record in records:
        require_possible(record.name, record.spec.groups, nodes, site.head.resources)

    def course(wanted: WantedCluster) -> Course:
        return courses[wanted.workload]

    engine = Engine(
        nodes, course, policy=policy, head=site.head.resources, grace_s=site.grace_s, tell_s=0.0, claims=claims
    )
    edges = [Act(at) for claim in claims for at in (claim.start, claim.end)]
    endless = [record.name for record in records if courses[record.name].runs_s == float("inf")]
    engine.run(records, [*edges, *(Act(scenario.until_s or 0.0, name) for name in endless)])
    return engine


def _claims(scenario: Scenario, site: Site) -> tuple[Claim, ...]:
    """What windows take.

    Raises:
        BadInput: If one is about a tier that the site does not have.
    """
    names = {tier.name: tier.node_names for tier in site.tiers}
    for window in scenario.windows:
        if window.tier not in names:
            raise BadInput(
                f"window {window.name} is about tier {window.tier!r}, but the site has {', '.join(sorted(names))}."
            )
    return tuple(Claim(w.name, w.start_s, w.end_s, names[w.tier][: w.nodes]) for w in scenario.windows)


def _draw(scenario: Scenario, chance: np.random.Generator) -> tuple[list[Record], dict[str, Course]]:
    """Every submission in the order of time, and what becomes of each."""
    records: list[Record] = []
    courses: dict[str, Course] = {}
    for arrival in scenario.arrivals:
        gaps = (
            chance.exponential(arrival.every_s, arrival.count) if arrival.poisson else [arrival.every_s] * arrival.count
        )
        factors = np.exp(chance.normal(0.0, arrival.spread, arrival.count))
        at = arrival.at_s
        for number, (gap, factor) in enumerate(zip(gaps, factors, strict=True)):
            name = str(arrival.workload.name) if arrival.count == 1 else f"{arrival.workload.name}-{number:05d}"
            spec = arrival.workload.model_copy(update={"name": name})
            runs_s = float("inf") if arrival.runs_s is None else arrival.runs_s * float(factor)
            outcome = Outcome.FAILED if arrival.fails else Outcome.SUCCEEDED
            courses[name] = Course(runs_s, arrival.staging_s, outcome)
            records.append(Record(name, spec, State.QUEUED, Instants(at)))
            at += float(gap)
    return sorted(records, key=lambda record: (record.at.submitted, record.name)), courses
