"""How full tiers were and what is ahead of them, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from typing import Literal

from fabric.api.overview import Amounts
from fabric.config.settings import Settings

OCCUPANCY = "/api/fabric/occupancy"
"""GET: `back_s`, how far to look back; `ahead_s`, how far ahead; both in whole seconds."""
LONGEST_BACK_S, LONGEST_AHEAD_S = 31 * 86_400, 7 * 86_400
"""As far as one may look."""
USUAL_BACK_S, USUAL_AHEAD_S = 86_400, 43_200
"""As far as one looks who does not say."""
MOST_BOOKINGS = 100
"""Claims on future capacity in one answer at most; the others are counted."""

BookingKind = Literal["window", "drain", "claim", "promise", "forecast"]
"""Whole nodes are taken away by the site's calendar; somebody drains a node; a part of nodes is set aside; a start was
promised; a service will need replicas again."""


class Steps(Settings):
    """Equal steps of time."""

    begins: float
    """Of the first one, in seconds since the epoch."""
    step_s: float
    """Length of each, in seconds."""
    num: int
    """How many."""


class Series(Settings):
    """Amounts in each step."""

    cpus: tuple[float, ...] = ()
    """CPU cores."""
    gpus: tuple[float, ...] = ()
    """Accelerators."""
    memory_bytes: tuple[float, ...] = ()
    """Memory."""


class TierOccupancy(Settings):
    """One tier over time."""

    name: str
    """Tier."""
    total: Amounts
    """What all its nodes have now, whatever their state."""
    past: Series
    """What was held, on average, in each step of the past."""
    running: Series
    """What those will hold who run now, at the beginning of each step ahead, as their walltimes say."""
    kept: Series
    """What is set aside on top of that: promised starts, what services will need again."""
    away: Series
    """What is nobody's: nodes that are not ready, or that a window takes."""


class BookingView(Settings):
    """A claim on future capacity."""

    kind: BookingKind
    """Why."""
    name: str
    """Window, node, workload or service; of others' work it is not told."""
    starts_at: float
    """Seconds since the epoch; one that has begun may lie behind."""
    ends_at: float | None = None
    """Seconds since the epoch; None where nothing says."""
    amounts: dict[str, Amounts]
    """By tier."""
    nodes: int = 0
    """Of what takes whole nodes: how many."""
    replicas: int = 0
    """Of a forecast: how many more are kept for."""


class NeedView(Settings):
    """Replicas that a service needs from an instant on."""

    at: float
    """Seconds since the epoch."""
    replicas: int
    """Needed by its forecast, without headroom."""


class ServiceForecast(Settings):
    """What a service will need."""

    name: str
    """Workload."""
    replicas: int
    """What it has."""
    needs: tuple[NeedView, ...]
    """In order, where it changes."""
    method: str
    """What the forecast rests on, for people."""


class OccupancyView(Settings):
    """The site over time."""

    at: float
    """Now, in seconds since the epoch."""
    decided_at: float | None = None
    """When that was decided which is ahead; None where this control has decided nothing, and so knows of nothing."""
    past: Steps
    """Steps of the past; they begin no earlier than the ledger."""
    ahead: Steps
    """Steps ahead; none where nothing was decided."""
    tiers: tuple[TierOccupancy, ...]
    """By name."""
    bookings: tuple[BookingView, ...] = ()
    """The first of them, by start."""
    num_bookings: int = 0
    """How many there are."""
    services: tuple[ServiceForecast, ...] = ()
    """Those within the asker's reach that have a forecast, by name."""
