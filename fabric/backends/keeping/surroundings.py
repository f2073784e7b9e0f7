"""What all keepers of a fabric share.

Knows nothing of clusters.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fabric.backends.keeping.pace import Pace
from fabric.backends.keeping.ports import DriverLogs, Packages
from fabric.scheduler.ports import WantedCluster


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every keeper shares."""

    state: Path
    logs: DriverLogs
    packages: Packages
    changed: threading.Event
    """Set when a view changes in a way that matters, so that the loop looks at once."""
    pace: Pace = field(default_factory=Pace)
    """How often keepers look."""
    may_act: Callable[[], None] = lambda: None
    """Raises `Unavailable` while another fabric may act on the same clusters; asked before what others could undo."""
    let_in: Callable[[WantedCluster, WantedCluster], None] = lambda warm, wanted: None
    """Lets the key of a warm cluster into control for the work that gets it; called before it does."""
