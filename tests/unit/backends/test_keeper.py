"""One cluster is kept: what its head and processes say becomes a view, and nothing that went well is lost."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local.driver_log import DriverLog
from fabric.backends.local.layout import Layout
from fabric.core.errors import BadInput, ClusterLost, FabricError
from fabric.scheduler.ports import Outcome, Phase
from fabric.workloads.record import Grant, Slice
from tests.builders import FakeLogs, FakePackages, piece, wanted


@dataclass
class FakeHead:
    """A Ray head in memory."""

    up: bool = True
    joined: set[str] = field(default_factory=lambda: {"workers-c0"})
    status: str = ""
    exit_code: int | None = None
    stops: int = 0
    deployed: list[int] = field(default_factory=list)
    """Numbers of replicas that Serve was told."""
    app: str = "RUNNING"
    serving: set[str] = field(default_factory=set)
    """Slices with replicas."""
    refuses: FabricError | None = None
    """Raised by every question about the entrypoint."""

    def answers(self) -> bool:
        return self.up

    def slices(self, layout: Layout) -> set[str]:
        return self.joined

    def job(self, submission_id: str) -> dict[str, Any] | None:
        if self.refuses:
            raise self.refuses
        return {"status": self.status, "driver_exit_code": self.exit_code} if self.status else None

    def submit(self, request: Any) -> None:
        self.status = "RUNNING"

    def stop_job(self, submission_id: str) -> None:
        self.stops += 1

    def deploy(self, config: Any) -> None:
        self.deployed.append(config["applications"][0]["deployments"][0]["num_replicas"])

    def serve_status(self) -> dict[str, Any]:
        if not self.deployed:
            return {"applications": {}}
        told = {"name": "model", "deployments": [{"name": "replica", "num_replicas": self.deployed[-1]}]}
        replicas = [{"state": "RUNNING"} for _ in range(self.deployed[-1])]
        app = {"status": self.app, "deployed_app_config": told, "deployments": {"replica": {"replicas": replicas}}}
        return {"applications": {"model": app}}

    def slices_with_replicas(self) -> set[str]:
        return self.serving

    def pending_demands(self) -> list[dict[str, float]]:
        return []

    def close(self) -> None:
        pass


@dataclass
class FakeSlices:
    """Processes in memory."""

    folder: Path
    layout: Layout
    drained: list[str] = field(default_factory=list)
    stubborn: set[str] = field(default_factory=set)
    """Slices whose Ray node does not leave by itself."""
    gone: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    looks_to_end: int = 1
    serve_url: str = "http://127.0.0.1:2"
    start_timeout_s: float = 300.0
    head: Any = None
    why: str = ""  # slices have not joined

    def tend(self) -> None:
        pass

    def awaits(self, names: Any) -> str:
        return self.why

    def listening(self, config: Any) -> Any:
        return config

    def forget(self) -> None:
        pass

    def lost(self) -> list[str]:
        return self.ended

    def last_words(self, name: str) -> str:
        return "ended by SIGKILL"

    def oversized(self, slices: Any) -> str:
        return ""

    def change(self, how: Callable[[Layout], Layout]) -> Layout:
        self.layout = how(self.layout)
        return self.layout

    def drain(self, name: str) -> None:
        self.drained.append(name)

    def has_left(self, name: str) -> bool:
        return name not in self.stubborn

    def end_one(self, name: str, patience_s: float) -> bool:
        self.gone.append(name)
        return True

    def end(self, patience_s: float) -> bool:
        self.looks_to_end -= 1
        return self.looks_to_end <= 0


class Kept:
    """A keeper whose thread does not run: the test turns it."""

    def __init__(self, folder: Path, *, adopted: bool = False, replicas: int = 0) -> None:
        part = piece("c0", head=True)
        layout = Layout(
            name="w-1", workload="w", attempt=1, token="t", temp_dir=str(folder / "ray"),
            ports={"dashboard": 1, "serve": 2}, slices=(part.name,), nodes={part.name: "c0"}, gpu_ids={part.name: ()},
            amounts={part.name: (1000, 0, 1)}, service=replicas > 0,
        )  # fmt: skip
        self.head, self.slices, self.logs = FakeHead(joined={part.name}), FakeSlices(folder / "own", layout), FakeLogs()
        around = Surroundings(folder, self.logs, FakePackages(), threading.Event())
        asked = wanted("w-1", part, serve=serving(replicas) if replicas else None)
        self.driver_log = folder / "ray" / "session_latest" / "logs" / "job-driver-w-1.log"
        self.driver_log.parent.mkdir(parents=True)
        output = DriverLog(self.logs, folder / "ray", "w-1", key=("w", 1))
        self.keeper = Keeper(self.slices, around, None if adopted else asked, head=self.head, output=output)  # type: ignore[arg-type]
        self.asked = asked

    def turns(self, count: int = 3) -> "Kept":
        for _ in range(count):
            self.keeper.turn()
        return self

    def ask(self, generation: int, *slices: Slice, replicas: int = 0) -> "Kept":
        """Let the records say another size, as the backend does."""
        self.keeper.wanted = replace(
            self.asked, generation=generation, grant=Grant((piece("c0", head=True), *slices)),
            serve=serving(replicas) if replicas else None,
        )  # fmt: skip
        return self

    def grow(self, part: Slice) -> None:
        """Write down and start one slice more, as the backend does."""
        self.keeper.add(lambda layout: layout.with_slices([part], ports={}, gpu_ids={part.name: ()}))

    @property
    def seen(self) -> tuple[Phase, Outcome]:
        return self.keeper.view.phase, self.keeper.view.outcome


def serving(replicas: int) -> dict[str, Any]:
    """A Serve configuration."""
    return {"applications": [{"name": "model", "deployments": [{"name": "replica", "num_replicas": replicas}]}]}


SECOND = piece("c1")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.fixture
def time_flies(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every look at the clock is this much later."""
    step = [0.0]
    now = [time.monotonic()]

    def monotonic() -> float:
        now[0] += step[0]
        return now[0]

    monkeypatch.setattr("fabric.backends.keeping.keeper.time.monotonic", monotonic)
    return step


