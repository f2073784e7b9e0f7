"""Objects that people made themselves are handed in as workloads, and told how these stand.

Knows nothing of who decides: it asks a reception. One object is one workload at a time.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_manifest import GRANTED, suspend_patch
from fabric.backends.kuberay.adopted_pods import ForeignSurface
from fabric.backends.kuberay.adoption import spec_of
from fabric.backends.kuberay.foreign import KIND_OF, Foreign
from fabric.backends.kuberay.identity import known_as_patch, name_before
from fabric.backends.kuberay.looking import Looking
from fabric.backends.kuberay.telling import ENDED, Sort, Teller
from fabric.core.errors import FabricError, Unavailable
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State

_log = logging.getLogger(__name__)

_APART_S, _CALM_S = 1.0, 5.0
"""Shortest and longest pause between two looks."""
_RETRY_S = 30.0
"""How long what was refused waits if its object does not change: projects and nodes may."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workload that was taken in stands."""

    workload: str
    uid: str
    """Of the object."""
    state: State
    line: str
    """First line of its explanation."""

    @property
    def sort(self) -> Sort:
        """What its object's owner would call it."""
        if self.state.final:
            return Sort.OVER
        return Sort.WAITS if self.state is State.QUEUED else Sort.HOLDS


class Reception(Protocol):
    """Where workloads are handed in."""

    def take_in(self, spec: WorkloadSpec) -> Standing:
        """Let an object's workload be queued; one that is known already is shown as it stands, ended ones too.

        Raises:
            FabricError: If it cannot be taken; with the reason.
        """
        ...

    def find(self, workload: str) -> Standing | None:
        """How a workload stands or has ended; None if nobody knows it."""
        ...

    def withdraw(self, workload: str, reason: str) -> None:
        """Let it end."""
        ...

    def standing(self) -> Mapping[str, Standing]:
        """The workloads of all objects that have not ended, by name."""
        ...


