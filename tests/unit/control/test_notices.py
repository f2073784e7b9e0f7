"""What is suspicious, and what a web hook is told."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import stamina

from fabric.api.admin import Report
from fabric.api.notices import check_signature
from fabric.config import env
from fabric.config.notices import Notices, Warnings
from fabric.control.notices import CURSOR_FILE, Hook, Notifier, Refused, signing
from fabric.control.signs import Signs
from fabric.core.errors import Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.snapshot import NodeState
from fabric.store.named_secrets import NamedSecret
from fabric.store.site_events import WARNING
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import NODES, START, World

HOOK = Notices(url="https://hooks.example/secret-path")


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Tries come one after another without a pause."""
    with stamina.set_testing(True, attempts=3):
        yield


class Receiver(httpx.BaseTransport):
    """Takes notices, or answers as it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.sent: list[tuple[httpx.Headers, bytes]] = []
        self.answers: list[int | Exception] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        if answer == 200:
            self.told.append(json.loads(request.read()))
            self.sent.append((request.headers, request.content))
        return httpx.Response(answer)

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(notice["event"], notice.get("workload") or notice["node"]) for notice in self.told]


class Telling:
    """A notifier on a world's records, with nodes that may go down."""

    def __init__(self, world: World, notices: Notices | None = HOOK) -> None:
        self.world, self.receiver, self.nodes = world, Receiver(), NODES
        self._notices = notices
        self.again()

    def again(self) -> None:
        """Another control begins."""
        hook = Hook(self._notices, self.receiver) if self._notices else None
        signs = Signs(self.world.records, self.world.logs, Warnings(), self.world.service.uses.of)
        self.notifier = Notifier(
            self.world.records, lambda: self.nodes, signs, site="toy", state=self.world.folder,
            now=self.world.clock.now, notices=self._notices, hook=hook,
        )  # fmt: skip

    def turn(self) -> list[tuple[str, str]]:
        """What the receiver heard in one turn."""
        before = len(self.receiver.told)
        self.notifier.turn()
        return self.receiver.events[before:]


@pytest.fixture
def telling(world: World) -> Telling:
    return Telling(world)


def fails(world: World, name: str) -> None:
    world.clock.at += 1
    world.job(name)
    world.change(name, State.FAILED, message="out of memory")


def test_what_happened_before_the_first_start_is_not_told(world: World, telling: Telling) -> None:
    fails(world, "old")
    assert telling.turn() == []
    fails(world, "new")
    assert telling.turn() == [("failed", "new")]
    assert telling.turn() == []


def test_failures_losses_and_preemptions_are_told_with_their_reason(world: World, telling: Telling) -> None:
    telling.turn()
    for name, state in (("a", State.RECOVERING), ("b", State.DRAINING), ("c", State.RUNNING), ("d", State.SUCCEEDED)):
        world.job(name, project="alpha")
        world.change(name, state, message=f"why {name}", attempt=2)
    assert telling.turn() == [("lost", "a"), ("preempted", "b")]
    notice = telling.receiver.told[0]
    assert notice.pop("id").startswith("toy/")
    assert notice == {
        "event": "lost", "site": "toy", "at": START,
        "workload": "a", "project": "alpha", "attempt": 2, "reason": "why a",
    }  # fmt: skip


def test_only_what_the_site_wants_to_hear_is_told(world: World) -> None:
    telling = Telling(world, Notices(url="http://h", events=("lost",)))
    telling.nodes = tuple(replace(node, state=NodeState.DOWN) for node in NODES)
    telling.turn()
    fails(world, "a")
    assert telling.turn() == []


@pytest.mark.parametrize("trouble", [httpx.ConnectError("refused"), 500, 429, 408], ids=str)
def test_whoever_cannot_be_told_now_is_told_later_and_in_order(
    world: World, telling: Telling, trouble: int | Exception
) -> None:
    telling.turn()
    fails(world, "first")
    fails(world, "second")
    telling.receiver.answers = [trouble] * 3
    with pytest.raises((httpx.HTTPError, Unavailable)) as raised:
        telling.turn()
    assert "secret-path" not in str(raised.value)
    assert telling.turn() == [("failed", "first"), ("failed", "second")]


