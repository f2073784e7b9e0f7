"""The text that Prometheus reads: what was counted since control began, and what there is at this instant.

Knows nothing of HTTP.
"""

from collections.abc import Iterator

from prometheus_client import Metric, generate_latest

from fabric.control.callers import Caller, Permission
from fabric.control.gauges import Seen, families
from fabric.control.overview import MOST_STARTS
from fabric.control.ports import Ports
from fabric.control.uses import Uses


class Metrics:
    """The whole site in figures; safe to call from several threads at once."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def text(self, caller: Caller) -> bytes:
        """In Prometheus' text format.

        Raises:
            Denied: If the caller may not see the whole site's figures.
        """
        caller.require(Permission.METRICS)
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Every family; what `generate_latest` asks of a registry."""
        yield from self._ports.figures.registry.collect()
        yield from families(self._seen())

    def _seen(self) -> Seen:
        ports = self._ports
        active = [record for record in ports.workloads.active().values() if not record.state.final]
        return Seen(
            now=ports.clock.now(),
            nodes=ports.nodes(),
            active=active,
            starts=ports.workloads.starts(None, MOST_STARTS),
            decision=ports.decision(),
            loop_age_s=ports.process.loop_age_s(),
            leads=ports.leads(),
            uses=Uses(ports.reports, ports.clock).of(active),
        )
