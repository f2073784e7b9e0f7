"""The life of one object that somebody made himself, from its grant until none of its pods is left.

Knows nothing of queues or records; what it sees it publishes as a `ClusterView`. The object is never deleted: it is
suspended again when its grant is over.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_manifest import grant_patch, is_told, suspend_patch, told_name, told_secret
from fabric.backends.kuberay.adopted_pods import AdoptedPods, ForeignSurface
from fabric.backends.kuberay.api import SECRETS
from fabric.backends.kuberay.foreign import KIND_OF, Foreign
from fabric.backends.kuberay.images import check_built
from fabric.backends.kuberay.layout import AdoptedLayout
from fabric.core.errors import Conflict, Denied, FabricError, NotFound, Unavailable
from fabric.scheduler.ports import ClusterView, Outcome, Phase, WantedCluster

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0
"""Between two questions about an object that is not heard of any more."""

_OUTCOMES = {
    "PENDING": Outcome.PENDING,
    "RUNNING": Outcome.RUNNING,
    "SUCCEEDED": Outcome.SUCCEEDED,
    "FAILED": Outcome.FAILED,
    "STOPPED": Outcome.STOPPED,
}
"""What Ray says of a RayJob's entrypoint."""
_REFUSED = frozenset({"Failed", "ValidationFailed"})
"""What KubeRay says of a RayJob that it gives up, whatever Ray says of its entrypoint."""


