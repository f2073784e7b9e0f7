"""Everybody who looks on at what the loop does: figures, the log, and traces where the environment asks for them.

Knows nothing of what each makes of it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fabric.config import env
from fabric.config.site import Site
from fabric.control import journal
from fabric.control.figures import Figures
from fabric.control.watched import Listener, WatchedRecords
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import Records

if TYPE_CHECKING:
    from fabric.control.tracing import Tracer


class Onlookers:
    """Those of one control."""

    def __init__(self, site: Site) -> None:
        """See nothing yet.

        Raises:
            Unavailable: If traces are asked for and cannot be sent.
        """
        self.figures = Figures()
        """What is counted."""
        self._tracer = tracer_of(site)

    def watching(self, records: Records, now: Callable[[], float]) -> WatchedRecords:
        """The loop's records with all of them looking on.

        Args:
            records: Where they are kept.
            now: The present instant in seconds since the epoch.
        """
        listeners: list[Listener] = [self.figures.changed, journal.note]
        if self._tracer is not None:
            listeners.append(self._tracer.changed)
        return WatchedRecords(records, listeners, now, self.figures.timing_saves(records.save))

    def close(self) -> None:
        """Let what was seen reach whom it is for."""
        if self._tracer is not None:
            self._tracer.close()


def tracer_of(site: Site) -> "Tracer | None":
    """What sends traces to the collector that the environment names; None, and nothing is loaded, where it names none.

    Raises:
        Unavailable: If it names one, and what sends to it is not installed.
    """
    endpoint = env.get(env.OTLP)
    if endpoint is None:
        return None
    try:
        from fabric.control.tracing import tracer_for

        return tracer_for(site.name, endpoint)
    except ImportError as error:
        raise Unavailable(
            f"{env.OTLP} is set, and {error.name} is not installed. Run: pip install "
            "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http; or unset it."
        ) from None