def test_an_entrypoint_is_handed_over_once_every_slice_has_joined(kept: Kept) -> None:
    kept.head.joined = set()
    assert kept.turns().seen == (Phase.STARTING, Outcome.NONE)
    kept.head.joined = {"workers-c0"}
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING)


def test_slices_that_never_join_are_given_up_and_named(kept: Kept, time_flies: list[float]) -> None:
    kept.head.joined, time_flies[0] = set(), 200.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.NONE)
    assert kept.keeper.view.problem == "slices workers-c0 did not join within 300 s"


def test_what_keeps_slices_from_joining_shows_while_it_lasts_and_in_the_end(
    kept: Kept, time_flies: list[float]
) -> None:
    kept.head.joined, kept.slices.why = set(), "ImagePullBackOff: no such image"
    assert kept.turns(1).keeper.view.message == "ImagePullBackOff: no such image"
    time_flies[0] = 200.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.NONE)
    assert kept.keeper.view.problem.endswith("did not join within 300 s: ImagePullBackOff: no such image")


def test_a_full_disk_makes_output_wait_and_neither_breaks_the_work_nor_loses_its_success(kept: Kept) -> None:
    kept.turns()
    kept.driver_log.write_bytes(b"hello\n")
    kept.logs.full = True
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING)
    assert kept.keeper.view.message == "its output waits to be kept: logs: No space left on device"
    kept.head.status = "SUCCEEDED"
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING), "an end is told once its output is kept"
    kept.logs.full = False
    assert kept.turns(1).seen == (Phase.READY, Outcome.SUCCEEDED)
    assert kept.logs.kept["w", 1] == b"hello\n"
    assert kept.keeper.view.logs_complete