class AdoptedCluster:
    """One attempt; turned by one thread at a time, told from others."""

    def __init__(
        self,
        layout: AdoptedLayout,
        surface: ForeignSurface,
        changed: Callable[[], None],
        *,
        wanted: WantedCluster | None = None,
    ) -> None:
        """Writes nothing yet.

        Args:
            layout: What it was granted.
            surface: Where the object is.
            changed: Called when the view changes.
            wanted: The grant, if it has yet to be written on the object; None if an earlier fabric wrote it.
        """
        self._layout, self._surface, self._changed = layout, surface, changed
        self._wanted = wanted
        self._pods = AdoptedPods(layout, surface)
        if wanted is None:
            self._pods.take_over()
        self._leave = False
        self._since, self._look_at = time.monotonic(), 0.0
        self.done = False
        generation = wanted.generation if wanted else 1
        outcome = Outcome.NONE if wanted else Outcome.UNKNOWN
        held, born = layout.held, layout.born
        self.view = ClusterView(layout.name, Phase.STARTING, outcome, generation=generation, born=born, held=held)

    @property
    def uid(self) -> str:
        """Of the object."""
        return self._layout.uid

    @property
    def _longest_s(self) -> float:
        """How long its start may take, in seconds."""
        return self._surface.home.kubernetes.start_deadline_s

    @property
    def _is_late(self) -> bool:
        return time.monotonic() - self._since > self._longest_s

    def leave(self) -> None:
        """Suspend the object again, unless it has ended; done once its pods are gone."""
        self._leave = True

    def turn(self) -> None:
        """Look once and do what follows; whatever goes wrong shows in the view."""
        try:
            self._step()
        except (Unavailable, Conflict, Denied) as error:
            # Seen again at the next look; what runs goes on meanwhile. An API server that has just started refuses even
            # who has all rights for some seconds.
            if isinstance(error, Denied) and self._wanted is not None and not self._leave and self._is_late:
                reason = f"could not be started within {self._longest_s:g} s: {error.message}"
                self._publish(phase=Phase.BROKEN, problem=reason)
            elif self.view.phase is Phase.STARTING:
                self._publish(message=error.message)
            elif isinstance(error, Denied):
                _log.warning("%s: %s", self._layout.name, error.message)
        except FabricError as error:
            self._publish(phase=Phase.BROKEN, problem=error.message)
        except Exception as error:  # a mistake of ours must show on the workload, not end all the others
            told = {"workload": self._layout.workload, "attempt": self._layout.attempt}
            _log.exception("%s", self._layout.name, extra=told)
            self._publish(phase=Phase.BROKEN, problem=f"internal error: {error}")

    def _step(self) -> None:
        foreign = self._find()
        if foreign is None or foreign.leaving:
            self._end_with_its_object()
        elif self._leave:
            self._suspend(foreign)
        elif self.view.phase is not Phase.BROKEN and not self.view.outcome.ended:
            self._go_on(foreign)

    def _go_on(self, foreign: Foreign) -> None:
        if foreign.job_ended:
            self._look_at_job(foreign)
        elif self._wanted is not None:
            self._grant(foreign, self._wanted)
        elif foreign.suspended:
            self._suspended(foreign)
        elif not self._look_at_job(foreign):
            self._pods.release()
            if self._pods.lost():
                self._lose()
            elif self.view.phase is Phase.STARTING:
                self._join(foreign)

    def _grant(self, foreign: Foreign, wanted: WantedCluster) -> None:
        """Start it, once nothing is left of what ran before; not if a node has gone since it was granted."""
        if self._pods.lost():
            self._broken_by(self._pods.lost()[0])
        elif not foreign.suspended:
            self._write(foreign, suspend_patch(foreign))
        elif self._pods.gone:
            self._tell(foreign, wanted)
            self._write(foreign, grant_patch(foreign, wanted, self._layout, self._surface.home))
            self._wanted = None

    def _tell(self, foreign: Foreign, wanted: WantedCluster) -> None:
        """Put where pods find it what they are told, unless it was put there before an answer was lost.

        What the attempt before was told goes: its pods are gone, and its key opens nothing any more.
        """
        secret = told_secret(foreign, wanted, self._surface.home)
        with contextlib.suppress(Conflict):
            self._surface.api.create(SECRETS, secret)
        before = foreign.annotations.get(names.TOLD)
        if before not in {None, secret["metadata"]["name"]}:
            self._forget(foreign, str(before))

    def _forget(self, foreign: Foreign, secret: str) -> None:
        """Take away what an attempt was told, if it is of this object; at worst it stays as long as that."""
        try:
            if is_told(self._surface.api.get(SECRETS, secret), foreign):
                self._surface.api.delete(SECRETS, secret)
        except NotFound:
            pass
        except FabricError as error:
            _log.warning("secret %s of %s stays: %s", secret, foreign, error.message)

    def _look_at_job(self, foreign: Foreign) -> bool:
        """Show what a RayJob says of itself; whether it has ended."""
        if foreign.kind != "RayJob":
            return False
        how_far = foreign.status.get("jobDeploymentStatus")
        # Anything else may be of the attempt before.
        said = foreign.status.get("jobStatus") if how_far in {"Running", "Complete"} else None
        outcome = _OUTCOMES.get(str(said), self.view.outcome)
        if how_far in _REFUSED:
            why = filter(None, (foreign.status.get("reason"), foreign.status.get("message")))
            self._publish(outcome=Outcome.FAILED, message=": ".join(map(str, why))[:4000] or "failed")
        elif how_far == "Complete":
            self._publish(outcome=outcome, message=outcome.value)
        elif outcome is Outcome.RUNNING:
            self._publish(outcome=outcome, message="running")
        elif not outcome.ended and self.view.outcome is not Outcome.RUNNING:
            self._publish(outcome=Outcome.PENDING if outcome is Outcome.PENDING else Outcome.NONE)
        return self.view.outcome.ended

    def _join(self, foreign: Foreign) -> None:
        """Ready once every pod runs; given up if that takes too long.

        Raises:
            BadInput: If the image of one is for another architecture than its node's; no waiting helps.
        """
        if self._pods.running:
            if self._layout.kind == "RayCluster":
                self._publish(phase=Phase.READY, outcome=Outcome.RUNNING, message="running")
            else:
                message = "" if self.view.outcome is Outcome.NONE else self.view.message
                self._publish(phase=Phase.READY, message=message)
            return
        why = self._pods.awaits()
        if self._is_late:
            reason = f"its pods did not run within {self._longest_s:g} s{f': {why}' if why else ''}"
            self._publish(phase=Phase.BROKEN, problem=reason)
        elif why:
            check_built(str(foreign), why)
            self._publish(message=why)

    def _suspended(self, foreign: Foreign) -> None:
        self._publish(phase=Phase.BROKEN, problem=f"somebody suspended {foreign}")

    def _lose(self) -> None:
        """A pod is gone: because the object is over, which may be heard later, or because it was lost."""
        layout = self._layout
        foreign = self._surface.look(layout.kind, layout.object_name, layout.uid)
        if foreign is None or foreign.leaving:
            self._end_with_its_object()
        elif foreign.suspended and not foreign.job_ended:
            self._suspended(foreign)
        elif not self._look_at_job(foreign):
            self._broken_by(self._pods.lost()[0])

    def _broken_by(self, name: str) -> None:
        where, words = self._layout.nodes[name], self._pods.last_words(name)
        self._publish(phase=Phase.BROKEN, problem=f"slice {name} on node {where} lost: {words}")

    def _suspend(self, foreign: Foreign) -> None:
        """Take one step towards no pods."""
        self._publish(phase=Phase.LEAVING)
        if not foreign.suspended and not foreign.job_ended:
            self._write(foreign, suspend_patch(foreign))
        self._pods.let_go()
        if self._pods.gone:
            if self._wanted is not None:  # it was never started, and is on no annotation
                self._forget(foreign, told_name(self._wanted))
            self.done = True

    def _end_with_its_object(self) -> None:
        """Somebody deleted it, and its pods go by themselves; or took its label away, and then they must be asked."""
        layout = self._layout
        self._publish(phase=Phase.LEAVING, problem=f"{layout.kind} {layout.object_name} was taken away")
        self._pods.let_go()
        self.done = self._pods.gone
        if self.done or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        foreign = self._surface.look(layout.kind, layout.object_name, layout.uid)
        if foreign is not None and not foreign.leaving:
            self._suspend(foreign)

    def _write(self, foreign: Foreign, patch: dict[str, object]) -> None:
        try:
            written = self._surface.api.patch(KIND_OF[foreign.kind], foreign.name, patch)
        except NotFound as error:
            raise Conflict(error.message) from error
        self._surface.learn(Foreign(foreign.kind, written))

    def _find(self) -> Foreign | None:
        return self._surface.find(self._layout.kind, self._layout.object_name, self._layout.uid)

    def _publish(self, **changes: object) -> None:
        new = replace(self.view, **changes)  # type: ignore[arg-type]
        if new != self.view:
            self.view = new
            self._changed()