def test_a_short_trouble_is_overcome_within_the_turn(world: World, telling: Telling) -> None:
    telling.turn()
    fails(world, "a")
    telling.receiver.answers = [httpx.ReadTimeout("slow"), 503]
    assert telling.turn() == [("failed", "a")]


def test_a_notice_that_is_refused_does_not_keep_the_others(
    world: World, telling: Telling, caplog: pytest.LogCaptureFixture
) -> None:
    telling.turn()
    fails(world, "a")
    fails(world, "b")
    telling.receiver.answers = [400]
    assert telling.turn() == [("failed", "b")]
    assert "answers 400" in caplog.text
    assert "secret-path" not in caplog.text
    telling.receiver.answers = [404]
    with pytest.raises(Refused):
        Hook(HOOK, telling.receiver).post({})


def test_a_notice_is_signed_anew_at_each_try_with_what_the_secret_holds_then(world: World) -> None:
    world.secrets.put_named_secret(NamedSecret("alpha", "hook", "ann", START), "word")
    notices, receiver = Notices(url="http://h", signed_with="alpha/hook"), Receiver()
    times = iter([1000.0, 1001.5, 2000.0])
    hook = Hook(notices, receiver, secret=signing(notices, world.secrets), now=lambda: next(times))
    receiver.answers = [503]
    hook.post({"id": "1"})
    headers, body = receiver.sent[0]
    assert (headers["Fabric-Timestamp"], headers["Content-Type"]) == ("1001", "application/json")
    check_signature("word", headers, body, now=1001.5)
    world.secrets.put_named_secret(NamedSecret("alpha", "hook", "ann", START), "another")
    hook.post({"id": "2"})
    check_signature("another", *receiver.sent[1], now=2000.0)


def test_a_notice_waits_for_the_secret_that_should_sign_it(world: World) -> None:
    notices, receiver = Notices(url="http://h", signed_with="alpha/hook"), Receiver()
    hook = Hook(notices, receiver, secret=signing(notices, world.secrets))
    with pytest.raises(Unavailable, match="Set it: `fabric secrets set hook --project alpha`"):
        hook.post({})
    assert receiver.sent == []


def test_a_site_that_names_no_secret_signs_with_that_of_the_environment_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    hook = Hook(HOOK, receiver, secret=signing(HOOK, world.secrets), now=lambda: 1000.0)
    hook.post({})
    monkeypatch.setenv(env.NOTICES_SECRET, "word")
    hook.post({})
    assert "Fabric-Signature" not in receiver.sent[0][0]
    check_signature("word", *receiver.sent[1], now=1000.0)


def test_the_next_control_goes_on_where_the_last_one_ended(world: World, telling: Telling) -> None:
    telling.turn()
    fails(world, "told")
    telling.turn()
    fails(world, "untold")
    telling.again()
    assert telling.turn() == [("failed", "untold")]


def test_a_number_that_was_given_again_hides_nothing(world: World, telling: Telling) -> None:
    telling.turn()
    fails(world, "a")
    assert telling.turn() == [("failed", "a")]
    # SQLite gives the numbers of its last rows again once these are gone.
    world.records.delete("a")
    fails(world, "b")
    assert telling.turn() == [("failed", "b")]
    assert telling.turn() == []


@pytest.mark.parametrize("kept", ["", "[]", '{"number": 1}', '{"number": 1, "at": 2, "more": 3}'])
def test_a_file_that_is_no_cursor_begins_anew(world: World, telling: Telling, kept: str) -> None:
    fails(world, "old")
    (world.folder / CURSOR_FILE).write_text(kept)
    assert telling.turn() == []
    fails(world, "new")
    assert telling.turn() == [("failed", "new")]


def test_a_node_is_told_of_once_each_time_it_goes_down(telling: Telling) -> None:
    def down(*names: str) -> None:
        telling.nodes = tuple(replace(n, state=NodeState.DOWN) if n.name in names else n for n in NODES)

    assert telling.turn() == []
    down("gpu-1")
    assert telling.turn() == [("node_down", "gpu-1")]
    assert telling.receiver.told[-1]["tier"] == "gpu"
    assert telling.turn() == []
    down("gpu-1", "gpu-0")
    telling.receiver.answers = [500] * 3
    with pytest.raises(Unavailable):
        telling.turn()
    assert telling.turn() == [("node_down", "gpu-0")]
    down()
    telling.turn()
    down("gpu-1")
    assert telling.turn() == [("node_down", "gpu-1")]


