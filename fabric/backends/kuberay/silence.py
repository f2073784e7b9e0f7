"""Which nodes have been silent for so long that what ran there counts as lost.

Knows nothing of pods. Kubernetes calls all nodes not ready for a moment when its API server, or the store behind it,
was away for longer than its grace: nobody could tell it that they live. The work there has gone on meanwhile.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.pod_state import node_is_ready

LOST_AFTER_S = 20.0
"""How long a node is not ready before its pods count as lost, in seconds: a kubelet says every 10 s that it is well.
What is lost in earnest is found out so much later, after Kubernetes' own grace of 50 s, unless Ray notices first."""


class Silence:
    """Since when nodes are not ready; safe to ask from several threads."""

    def __init__(self, patience_s: float = LOST_AFTER_S, now: Callable[[], float] = time.monotonic) -> None:
        """Knows of no silence.

        Args:
            patience_s: How long a node may be silent.
            now: Seconds that only grow.
        """
        self._patience_s, self._now = patience_s, now
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def lasts(self, name: str, node: Mapping[str, Any] | None, *, heard: bool = True) -> bool:
        """Whether a node is gone, or has not been ready for too long.

        Args:
            name: Of the node.
            node: As it was last heard; None if there is none.
            heard: Whether nodes are heard at present. Where they are not, nobody could tell that this one is back: its
                time begins when somebody can.
        """
        with self._lock:
            if node is None or node_is_ready(node):
                self._since.pop(name, None)
                return node is None
            if not heard:
                self._since.pop(name, None)
                return False
            return self._now() - self._since.setdefault(name, self._now()) >= self._patience_s

    def lost(self, name: str | None, nodes: Mirror) -> bool:
        """Whether a node of those that are followed counts as lost; what is on none yet has none to lose."""
        if not name:
            return False
        return self.lasts(name, nodes.get(name), heard=nodes.problem is None)