def test_what_the_head_refuses_to_take_fails_with_its_words(kept: Kept) -> None:
    kept.head.refuses = BadInput("the Ray head refuses POST /api/jobs/: 400 no such package")
    assert kept.turns().seen == (Phase.READY, Outcome.FAILED)
    assert ("no such package" in kept.keeper.view.message, kept.keeper.view.logs_complete) == (True, True)


def test_a_question_that_is_refused_is_asked_again(kept: Kept) -> None:
    kept.turns()
    kept.head.refuses = BadInput("the Ray head refuses GET: 429 too many requests")
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING)
    kept.head.refuses, kept.head.status = None, "SUCCEEDED"
    assert kept.turns().seen == (Phase.READY, Outcome.SUCCEEDED)


def test_an_entrypoint_that_fails_because_a_node_was_lost_is_a_lost_attempt(kept: Kept) -> None:
    kept.turns()
    kept.head.status = "FAILED"
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING), "a lost node shows a little later"
    kept.slices.ended = ["workers-c0"]
    assert kept.turns().seen == (Phase.BROKEN, Outcome.RUNNING)
    assert kept.keeper.view.problem == "slice workers-c0 on node c0 lost: ended by SIGKILL"


def test_an_entrypoint_that_fails_by_itself_has_failed(kept: Kept, time_flies: list[float]) -> None:
    kept.turns()
    kept.head.status, kept.head.exit_code, time_flies[0] = "FAILED", 3, 1.0
    assert kept.turns().seen == (Phase.READY, Outcome.FAILED)
    assert kept.keeper.view.exit_code == 3


def test_a_stop_is_sent_again_until_the_head_has_taken_it(kept: Kept) -> None:
    kept.turns()
    sent, kept.head.stop_job = kept.head.stop_job, _fails  # type: ignore[method-assign]
    kept.keeper.stop(5.0)
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING)
    kept.head.stop_job = sent  # type: ignore[method-assign]
    kept.turns()
    assert kept.head.stops == 1


def _fails(submission_id: str) -> None:
    raise ClusterLost("the Ray head does not answer")


def test_who_does_not_end_within_the_grace_is_broken(kept: Kept, time_flies: list[float]) -> None:
    kept.turns()
    kept.keeper.stop(5.0)
    time_flies[0] = 10.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.RUNNING)
    assert kept.keeper.view.problem == "did not end within its grace"


def test_an_adopted_cluster_first_asks_what_an_earlier_fabric_has_submitted(tmp_path: Path) -> None:
    kept = Kept(tmp_path, adopted=True)
    assert kept.seen == (Phase.STARTING, Outcome.UNKNOWN)
    assert kept.turns().seen == (Phase.READY, Outcome.NONE)
    kept.keeper.wanted = kept.asked
    assert kept.turns().seen == (Phase.READY, Outcome.RUNNING)


def test_an_adopted_cluster_that_should_end_stops_what_runs_there(tmp_path: Path) -> None:
    kept = Kept(tmp_path, adopted=True)
    kept.head.status = "RUNNING"
    kept.keeper.stop(5.0)
    assert kept.turns(4).seen == (Phase.READY, Outcome.RUNNING)
    assert kept.head.stops == 1


def test_a_cluster_stays_in_sight_until_its_processes_are_gone(kept: Kept) -> None:
    kept.slices.looks_to_end = 3
    kept.driver_log.write_bytes(b"bye\n")
    kept.keeper.leave()
    kept.keeper.run()
    assert kept.keeper.done
    assert kept.slices.looks_to_end == 0
    assert kept.logs.kept["w", 1] == b"bye\n"


def test_a_grown_grant_is_shown_once_the_new_slice_has_joined_and_what_runs_goes_on(kept: Kept) -> None:
    assert kept.turns().keeper.view.generation == 1
    kept.grow(SECOND)
    kept.ask(2, SECOND).turns()
    assert (kept.seen, kept.keeper.view.generation) == ((Phase.READY, Outcome.RUNNING), 1)
    kept.head.joined = {"workers-c0", "workers-c1"}
    assert kept.turns(1).keeper.view.generation == 2
    assert kept.keeper.layout.joining == ()


