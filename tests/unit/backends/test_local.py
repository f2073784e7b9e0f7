"""The pure parts of the local backend, and its process table."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from fabric.backends.keeping.entrypoint import driver_slice
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.layout import START_LABEL
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local import processes
from fabric.backends.local.backend import LocalBackend, keeper_of
from fabric.backends.local.layout import Layout, gpu_ids_by_slice, labels, node_launch, port_names
from fabric.backends.local.slices import Slices
from fabric.config import env
from fabric.core.errors import Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.ports import Phase
from fabric.workloads.record import Slice
from tests.builders import FakeLogs, FakePackages, piece, tiny_site, wanted

OWN = f"test-{os.getpid()}-"
"""Begins the names of clusters whose processes are ended by name alone, which a fabric of this machine may have too."""
HEAD = piece("c0", "head", Resources.of(1, 0, "1 GiB"), head=True)
TRAINERS = Slice("trainers-0", "trainers", "g0", "gpu", 2, Resources.of(4, 2, "4 GiB"))


def layout(*slices: Slice) -> Layout:
    """A cluster's layout with made-up ports."""
    return Layout(
        name="w-1", workload="w", attempt=1, token="t" * 64, temp_dir="/tmp/x",
        ports={name: 20000 + number for number, name in enumerate(port_names(slices))},
        slices=tuple(part.name for part in slices), nodes={part.name: part.node for part in slices},
        gpu_ids=gpu_ids_by_slice(slices, (), {"g0": 2, "gpu-0": 2}),
        amounts={p.name: (p.resources.cpus.count, p.resources.gpus.count, p.resources.memory.count) for p in slices},
    )  # fmt: skip


def test_a_head_of_its_own_offers_ray_nothing() -> None:
    cluster = wanted("w-1", HEAD, TRAINERS)
    launch = node_launch(HEAD, cluster, layout(HEAD, TRAINERS), num_cores=2)
    assert (launch.config["head"], launch.config["params"]["num_cpus"], launch.config["params"]["num_gpus"]) == (
        True,
        0,
        0,
    )
    assert "gcs_address" not in launch.config["params"]


def test_a_worker_slice_offers_exactly_its_grant_and_carries_its_labels() -> None:
    cluster = wanted("w-1", HEAD, TRAINERS, env={env.WORKLOAD: "w"})
    launch = node_launch(TRAINERS, cluster, layout(HEAD, TRAINERS), num_cores=2)
    params = launch.config["params"]
    assert (params["num_cpus"], params["num_gpus"], params["memory"]) == (4.0, 2.0, 4 * 2**30)
    start = layout(HEAD, TRAINERS).start_of(TRAINERS.name)
    assert params["labels"] == {**labels(TRAINERS), START_LABEL: start}
    assert start in params["raylet_socket_name"], "what an earlier node of this slice left is in nobody's way"
    assert launch.env["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert launch.env["OMP_NUM_THREADS"] == "2", "two CPUs per worker, and no more than the machine has"
    assert launch.env[env.WORKLOAD] == "w"
    assert launch.env["RAY_AUTH_MODE"] == "token"


def test_a_workload_cannot_replace_what_marks_its_cluster() -> None:
    cluster = wanted("w-1", HEAD, env={env.CLUSTER: "other", "RAY_AUTH_TOKEN": "mine"})
    launch = node_launch(HEAD, cluster, layout(HEAD), num_cores=2)
    assert launch.env[env.CLUSTER] == "w-1"
    assert launch.env["RAY_AUTH_TOKEN"] == "t" * 64


def test_what_joins_a_leased_cluster_carries_the_mark_by_which_it_is_found_and_ended() -> None:
    late = wanted("late-1", HEAD, TRAINERS, env={env.WORKLOAD: "late"})
    launch = node_launch(TRAINERS, late, layout(HEAD, TRAINERS).leased(late, {}), num_cores=2)
    assert (launch.env[env.CLUSTER], launch.env[env.WORKLOAD]) == ("w-1", "late")


def test_devices_of_a_node_are_given_to_one_slice_only() -> None:
    one = Slice("a-0", "a", "g0", "gpu", 1, Resources.of(1, 1, "1 GiB"))
    assert gpu_ids_by_slice((one,), (), {"g0": 2}) == {"a-0": (0,)}
    assert gpu_ids_by_slice((one,), (layout(one),), {"g0": 2}) == {"a-0": (1,)}
    with pytest.raises(Unavailable, match="no accelerator of g0 has 1 of itself free for trainers-0"):
        gpu_ids_by_slice((TRAINERS,), (layout(one),), {"g0": 2})


def test_devices_that_the_site_no_longer_has_are_nobodys() -> None:
    here = Slice("a-0", "a", "g0", "gpu", 1, Resources.of(1, 1, "1 GiB"))
    there = replace(here, node="g1")
    assert gpu_ids_by_slice((here,), (layout(TRAINERS),), {"g0": 3}) == {"a-0": (2,)}
    assert gpu_ids_by_slice((there,), (layout(TRAINERS),), {"g1": 1}) == {"a-0": (0,)}, "g0 has left the site"
    with pytest.raises(Unavailable):
        gpu_ids_by_slice((here,), (layout(TRAINERS),), {"g0": 1})


def test_an_earlier_workload_of_that_name_leaves_first_whatever_its_attempt(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event())
    backend = LocalBackend(tiny_site(), around)
    started: list[str] = []
    backend._launch = lambda wanted: started.append(wanted.name)  # type: ignore[method-assign]
    earlier = layout(HEAD).model_copy(update={"name": "w-2", "attempt": 2, "born": 1.0})
    old = keeper_of(Slices(earlier, tmp_path, tmp_path), around)
    backend._keepers["w-2"] = old
    anew = wanted("w-1", HEAD, born=2.0)
    backend.realise(anew)
    assert (started, backend.observe()["w-2"].phase) == ([], Phase.LEAVING)
    old.done = True
    backend.observe()
    backend.realise(anew)
    assert started == ["w-1"]


def test_a_cluster_that_another_version_wrote_down_is_ended_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "clusters" / "old-1"
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text('{"name": "old-1"}')
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, env.CLUSTER: "old-1", env.STATE: str(tmp_path)},
    )
    LocalBackend(tiny_site(), Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event())).start()
    assert child.wait(10) != 0
    assert not folder.exists()


