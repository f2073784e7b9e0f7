"""What happened at the site, as whoever asks may see it; and aliases that jobs move, as they do so.

Knows nothing of HTTP or SQL.
"""

import logging
from typing import get_args

from fabric.api.site_events import LONGEST_EVENTS, SiteEventKind, SiteEventList, SiteEventView
from fabric.control.callers import Caller, Permission
from fabric.control.discretion import Discretion, Reads
from fabric.control.ports import KeptEvents
from fabric.core.clock import Clock
from fabric.core.errors import FabricError
from fabric.store.site_events import OF_WORK, SiteEvent

_log = logging.getLogger(__name__)

OF_OPERATORS = frozenset({"reloaded", "reload_refused"})
"""Kinds that only who operates the site is told, as what is in its file."""
KNOWN: frozenset[str] = frozenset(get_args(SiteEventKind))
"""Kinds that are told; a newer control on the same database may write others."""
MOST_ALIASES = 1000
"""Aliases whose newest version is remembered, so that one that stays is not told as moved."""


class SiteEvents:
    """Events of the site; safe to call from several threads at once."""

    def __init__(self, kept: KeptEvents, clock: Clock, discretion: Discretion) -> None:
        """Look at nothing yet.

        Args:
            kept: Where they are.
            clock: For those that are added.
            discretion: What of a text each may read.
        """
        self._kept, self._clock, self._discretion = kept, clock, discretion
        self._aliases: dict[tuple[str, str], str] = {}

    def newest(self, caller: Caller, before: int | None, limit: int) -> SiteEventList:
        """What happened within the caller's reach, newest first.

        Args:
            caller: Who asks.
            before: Only what is older than the event of this number.
            limit: The most to tell.

        Raises:
            Denied: If the caller may not see the site.
        """
        caller.require(Permission.SITE)
        limit, hidden = min(limit, LONGEST_EVENTS), () if caller.may(Permission.OPERATE) else OF_OPERATORS
        found = self._kept.site_events(caller.project, before=before, limit=limit + 1, without=hidden)
        read, shown = self._discretion.towards(caller), found[:limit]
        return SiteEventList(
            events=tuple(_view(event, read) for event in shown if event.kind in KNOWN),
            before=shown[-1].number if len(found) > limit else None,
        )

    def alias_moved(self, caller: Caller, project: str, model: str, alias: str, *, version: str | None) -> None:
        """Remember that an alias points elsewhere now; one that does not is no event. What fails is logged alone.

        Args:
            caller: Who moved it.
            project: Whose model it is.
            model: Name of the model.
            alias: Name of the alias.
            version: To where; None where it is gone.
        """
        about = f"{model}@{alias}"
        said = "points nowhere any more" if version is None else f"points to version {version} now"
        if self._aliases.get((project, about)) == said:
            return
        event = SiteEvent(self._clock.now(), "alias", about, said, project, caller.workload or caller.submits_as)
        try:
            self._kept.add_site_events([event])
        except FabricError as error:
            _log.warning("that %s %s is not among the site's events: %s", about, said, error.message)
            return
        if len(self._aliases) >= MOST_ALIASES:
            self._aliases.clear()
        self._aliases[project, about] = said


def _view(event: SiteEvent, read: Reads) -> SiteEventView:
    return SiteEventView.model_validate(
        {
            "number": event.number,
            "at": event.at,
            "kind": event.kind,
            "about": event.about,
            "project": event.project,
            "said": read(event.said) if event.kind in OF_WORK else event.said,
            "by": event.by,
        }
    )