def test_a_slice_that_never_joins_a_running_cluster_breaks_it_by_name(kept: Kept, time_flies: list[float]) -> None:
    kept.turns().grow(SECOND)
    kept.ask(2, SECOND).turns()
    time_flies[0] = 400.0
    assert kept.turns(2).seen == (Phase.BROKEN, Outcome.RUNNING)
    assert kept.keeper.view.problem == "slice workers-c1 did not join within 300 s"


def larger(kept: Kept) -> Kept:
    """After it has grown by one slice."""
    kept.turns(4).grow(SECOND)
    kept.head.joined = {"workers-c0", "workers-c1"}
    return kept.ask(2, SECOND, replicas=2 if kept.keeper.layout.service else 0).turns(4)


def test_a_slice_that_is_given_back_is_drained_then_ended_and_its_loss_is_no_failure(kept: Kept) -> None:
    larger(kept)
    kept.slices.stubborn = {"workers-c1"}
    kept.keeper.give_back(["workers-c1"])
    kept.ask(3).turns()
    assert (kept.slices.drained, kept.slices.gone) == (["workers-c1"], []), "its Ray node gets a moment"
    kept.head.joined = {"workers-c0"}
    kept.slices.stubborn = set()
    kept.turns(1)
    assert (kept.slices.gone, kept.seen, kept.keeper.view.generation) == (
        ["workers-c1"],
        (Phase.READY, Outcome.RUNNING),
        3,
    )
    assert [part.name for part in kept.keeper.view.held] == ["workers-c0"]


def test_a_ray_node_that_does_not_leave_by_itself_is_ended_after_a_while(kept: Kept, time_flies: list[float]) -> None:
    larger(kept)
    kept.slices.stubborn = {"workers-c1"}
    kept.keeper.give_back(["workers-c1"])
    kept.ask(3).turns(2)
    time_flies[0] = 6.0
    assert kept.turns(1).slices.gone == ["workers-c1"]


def test_a_service_gets_a_replica_more_once_there_is_room_for_it_and_answers_meanwhile(tmp_path: Path) -> None:
    kept = Kept(tmp_path, replicas=1)
    assert kept.turns(4).seen == (Phase.READY, Outcome.RUNNING)
    kept.grow(SECOND)
    kept.ask(2, SECOND, replicas=2).turns()
    assert kept.head.deployed == [1]
    kept.head.joined, kept.head.app = {"workers-c0", "workers-c1"}, "DEPLOYING"
    kept.turns()
    assert (kept.head.deployed, kept.keeper.view.generation) == ([1, 2], 2)
    assert kept.keeper.view.endpoint


def test_a_service_ends_a_slice_only_when_no_replica_is_on_it(tmp_path: Path) -> None:
    kept = larger(Kept(tmp_path, replicas=1))
    assert kept.head.deployed == [1, 2]
    kept.head.serving = {"workers-c0", "workers-c1"}
    kept.keeper.give_back(["workers-c1"])
    kept.ask(3, replicas=1).turns(1)
    assert (kept.slices.drained, kept.head.deployed) == (["workers-c1"], [1, 2]), "Serve first hears which node goes"
    kept.turns(4)
    assert (kept.head.deployed, kept.slices.gone) == ([1, 2, 1], [])
    kept.head.serving = {"workers-c0"}
    kept.turns(1)
    assert (kept.slices.gone, kept.keeper.view.generation) == (["workers-c1"], 3)


def test_an_adopted_cluster_goes_on_with_a_slice_that_was_leaving(tmp_path: Path) -> None:
    kept = Kept(tmp_path, adopted=True)
    kept.grow(SECOND)
    kept.slices.layout = kept.slices.layout.model_copy(update={"joining": (), "leaving": ("workers-c1",)})
    kept.head.status = "RUNNING"
    kept.turns(4)
    assert (kept.slices.gone, kept.seen) == (["workers-c1"], (Phase.READY, Outcome.RUNNING))
