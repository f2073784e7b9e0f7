"""Keep one cluster: bring it up, submit what runs on it, watch it, take it away. One thread each.

Knows nothing of queues or records; what it sees it publishes as a `ClusterView`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from fabric.backends.keeping.answers import message_of, still_serves
from fabric.backends.keeping.demand import Unmet, unmet
from fabric.backends.keeping.entrypoint import driver_slice
from fabric.backends.keeping.exhaustion import exhausted
from fabric.backends.keeping.handing_over import hand_over
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.layout import Layout
from fabric.backends.keeping.ports import Output, RayNodes
from fabric.backends.keeping.resizing import Resizing
from fabric.backends.keeping.surroundings import Surroundings
from fabric.core.errors import BadInput, ClusterLost, FabricError, Unavailable
from fabric.scheduler.ports import ClusterView, Outcome, Phase, WantedCluster
from fabric.telemetry.logs import about

_log = logging.getLogger(__name__)

_SOON_S, _CALM_S = 0.1, 0.5
_SILENT_HEAD_S = 60.0
"""A head whose processes live but whose API is silent for longer is taken as lost."""
_MEMORY_EVERY_S, _DEMANDS_EVERY_S = 2.0, 5.0
_AGAIN_S = 1.0
"""Between two looks at what ends, where the first could not be made."""
_STOP_MARGIN_S = 10.0
"""How much longer than its grace an entrypoint may take to be seen as ended."""
_SETTLES_S = 2.0
"""How long after a failed entrypoint a lost Ray node may still show, which is what it then failed of."""
_UNASKED = {Outcome.NONE, Outcome.UNKNOWN, Outcome.PENDING}
"""Outcomes that are looked at often."""


N = TypeVar("N", bound=RayNodes)


class Keeper(threading.Thread, Generic[N]):
    """The life of one cluster from its first process to its last."""

    def __init__(
        self,
        slices: N,
        around: Surroundings,
        wanted: WantedCluster | None = None,
        *,
        head: RayHead,
        output: Output,
    ) -> None:
        layout = slices.layout
        super().__init__(name=f"keeper-{layout.name}", daemon=True)
        self.wanted = wanted
        # Whether an earlier fabric has handed over what should run here is known once the head answers.
        outcome = Outcome.NONE if wanted else Outcome.UNKNOWN
        self.view = ClusterView(layout.name, Phase.STARTING, outcome, generation=0, born=layout.born, held=layout.held)
        self.done = False
        self.slices = slices
        self._around = around
        self._head = head
        self._resizing = Resizing(slices, self._head)
        self._driver_log = output
        self._leave = threading.Event()
        self._nudge = threading.Event()
        self._submitted = False
        self._stop_by: float | None = None
        self._stop_sent = False
        self._ended_at: float | None = None
        self._since = self._heard = time.monotonic()
        self._memory_at = self._demands_at = 0.0
        self._unmet = Unmet()
        self._publishing, self._turning = threading.Lock(), threading.Lock()

    @property
    def layout(self) -> Layout:
        """What the cluster is made of now."""
        return self.slices.layout

    def add(self, how: Callable[[Any], Any]) -> None:
        """Write down slices that are to come; they are started by whoever asks for them.

        Raises:
            OSError: If the disk refuses.
        """
        self.slices.change(how)
        self._publish(held=self.layout.held)
        self._nudge.set()

    def give_back(self, names: Sequence[str]) -> None:
        """Let slices leave while the others stay.

        Raises:
            OSError: If the disk refuses.
        """
        if names:
            self.slices.change(lambda layout: layout.model_copy(update={"leaving": (*layout.leaving, *names)}))
            self._nudge.set()

    def lease(self, wanted: WantedCluster, late: Mapping[str, str], output: Callable[[N, RayHead], Output]) -> None:
        """Be the cluster of work from now on, which is told `late` besides what its processes know.

        Raises:
            OSError: If that cannot be written down; then it is still nobody's.
        """
        self._around.pace.leave(self.layout.name)
        with self._turning:  # who looks sees all of it or nothing
            self.slices.change(lambda layout: layout.leased(wanted, late))
            self.wanted, self._driver_log = wanted, output(self.slices, self._head)
        self._publish(name=wanted.name, born=wanted.born, generation=wanted.generation, held=self.layout.held)
        self._nudge.set()

    def stop(self, grace_s: float) -> None:
        """Ask the entrypoint to end; if it has not after `grace_s` and a little, the cluster counts as broken."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + grace_s + _STOP_MARGIN_S
            self._nudge.set()

    def leave(self) -> None:
        """Take the whole cluster away."""
        if not self._leave.is_set():
            self._publish(phase=Phase.LEAVING)
            self._leave.set()
            self._nudge.set()

    def wake(self) -> None:
        """Look at once: something of the cluster has changed."""
        self._nudge.set()

    def run(self) -> None:
        """Look and act until told to leave, then take everything away."""
        with about(workload=self.layout.workload, attempt=self.layout.attempt):
            while not self._leave.is_set():
                self.turn()
                wish_s = _SOON_S if self.view.outcome in _UNASKED and not self.layout.warm else _CALM_S
                self._nudge.wait(self._around.pace.pause_s(self.layout.name, wish_s))
                self._nudge.clear()
            self._around.pace.leave(self.layout.name)
            self._take_away()

    def turn(self) -> None:
        """Look once and do what follows; whatever goes wrong shows in the view."""
        try:
            with self._turning:
                self._step()
        except ClusterLost as error:
            self._silent(error)
        except BadInput as error:
            self._refused(error)
        except Exception as error:  # a mistake of ours must show on the workload, not end the thread silently
            self._failed(error)

    def _step(self) -> None:
        if self.view.phase is Phase.BROKEN or self.view.outcome.ended:
            return
        self.slices.tend()
        lost = self.slices.lost()
        if lost:
            self._broken_by(lost[0])
        elif self.view.phase is Phase.STARTING:
            self._join()
        elif self.layout.warm:  # it waits for whoever gets it
            self._head.slices(self.layout)
            self._heard = time.monotonic()
        elif not self._submitted:
            self._submit()
        else:
            self._watch()
            self._resize()

    def _resize(self) -> None:
        """Go on with what is under way; what the grant has become shows once all of it is there, and nothing else."""
        wanted = self.wanted
        resized = wanted is not None and wanted.generation == self.view.generation
        if (resized and not (self.layout.joining or self.layout.leaving)) or self.view.phase is not Phase.READY:
            return
        try:
            is_there = self._resizing.turn(wanted)
        except OSError as error:  # what changes must be written down first; a full disk makes it wait
            _log.warning("%s cannot be resized now: %s", self.layout.name, error)
            return
        self._publish(held=self.layout.held)
        if is_there and wanted is not None:
            self._publish(generation=wanted.generation)

    def _broken_by(self, name: str) -> None:
        """One Ray node has ended; unless the entrypoint ended before it, the attempt is lost."""
        self._kept(self._driver_log.copy)
        where = self.layout.nodes[name]
        words = self.slices.last_words(name)
        self._publish(phase=Phase.BROKEN, problem=f"slice {name} on node {where} lost: {words}", endpoint=None)

    def _join(self) -> None:
        """Ready once every slice is a live Ray node, but for those that joined what ran: they have a time of their own.

        An earlier fabric may have added such a slice, and what runs on the others is not to wait for it.
        """
        answers = self._head.answers()
        missing = sorted(self._settled() - self._head.slices(self.layout)) if answers else []
        if answers and not missing:
            self._heard = time.monotonic()
            self._publish(phase=Phase.READY)
            self._nudge.set()
            return
        why = self.slices.awaits(missing or self.layout.staying)
        if time.monotonic() - self._since > self.slices.start_timeout_s:
            who = f"slices {', '.join(missing)} did not join" if missing else "its Ray head did not start"
            reason = f"{who} within {self.slices.start_timeout_s:g} s{f': {why}' if why else ''}"
            self._publish(phase=Phase.BROKEN, problem=reason)
        elif why:
            self._publish(message=why)

    def _submit(self) -> None:
        """Hand over the entrypoint or the Serve configuration, unless an earlier fabric did."""
        if self.layout.service:
            known = bool(self._head.serve_status().get("applications"))
        else:
            known = self._head.job(self.layout.name) is not None
        if not known:
            self._publish(outcome=Outcome.NONE)
            if self.wanted is None or self._stop_by is not None:
                return  # adopted, and the records have not been heard yet; or it should end before it began
            hand_over(self.wanted, self.slices, self._head, self._around.packages)
        self._submitted = True
        self._publish(outcome=Outcome.PENDING)

    def _watch(self) -> None:
        """Follow the entrypoint or service, its output, memory and demands."""
        if self._stop_by is not None and not self._stop_sent and not self.layout.service:
            self._head.stop_job(self.layout.name)
            self._stop_sent = True
        if self.layout.service:
            self._watch_service()
        else:
            self._watch_job()
        self._heard = now = time.monotonic()
        if self.view.outcome.ended or self.view.phase is Phase.BROKEN:
            return
        if self.wanted and now >= self._memory_at:
            self._memory_at = now + _MEMORY_EVERY_S
            self._look_at_memory(self.wanted)
        if self.wanted and now >= self._demands_at:
            self._demands_at = now + _DEMANDS_EVERY_S
            self._attempt(partial(self._look_at_demands, self.wanted, now))
        if self._stop_by is not None and now > self._stop_by and self._ended_at is None:
            self._publish(phase=Phase.BROKEN, problem="did not end within its grace")

    def _look_at_memory(self, wanted: WantedCluster) -> None:
        """End the attempt, naming the slice, if its processes hold more than was granted."""
        problem = self.slices.oversized({s.name: s for s in wanted.grant.slices})
        if problem:
            self._driver_log.note(problem)
            self._kept(self._driver_log.copy)
            self._publish(phase=Phase.BROKEN, problem=problem, endpoint=None)

    def _watch_job(self) -> None:
        job = self._head.job(self.layout.name)
        if job is None:
            self._publish(phase=Phase.BROKEN, problem="Ray has forgotten the entrypoint")
            return
        outcome = Outcome(str(job["status"]).lower())
        if outcome.ended and self._ended_at is None:
            self._ended_at = time.monotonic()
        if outcome is Outcome.FAILED and not self._failed_by_itself(self._ended_at or 0.0):
            return
        # An end is told once its output is kept: whoever hears of it may take the cluster away.
        if not self._kept(self._driver_log.finish if outcome.ended else self._driver_log.copy):
            return
        self._publish(
            outcome=outcome,
            message=message_of(outcome, job),
            exit_code=job.get("driver_exit_code"),
            logs_complete=outcome.ended,
        )

    def _failed_by_itself(self, ended_at: float) -> bool:
        """Whether no Ray node was lost that would explain it; a lost one shows a little later than the failure."""
        if lost := self.slices.lost() or sorted(self._settled() - self._head.slices(self.layout)):
            self._broken_by(lost[0])
            return False
        return time.monotonic() - ended_at >= _SETTLES_S

    def _settled(self) -> set[str]:
        """Slices that had joined and are to stay."""
        return set(self.layout.staying) - set(self.layout.joining)

    def _watch_service(self) -> None:
        status = self._head.serve_status()
        self._show(status)
        applications = status.get("applications", {}).values()
        states = {app["status"] for app in applications}
        words = "; ".join(filter(None, (app.get("message", "") for app in applications)))
        if "DEPLOY_FAILED" in states:
            self._publish(outcome=Outcome.FAILED, message=f"deployment failed: {words[-1500:]}", endpoint=None)
        elif states == {"RUNNING"} or (self.view.outcome is Outcome.RUNNING and still_serves(applications)):
            # An adopted service's secret is known once the records have been heard.
            secret = self.wanted.secret if self.wanted else ""
            endpoint = self.slices.serve_url if self.wanted else None
            self._publish(outcome=Outcome.RUNNING, message="serving", endpoint=endpoint, secret=secret)
        else:
            self._publish(endpoint=None)

    def _look_at_demands(self, wanted: WantedCluster, now: float) -> None:
        """Tell of a demand that no slice can meet, once it has lasted."""
        held = {driver_slice(wanted).name: wanted.driver.get("num_gpus", 0.0)} if wanted.driver else {}
        sentence = unmet(self._head.pending_demands(), wanted.grant.slices, held)
        if not sentence:
            self._publish(unmet="")
        if self._unmet.lasts(sentence, now) and not self.view.unmet:
            self._driver_log.note(sentence)
            self._publish(unmet=sentence)

    def _refused(self, error: BadInput) -> None:
        """The head says no: to what was handed over, which is final, or to a question, which can be asked again."""
        if self._submitted:
            self._silent(error)
            return
        self._kept(self._driver_log.finish)
        self._publish(outcome=Outcome.FAILED, message=error.message, logs_complete=True)

    def _failed(self, error: Exception) -> None:
        """Something went wrong, which is final, unless it is that control can open nothing more."""
        if exhausted(error):
            self._publish(message=f"control cannot look at it now: {error}")
        elif isinstance(error, FabricError):
            self._publish(phase=Phase.BROKEN, problem=error.message)
        else:
            _log.error("keeper of %s", self.layout.name, exc_info=error)
            self._publish(phase=Phase.BROKEN, problem=f"internal error: {error}")

    def _silent(self, error: FabricError) -> None:
        """The head did not answer: its processes decide, and time."""
        lost = self.slices.lost()
        if lost:
            self._broken_by(lost[0])
        elif exhausted(error):  # control could have heard nobody; the head's time begins once it can
            self._heard = time.monotonic()
        elif self.view.phase is Phase.READY and time.monotonic() - self._heard > _SILENT_HEAD_S:
            self._publish(
                phase=Phase.BROKEN, problem=f"silent for {_SILENT_HEAD_S:g} s: {error.message}", endpoint=None
            )

    def _take_away(self) -> None:
        """End every process, keep the last bytes of output, forget the folders."""
        self._attempt(self._driver_log.copy)
        while not self._ended():
            # Kept in sight, so that nothing else gets what they occupy.
            _log.error("processes of %s do not end", self.layout.name)
        self._attempt(self._driver_log.finish)
        self._head.close()
        self.slices.forget()
        self.done = True
        self._around.changed.set()

    def _ended(self) -> bool:
        """Whether everything is gone; what cannot be ended or looked at now is tried again, as nobody else would."""
        try:
            return self.slices.end(patience_s=5.0)
        except Exception as error:
            _log.error("%s: %s", self.layout.name, error, exc_info=not exhausted(error))
            time.sleep(_AGAIN_S)
            return False

    def _kept(self, copy: Callable[[], None]) -> bool:
        """Whether output is in the store; a full disk or a store that is away makes it wait, and the work go on."""
        try:
            copy()
        except (Unavailable, OSError) as error:
            self._publish(message=f"its output waits to be kept: {error}")
            return False
        return True

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something whose failure is worth a line, no more."""
        try:
            action()
        except (FabricError, OSError, LookupError, TypeError) as error:
            _log.warning("%s: %s", self.layout.name, error)

    def _show(self, details: Mapping[str, Any]) -> None:
        """Keep what Serve says for those who ask; it wakes nobody."""
        with self._publishing:
            self.view = replace(self.view, details=details)

    def _publish(self, **changes: Any) -> None:
        with self._publishing:  # the loop's thread publishes too
            new = replace(self.view, **changes)
            if new == self.view:
                return
            self.view = new
        self._around.changed.set()
