"""What a site may choose about decisions.

Knows nothing of the site's machines.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.scheduler.policies.choice import Placement

QueueOrder = Literal["fcfs", "sjf", "wfp3", "uni", "f1", "wfp3-sc20", "uni-sc20"]
"""Names of the orders in `fabric.scheduler.order`."""


class Policy(Settings):
    """Choices of the scheduler."""

    order: QueueOrder = "fcfs"
    """Who is looked at first inside a priority class."""

    predict: bool = False
    """Whether shortest-first orders go by what the owner's last two runs took, instead of by the requested time."""

    fair: bool = True
    """Whether, where the site lists projects, those that used least for their weight come first inside a class."""

    protect: int | Literal["all"] = Field(default=1, union_mode="left_to_right")
    """How many blocked workloads on each tier are promised a start that nobody may delay: 1 is EASY, `all` is
    conservative, 0 promises nothing, so that whoever fits starts."""

    backfill: Literal["fcfs", "shortest", "smallest", "off"] = "fcfs"
    """In which order those behind a blocked workload may pass it: as they came, those that should run shortest first,
    or those that should take the fewest device-seconds; `off`: nobody passes."""

    backfill_rule: Literal["spare", "strict-shadow"] = "spare"
    """Who may pass: `spare`, what ends before the promised start or uses only what the promise leaves free; or
    `strict-shadow`, only what ends before it (RLScheduler, SC'20; for validation)."""

    sticky: bool = False
    """Whether the first that was blocked stays first, and its promise as it was first made, whoever is submitted later
    (RLScheduler, SC'20; for validation)."""

    max_passed: int | None = Field(default=100, ge=1)
    """How many may start before a workload that came earlier until it is protected too; None for any number."""

    horizon_s: float = Field(default=7 * 86400.0, gt=0)
    """How far ahead a start is looked for, in seconds; longer work counts as work without an end."""

    placement: Placement = Placement()
    """Which of the nodes that take it work goes to."""

    preemption: bool = True
    """Whether less urgent work may be asked to leave for more urgent work, or for a project's guarantee."""

    victims: Literal["cheapest", "newest"] = "cheapest"
    """Who leaves first among the least urgent: who costs the site least, or who began last, whatever that costs."""

    elastic: bool = True
    """Whether elastic work is resized: started smaller, grown into what is idle, shrunk before anybody leaves."""

    loans: bool = True
    """Whether services give up replicas that they will not need soon, and others may run there meanwhile."""

    headroom: float = Field(default=0.0, ge=0)
    """Replicas that a service has beyond those forecast, as a share of them, rounded up: for what no forecast foresees,
    and to work off what queued up meanwhile."""

    slower_for_s: float = Field(default=0.0, ge=0)
    """Work that should not run longer than so many seconds on the fastest accelerators may start on slower ones that
    are free, also where it might end earlier by waiting; longer work only if it ends no later."""

    slower_after_s: float = Field(default=0.0, ge=0)
    """Seconds that work waits for the fastest accelerators that it may use before it starts on slower ones."""

    moves: bool = False
    """Whether work that saves may start on slower accelerators however long it is, and goes on on faster ones, after
    another restart, as soon as nobody who waits could use them."""

    yields: float | None = Field(default=None, ge=1)
    """How many times as long as one who waits somebody of the same class must have before it, by their walltimes, to be
    asked to make room for it; None for never."""

    yield_cost: float = Field(default=0.1, gt=0)
    """The most that such room may cost, as a share of the device-seconds of the one who waits."""

    patience_s: float = Field(default=0.0, ge=0)
    """Seconds that work waits before others of its own class are asked to leave for it, be it for what its project is
    guaranteed or because they are longer: most room comes by itself. More urgent work asks at once."""

    min_run_s: float = Field(default=600.0, ge=0)
    """Seconds after its start or last resize before work is asked to leave or to change; not for services, which cannot
    wait, and not of harvest work."""

    restart_s: float = Field(default=60.0, ge=0)
    """Seconds without progress that a resize or another start costs, beside what staging took."""

    askers: int = Field(default=16, ge=0)
    """For how many blocked workloads, beside those with a promise, it is asked in one decision who could make room."""

    dated: int = Field(default=20, ge=0)
    """How many waiting workloads without a promise are told when they should start if the order is kept."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.protect, int) and self.protect < 0:
            raise ValueError(f"protect is a number from 0 or `all`, not {self.protect}")
        if self.backfill == "off" and self.protect == 0:
            raise ValueError("backfill: off keeps those behind back, and protect: 0 lets everybody start; choose one")
        if self.backfill_rule == "strict-shadow" and self.protect != 1:
            raise ValueError(f"backfill_rule strict-shadow is about one promise; protect must be 1, not {self.protect}")
        if self.sticky and self.protect != 1:
            raise ValueError(f"sticky keeps one workload first; protect must be 1, not {self.protect}")
        return self

    @property
    def protected(self) -> float:
        """How many on each tier may be promised a start."""
        if self.backfill == "off":
            return 1
        return float("inf") if self.protect == "all" else self.protect

    def keeps_promises(self, num_tiers: int) -> bool:
        """Whether a decision must know what earlier ones set aside: one promise alone is never worse when made anew.

        Args:
            num_tiers: Of the site; each has a promise of its own.
        """
        return self.sticky or self.protected > 1 or (self.protected == 1 and num_tiers > 1)