def test_fractions_share_the_fullest_device_that_still_has_room() -> None:
    def part(name: str, gpus: float) -> Slice:
        return Slice(name, "a", "g0", "gpu", 1, Resources.of(1, gpus, "1 GiB"))

    half = layout(part("a-0", 0.5))
    assert gpu_ids_by_slice((part("b-0", 0.5),), (half,), {"g0": 2}) == {"b-0": (0,)}
    assert gpu_ids_by_slice((part("b-0", 0.6),), (half,), {"g0": 2}) == {"b-0": (1,)}
    assert gpu_ids_by_slice((part("b-0", 1.5),), (half,), {"g0": 2}) == {"b-0": (0, 1)}


def test_a_driver_runs_on_its_own_group_whatever_the_order_of_slices() -> None:
    drivers = Slice("driver-0", "driver", "c0", "commodity", 1, Resources.of(2, 0, "1 GiB"))
    assert driver_slice(wanted("w-1", HEAD, TRAINERS, drivers, driver_group="driver")) == drivers
    assert driver_slice(wanted("w-1", HEAD, TRAINERS, drivers, driver_group="trainers")) == TRAINERS


def test_a_layout_read_back_holds_what_was_granted() -> None:
    written = layout(HEAD, TRAINERS).model_dump_json()
    held = Layout.model_validate_json(written).held
    assert [(part.node, part.resources) for part in held] == [(p.node, p.resources) for p in (HEAD, TRAINERS)]


def test_nodes_of_a_cluster_that_start_together_share_no_socket() -> None:
    cluster, places = wanted("w-1", HEAD, TRAINERS), layout(HEAD, TRAINERS)
    params = [node_launch(part, cluster, places, num_cores=2).config["params"] for part in (HEAD, TRAINERS)]
    for socket in ("plasma_store_socket_name", "raylet_socket_name"):
        assert len({node[socket] for node in params}) == len(params)


def test_a_node_that_joins_unpacks_working_directories_in_a_folder_of_its_own() -> None:
    cluster, places = wanted("w-1", HEAD, TRAINERS), layout(HEAD, TRAINERS)
    head, joining = [node_launch(part, cluster, places, num_cores=2).config["params"] for part in (HEAD, TRAINERS)]
    assert "runtime_env_dir_name" not in head, "drivers put what they upload into Ray's own folder"
    assert joining["runtime_env_dir_name"] != "runtime_resources"


def test_half_a_core_is_one_to_ray_which_takes_no_fraction_of_a_node() -> None:
    half = Slice("a-0", "a", "c0", "commodity", 1, Resources.of(0.5, 0, "1 GiB"), head=True)
    params = node_launch(half, wanted("w-1", half), layout(half), num_cores=2).config["params"]
    assert (params["num_cpus"], params["num_gpus"]) == (1, 0)


