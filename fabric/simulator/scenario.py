"""A scenario: a site, the work that comes, how long it really runs, and the windows in which nodes are taken away.

Knows nothing of how it is decided. One seed draws all that is left to chance.
"""

import math
from collections.abc import Mapping
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from fabric.config.settings import Settings
from fabric.config.site import Site
from fabric.config.windows import instant, since
from fabric.core.errors import BadInput
from fabric.scheduler import machines
from fabric.scheduler.calendar import claims_of
from fabric.scheduler.forecast import Sample, forecast
from fabric.scheduler.placement import require_possible
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.quota import tree
from fabric.scheduler.snapshot import Claim, Node, Told
from fabric.simulator.arrival import Arrival
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Act, Engine, Habits, Parts
from fabric.simulator.holdings import HoldingRecords
from fabric.workloads.record import Instants, Record
from fabric.workloads.states import State

DEMAND_STEP_S = 600.0
"""Seconds of a step of a service's forecast."""
DEMAND_HORIZON_S = 6 * 3600.0
"""How far it looks, in seconds."""
DEMAND_QUANTILE = 0.95
"""Share of steps in which it should be enough."""


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

    project: str | None = None
    """Project that has them meanwhile, as in a capability week; nobody if left out."""

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError(f"window {self.name} ends at {self.end_s:g} s, not after its start at {self.start_s:g} s")
        return self


class Loss(Settings):
    """A node that dies."""

    node: str
    """Its name."""

    at_s: float = Field(ge=0)
    """Seconds from the beginning."""

    back_s: float | None = None
    """When it takes work again, in seconds from the beginning; never if left out."""

    @model_validator(mode="after")
    def _back_later(self) -> Self:
        if self.back_s is not None and self.back_s <= self.at_s:
            raise ValueError(f"node {self.node} is back at {self.back_s:g} s, not after its loss at {self.at_s:g} s")
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

    begins: str | None = None
    """Instant of the beginning, ISO 8601 with its offset from UTC; with it the windows of the site file count too, as
    far as `until_s`."""

    losses: tuple[Loss, ...] = ()
    """Nodes that die."""

    look_s: float | None = Field(default=None, gt=0)
    """Seconds from a decision until the next where nothing happens, so that elastic work grows in time; by default it
    looks when something happens."""

    @field_validator("begins")
    @classmethod
    def _instant(cls, text: str | None) -> str | None:
        if text is not None:
            instant(text)
        return text

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [arrival.workload.name or "" for arrival in self.arrivals]
        if len(set(names)) != len(names):
            raise ValueError(f"workloads need different names, got {names}")
        self._check_order(set(names))
        endless = [a.workload.name for a in self.arrivals if a.runs_s is None and a.stops_at_s is None]
        demanding = [a.workload.name for a in self.arrivals if a.demand]
        if (endless or demanding) and self.until_s is None:
            raise ValueError(f"{', '.join(map(str, endless or demanding))} has no end; give until_s for the scenario")
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
    nodes, claims = nodes_of(site), (*_claims(scenario, site), *_site_claims(scenario, site))
    records, courses = _draw(scenario, np.random.default_rng(seed))
    for record in records:
        require_possible(record.name, record.spec.groups, nodes, site.head.resources)

    def course(wanted: WantedCluster) -> Course:
        each = courses[wanted.workload]
        return each[min(wanted.attempt, len(each)) - 1]

    habits = Habits(review_s=math.inf if scenario.look_s is None else scenario.look_s)
    engine = Engine(
        nodes, course, policy=policy, head=site.head.resources, habits=habits, grace_s=site.grace_s,
        overhead_s=site.overhead_s, tell_s=0.0, claims=claims,
        parts=Parts(records=HoldingRecords, tree=tree(site.projects)),
    )  # fmt: skip
    acts = [Act(at) for claim in claims for at in (claim.start, claim.end)]
    acts += _stops(scenario, courses)
    engine.run(records, [*acts, *_losses(scenario, engine), *_demands(scenario, engine), *_looks(scenario, engine)])
    return engine


def _stops(scenario: Scenario, courses: Mapping[str, tuple[Course, ...]]) -> list[Act]:
    """Who is ended by somebody: at an instant of its own, or with the scenario if it has no end."""
    own = {a.workload.name or "": a.stops_at_s for a in scenario.arrivals if a.stops_at_s is not None}
    endless = (name for name, (first, *_) in courses.items() if first.runs_s == math.inf and first.work is None)
    with_it = [Act(scenario.until_s or 0.0, name) for name in endless if name not in own]
    return [*with_it, *(Act(at, name) for name, at in own.items())]


