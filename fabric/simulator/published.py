"""What others published of runs that the simulator repeats; every figure with its source.

Knows nothing of our results.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PublishedBatch:
    """One run of a log by pyss: its output file has the wait of every job.

    Source:
        Gaussier, Glesser, Reis, Trystram, "Improving backfilling by using machine learning to predict running times",
        SC'15; files and averages of its artifact, repository dinesh121991/predictsim at 2e5e2d1.
    """

    log: str
    """Name of the log, and of the file without its ending."""
    suffix: str
    """Ending of the file with the waits."""
    processors: int
    order: Literal["fcfs", "shortest"]
    """Who may pass first."""
    exact: bool
    """Whether run times were known."""
    avebsld: float
    """Average bounded slowdown, tau 10 s."""

    @property
    def file(self) -> str:
        """File below the folder of traces."""
        return f"swf-pyss-easy/{self.log}.{self.suffix}.swf.gz"


BATCH = (
    PublishedBatch("KTH-SP2", "easy", 100, "fcfs", False, 92.5765),
    PublishedBatch("KTH-SP2", "easy-clairvoyant", 100, "fcfs", True, 71.7224),
    PublishedBatch("KTH-SP2", "easy-sjbf-clairvoyant", 100, "shortest", True, 49.8477),
    PublishedBatch("SDSC-SP2", "easy", 128, "fcfs", False, 87.8703),
    PublishedBatch("SDSC-SP2", "easy-clairvoyant", 128, "fcfs", True, 70.4779),
    PublishedBatch("SDSC-SP2", "easy-sjbf-clairvoyant", 128, "shortest", True, 56.8362),
)
"""Six runs; every wait of every job is known."""


@dataclass(frozen=True, slots=True)
class PublishedWindows:
    """Means over the ten windows of Lublin-1.

    Source:
        Zhang et al., "RLScheduler", SC'20, tables V and VI; README of DIR-LAB/deep-batch-scheduler at cd433e3.
    """

    order: str
    backfill: bool
    bsld: float
    """To two digits."""
    utilisation: float
    """To three digits."""


LUBLIN = "swf-rlscheduler-lublin/lublin_256.swf.gz"
"""The log, below the folder of traces."""
LUBLIN_PROCESSORS = 256
"""Of the machine of that log."""
WINDOWS = (
    PublishedWindows("fcfs", False, 7273.77, 0.657),
    PublishedWindows("wfp3", False, 19753.53, 0.747),
    PublishedWindows("uni", False, 22274.74, 0.691),
    PublishedWindows("sjf", False, 277.35, 0.762),
    PublishedWindows("f1", False, 258.37, 0.816),
    PublishedWindows("fcfs", True, 235.82, 0.868),
    PublishedWindows("wfp3", True, 133.87, 0.864),
    PublishedWindows("uni", True, 307.23, 0.883),
    PublishedWindows("sjf", True, 73.31, 0.778),
    PublishedWindows("f1", True, 75.07, 0.840),
)
"""Ten means."""