def runs_on_gpus(world: World, name: str, gpus: int = 2) -> None:
    world.job(name)
    held = Resources.of(1, gpus, "1 GiB")
    grant = Grant((Slice("workers-0", "workers", "gpu-0", "gpu", 1, held, head=True),))
    world.change(name, State.RUNNING, grant=grant, message="running", at={"running": world.clock.at})


def write_at(world: World, name: str, at: float) -> None:
    world.write(name, "step\n")
    for file in (world.folder / "logs" / name / "1").glob("*.log"):
        os.utime(file, (at, at))


def test_silent_work_is_warned_of_in_its_history_its_explanation_and_to_the_hook(
    world: World, telling: Telling
) -> None:
    runs_on_gpus(world, "train")
    world.job("cpu")
    world.run("cpu")
    telling.turn()
    world.clock.at += 1900
    assert telling.turn() == [("warning", "train")]
    silent = "attempt 1 has neither reported nor written anything for 32 min"
    said = f"{silent} and may keep 2 GPUs idle; look at `fabric logs train`"
    assert telling.receiver.told[-1]["reason"] == said
    explained = world.client().get("/api/fabric/workloads/train/explain").json()
    assert explained["notices"] == [said]
    assert explained["events"][-1]["reason"] == WARNING + said
    assert world.client().get("/api/fabric/workloads/cpu/explain").json()["notices"] == []
    world.clock.at += 1900
    assert telling.turn() == []
    world.clock.at += 7200
    assert telling.turn() == [("warning", "cpu")]


@pytest.mark.parametrize(
    "sign",
    [
        lambda world: world.records.report("train", Report(done=1.0)),
        lambda world: write_at(world, "train", world.clock.at),
    ],
    ids=["a report", "a line"],
)
def test_a_sign_of_life_puts_the_warning_off(world: World, telling: Telling, sign: Callable[[World], None]) -> None:
    runs_on_gpus(world, "train")
    world.clock.at += 1700
    sign(world)
    world.clock.at += 200
    assert telling.turn() == []
    world.clock.at += 1700
    telling.turn()
    assert world.records.events("train")[-1].reason.startswith(WARNING)


def test_what_is_said_of_an_earlier_attempt_is_said_again(world: World) -> None:
    telling = Telling(world, None)
    runs_on_gpus(world, "train")
    world.clock.at += 1900
    telling.turn()
    world.change("train", State.RUNNING, attempt=2, at={"running": world.clock.at})
    world.clock.at += 1900
    telling.turn()
    warned = [event.attempt for event in world.records.events("train") if event.reason.startswith(WARNING)]
    assert warned == [1, 2]


def test_services_and_sites_that_want_no_warnings_get_none(world: World) -> None:
    runs_on_gpus(world, "train")
    service = WorkloadSpec(name="s", kind="service", service={"model": "m"})  # type: ignore[arg-type]
    record = world.records.get("train")
    late = world.clock.at + 1e6
    signs = Signs(world.records, world.logs, Warnings())
    assert signs.warnings([replace(record, spec=service)], late) == {}
    assert signs.warnings([replace(record, state=State.QUEUED)], late) == {}
    assert Signs(world.records, world.logs, Warnings(idle_gpus_s=None)).warnings([record], late) == {}
    assert list(signs.warnings([record], late)) == ["train"]


def test_a_receiver_that_is_away_is_told_of_in_one_line(
    world: World, telling: Telling, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fabric.control.notices.LOOK_EVERY_S", 0.0)
    turns = iter([Unavailable("away"), Unavailable("away"), ZeroDivisionError("ours"), None])

    def turn() -> None:
        if (problem := next(turns)) is not None:
            raise problem
        telling.notifier.end()

    monkeypatch.setattr(telling.notifier, "turn", turn)
    monkeypatch.setattr(telling.notifier, "join", lambda timeout: None)
    telling.notifier.run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "notices wait: Unavailable: away",
        "notices go on in spite of an error",
        "notices wait: internal error: ZeroDivisionError",
        "notices are told again",
    ]