def _losses(scenario: Scenario, engine: Engine) -> list[Act]:
    """Nodes that die and come back.

    Raises:
        BadInput: If the site has no such node.
    """
    known = {node.name for node in engine.cluster.nodes()}
    acts = []
    for loss in scenario.losses:
        if loss.node not in known:
            raise BadInput(f"node {loss.node} is to be lost, but the site has {', '.join(sorted(known)[:5])} ...")
        acts.append(Act(loss.at_s, does=partial(engine.cluster.lose_node, loss.node)))
        if loss.back_s is not None:
            acts.append(Act(loss.back_s, does=partial(engine.cluster.return_node, loss.node)))
    return acts


def _demands(scenario: Scenario, engine: Engine) -> list[Act]:
    """Services that tell what they will need, at every step of their forecasts and whenever their need changes."""
    acts = []
    for arrival in scenario.arrivals:
        if arrival.demand and scenario.until_s is not None:
            whole = range(math.ceil(scenario.until_s / DEMAND_STEP_S))
            instants = {number * DEMAND_STEP_S for number in whole} | {step.at_s for step in arrival.demand}
            samples: list[Sample] = []
            acts += [
                Act(at, does=partial(_tell, arrival, engine, samples))
                for at in sorted(instants)
                if arrival.at_s <= at < scenario.until_s
            ]
    return acts


def _tell(arrival: Arrival, engine: Engine, samples: list[Sample]) -> None:
    """Take note of what is needed now, and tell the forecast."""
    now, name = engine.clock.at, str(arrival.workload.name)
    needed = max((step for step in arrival.demand if step.at_s <= now), key=lambda step: step.at_s, default=None)
    samples.append(Sample(now, needed.replicas if needed else 0))
    record = engine.records.kept.get(name)
    if record is not None and not record.state.final:
        demand = forecast(samples, now, quantile=DEMAND_QUANTILE, horizon_s=DEMAND_HORIZON_S, step_s=DEMAND_STEP_S)
        engine.cluster.working.tell(name, Told(record.attempt, demand=demand, lead_s=arrival.cold_start_s))


def _looks(scenario: Scenario, engine: Engine) -> list[Act]:
    """The first of the looks where nothing happens; each plans the next as long as anybody is there."""
    look_s = scenario.look_s
    if look_s is None:
        return []

    def again() -> None:
        if not engine.ended:
            now, last = engine.clock.at, engine.loop.last_decision
            # As the live loop, so long after the last decision, whatever that was made for.
            due = last.now + look_s if last else now
            engine.also(Act(due if due > now else now + look_s, does=again))

    return [Act(look_s, does=again)]


def _claims(scenario: Scenario, site: Site) -> tuple[Claim, ...]:
    """What windows take.

    Raises:
        BadInput: If one is about a tier or a project that the site does not have.
    """
    names, projects = {tier.name: tier.node_names for tier in site.tiers}, {project.name for project in site.projects}
    for window in scenario.windows:
        if window.project is not None and window.project not in projects:
            known = ", ".join(sorted(projects)) or "none"
            raise BadInput(f"window {window.name}: {window.project!r} is no project; the site has {known}.")
        if window.tier not in names:
            raise BadInput(
                f"window {window.name} is about tier {window.tier!r}, but the site has {', '.join(sorted(names))}."
            )
    return tuple(
        Claim(w.name, w.start_s, w.end_s, names[w.tier][: w.nodes], project=w.project) for w in scenario.windows
    )


def _site_claims(scenario: Scenario, site: Site) -> tuple[Claim, ...]:
    """What the windows of the site file take, as far as the scenario goes.

    Raises:
        BadInput: If one comes again for ever, and nothing says how far the scenario goes.
    """
    if scenario.begins is None or not site.windows:
        return ()
    windows, until_s = since(site.windows, instant(scenario.begins)), scenario.until_s
    for window in windows:
        if until_s is None and window.every_days is not None and window.until is None:
            raise BadInput(f"window {window.name} of the site comes again for ever; give until_s for the scenario.")
    last_s = max(window.end_s + max(0.0, (window.until_s or window.start_s) - window.start_s) for window in windows)
    return claims_of(windows, nodes_of(site), 0.0, max(0.0, last_s) if until_s is None else until_s)


def _draw(scenario: Scenario, chance: np.random.Generator) -> tuple[list[Record], dict[str, tuple[Course, ...]]]:
    """Every submission in the order of time, and what becomes of each."""
    records: list[Record] = []
    courses: dict[str, tuple[Course, ...]] = {}
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
            courses[name] = arrival.courses(runs_s)
            records.append(Record(name, spec, State.QUEUED, Instants(at)))
            at += float(gap)
    return sorted(records, key=lambda record: (record.at.submitted, record.name)), courses
