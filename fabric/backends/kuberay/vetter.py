"""Preflights are begun on nodes that have to show themselves, followed to their end, and what they came to is kept.

Knows nothing of what a good node is. What a preflight came to is an annotation of its node, so that it outlives this
process, is read by people, and is gone with the node.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from fabric.backends.kuberay import names, pod_state
from fabric.backends.kuberay.api import EVENTS, JOBS, NODES, KubeApi, Object
from fabric.backends.kuberay.events import event_of
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.nodes import Standing
from fabric.backends.kuberay.pod_events import NEVER_STARTS, PodEvents
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.preflight_job import CONTAINER, Asked, ask_of, asked_by, job_of
from fabric.backends.kuberay.vetting import Record, Report, Vetted, boot_of, is_due, standings, vetted
from fabric.core.errors import Conflict, FabricError, NotFound
from fabric.scheduler.snapshot import NodeState

_log = logging.getLogger(__name__)

_AGAIN_S = 30.0
"""Seconds after which all is looked at again, whatever is heard."""
_WHILE_ASKED_S = 2.0
"""The same while a preflight runs: some of what keeps a pod from starting is told by events only."""
_MOST_AT_ONCE = 50
"""Preflights at one time. A choice: a thousand nodes that start together are asked in twenty rounds of some seconds
each, and the API server gets no thousand objects at once."""
_MOST_SAID = 300
"""Letters of what a failed preflight says."""


@dataclass(frozen=True, slots=True)
class VettingSurface:
    """What the vetter hears and speaks to."""

    api: KubeApi
    home: Home
    nodes: Mirror
    jobs: Mirror
    """Preflights, grouped by the label of their node."""
    pods: Mirror
    """Their pods, grouped alike."""


class Vetter(threading.Thread):
    """Keeps every node of the tiers that vet asked once for each of its starts, and says how it stands."""

    def __init__(
        self, surface: VettingSurface, changed: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        """Asks nothing before it is started.

        Args:
            surface: What it hears and speaks to.
            changed: Called when a node stands otherwise than before.
            clock: Seconds since the epoch.
        """
        super().__init__(name="vetter", daemon=True)
        self._surface, self._changed, self._clock = surface, changed, clock
        self._asks = asks_of(surface.home)
        self._events = PodEvents(surface.api, clock)
        self._begun: dict[str, float] = {}
        """By the uid of a preflight's pod: when it was first seen with a node."""
        self._doubted: set[str] = set()
        self._waits: Mapping[str, str] = {}
        self._told: Mapping[str, Standing] = {}
        self._look, self._over = threading.Event(), threading.Event()

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """What only it listens to."""
        return self._surface.jobs, self._surface.pods

    def standings(self, objects: Iterable[Object]) -> Mapping[str, Standing]:
        """How those of these nodes stand that are vetted, by name; what was heard of them counts at once."""
        return standings(vetted(self._surface.home.site, objects, self._asks), self._waits)

    def look(self) -> None:
        """Look again soon, as something has changed."""
        self._look.set()

    def doubt(self, node: str) -> None:
        """Let a node show itself anew, as a pod there lacks what the node once showed."""
        if node not in self._doubted:
            self._doubted.add(node)
            self._look.set()

    def end(self) -> None:
        """Ask nobody more; what runs goes on."""
        self._over.set()
        self._look.set()

    def run(self) -> None:
        """Look and ask until told to end."""
        while not self._over.is_set():
            self.settle()
            self._look.wait(_WHILE_ASKED_S if self._surface.jobs.objects() else _AGAIN_S)
            self._look.clear()

    def settle(self) -> None:
        """One look at all nodes, and whatever follows from it."""
        nodes = self._vetted()
        jobs = self._current_jobs(nodes)
        waits = {name: self._follow(nodes[name], job) for name, job in jobs.items()}
        # What was heard just now counts already.
        nodes = self._vetted()
        found, now, free = standings(nodes.values(), waits), self._clock(), _MOST_AT_ONCE - len(jobs)
        for name, node in nodes.items():
            if _is_cordoned(node) or name in self._doubted:
                self._forget(node)
            elif name not in jobs and free > 0 and _can_be_asked(node) and is_due(node, found[name], now):
                free -= 1
                self._begin(node)
        self._tell(found, nodes)
        self._begun = {uid: at for uid, at in self._begun.items() if uid in self._pods_seen()}
        if found != self._told:
            self._told, self._waits = found, waits
            self._changed()

    def _vetted(self) -> dict[str, Vetted]:
        found = vetted(self._surface.home.site, self._surface.nodes.objects().values(), self._asks)
        return {node.name: node for node in found}

    def _pods_seen(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self._surface.pods.objects().values()}

    def _current_jobs(self, nodes: Mapping[str, Vetted]) -> dict[str, Object]:
        """The preflight that runs on each node; all others are taken away."""
        found: dict[str, Object] = {}
        for name, job in self._surface.jobs.objects().items():
            asked = asked_by(job)
            node = nodes.get(asked.node) if asked else None
            if asked and node and asked.node not in found and _is_current(node, asked, name):
                found[asked.node] = job
            elif "deletionTimestamp" not in job["metadata"]:
                self._delete(name)
        return found

    def _begin(self, node: Vetted) -> None:
        hostname = node.item["metadata"].get("labels", {}).get(names.HOSTNAME, node.name)
        asked = Asked(node=node.name, boot=boot_of(node.item), ask=node.ask, at=self._clock())
        made = job_of(asked, node.tier, node.group, self._surface.home, hostname=hostname)
        self._quietly(lambda: self._surface.jobs.learn(self._surface.api.create(JOBS, made)))

    def _follow(self, node: Vetted, job: Object) -> str:
        """Keep what a preflight came to; otherwise say why it has not ended."""
        uid, pods = job["metadata"]["uid"], self._surface.pods.group(names.label_value(node.name))
        pod = next((p for p in pods if any(o["uid"] == uid for o in p["metadata"].get("ownerReferences", ()))), None)
        found = result_of(job, pod)
        said = "" if found else self._complaint(job, pod)
        if not found and (NEVER_STARTS in said or self._is_late(node, job, pod)):
            found = said or "its preflight does not end"
        if found:
            self._keep(node, job, found)
        return f"its preflight waits: {said}" if said else "its preflight runs"

    def _complaint(self, job: Object, pod: Object | None) -> str:
        if pod is None:
            return self._events.complaint(job)
        return pod_state.awaits(pod) or ("" if pod_state.is_running(pod) else self._events.complaint(pod))

    def _is_late(self, node: Vetted, job: Object, pod: Object | None) -> bool:
        """Whether it has had its time; while others use what it asks for, none passes."""
        asked, now = asked_by(job), self._clock()
        if pod is None:
            return asked is not None and now > asked.at + node.vet.deadline_s
        begun = self._begun.setdefault(pod["metadata"]["uid"], now) if pod["spec"].get("nodeName") else now
        return now > begun + node.vet.deadline_s

    def _keep(self, node: Vetted, job: Object, found: Report | str) -> None:
        """Write on the node what its preflight came to, and take the Job away."""
        asked, name = asked_by(job), job["metadata"]["name"]
        if asked is None:
            return
        record = Record(
            job=name, boot=asked.boot, ask=asked.ask, asked_at=asked.at, heard_at=self._clock(),
            report=found if isinstance(found, Report) else None, failure=found if isinstance(found, str) else "",
        )  # fmt: skip
        if self._annotate(node.name, record.model_dump_json()):
            self._delete(name)

    def _forget(self, node: Vetted) -> None:
        """A node that comes back from being drained, or is doubted, has to show itself anew."""
        known = names.PREFLIGHT in (node.item["metadata"].get("annotations") or {})
        if not known or self._annotate(node.name, None):
            self._doubted.discard(node.name)

    def _annotate(self, node: str, text: str | None) -> bool:
        patch = {"metadata": {"annotations": {names.PREFLIGHT: text}}}
        return self._quietly(lambda: self._surface.nodes.learn(self._surface.api.patch(NODES, node, patch)))

    def _delete(self, job: str) -> None:
        self._quietly(lambda: self._surface.api.delete(JOBS, job))

    def _tell(self, found: Mapping[str, Standing], nodes: Mapping[str, Vetted]) -> None:
        """An event for every node that has just been admitted or refused."""
        for name, standing in found.items():
            before, record = self._told.get(name), nodes[name].record
            if before is None or record is None or standing.state in {before.state, NodeState.VETTING}:
                continue
            refused = standing.state is NodeState.REFUSED
            said = f"node {name} is refused: {standing.said}" if refused else f"node {name} is admitted"
            about = {"apiVersion": "batch/v1", "kind": "Job", "name": record.job}
            about["namespace"] = self._surface.home.kubernetes.namespace
            reason = "NodeRefused" if refused else "NodeAdmitted"
            event = event_of(about, reason=reason, message=said, warns=refused, at=self._clock())
            self._quietly(lambda event=event: self._surface.api.create(EVENTS, event))  # type: ignore[misc]

    def _quietly(self, action: Callable[[], object]) -> bool:
        """Do what is tried again at another look; whether it was done."""
        try:
            action()
        except (Conflict, NotFound):
            return False  # somebody was first; what is heard of that is looked at next
        except FabricError as error:
            _log.warning("nodes cannot be vetted as they should be: %s", error.message)
            return False
        return True


