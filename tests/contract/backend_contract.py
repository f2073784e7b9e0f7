"""What every backend does; each implementation inherits the suite and says how to build it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from fabric.scheduler.ports import Backend, ClusterView, Outcome, Phase, WantedCluster
from fabric.workloads.record import Grant
from tests.builders import piece, wanted


class BackendContract(ABC):
    """The suite; `backend` is a fixture of the subclass."""

    patience_s = 5.0
    """How long a state may take to come about."""
    leaves_in_time = True
    """Whether a cluster that is removed occupies its slices for a while."""
    stays = "sleep 600"
    """An entrypoint that runs on."""

    @abstractmethod
    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Kill one Ray node of a running cluster."""

    def cluster(self, name: str, entrypoint: str) -> WantedCluster:
        """A small cluster on the backend's nodes."""
        return wanted(name, entrypoint=entrypoint)

    def more(self, wanted: WantedCluster) -> WantedCluster:
        """The same cluster with one slice more."""
        return replace(wanted, generation=wanted.generation + 1, grant=Grant((*wanted.grant.slices, piece("c1"))))

    def restarted(self, backend: Backend) -> Backend:
        """A later backend that finds what this one left; the same where nothing outlives it."""
        return backend

    def until(self, backend: Backend, name: str, wish: Callable[[ClusterView], bool]) -> ClusterView:
        """Look until the wish is true."""
        deadline = time.monotonic() + self.patience_s
        view = ClusterView(name, Phase.ABSENT)
        while time.monotonic() < deadline:
            view = backend.observe().get(name, ClusterView(name, Phase.ABSENT))
            if wish(view):
                return view
            time.sleep(0.05)
        raise AssertionError(f"not within {self.patience_s} s; last seen: {view}")

    def gone(self, backend: Backend, name: str) -> None:
        """Remove a cluster and wait until nothing of it is left."""
        backend.remove(name)
        self.until(backend, name, lambda view: view.phase is Phase.ABSENT)

    def test_it_knows_its_nodes(self, backend: Backend) -> None:
        nodes = backend.nodes()
        assert nodes
        assert any(node.heads for node in nodes)
        assert len({node.name for node in nodes}) == len(nodes)

    def test_a_realised_cluster_runs_its_entrypoint_to_the_end(self, backend: Backend) -> None:
        backend.realise(self.cluster("ok-1", "true"))
        view = self.until(backend, "ok-1", lambda v: v.outcome.ended and v.logs_complete)
        assert view.outcome is Outcome.SUCCEEDED
        self.gone(backend, "ok-1")

    def test_a_failing_entrypoint_is_seen_and_asking_again_changes_nothing(self, backend: Backend) -> None:
        asked = self.cluster("bad-1", "false")
        backend.realise(asked)
        backend.realise(asked)
        view = self.until(backend, "bad-1", lambda v: v.outcome.ended)
        backend.realise(asked)
        assert view.outcome is Outcome.FAILED
        assert backend.observe()["bad-1"].outcome is Outcome.FAILED
        self.gone(backend, "bad-1")
        self.gone(backend, "bad-1")

    def test_a_stopped_entrypoint_ends_and_a_lost_node_breaks_the_cluster(self, backend: Backend) -> None:
        backend.realise(self.cluster("long-1", self.stays))
        self.until(backend, "long-1", lambda v: v.outcome is Outcome.RUNNING)
        backend.stop("long-1", grace_s=1.0)
        self.until(backend, "long-1", lambda v: v.outcome is Outcome.STOPPED)
        self.gone(backend, "long-1")
        backend.realise(self.cluster("lost-1", self.stays))
        self.until(backend, "lost-1", lambda v: v.outcome is Outcome.RUNNING)
        self.lose_a_node(backend, "lost-1")
        view = self.until(backend, "lost-1", lambda v: v.phase is Phase.BROKEN)
        assert "lost" in view.problem
        self.gone(backend, "lost-1")

    def test_a_name_that_is_leaving_is_not_taken_for_the_new_one(self, backend: Backend) -> None:
        first = self.cluster("twice-1", "true")
        backend.realise(first)
        view = self.until(backend, "twice-1", lambda v: v.outcome.ended)
        occupied = [part.resources for part in first.grant.slices] if self.leaves_in_time else []
        assert (view.born, [part.resources for part in view.held]) == (first.born, occupied)
        backend.remove("twice-1")
        second = replace(self.cluster("twice-1", self.stays), born=first.born + 1.0)

        def anew(view: ClusterView) -> bool:
            backend.realise(second)  # as the loop does, at every step
            return view.born == second.born and view.outcome is Outcome.RUNNING

        self.until(backend, "twice-1", anew)
        self.gone(backend, "twice-1")

    def test_changes_are_told_once_and_what_is_gone_is_told_as_absent(self, backend: Backend) -> None:
        assert backend.changes(0).views == {}
        backend.realise(self.cluster("long-1", self.stays))
        self.until(backend, "long-1", lambda v: v.outcome is Outcome.RUNNING)
        look = backend.changes(0)
        assert look.views["long-1"].outcome is Outcome.RUNNING
        assert "long-1" not in backend.changes(look.cursor).views
        self.gone(backend, "long-1")
        assert backend.changes(look.cursor).views["long-1"].phase is Phase.ABSENT

    def test_a_cluster_grows_by_exactly_the_new_slices_and_shrinks_by_exactly_the_old_ones(
        self, backend: Backend
    ) -> None:
        small = self.cluster("sized-1", self.stays)
        large = self.more(small)
        backend.realise(small)
        self.until(backend, "sized-1", lambda v: v.outcome is Outcome.RUNNING and v.generation == small.generation)
        backend.realise(large)
        backend.realise(large)
        self.until(backend, "sized-1", lambda v: v.generation == large.generation)
        self.is_made_of(backend, large)
        smaller = replace(small, generation=large.generation + 1)
        backend.realise(smaller)
        backend.realise(smaller)
        self.until(backend, "sized-1", lambda v: v.generation == smaller.generation)
        self.is_made_of(backend, smaller)
        again = replace(large, generation=smaller.generation + 1)
        backend.realise(again)
        self.until(backend, "sized-1", lambda v: v.generation == again.generation)
        self.is_made_of(backend, again)
        self.gone(backend, "sized-1")

    def test_a_backend_that_is_started_again_in_the_middle_of_a_resize_goes_on_with_it(self, backend: Backend) -> None:
        small = self.cluster("middle-1", self.stays)
        large = self.more(small)
        backend.realise(small)
        self.until(backend, "middle-1", lambda v: v.outcome is Outcome.RUNNING)
        for size in (large, replace(small, generation=large.generation + 1)):
            backend.realise(size)
            backend = self.restarted(backend)
            backend.realise(size)
            self.until(backend, "middle-1", lambda v, size=size: v.generation == size.generation)  # type: ignore[misc]
            self.is_made_of(backend, size)
        self.gone(backend, "middle-1")

    def is_made_of(self, backend: Backend, wanted: WantedCluster) -> None:
        """What runs goes on, and the slices are those of the grant."""
        view = backend.observe()[wanted.name]
        assert (view.phase, view.outcome, view.problem) == (Phase.READY, Outcome.RUNNING, "")
        names = {part.name for part in wanted.grant.slices} if self.leaves_in_time else set()
        assert {part.name for part in view.held} == names

    def test_what_nobody_knows_can_be_stopped_and_removed_without_effect(self, backend: Backend) -> None:
        backend.stop("nobody-1", grace_s=1.0)
        backend.remove("nobody-1")
        assert "nobody-1" not in backend.observe()
