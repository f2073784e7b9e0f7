"""What every backend does about clusters that nobody has asked for; beside `BackendContract`."""

import time
from dataclasses import replace
from typing import Any

from fabric.backends.keeping.clusters import KeptClusters
from fabric.scheduler.ports import Outcome, Phase, WantedCluster
from tests.contract.backend_contract import BackendContract


class WarmContract(BackendContract):
    """The suite; a subclass says how to build a backend, and what an entrypoint of its can see of its variables."""

    knows_itself = "true"
    """An entrypoint that ends well only if it was told that its workload is `late`."""

    def waiting(self, backend: KeptClusters[Any], name: str) -> None:
        """Let a cluster start that nobody has asked for, and wait until it is ready."""
        backend.keep_warm(replace(self.cluster(name, ""), warm=True))
        deadline = time.monotonic() + self.patience_s
        while backend._keepers[name].view.phase is not Phase.READY:
            assert time.monotonic() < deadline, backend._keepers[name].view
            time.sleep(0.05)
        assert (list(backend.warm()), list(backend.observe())) == ([name], [])

    def work(self, entrypoint: str) -> WantedCluster:
        """Work that is granted what a warm cluster holds."""
        return replace(self.cluster("late-1", entrypoint), env={"FABRIC_WORKLOAD": "late"}, born=3.0)

    def test_a_warm_cluster_runs_the_work_that_gets_it_and_goes_with_it(self, backend: KeptClusters[Any]) -> None:
        self.waiting(backend, "warm-1")
        backend.realise(self.work(self.knows_itself))
        assert list(backend.warm()) == []
        view = self.until(backend, "late-1", lambda v: v.outcome.ended and v.logs_complete)
        assert (view.outcome, view.born) == (Outcome.SUCCEEDED, 3.0), view.message
        assert list(backend.observe()) == ["late-1"]
        self.gone(backend, "late-1")

    def test_a_later_backend_finds_work_in_the_cluster_that_it_got_and_ends_what_is_nobodys(
        self, backend: KeptClusters[Any]
    ) -> None:
        self.waiting(backend, "warm-1")
        backend.realise(self.work(self.stays))
        self.until(backend, "late-1", lambda v: v.outcome is Outcome.RUNNING)
        backend.keep_warm(replace(self.cluster("warm-2", ""), warm=True))
        again = self.restarted(backend)
        assert isinstance(again, KeptClusters)
        self.until(again, "late-1", lambda v: v.outcome is Outcome.RUNNING and v.born == 3.0)
        assert again.warm() == {}
        again.end_warm(self.patience_s)
        assert "warm" not in str(getattr(again._around.logs, "complete", ""))
        assert not any(keeper.layout.warm and not keeper.done for keeper in again._keepers.values())
        self.gone(again, "late-1")
