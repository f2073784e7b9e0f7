"""The parts of a site that hold without a restart once its file says them, and what is kept of each reading.

Knows nothing of files or signals.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fabric.api.site import ReloadView
from fabric.config.site import Site
from fabric.config.site_file import merged
from fabric.control.callers import Caller, Permission
from fabric.core.clock import Clock
from fabric.core.errors import BadInput
from fabric.store.reloads import Reload

_log = logging.getLogger(__name__)


class Reloads(Protocol):
    """What is kept of readings."""

    def add_reload(self, reload: Reload) -> None:
        """Append one."""
        ...

    def reloads(self, limit: int = 100) -> Sequence[Reload]:
        """The newest, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where the site comes from, and who goes by it."""

    read: Callable[[], Site]
    """Reads the file; raises BadConfig if it is wrong."""
    use: Callable[[Site], None]
    """Lets everything that may change go by a site."""


class Reloading:
    """Reads the site again when asked; safe to call from several threads at once."""

    def __init__(self, source: Source, present: Callable[[], Site], kept: Reloads, clock: Clock) -> None:
        """Read nothing yet.

        Args:
            source: Where the site comes from.
            present: The site as it is in force.
            kept: What was read before.
            clock: For what is kept.
        """
        self._source, self._present, self._kept, self._clock = source, present, kept, clock
        self._one_at_a_time = threading.Lock()

    def reload(self, by: str) -> ReloadView:
        """Read the file and go by what may change in it; all of it, or nothing.

        Raises:
            BadInput: If the file is wrong; everything stays as it was, and that is kept too.
        """
        with self._one_at_a_time:
            now = self._clock.now()
            try:
                site, changed, waiting = merged(self._present(), self._source.read())
            except BadInput as error:
                self._kept.add_reload(Reload(now, by, refused=error.message))
                _log.warning("the site file was refused: %s", error.message)
                raise
            if changed:
                self._source.use(site)
            done = Reload(now, by, changed, waiting)
            self._kept.add_reload(done)
        _log.info("the site file was read for %s: changed %s; waits for a restart: %s", by, changed, waiting)
        return _view(done)

    def reload_for(self, caller: Caller) -> ReloadView:
        """The same for who may steer the site.

        Raises:
            Denied: If the caller may not.
            BadInput: If the file is wrong.
        """
        caller.require(Permission.OPERATE)
        return self.reload(caller.submits_as)

    def past(self) -> tuple[ReloadView, ...]:
        """What was read again, newest first."""
        return tuple(map(_view, self._kept.reloads()))


def _view(reload: Reload) -> ReloadView:
    return ReloadView(
        at=reload.at, by=reload.by, changed=reload.changed, waiting=reload.waiting, refused=reload.refused
    )  # fmt: skip
