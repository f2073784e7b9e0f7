"""Where a workload's own Ray dashboard is, for who may look into it.

Knows nothing of HTTP. The dashboard shows what environment variables hold, so it is for those whom control shows them.
"""

from collections.abc import Callable

from fabric.control.callers import Caller, Permission
from fabric.core.errors import Conflict, Unavailable
from fabric.scheduler.ports import ClusterView, Door, Phase
from fabric.workloads.record import Record

ALIVE = frozenset({Phase.STARTING, Phase.READY})
"""How far a cluster is whose head may answer."""


class Dashboards:
    """Finds the head of a workload's cluster."""

    def __init__(
        self,
        find: Callable[[str, Caller], Record],
        cluster: Callable[[Record], ClusterView | None],
        door: Callable[[str], Door | None],
    ) -> None:
        """Remember whom to ask.

        Args:
            find: The workload of a name, if it is within the caller's reach.
            cluster: The cluster of its present attempt.
            door: Where the head of a cluster answers.
        """
        self._find, self._cluster, self._door = find, cluster, door

    def door(self, name: str, caller: Caller) -> Door:
        """Where the head of a workload answers.

        Raises:
            NotFound: If there is no such workload.
            Denied: If it is out of the caller's reach, or he may only look.
            Conflict: If it has ended.
            Unavailable: If it has no Ray head now.
        """
        caller.require(Permission.CHANGE)
        record = self._find(name, caller)
        if record.state.final:
            raise Conflict(f"{name} has already {record.state}, and its Ray head went with it", workload=name)
        view = self._cluster(record)
        door = self._door(record.cluster) if view is not None and view.phase in ALIVE else None
        if door is None:
            raise Unavailable(f"{name} is {record.state} and has no Ray head that answers now", workload=name)
        return door