def marked_child(mark: str, code: str = "import time; time.sleep(60)") -> subprocess.Popen[bytes]:
    """A process with a mark in its environment, and one below it in a session of its own."""
    spawn = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', %r], start_new_session=True); "
    below = spawn % code + code
    return subprocess.Popen([sys.executable, "-c", below], env={**os.environ, "FABRIC_CLUSTER": mark})


def wait_for(mark: str, count: int) -> None:
    """Until so many processes carry the mark."""
    for _ in range(200):
        if len(processes.marked((f"FABRIC_CLUSTER={mark}",))) == count:
            return
        os.sched_yield()
        subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError(processes.marked((f"FABRIC_CLUSTER={mark}",)))


@pytest.mark.slow
def test_everything_with_the_mark_is_ended_and_nothing_else() -> None:
    mine, other = marked_child(f"{OWN}mine-1"), marked_child(f"{OWN}other-1")
    try:
        wait_for(f"{OWN}mine-1", 2)
        wait_for(f"{OWN}other-1", 2)
        assert processes.end_all((f"FABRIC_CLUSTER={OWN}mine-1",), patience_s=2.0)
        assert processes.marked((f"FABRIC_CLUSTER={OWN}mine-1",)) == []
        assert len(processes.marked((f"FABRIC_CLUSTER={OWN}other-1",))) == 2
    finally:
        processes.end_all((f"FABRIC_CLUSTER={OWN}other-1",), patience_s=2.0)
        mine.wait(5)
        other.wait(5)


@pytest.mark.slow
def test_who_does_not_listen_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    child = marked_child(f"{OWN}deaf-1", deaf)
    wait_for(f"{OWN}deaf-1", 2)
    assert processes.end_all((f"FABRIC_CLUSTER={OWN}deaf-1",), patience_s=0.2)
    child.wait(5)


def test_a_dead_child_is_not_taken_for_a_later_process_with_its_number() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    assert processes.alive(me)
    assert not processes.alive(processes.Process(me.pid, me.started + 1))
    assert processes.identify(2**22 + 1) is None


def test_slices_that_no_process_belongs_to_are_lost(tmp_path: Path) -> None:
    slices = Slices(layout(HEAD, TRAINERS), tmp_path, tmp_path)
    slices.adopt()
    assert slices.lost() == [HEAD.name, TRAINERS.name]
    assert slices.last_words(HEAD.name) == "its processes are gone"


def test_a_census_names_processes_by_their_environment_and_forgets_the_dead() -> None:
    census = processes.Census(lambda _, environment: environment.get(b"FABRIC_CLUSTER", b"").decode() or None)
    mine = marked_child(f"{OWN}counted-1")
    try:
        wait_for(f"{OWN}counted-1", 2)
        assert {process.pid for process in census.take()[f"{OWN}counted-1"]} >= {mine.pid}
        assert len(census.take()[f"{OWN}counted-1"]) == 2
    finally:
        processes.end_all((f"FABRIC_CLUSTER={OWN}counted-1",), patience_s=2.0)
        mine.wait(5)
    assert f"{OWN}counted-1" not in census.take()


def test_what_a_census_has_read_of_an_old_process_is_not_read_again() -> None:
    asked: list[processes.Process] = []
    census = processes.Census(lambda process, _: asked.append(process) or "all")  # type: ignore[func-returns-value]
    first = census.take()["all"]
    before = len(asked)
    census.take()
    old = [process for process in first if process.pid == 1]
    assert before >= len(first)
    assert all(asked.count(process) == 1 for process in old)


def resizable(tmp_path: Path, *slices: Slice) -> tuple[LocalBackend, Keeper[Slices], list[str]]:
    """A backend with one cluster that runs, its keeper's thread not started, and names of the slices it starts."""
    backend = LocalBackend(tiny_site(), Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event()))
    own = Slices(layout(*slices), tmp_path / "own", tmp_path)
    own.folder.mkdir()
    started: list[str] = []
    own.start = lambda launches: started.extend(launches)  # type: ignore[method-assign]
    keeper = keeper_of(own, backend._around)
    keeper.view = replace(keeper.view, phase=Phase.READY)
    backend._keepers["w-1"] = keeper
    return backend, keeper, started


