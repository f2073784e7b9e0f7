"""A clock that cannot be stepped: what is wrong with the machine's is made good slowly.

Knows nothing of what is timed. Walltimes, promises, grants in the ledger and the age of work are differences of
instants, and the machine's wall clock may be put forward or back by an hour between two of them (a time server that was
away, a virtual machine that was asleep). Work must not end for that.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fabric.core.errors import FabricError
from fabric.store.files import write_atomically

CLOCK_FILE = "clock.json"
"""In the state folder."""
PACE = 0.1
"""Seconds by which it comes nearer to the wall clock in a second, so that no walltime is wrong by more than a tenth."""
MOST_S = 43_200.0
"""By how much it may be wrong; above, the machine had no time at all when it began, and it is set at once."""
NOTED_S = 1.0
"""By how much the two may be apart before that is noted."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


class SteadyClock:
    """Implements `fabric.core.clock.Clock`; safe to use from any thread.

    How far it is from the wall clock is kept in a file, as control may be killed just when that one is stepped. After a
    start of the machine only the wall clock counts.
    """

    def __init__(
        self,
        file: Path,
        *,
        wall: Callable[[], float] = lambda: time.time(),
        passed: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        boot: str | None = None,
    ) -> None:
        """Go on from what is kept, or begin with the wall clock.

        Args:
            file: Where the difference is kept.
            wall: The clock that may be stepped, in seconds since the epoch.
            passed: Seconds since this machine was started, asleep or not.
            boot: Name of that start; the kernel's if left out.
        """
        self._file, self._wall, self._passed = file, wall, passed
        self._boot = _boot_id() if boot is None else boot
        self._lock = threading.Lock()
        self._at = passed()
        kept = self._kept()
        self._now = wall() if kept is None else self._at + kept
        self._noted = self._now - self._at
        self._told = False
        if kept is None:
            self._keep(self._noted)

    def now(self) -> float:
        """Seconds since the epoch; never fewer than before, unless the machine's clock was wrong by half a day."""
        with self._lock:
            at = self._passed()
            gone = max(0.0, at - self._at)
            apart = self._wall() - (self._now + gone)
            made_good = min(PACE * gone, max(-PACE * gone, apart))
            if abs(apart) > MOST_S:
                made_good = apart
                _log.warning("the clock of this machine is %+.0f s from the fabric's, which is set to it", apart)
            self._now += gone + made_good
            self._at = at
            if abs(self._now - at - self._noted) > NOTED_S:
                self._noted = self._now - at
                self._keep(self._noted)
            if (abs(apart - made_good) > NOTED_S) is not self._told:
                self._tell(apart)
            return self._now

    def _tell(self, apart: float) -> None:
        """Say once that the two are apart, and once that they no longer are."""
        self._told = not self._told
        if self._told:
            words = "the clock of this machine was put %s by %.0f s; the fabric's comes to it at a tenth of its pace"
            _log.warning(words, "forward" if apart > 0 else "back", abs(apart))
        else:
            _log.info("the fabric's clock has come to that of this machine")

    def _kept(self) -> float | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._file.read_text(encoding="utf-8"))
            if found["boot"] == self._boot and self._boot:
                return float(found["ahead_s"])
        return None

    def _keep(self, ahead_s: float) -> None:
        # Without it a kill in the same hour as a step would show; the clock itself goes on, on a full disk too.
        with suppress(OSError, FabricError):
            write_atomically(self._file, json.dumps({"boot": self._boot, "ahead_s": ahead_s}).encode())


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
