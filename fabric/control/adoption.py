"""Where objects that people made in Kubernetes are handed in: the same checks and the same queue as for all work.

Knows nothing of Kubernetes.
"""

from collections.abc import Mapping

from fabric.backends.kuberay.adopter import Standing
from fabric.config.site import Site
from fabric.control.admission import admitted
from fabric.control.callers import Caller, Role
from fabric.control.ports import Ports
from fabric.control.views import message_of
from fabric.core.errors import Conflict, NotFound
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import AdoptedSpec, WorkloadSpec
from fabric.workloads.states import State


class Adoptions:
    """Implements `fabric.backends.kuberay.adopter.Reception`."""

    def __init__(self, ports: Ports, site: Site) -> None:
        self._ports, self._site = ports, site

    def take_in(self, spec: WorkloadSpec) -> Standing:
        """Let an object's workload be queued; one that is known already is shown as it stands, ended ones too.

        Raises:
            BadInput: If it can never run as asked, or its project is none.
            Conflict: If somebody else's workload has its name.
        """
        adopted, name = _adopted(spec), spec.name or ""
        if (known := self.find(name)) is not None:
            if known.uid != adopted.uid:
                raise Conflict(f"there is a workload {name} already that is none of {adopted.kind} {adopted.name}")
            return known
        caller = Caller(f"{adopted.kind} {adopted.name}", Role.MEMBER, spec.project)
        final = admitted(spec, caller, self._ports, self._site)
        now = self._ports.clock.now()
        record = Record(name, final, State.QUEUED, Instants(now), submitted_by=caller.submits_as)
        kept = self._ports.workloads.submit(record, name)
        self._ports.process.wake()
        return _standing(kept)

    def find(self, workload: str) -> Standing | None:
        """How a workload stands or has ended; None if nobody knows it."""
        try:
            return _standing(self._ports.workloads.get(workload))
        except NotFound:
            return None

    def withdraw(self, workload: str, reason: str) -> None:
        """Let it end."""
        self._ports.workloads.request_stop(workload, reason)
        self._ports.process.wake()

    def standing(self) -> Mapping[str, Standing]:
        """The workloads of all objects that have not ended, by name."""
        active = self._ports.workloads.active()
        return {name: _standing(r) for name, r in active.items() if r.spec.adopted and not r.state.final}


def _adopted(spec: WorkloadSpec) -> AdoptedSpec:
    """The object that a workload is.

    Raises:
        ValueError: If it is none.
    """
    if spec.adopted is None:
        raise ValueError(f"{spec.name} is no object of Kubernetes")
    return spec.adopted


def _standing(record: Record) -> Standing:
    uid = record.spec.adopted.uid if record.spec.adopted else ""
    return Standing(record.name, uid, record.state, message_of(record))
