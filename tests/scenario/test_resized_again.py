"""A service gets another size while it still grows."""

from dataclasses import replace
from typing import Any

from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.simulator.records import SimulatedBlueprint
from fabric.workloads.spec import Group, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import HEAD, FakeRecords, record
from tests.fake_backend import FakeBackend


class Clock:
    """Stands still."""

    def now(self) -> float:
        """Zero."""
        return 0.0


class NeverGrown(FakeBackend):
    """New slices of a cluster that is there never join."""

    def realise(self, wanted: WantedCluster) -> None:
        """Take in what is wanted."""
        before = self.views.get(wanted.name)
        super().realise(wanted)
        if before is not None:
            self.views[wanted.name] = before


def test_a_service_that_still_grows_may_be_asked_for_more_and_for_less() -> None:
    replicas: dict[str, Any] = {"name": "workers", "count": 1, "min": 1, "max": 4, "tier": "commodity"}
    spec = WorkloadSpec(
        name="chat", kind="service", groups=(Group(**replicas),), service=ServiceSpec(model="m", engine="echo")
    )
    records, backend = FakeRecords(), NeverGrown()
    records.add(record(spec))
    settings = Settings(head=HEAD, grace_s=5.0, policy=Policy(min_run_s=0.0))
    loop = Loop(records, backend, SimulatedBlueprint(), clock=Clock(), settings=settings)

    def sized(wants: int) -> tuple[State, int]:
        records.kept["chat"] = replace(records.kept["chat"], wants=wants)
        records.came.append("chat")
        for _ in range(4):
            loop.step()
        kept = records.kept["chat"]
        return kept.state, (kept.target or kept.grant or backend.wanted["chat-1"].grant).size("workers")

    while records.kept["chat"].state is not State.RUNNING:
        loop.step()
    assert sized(2) == (State.RESIZING, 2)
    assert sized(4) == (State.RESIZING, 4)
    assert sized(1) == (State.RESIZING, 1)
