"""The KubeRay backend keeps the contract; API server and Ray heads are in memory, so only time is real."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.keeping.layout import Layout
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay.api import NODES, PODS, RAY_CLUSTERS, Kind, Object, Patch
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.backends.kuberay.layout import written_layout
from fabric.backends.kuberay.pod_head import PodHead
from fabric.core.errors import ClusterLost, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.ports import Backend, Outcome, WantedCluster
from fabric.workloads.record import Grant
from tests.builders import FakeLogs, FakePackages, piece, wanted
from tests.contract.warm_contract import WarmContract
from tests.fake_api_server import FakeApiServer, kube_node
from tests.unit.backends.test_kuberay_manifest import pods_site

# A failed entrypoint waits two seconds for its cause, which is too long for the fast tier.
pytestmark = pytest.mark.ray


@dataclass
class Rays:
    """All Ray clusters behind one API server; `true` succeeds, `false` fails, anything else runs on."""

    api: FakeApiServer
    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    """Status by token and submission."""

    def head(self, find: Callable[[], tuple[str, str]]) -> PodHead:
        """What speaks to the head of one cluster."""
        return FakeHead(find, self)


class FakeHead(PodHead):
    """One head; it answers once its pod has an address."""

    def __init__(self, find: Callable[[], tuple[str, str]], rays: Rays) -> None:
        super().__init__(find)
        self._rays = rays

    def _token(self) -> str:
        url, token = self._find()
        if not url or not token:
            raise ClusterLost("no address")
        return token

    def answers(self) -> bool:
        return all(self._find())

    def slices(self, layout: Layout) -> set[str]:
        self._token()
        return {name for name in layout.slices if self._runs(name, layout.start_of(name))}

    def _runs(self, name: str, uid: str) -> bool:
        pods = self._rays.api.listing(PODS).items
        return any(pod["metadata"]["uid"] == uid and pod["status"]["phase"] == "Running" for pod in pods)

    def job(self, submission_id: str) -> dict[str, Any] | None:
        status = self._rays.jobs.get((self._token(), submission_id))
        return {"status": status} if status else None

    def submit(self, request: Mapping[str, Any]) -> None:
        ends = {"true": "SUCCEEDED", "false": "FAILED"}
        self._rays.jobs[self._token(), request["submission_id"]] = ends.get(request["entrypoint"], "RUNNING")

    def stop_job(self, submission_id: str) -> None:
        self._rays.jobs[self._token(), submission_id] = "STOPPED"

    def pending_demands(self) -> list[Any]:
        return []


class TestKubeRayBackend(WarmContract):
    """With pods in memory."""

    patience_s = 20.0

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[KubeRayBackend]:
        """A backend of its own server; no object is left."""
        api = FakeApiServer()
        api.add(NODES, *(kube_node(name, "commodity") for name in ("c0", "c1")), kube_node("g0", "gpu", gpus=2))
        made = self._started(Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event()), Rays(api))
        yield made
        assert api.named(RAY_CLUSTERS) == api.named(PODS) == []
        made.close()

    def _started(self, around: Surroundings, rays: Rays) -> KubeRayBackend:
        made = KubeRayBackend(pods_site(), around, rays.api, head_of=rays.head)
        made.start()
        self._rays = rays
        return made

    def cluster(self, name: str, entrypoint: str) -> WantedCluster:
        """A head and one worker slice where a node can be lost, otherwise the head alone."""
        head = piece("c0", "head", Resources.of(1, 0, "1 GiB"), head=True)
        worker = piece("g0", resources=Resources.of(1, 1, "1 GiB"))
        parts = (head, worker) if name.startswith("lost") else (piece("c0", head=True),)
        return wanted(name, *parts, entrypoint=entrypoint)

    def more(self, wanted: WantedCluster) -> WantedCluster:
        """One slice more, on the other node."""
        more = piece("g0", resources=Resources.of(1, 1, "1 GiB"))
        return replace(wanted, generation=wanted.generation + 1, grant=Grant((*wanted.grant.slices, more)))

    def restarted(self, backend: Backend) -> Backend:
        """Another backend of the same server; the threads of this one do nothing more."""
        assert isinstance(backend, KubeRayBackend)
        for keeper in backend._keepers.values():
            keeper.turn = lambda: None  # type: ignore[method-assign]
        return self._started(backend._around, self._rays)

    def is_made_of(self, backend: Backend, wanted: WantedCluster) -> None:
        """Its pods too, each on the node of its slice; and what an adopting fabric reads."""
        super().is_made_of(backend, wanted)
        api = self._rays.api
        assert {p.name: api.pod_of(p.name)["spec"]["nodeName"] for p in wanted.grant.slices} == {
            part.name: part.node for part in wanted.grant.slices
        }
        assert len(api.named(PODS)) == len(wanted.grant.slices)
        layout = written_layout(api.get(RAY_CLUSTERS, wanted.name))
        assert set(layout.slices) == {part.name for part in wanted.grant.slices}
        assert not layout.leaving

    def test_a_lease_that_was_written_down_and_not_answered_leaves_one_cluster_to_its_work(
        self, backend: KubeRayBackend
    ) -> None:
        self.waiting(backend, "warm-1")
        api, answered = self._rays.api, self._rays.api.patch

        def lost(kind: Kind, name: str, patch: Patch) -> Object:
            answered(kind, name, patch)
            raise Unavailable("Kubernetes did not answer")

        api.patch = lost  # type: ignore[method-assign]
        api.refuses["delete", RAY_CLUSTERS.plural] = Unavailable("nor does it now")
        backend.realise(self.work(self.stays))
        api.patch = answered  # type: ignore[method-assign]
        self.until(backend, "late-1", lambda view: view.outcome is Outcome.RUNNING)
        again = self.restarted(backend)
        assert isinstance(again, KubeRayBackend)
        assert written_layout(api.get(RAY_CLUSTERS, "warm-1")).name == "late-1"
        self.until(again, "late-1", lambda view: view.outcome is Outcome.RUNNING)
        api.refuses.clear()
        again.end_warm(self.patience_s)
        assert api.named(RAY_CLUSTERS) == ["late-1"]
        assert self.until(again, "late-1", lambda view: True).outcome is Outcome.RUNNING
        self.gone(again, "late-1")

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Take the worker's pod away."""
        api = self._rays.api
        api.take(PODS, api.pod_of("workers-g0")["metadata"]["name"])
