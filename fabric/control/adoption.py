"""Where objects that people made in Kubernetes are handed in: the same checks and the same queue as for all work.

Knows nothing of Kubernetes.
"""

from collections.abc import Mapping

from fabric.backends.kuberay.adopter import Standing
from fabric.config.site import Site
from fabric.control.admission import Possible, admitted
from fabric.control.callers import Caller, Role
from fabric.control.discretion import Discretion, Reads
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
        self._discretion = Discretion(ports.workloads)
        self._possible = Possible(site.head.resources)

    def use(self, site: Site) -> None:
        """Go by another reading of the site from the next object on."""
        self._site = site

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
        caller = _owner(spec)
        final = admitted(spec, caller, self._ports, self._site, possible=self._possible)
        now = self._ports.clock.now()
        record = Record(name, final, State.QUEUED, Instants(now), submitted_by=caller.submits_as)
        kept = self._ports.workloads.submit(record, name)
        self._ports.process.wake()
        return self._standing(kept, self._reader(kept))

    def find(self, workload: str) -> Standing | None:
        """How a workload stands or has ended; None if nobody knows it."""
        try:
            record = self._ports.workloads.get(workload)
        except NotFound:
            return None
        return self._standing(record, self._reader(record))

    def withdraw(self, workload: str, reason: str) -> None:
        """Let it end."""
        self._ports.workloads.request_stop(workload, reason)
        self._ports.process.wake()

    def standing(self) -> Mapping[str, Standing]:
        """The workloads of all objects that have not ended, by name."""
        readers: dict[str, Reads] = {}
        found = {}
        for name, record in self._ports.workloads.active().items():
            if record.spec.adopted is not None and not record.state.final:
                project = record.spec.project
                if project not in readers:
                    readers[project] = self._reader(record)
                found[name] = self._standing(record, readers[project])
        return found

    def _reader(self, record: Record) -> Reads:
        """What the owners of an object may read: whoever sees the object sees what is written on it."""
        return self._discretion.towards(_owner(record.spec))

    def _standing(self, record: Record, read: Reads) -> Standing:
        uid = record.spec.adopted.uid if record.spec.adopted else ""
        return Standing(record.name, uid, record.state, read(message_of(record)))


def _owner(spec: WorkloadSpec) -> Caller:
    """For whom an object's workload is handed in and read: its project."""
    adopted = spec.adopted
    return Caller(f"{adopted.kind} {adopted.name}" if adopted else "", Role.MEMBER, spec.project)


def _adopted(spec: WorkloadSpec) -> AdoptedSpec:
    """The object that a workload is.

    Raises:
        ValueError: If it is none.
    """
    if spec.adopted is None:
        raise ValueError(f"{spec.name} is no object of Kubernetes")
    return spec.adopted
