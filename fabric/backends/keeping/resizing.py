"""Let slices join and leave a cluster while what runs on the others goes on.

Knows nothing of who decided it, nor of entrypoints: it brings a layout that was written down about.
"""

import time
from collections.abc import Mapping
from typing import Any

from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.layout import Layout
from fabric.backends.keeping.ports import RayNodes
from fabric.core.errors import Unavailable
from fabric.scheduler.ports import WantedCluster

_IDLE_S = 5.0
"""How long a drained Ray node may take to leave by itself once nothing that matters is on it."""
_MOVE_S = 100.0
"""How long Serve may take to end replicas on slices that leave; their answers may take 30 s of it."""
_PATIENCE_S = 5.0
"""Between asking what is left on a slice to end and killing it."""


class Resizing:
    """What is under way between a cluster's slices and those it should have."""

    def __init__(self, slices: RayNodes, head: RayHead) -> None:
        self._slices = slices
        self._head = head
        self._asked: dict[str, float] = {}
        """When each slice that is leaving was drained."""
        self._since: dict[str, float] = {}
        """Since when each slice that is joining is waited for."""

    def turn(self, wanted: WantedCluster | None) -> bool:
        """Look once and do what follows.

        Args:
            wanted: What the records say; None while an adopted cluster has not heard of them.

        Returns:
            Whether the cluster is what is wanted.

        Raises:
            ClusterLost: If the head does not answer.
            Unavailable: If a slice does not join in time.
        """
        now = time.monotonic()
        if self._slices.layout.joining:
            self._let_join(now)
        if self._slices.layout.leaving:
            self._let_go(wanted, now)
        elif wanted is not None and wanted.serve is not None and not self._slices.layout.joining:
            self._scale(wanted.serve)
        return wanted is not None and _is(self._slices.layout, wanted)

    def _let_join(self, now: float) -> None:
        joined = self._head.slices(self._slices.layout)
        layout = self._slices.change(lambda layout: _joined(layout, joined))
        # Nobody waits for one that is to leave; and a name that was given back may come again, as another Ray node,
        # which has all of its time.
        awaited = [name for name in layout.joining if name not in layout.leaving]
        self._since = {name: self._since.get(name, now) for name in awaited}
        longest_s = self._slices.start_timeout_s
        for name, since in self._since.items():
            if now - since > longest_s:
                why = self._slices.awaits([name])
                raise Unavailable(f"slice {name} did not join within {longest_s:g} s{f': {why}' if why else ''}")

    def _let_go(self, wanted: WantedCluster | None, now: float) -> None:
        """Drain, wait for what may move elsewhere, end."""
        leaving = self._slices.layout.leaving
        if new := [name for name in leaving if name not in self._asked]:
            for name in new:
                self._slices.drain(name)
                self._asked[name] = now
            return  # Serve ends replicas on nodes that it knows to be draining first, and hears of that with a delay
        if self._slices.layout.service:
            if wanted is None or wanted.serve is None:
                return
            self._scale(wanted.serve)
        busy = self._busy(leaving, now)
        gone = [name for name in leaving if name not in busy and self._slices.end_one(name, _PATIENCE_S)]
        if gone:
            self._slices.change(lambda layout: layout.without(gone))
            for name in gone:
                del self._asked[name]

    def _busy(self, leaving: tuple[str, ...], now: float) -> set[str]:
        """Those that get more time."""
        serving = self._head.slices_with_replicas() if self._slices.layout.service else set()
        longest_s = {name: _MOVE_S if name in serving else _IDLE_S for name in leaving}
        return {
            name
            for name in leaving
            if (name in serving or not self._slices.has_left(name)) and now - self._asked[name] < longest_s[name]
        }

    def _scale(self, config: Mapping[str, Any]) -> None:
        """Let Serve have as many replicas as the configuration says, unless it has been told."""
        if _replicas_told(self._head.serve_status()) != _replicas_of(config):
            self._head.deploy(self._slices.listening(config))


def on_port(config: Mapping[str, Any], host: str, port: int) -> dict[str, Any]:
    """A Serve configuration that listens on a cluster's own address."""
    return {**config, "http_options": {**config.get("http_options", {}), "host": host, "port": port}}


def _joined(layout: Layout, alive: set[str]) -> Layout:
    return layout.model_copy(update={"joining": tuple(name for name in layout.joining if name not in alive)})


def _is(layout: Layout, wanted: WantedCluster) -> bool:
    there = set(layout.slices) == {part.name for part in wanted.grant.slices}
    return there and not layout.joining and not layout.leaving


def _replicas_of(config: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Number of replicas by application and deployment, where a configuration says it."""
    return {
        (application["name"], deployment["name"]): deployment["num_replicas"]
        for application in config.get("applications", ())
        for deployment in application.get("deployments", ())
        if "num_replicas" in deployment
    }


def _replicas_told(status: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """The same of what Serve was told last."""
    told = [app.get("deployed_app_config") or {} for app in status.get("applications", {}).values()]
    return _replicas_of({"applications": told})
