"""A backend whose nodes are drained as people say.

Knows nothing of who says it, or of what follows.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from fabric.control.draining import Drains
from fabric.scheduler.ports import Backend, ClusterView, Sight, WantedCluster
from fabric.scheduler.snapshot import Node


class Cordons(Protocol):
    """What else keeps work off nodes; a backend of Kubernetes has one."""

    def cordon(self, reasons: Mapping[str, str]) -> None:
        """Keep new pods off these nodes, and let them on those again that it kept them off before. Returns at once.

        Args:
            reasons: By node.
        """
        ...


class DrainedBackend:
    """Implements `fabric.scheduler.ports.Backend` by another one."""

    def __init__(self, backend: Backend, drains: Drains, cordons: Cordons | None = None) -> None:
        """Put drains before a backend.

        Args:
            backend: What does everything.
            drains: Of its nodes.
            cordons: Who is told of them, too.
        """
        self._backend, self._drains, self._cordons = backend, drains, cordons
        self._told: Mapping[str, object] | None = None
        self.changes: Callable[[int], Sight] = backend.changes
        self.observe: Callable[[], Mapping[str, ClusterView]] = backend.observe
        self.realise: Callable[[WantedCluster], None] = backend.realise
        self.stop: Callable[[str, float], None] = backend.stop
        self.remove: Callable[[str], None] = backend.remove

    def nodes(self) -> tuple[Node, ...]:
        """Every node of the site and its state."""
        drains = self._drains.all()
        if self._cordons is not None and drains is not self._told:
            self._cordons.cordon({name: drain.said for name, drain in drains.items()})
            self._told = drains
        return self._drains.shown(self._backend.nodes())
