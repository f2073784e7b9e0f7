"""Arrays: equal jobs that are handed in together, each step checked against who asks.

Knows nothing of HTTP. An array has no record of its own: it is its elements, which are jobs like any others, so each
waits, runs, is retried and is charged for itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from fabric.api.arrays import ArrayView
from fabric.control.callers import Caller, Permission
from fabric.control.discretion import Discretion
from fabric.control.naming import repeated
from fabric.control.overview import brief_view
from fabric.control.ports import Ports
from fabric.core.errors import BadInput, Conflict, FabricError, NotFound
from fabric.core.ids import check_name, element_key, element_name, generated_name
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import ArraySpec, WorkloadSpec
from fabric.workloads.states import State

MOST_TO_AWAIT = 100_000
"""Elements times the jobs that each comes after, as each is looked at whenever one of those ends."""

Admits = Callable[[WorkloadSpec, Caller], WorkloadSpec]
"""Checks a spec, and fills in its name and project."""


class Arrays:
    """What callers may ask of arrays."""

    def __init__(self, ports: Ports, discretion: Discretion, admits: Admits) -> None:
        """Remember what is there.

        Args:
            ports: What is there.
            discretion: What of a text each may read.
            admits: Checks a spec.
        """
        self._ports, self._discretion, self._admits = ports, discretion, admits

    def submit(self, spec: WorkloadSpec, caller: Caller, idempotency_key: str | None = None) -> ArrayView:
        """Take in all elements of an array, or none, and wake the loop.

        Args:
            spec: What each is asked for; its name is the array's.
            caller: Who asks.
            idempotency_key: Equal in repetitions of one request, so that it happens once.

        Raises:
            BadInput: If it can never run; DoesNotFit if no node could ever hold an element.
            Denied: If the caller may not submit to the project.
            Conflict: If the name, or that of an element, is taken.
            FabricError: NotFound if it comes after a job that does not exist.
        """
        caller.require(Permission.CHANGE)
        size = _size_of(spec)
        name = spec.name or generated_name("array", self._ports.entropy(3))
        check_name(element_name(name, size - 1))
        try:
            final = self._admits(spec.model_copy(update={"name": name}), caller)
            if size * len(final.after) > MOST_TO_AWAIT:
                raise BadInput(
                    f"after: {size} elements that come after {len(final.after)} jobs each are too many; at most "
                    f"{MOST_TO_AWAIT} in all. Let them come after one job that comes after those."
                )
            elements = self._ports.workloads.submit_array(tuple(self._records(final, caller)), idempotency_key)
        except FabricError:
            if (earlier := self._repeated(spec, caller, idempotency_key)) is not None:
                return earlier
            raise
        self._ports.process.wake()
        return self._view(elements, caller, elements_too=True)

    def _repeated(self, spec: WorkloadSpec, caller: Caller, idempotency_key: str | None) -> ArrayView | None:
        """What the same request has made before; None if it is new."""
        if idempotency_key is None:
            return None
        first = spec.model_copy(update={"array": ArraySpec(size=_size_of(spec), index=0)})
        found = repeated(self._ports.workloads, first, caller, element_key(idempotency_key, 0))
        array = found.spec.array if found else None
        return None if array is None else self.get(array.name, caller)

    def _records(self, spec: WorkloadSpec, caller: Caller) -> Iterator[Record]:
        name, size, at = spec.name or "", _size_of(spec), Instants(self._ports.clock.now())
        for index in range(size):
            array = ArraySpec(size=size, name=name, index=index)
            own = spec.model_copy(update={"name": element_name(name, index), "array": array})
            yield Record(own.name or "", own, State.QUEUED, at, submitted_by=caller.submits_as)

    def get(self, name: str, caller: Caller, *, elements: bool = True) -> ArrayView:
        """An array as it is now.

        Raises:
            Denied: If it is out of the caller's reach.
            NotFound: If there is none of that name.
        """
        return self._view(self._elements(name, caller), caller, elements_too=elements)

    def stop(self, name: str, caller: Caller) -> ArrayView:
        """Ask every element that has not ended to leave.

        Raises:
            Conflict: If all have ended.
            Denied: If it is out of the caller's reach.
            NotFound: If there is none of that name.
        """
        caller.require(Permission.CHANGE)
        found = self._elements(name, caller)
        if all(record.state.final for record in found):
            raise Conflict(f"{name} has already {_state_of(found)}", array=name)
        self._ports.workloads.request_stops([record.name for record in found], f"stopped by {caller.submits_as}")
        self._ports.process.wake()
        return self.get(name, caller, elements=False)

    def delete(self, name: str, caller: Caller) -> None:
        """Forget all elements, with their logs.

        Raises:
            Conflict: If one has not ended, or another job comes after one.
            Denied: If it is out of the caller's reach.
            NotFound: If there is none of that name.
        """
        caller.require(Permission.CHANGE)
        found = self._elements(name, caller)
        running = [record.name for record in found if not record.state.final]
        if running:
            raise Conflict(f"{len(running)} elements of {name} have not ended; stop it first", array=name)
        self._ports.workloads.delete_all([record.name for record in found])
        for record in found:
            self._ports.logs.delete(record.name)

    def _elements(self, name: str, caller: Caller) -> Sequence[Record]:
        """The elements of an array.

        Raises:
            Denied: If it is out of the caller's reach.
            NotFound: If there are none.
        """
        found = self._ports.workloads.elements(name)
        if not found:
            raise NotFound(f"there is no array {name}", array=name)
        for record in found:
            caller.require_workload(record)
        return found

    def _view(self, found: Sequence[Record], caller: Caller, *, elements_too: bool) -> ArrayView:
        first, read = found[0], self._discretion.towards(caller)
        array, ended = first.spec.array, [record.at.ended for record in found]
        return ArrayView(
            name=array.name if array else first.name,
            project=first.spec.project,
            size=array.size if array else len(found),
            state=_state_of(found),
            counts=dict(sorted(Counter(str(record.state) for record in found).items())),
            submitted_by=first.submitted_by,
            submitted_at=first.at.submitted,
            ended_at=max((at for at in ended if at is not None), default=None) if None not in ended else None,
            elements=tuple(brief_view(record, read=read) for record in found) if elements_too else (),
        )


def _size_of(spec: WorkloadSpec) -> int:
    """Elements that are asked for.

    Raises:
        BadInput: If the spec is none of an array.
    """
    if spec.array is None:
        raise BadInput("array: say how many elements there are, such as `array: {size: 8}`")
    if spec.array.name or spec.array.index is not None:
        raise BadInput("array: name and index are the fabric's own; give the size, and the name as the spec's `name`")
    return spec.array.size


def _state_of(found: Sequence[Record]) -> State:
    """State of the whole."""
    states = {record.state for record in found}
    if not all(state.final for state in states):
        waiting = states <= {State.QUEUED} and all(record.attempt == 1 for record in found)
        return State.QUEUED if waiting else State.RUNNING
    if states == {State.SUCCEEDED}:
        return State.SUCCEEDED
    return State.FAILED if State.FAILED in states else State.CANCELLED