def _is_cordoned(node: Vetted) -> bool:
    return bool(node.item.get("spec", {}).get("unschedulable"))


def _can_be_asked(node: Vetted) -> bool:
    """Whether its kubelet would start a preflight."""
    return pod_state.node_is_ready(node.item) and not _is_cordoned(node)


def _is_current(node: Vetted, asked: Asked, job: str) -> bool:
    """Whether a preflight asks what should be asked now, and has not been heard yet."""
    heard = node.record is not None and node.record.job == job
    return _can_be_asked(node) and (asked.boot, asked.ask) == (boot_of(node.item), node.ask) and not heard


def result_of(job: Object, pod: Object | None) -> Report | str:
    """What a preflight came to: a report, or how it failed; empty while it has not ended."""
    if pod is not None:
        # Its Job may be told to have failed before it: only the pod says why.
        return _report_of(pod) if pod_state.has_ended(pod) else ""
    for condition in job.get("status", {}).get("conditions", ()):
        if (condition["type"], condition["status"]) == ("Failed", "True"):
            return f"its preflight failed: {condition.get('message') or condition.get('reason', '')}"
    return ""


def _report_of(pod: Object) -> Report | str:
    status = pod.get("status", {})
    states = [c.get("state", {}) for c in status.get("containerStatuses", ()) if c.get("name") == CONTAINER]
    ended = (states[0].get("terminated") if states else None) or {}
    message = str(ended.get("message") or status.get("message") or "nothing is said").strip()
    if ended.get("exitCode") != 0:
        reason = ended.get("reason") or status.get("reason") or "it is gone"
        return f"its preflight failed ({reason}): {message[-_MOST_SAID:]}"
    try:
        return Report.model_validate_json(message)
    except ValidationError:
        return f"its preflight says what nobody can read: {message[:_MOST_SAID]}"


def asks_of(home: Home) -> dict[str, str]:
    """What each tier that vets asks of its nodes, as a digest, by name."""
    return {
        tier.name: ask_of(tier, tier.kubernetes, home)
        for tier in home.site.tiers
        if tier.kubernetes is not None and tier.kubernetes.vet is not None
    }
