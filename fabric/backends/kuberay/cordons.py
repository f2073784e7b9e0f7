"""Cordons of the fabric's own: nodes that people drain here take no pods of others either.

Knows nothing of who drains what. Ours carry an annotation; a cordon of somebody else is neither taken over nor lifted.
"""

import logging
import threading
from collections.abc import Mapping

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import NODES, KubeApi, Object, Patch
from fabric.backends.kuberay.mirror import Mirror
from fabric.core.errors import Conflict, FabricError, NotFound

_log = logging.getLogger(__name__)

_AGAIN_S = 30.0
"""Seconds after which all is compared again, whatever is heard."""
_AFTER_ERROR_S = 5.0
_LONGEST_REASON = 200
"""Letters of a reason in an annotation."""


class Cordons(threading.Thread):
    """Keeps the cordons of the fabric what they should be."""

    def __init__(self, api: KubeApi, nodes: Mirror) -> None:
        """Changes nothing before it is started and was told what should be.

        Args:
            api: The server.
            nodes: Its nodes, as last heard.
        """
        super().__init__(name="cordons", daemon=True)
        self._api, self._nodes = api, nodes
        self._wanted: Mapping[str, str] | None = None
        self._look, self._over = threading.Event(), threading.Event()

    def want(self, reasons: Mapping[str, str]) -> None:
        """Cordon these nodes, with reasons, and no others; returns at once."""
        self._wanted = dict(reasons)
        self._look.set()

    def look(self) -> None:
        """Compare again soon, as nodes have changed."""
        self._look.set()

    def end(self) -> None:
        """Change nothing more; cordons stay."""
        self._over.set()
        self._look.set()

    def run(self) -> None:
        """Compare and change until told to end."""
        pause_s = _AGAIN_S
        while not self._over.is_set():
            self._look.wait(pause_s)
            self._look.clear()
            pause_s = _AGAIN_S if self._over.is_set() or self.settle() else _AFTER_ERROR_S

    def settle(self) -> bool:
        """Change what differs; whether nothing was refused. Nothing differs before anybody said what should be."""
        wanted, well = self._wanted, True
        for name, node in sorted(self._nodes.objects().items()) if wanted is not None else ():
            patch = patch_of(node, wanted.get(name) if wanted else None)
            if patch is None:
                continue
            try:
                self._nodes.learn(self._api.patch(NODES, name, patch))
            except (Conflict, NotFound):
                well = False  # somebody changed it first; what is heard of that is looked at next
            except FabricError as error:
                well = False
                _log.warning("node %s is not cordoned as it should be: %s", name, error.message)
        return well


def patch_of(node: Object, reason: str | None) -> Patch | None:
    """What to change of a node so that it is cordoned by the fabric, or not by the fabric; None for nothing.

    Args:
        node: As it is.
        reason: Why it should be cordoned; None where it should not.
    """
    metadata = node["metadata"]
    ours = names.DRAINED in (metadata.get("annotations") or {})
    cordoned = bool((node.get("spec") or {}).get("unschedulable"))
    # Only if nobody changed it meanwhile, so that a cordon of theirs is never taken for ours.
    version = {"resourceVersion": metadata["resourceVersion"]} if "resourceVersion" in metadata else {}
    if reason is None:
        lifted = {"annotations": {names.DRAINED: None}}
        return {"metadata": {**version, **lifted}, "spec": {"unschedulable": None}} if ours else None
    if cordoned:
        return None
    said = {"annotations": {names.DRAINED: reason[:_LONGEST_REASON]}}
    return {"metadata": {**version, **said}, "spec": {"unschedulable": True}}
