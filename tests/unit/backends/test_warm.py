"""A cluster that was started before anybody asked is given to one workload, or leaves for whoever needs the room."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.keeping.clusters import KeptClusters
from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.layout import one_of_a_name
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.keeping.warm import crowded, fits, late
from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import RAY_CLUSTERS, SECRETS
from fabric.backends.kuberay.layout import written_layout
from fabric.backends.kuberay.ray_pods import RayPods
from fabric.backends.local.layout import Layout
from fabric.config import env
from fabric.core.errors import ClusterLost, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.ports import Outcome, Phase, WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Slice
from tests.builders import FakeLogs, FakePackages, cpu_node, piece, wanted
from tests.unit.backends.test_keeper import FakeHead, FakeSlices
from tests.unit.backends.test_kuberay_pods import GANG, World, tended

PART = piece("c0", head=True)
COMMON = {"FABRIC_ADDRESS": "http://control", "RAY_JOB_STOP_WAIT_TIME_S": "20"}
WARM = wanted("warm-1", PART, entrypoint="", env={**COMMON, "FABRIC_TOKEN": "nobody's"}, warm=True, born=1.0)
TOLD = {**COMMON, "FABRIC_TOKEN": "its own", "FABRIC_WORKLOAD": "job", "MLFLOW_TRACKING_TOKEN": "its own"}
WORK = wanted("job-1", PART, entrypoint="python x.py", env=TOLD, born=7.0, project="default")


@dataclass
class FakeOutput:
    """Remembers whose it is."""

    name: str

    def copy(self) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass

    def finish(self) -> None:
        pass


@dataclass
class SubmittingHead(FakeHead):
    """Remembers what was handed over."""

    requests: list[Any] = field(default_factory=list)

    def submit(self, request: Any) -> None:
        super().submit(request)
        self.requests.append(request)


class FullDisk(FakeSlices):
    """Processes whose layout cannot be written down."""

    def change(self, how: Any) -> Layout:
        raise OSError("No space left on device")


class FakeClusters(KeptClusters[FakeSlices]):
    """Clusters in memory, whose keepers the test turns."""

    def __init__(self, folder: Path, slices: type[FakeSlices] = FakeSlices) -> None:
        self.logs, self.let_in, self.launched = FakeLogs(), list[tuple[str, str]](), list[str]()
        self.made_of = slices
        super().__init__(Surroundings(folder, self.logs, FakePackages(), threading.Event(), let_in=self._let_in))

    def _let_in(self, warm: WantedCluster, work: WantedCluster) -> None:
        self.let_in.append((warm.name, work.name))

    def nodes(self) -> tuple[Node, ...]:
        return (cpu_node("c0"), cpu_node("c1"))

    def keeper(self, name: str) -> Keeper[FakeSlices]:
        return self._keepers[name]

    def head(self, name: str) -> SubmittingHead:
        found = self._keepers[name]._head
        assert isinstance(found, SubmittingHead)
        return found

    def turn(self) -> None:
        """Let every keeper look once."""
        for keeper in self._keepers.values():
            keeper.turn()

    def _launch(self, wanted: WantedCluster) -> None:
        self.launched.append(wanted.name)
        parts = wanted.grant.slices
        layout = Layout(
            name=wanted.name, workload=wanted.workload, attempt=wanted.attempt, token="t", temp_dir="/tmp/none",
            ports={"dashboard": 1, "serve": 2}, slices=tuple(part.name for part in parts),
            nodes={part.name: part.node for part in parts}, gpu_ids={part.name: () for part in parts},
            amounts={p.name: (p.resources.cpus.count, 0, p.resources.memory.count) for p in parts},
            born=wanted.born, warm=wanted.warm,
        )  # fmt: skip
        slices = self.made_of(self._around.state, layout)
        head, output = SubmittingHead(joined=set(layout.slices)), FakeOutput(wanted.name)
        self._keepers[wanted.name] = Keeper(slices, self._around, wanted, head=head, output=output)  # type: ignore[arg-type]

    def _output(self, slices: FakeSlices, head: Any) -> FakeOutput:
        return FakeOutput(slices.layout.name)

    def _add(self, keeper: Keeper[FakeSlices], added: Sequence[Slice], wanted: WantedCluster) -> None:
        raise NotImplementedError


@pytest.fixture
def clusters(tmp_path: Path) -> FakeClusters:
    made = FakeClusters(tmp_path)
    made.keep_warm(WARM)
    made.turn()
    return made


def test_what_waits_warm_is_ready_runs_nothing_and_is_shown_to_nobody(clusters: FakeClusters) -> None:
    clusters.turn()
    assert clusters.warm() == {"warm-1": (PART,)}
    assert clusters.observe() == {}
    keeper = clusters.keeper("warm-1")
    assert (keeper.view.phase, keeper.view.outcome) == (Phase.READY, Outcome.NONE)
    assert clusters.head("warm-1").requests == []


def test_work_that_was_granted_its_slice_gets_it_and_is_told_late_what_it_is_but_no_key(clusters: FakeClusters) -> None:
    clusters.realise(WORK)
    assert (clusters.launched, clusters.let_in) == (["warm-1"], [("warm-1", "job-1")])
    assert (clusters.warm(), list(clusters.observe())) == ({}, ["job-1"])
    view = clusters.observe()["job-1"]
    assert (view.name, view.phase, view.born, view.generation) == ("job-1", Phase.READY, 7.0, 1)
    assert [part.node for part in view.held] == ["c0"]
    clusters.turn()
    (request,) = clusters.head("job-1").requests
    assert (request["submission_id"], request["entrypoint"]) == ("job-1", "python x.py")
    assert request["runtime_env"] == {"env_vars": {"FABRIC_WORKLOAD": "job"}}
    layout = clusters.keeper("job-1").layout
    assert (layout.name, layout.workload, layout.mark, layout.warm) == ("job-1", "job", "warm-1", False)
    clusters.realise(WORK)
    assert clusters.launched == ["warm-1"]


def test_what_work_sets_itself_holds(clusters: FakeClusters) -> None:
    own = {"env_vars": {"FABRIC_WORKLOAD": "mine", "X": "1"}, "working_dir": "gcs://p.zip"}
    clusters.keeper("warm-1")._around.packages.path = lambda name, project: Path("/dev/null")  # type: ignore[method-assign]
    head = clusters.head("warm-1")
    head.put_package = lambda uri, file: None  # type: ignore[attr-defined]
    clusters.realise(replace(WORK, runtime_env=own))
    clusters.turn()
    assert head.requests[0]["runtime_env"] == own


def test_a_second_attempt_or_another_workload_never_gets_a_cluster_that_was_given_away(clusters: FakeClusters) -> None:
    clusters.realise(WORK)
    clusters.realise(replace(WORK, name="other-1", workload="other"))
    clusters.realise(replace(WORK, name="job-2", attempt=2))
    assert clusters.launched == ["warm-1", "other-1", "job-2"]
    clusters.remove("job-1")
    assert clusters.keeper("job-1").view.phase is Phase.LEAVING


def test_one_that_still_starts_or_has_lost_its_slice_is_given_to_nobody(tmp_path: Path) -> None:
    starting = FakeClusters(tmp_path)
    starting.keep_warm(WARM)
    starting.realise(WORK)
    assert starting.launched == ["warm-1", "job-1"]
    lost = FakeClusters(tmp_path)
    lost.keep_warm(WARM)
    lost.turn()
    lost.keeper("warm-1").slices.ended.append(PART.name)
    lost.turn()
    lost.realise(WORK)
    assert lost.launched == ["warm-1", "job-1"]
    assert (lost.warm(), lost.keeper("warm-1").view.phase) == ({}, Phase.LEAVING)


def test_one_whose_head_is_silent_for_long_is_given_up(clusters: FakeClusters, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(layout: Layout) -> set[str]:
        raise ClusterLost("nobody answers")

    monkeypatch.setattr(clusters.head("warm-1"), "slices", silent)
    clusters.turn()
    assert list(clusters.warm()) == ["warm-1"]
    monkeypatch.setattr(clusters.keeper("warm-1"), "_heard", float("-inf"))
    clusters.turn()
    assert clusters.warm() == {}


def test_work_whose_lease_cannot_be_written_down_gets_a_cluster_of_its_own(tmp_path: Path) -> None:
    made = FakeClusters(tmp_path, FullDisk)
    made.keep_warm(WARM)
    made.turn()
    made.realise(WORK)
    assert (made.launched, list(made.warm()), list(made.observe())) == (["warm-1", "job-1"], [], ["job-1"])


def test_work_whose_lease_may_have_been_written_down_gets_no_other_warm_cluster(clusters: FakeClusters) -> None:
    clusters.keep_warm(replace(WARM, name="warm-2"))
    clusters.turn()
    clusters.keeper("warm-1").slices.change = _lost  # type: ignore[method-assign]
    clusters.realise(WORK)
    assert (clusters.launched, list(clusters.warm())) == (["warm-1", "warm-2", "job-1"], ["warm-2"])
    assert clusters.keeper("warm-1").view.phase is Phase.LEAVING
    del clusters._keepers["job-1"]  # as where it could not be started
    clusters.realise(WORK)
    assert (clusters.launched[3:], list(clusters.warm())) == (["job-1"], ["warm-2"])
    clusters.keeper("warm-1").done = True
    clusters.observe()
    clusters.realise(replace(WORK, name="late-1", workload="late"))
    assert list(clusters.warm()) == []


def _lost(how: Any) -> Layout:
    raise OSError("Kubernetes did not answer")


def test_of_clusters_that_all_say_they_are_one_works_only_what_was_made_for_it_is() -> None:
    def layout(name: str) -> Layout:
        return Layout(
            name=name, workload=name[:-2], attempt=1, token="t", temp_dir="/tmp/none", ports={}, slices=("w",),
            nodes={"w": "c0"}, gpu_ids={"w": ()}, amounts={"w": (1000, 0, 1)}, born=7.0, warm=name.startswith("warm"),
        )  # fmt: skip

    leased, other, made = layout("warm-1").leased(WORK, {"A": "b"}), layout("warm-2").leased(WORK, {}), layout("job-1")
    found = list(one_of_a_name([leased, made, other]))
    assert [(one.name, one.warm, one.mark) for one in found] == [
        ("warm-1", True, "warm-1"), ("job-1", False, "job-1"), ("warm-2", True, "warm-2"),
    ]  # fmt: skip
    assert list(one_of_a_name([leased])) == [leased]
    assert [one.name for one in one_of_a_name([leased, other])] == ["job-1", "warm-2"]


def test_a_control_that_cannot_let_its_key_in_gives_it_to_nobody(clusters: FakeClusters) -> None:
    def away(warm: WantedCluster, work: WantedCluster) -> None:
        raise Unavailable("the records are away")

    clusters._around = replace(clusters._around, let_in=away)
    clusters.realise(WORK)
    assert clusters.launched == ["warm-1", "job-1"]


def test_whoever_is_granted_the_room_gets_it(clusters: FakeClusters) -> None:
    beside = piece("c0", "beside", Resources.of(3, 0, "7 GiB"), head=True)
    clusters.realise(replace(WORK, name="fits-1", workload="fits", grant=replace(WORK.grant, slices=(beside,))))
    assert clusters.keeper("warm-1").view.phase is Phase.READY
    more = piece("c0", "more", Resources.of(1, 0, "1 GiB"), head=True)
    clusters.realise(replace(WORK, name="more-1", workload="more", grant=replace(WORK.grant, slices=(more,))))
    assert clusters.keeper("warm-1").view.phase is Phase.LEAVING
    assert clusters.warm() == {}


def test_only_warm_clusters_are_cooled(clusters: FakeClusters) -> None:
    clusters.realise(WORK)
    clusters.cool("job-1")
    clusters.cool("nobody-1")
    assert clusters.keeper("job-1").view.phase is Phase.READY
    clusters.keep_warm(replace(WARM, name="warm-2"))
    clusters.cool("warm-2")
    assert clusters.keeper("warm-2").view.phase is Phase.LEAVING
    clusters.keeper("warm-2").done = True
    clusters.end_warm(5.0)


@pytest.mark.parametrize(
    ("world", "change", "fitting"),
    [
        ("the same slice", {}, True),
        ("another amount", {"grant": replace(WORK.grant, slices=(piece("c0", "workers", Resources.of(2)),))}, False),
        ("another node", {"grant": replace(WORK.grant, slices=(piece("c1", head=True),))}, False),
        ("a service", {"serve": {"applications": []}}, False),
        ("an image of its own", {"images": {"workers": "mine:1"}}, False),
        ("a variable of its own", {"env": {**TOLD, "X": "1"}}, True),
        ("a secret", {"env": {**TOLD, "X": "1"}, "hidden": frozenset({"X"})}, False),
        ("a variable that Ray reads at its start", {"env": {**TOLD, "RAY_memory_monitor_refresh_ms": "0"}}, False),
    ],
)
def test_work_fits_a_warm_cluster_that_is_exactly_what_it_would_have_got(
    world: str, change: dict[str, Any], fitting: bool
) -> None:
    assert fits(replace(WORK, **change), WARM) is fitting, world


def test_keys_are_never_told_late() -> None:
    assert late(WORK, WARM) == {"FABRIC_WORKLOAD": "job"}


def test_as_few_as_make_room_leave_and_only_where_room_is_lacking() -> None:
    warm = {name: (piece(node, "w", Resources.of(1)),) for name, node in (("a", "c0"), ("b", "c0"), ("c", "c1"))}
    held = [part for parts in warm.values() for part in parts]
    nodes = (cpu_node("c0"), cpu_node("c1"))

    def leaving(*parts: Slice) -> list[str]:
        return list(crowded(parts, held, nodes, warm))

    assert leaving(piece("c0", "x", Resources.of(2))) == []
    assert leaving(piece("c0", "x", Resources.of(3))) == ["a"]
    assert leaving(piece("c0", "x", Resources.of(4)), piece("c1", "x", Resources.of(4))) == ["a", "b", "c"]
    assert leaving(piece("c9", "x", Resources.of(4))) == []


def test_a_raycluster_says_whose_it_became_and_a_fabric_that_starts_again_finds_it_so() -> None:
    world = World()
    pods = world.running()
    work = wanted("job-3", *GANG, born=9.0)
    pods.change(lambda layout: layout.leased(work, {"FABRIC_WORKLOAD": "job"}))
    kept = world.api.get(RAY_CLUSTERS, "w-1")
    assert {names.WORKLOAD: "job", names.ATTEMPT: "3"}.items() <= kept["metadata"]["labels"].items()
    surface = world.listen()
    again = RayPods(written_layout(surface.clusters.objects()["w-1"]), surface)
    again.adopt()
    tended(again, lambda: again.head()[1] != "")
    layout = again.layout
    assert (layout.name, layout.workload, layout.attempt, layout.born) == ("job-3", "job", 3, 9.0)
    assert (again.lost(), again.head(), layout.late) == ([], pods.head(), {"FABRIC_WORKLOAD": "job"})
    world.close()


def test_a_worker_group_that_joins_a_leased_raycluster_refers_to_the_secret_that_is_there() -> None:
    world = World()
    pods = world.running()
    more = piece("g1", "evaluators", Resources.of(1))
    work = wanted("job-1", *GANG, more, env=TOLD)
    pods.change(lambda layout: layout.leased(work, {}).with_slices([more]))
    pods.wanted = work
    tended(pods, lambda: more.name in {name for _, name, _ in world.api.released})
    pod = world.api.pod_of(more.name)
    told = {variable["name"]: variable for variable in pod["spec"]["containers"][0]["env"]}
    secrets = {
        one["valueFrom"]["secretKeyRef"]["name"] for one in told.values() if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert (secrets, world.api.named(SECRETS)) == ({"w-1"}, ["w-1"])
    assert (told[env.CLUSTER]["value"], told[env.WORKLOAD]["value"]) == ("w-1", "job")
    assert pod["metadata"]["labels"][names.WORKLOAD] == "job"
    world.close()