class Adopter(Looking):
    """Looks at the objects whenever one changes, and now and then."""

    def __init__(
        self,
        surface: ForeignSurface,
        reception: Reception,
        holds: Callable[[str], bool],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Looks at nothing before it is started.

        Args:
            surface: Where the objects are.
            reception: Where they are handed in.
            holds: Whether the object of this uid uses a grant.
            now: Seconds that only grow.
        """
        super().__init__("adopter")
        self._surface, self._reception, self._holds = surface, reception, holds
        self._now = now
        self._teller = Teller(surface.api, now)
        self._read: dict[str, tuple[str, WorkloadSpec | FabricError]] = {}
        self._refused: dict[str, tuple[str, float]] = {}
        self._some_stand = True

    def run(self) -> None:
        """Look until told to end; whatever goes wrong is tried again."""
        while not self._over.is_set():
            self._nudge.clear()
            try:
                self.turn()
            except FabricError as error:
                _log.warning("objects of other people's are not looked at now: %s", error.message)
            except Exception:
                _log.exception("adopter")
            self._over.wait(_APART_S)
            self._nudge.wait(_CALM_S)

    def turn(self) -> None:
        """Look at every object once, and withdraw the workloads of those that are gone."""
        objects = [one for one in self._surface.objects() if not one.leaving]
        if not objects and not self._some_stand:
            return
        standing = self._reception.standing()
        self._some_stand = bool(standing)
        uids = {one.uid for one in objects}
        for stands in standing.values():
            if stands.uid not in uids:
                self._reception.withdraw(
                    stands.workload, "its object in Kubernetes was deleted, or names no project any more"
                )
        by_uid: dict[str, list[Standing]] = {}
        for stands in standing.values():
            by_uid.setdefault(stands.uid, []).append(stands)
        for foreign in objects:
            if self._over.is_set():
                return
            self._attend(foreign, by_uid.get(foreign.uid, []))
        self._forget_all_but(uids)

    def _attend(self, foreign: Foreign, mine: Collection[Standing]) -> None:
        spec = self._asks(foreign)
        if isinstance(spec, WorkloadSpec) and (mine or not foreign.job_ended):
            spec = self._as_known(foreign, spec, mine)
        stands = next((one for one in mine if isinstance(spec, WorkloadSpec) and one.workload == spec.name), None)
        if stands is not None and foreign.job_ended and stands.state is State.QUEUED:
            # It ended while its attempt was given up; KubeRay starts it no more.
            self._reception.withdraw(stands.workload, f"{foreign} {_words_of(foreign)}, and KubeRay starts it no more")
        elif stands is not None:
            self._keep_waiting(foreign, stands)
        elif any(mine):
            self._changed(foreign, mine, spec)
        elif foreign.job_ended:
            self._tell_end(foreign)
        elif isinstance(spec, FabricError):
            self._teller.tell(foreign, Sort.REFUSED, spec.message)
        else:
            self._come_in(foreign, spec)

    def _asks(self, foreign: Foreign) -> WorkloadSpec | FabricError:
        """The workload that an object asks to be, or why it cannot; worked out anew when it has changed."""
        version, found = self._read.get(foreign.uid, ("", None))
        if found is None or version != foreign.version:
            try:
                found = spec_of(foreign, self._surface.home.site)
            except FabricError as error:
                found = error
            self._read[foreign.uid] = foreign.version, found
        return found

    def _as_known(self, foreign: Foreign, spec: WorkloadSpec, mine: Iterable[Standing]) -> WorkloadSpec:
        """The same under the name that an earlier version gave it, if any did; from then on the object says so."""
        known = {one.workload for one in mine} | {foreign.annotations.get(names.WORKLOAD)}
        if names.KNOWN_AS in foreign.annotations or known <= {None, spec.name}:
            return spec
        before = name_before(foreign, spec)
        if before not in known:
            return spec
        patch = known_as_patch(foreign, spec, before)
        self._quietly(lambda: self._surface.api.patch(KIND_OF[foreign.kind], foreign.name, patch))
        return spec.model_copy(update={"name": before})

    def _keep_waiting(self, foreign: Foreign, stands: Standing) -> None:
        """Tell how it stands; who started it without a grant finds it suspended again."""
        if stands.state is State.QUEUED and not foreign.suspended and not self._holds(foreign.uid):
            _log.info("%s runs without a grant and is suspended", foreign)
            self._quietly(lambda: self._surface.api.patch(KIND_OF[foreign.kind], foreign.name, suspend_patch(foreign)))
        self._tell(foreign, stands)

    def _changed(self, foreign: Foreign, mine: Iterable[Standing], spec: WorkloadSpec | FabricError) -> None:
        """Its owner has changed what it asks for: who waits is handed in anew, and who holds a grant keeps that."""
        for stands in mine:
            if stands.state is State.QUEUED:
                self._reception.withdraw(stands.workload, f"{foreign} was changed, and waits anew as what it asks now")
                self.wake()
            else:
                why = f": {spec.message}" if isinstance(spec, FabricError) else ""
                line = f"was changed while it holds its grant, which stays as it is{why}"
                self._teller.tell(foreign, stands.sort, line, workload=stands.workload, state=stands.state.value)

    def _come_in(self, foreign: Foreign, spec: WorkloadSpec) -> None:
        said = foreign.annotations
        if said.get(names.WORKLOAD) == spec.name and said.get(names.STATE) in ENDED:
            return  # it has been what it asks to be; the record may be deleted by now
        if not foreign.suspended:
            line = "runs without a grant; set suspend: true, and the fabric starts it when its turn comes"
            self._teller.tell(foreign, Sort.REFUSED, line)
            return
        version, until = self._refused.get(foreign.uid, ("", 0.0))
        if version == spec.name and self._now() < until:
            return
        try:
            stands = self._reception.take_in(spec)
        except Unavailable:
            raise
        except FabricError as error:
            self._refused[foreign.uid] = str(spec.name), self._now() + _RETRY_S
            self._teller.tell(foreign, Sort.REFUSED, error.message)
            return
        self._some_stand = True
        self._tell(foreign, stands)

    def _tell_end(self, foreign: Foreign) -> None:
        """A RayJob is over: tell what became of its workload, once."""
        workload, said = foreign.annotations.get(names.WORKLOAD, ""), foreign.annotations.get(names.STATE)
        if workload and said not in ENDED and (stands := self._reception.find(workload)):
            self._tell(foreign, stands)

    def _tell(self, foreign: Foreign, stands: Standing) -> None:
        state = stands.state.value
        if stands.state is State.RUNNING and foreign.annotations.get(names.STATE) == GRANTED:
            return  # the patch that started it says all
        self._teller.tell(foreign, stands.sort, stands.line, workload=stands.workload, state=state)

    def _forget_all_but(self, uids: set[str]) -> None:
        self._teller.forget_all_but(uids)
        self._read = {uid: read for uid, read in self._read.items() if uid in uids}
        self._refused = {uid: refused for uid, refused in self._refused.items() if uid in uids}

    def _quietly(self, action: Callable[[], object]) -> None:
        """Do what is tried again anyway."""
        try:
            action()
        except FabricError as error:
            _log.warning("%s", error.message)


def _words_of(foreign: Foreign) -> str:
    said = ("jobDeploymentStatus", "reason", "message")
    return "is " + ": ".join(str(foreign.status[key]) for key in said if foreign.status.get(key))