@pytest.fixture(autouse=True)
def ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports by counting, as no test of this file opens one."""

    def counted(names: Iterable[str], taken: Iterable[int] = ()) -> dict[str, int]:
        free = (port for port in count(20_000) if port not in set(taken))
        return dict(zip(names, free, strict=False))

    monkeypatch.setattr("fabric.backends.local.backend.free_ports", counted)


def one_gpu(name: str, node: str = "gpu-0") -> Slice:
    return Slice(name, "trainers", node, "gpu", 1, Resources.of(1, 1, "1 GiB"))


def test_growth_is_written_down_and_starts_exactly_the_new_slices_once(tmp_path: Path) -> None:
    first, second = one_gpu("trainers-0"), one_gpu("trainers-1")
    backend, keeper, started = resizable(tmp_path, HEAD, first)
    grown = wanted("w-1", HEAD, first, second, generation=2)
    backend.realise(grown)
    backend.realise(grown)
    assert started == ["trainers-1"]
    written = Layout.model_validate_json((tmp_path / "own" / "cluster.json").read_text())
    assert written == keeper.layout
    assert (written.slices, written.joining) == (("head-c0", "trainers-0", "trainers-1"), ("trainers-1",))
    assert [part.name for part in keeper.view.held] == list(written.slices)
    assert len(set(written.ports.values())) == len(written.ports)
    assert keeper.slices.lost() == ["head-c0", "trainers-0"], "what is being started is not lost yet"


def test_a_smaller_slice_comes_to_a_node_once_the_larger_one_has_left_it(tmp_path: Path) -> None:
    backend, keeper, started = resizable(tmp_path, HEAD, replace(TRAINERS, node="gpu-0"))
    shrunk = wanted("w-1", HEAD, one_gpu("trainers-1"), generation=2)
    backend.realise(shrunk)
    assert (started, keeper.layout.leaving) == ([], ("trainers-0",))
    keeper.slices.change(lambda layout: layout.without(["trainers-0"]))
    backend.realise(shrunk)
    assert started == ["trainers-1"]
    assert keeper.slices.layout.gpu_ids == {"head-c0": (), "trainers-1": (0,)}


def test_the_head_never_leaves_and_a_cluster_that_is_broken_is_not_resized(tmp_path: Path) -> None:
    backend, keeper, started = resizable(tmp_path, HEAD, one_gpu("trainers-0"))
    backend.realise(wanted("w-1", one_gpu("trainers-0"), generation=2))
    assert keeper.layout.leaving == ()
    keeper.view = replace(keeper.view, phase=Phase.BROKEN)
    backend.realise(wanted("w-1", HEAD, generation=3))
    assert (started, keeper.layout.leaving) == ([], ())


def test_devices_that_are_not_free_yet_are_asked_for_again(tmp_path: Path) -> None:
    backend, keeper, started = resizable(tmp_path, HEAD, one_gpu("trainers-0"), one_gpu("trainers-1"))
    grown = wanted("w-1", HEAD, one_gpu("trainers-0"), one_gpu("trainers-1"), one_gpu("trainers-2"), generation=2)
    with pytest.raises(Unavailable, match="no accelerator of gpu-0"):
        backend.realise(grown)
    assert (started, keeper.layout.slices) == ([], ("head-c0", "trainers-0", "trainers-1"))


def test_a_fabric_that_adopts_forgets_slices_of_which_nothing_was_started(tmp_path: Path) -> None:
    grown = layout(HEAD).with_slices([one_gpu("trainers-0")], ports={"trainers-0.x": 1}, gpu_ids={"trainers-0": (0,)})
    slices = Slices(grown, tmp_path, tmp_path)
    slices.adopt()
    assert slices.layout == layout(HEAD)
    assert Layout.model_validate_json((tmp_path / "cluster.json").read_text()) == layout(HEAD)


def test_an_earlier_ray_node_of_a_slice_that_ray_still_shows_is_not_taken_for_the_present_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = layout(HEAD, TRAINERS)

    def node(name: str, **more: str) -> dict[str, object]:
        return {"raylet": {"state": "ALIVE", "nodeId": f"{name}{more}", "labels": {"fabric/slice": name, **more}}}

    earlier = node(TRAINERS.name, **{START_LABEL: "1"})
    present = node(TRAINERS.name, **{START_LABEL: told.start_of(TRAINERS.name)})
    older_fabric = node(HEAD.name)
    head = RayHead("http://head", "t")
    for nodes, alive in (([older_fabric, earlier], {HEAD.name}), ([earlier, present], {TRAINERS.name})):
        monkeypatch.setattr(head, "_call", lambda *_, nodes=nodes, **__: {"data": {"summary": nodes}})
        assert head.slices(told) == alive
