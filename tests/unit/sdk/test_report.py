"""What a job tells of itself, and that telling never harms it."""

import json
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.api.admin import Report, SizeView
from fabric.config import env
from fabric.sdk import report
from fabric.sdk.post import Post
from fabric.sdk.report import ControlReporter, FileReporter, Reporter, reporter


class FakePost(Post):
    """Takes reports while `there`, and remembers them."""

    def __init__(self, there: bool = True) -> None:
        super().__init__("http://control.test", "key", "a")
        self.there = threading.Event()
        if there:
            self.there.set()
        self.tries = self.questions = 0
        self.answer = SizeView()
        self.taken: list[dict[str, Any]] = []

    def size(self) -> SizeView | None:
        self.questions += 1
        return self.answer if self.there.is_set() else None

    def send(self, fields: dict[str, Any]) -> bool:
        self.tries += 1
        if self.there.is_set():
            self.taken.append(fields)
        return self.there.is_set()


def until(true: Callable[[], bool], seconds: float = 2.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(report, "LONGEST_PAUSE_S", 0.02)


@pytest.fixture
def post() -> FakePost:
    return FakePost()


@pytest.fixture
def told(post: FakePost) -> Iterator[ControlReporter]:
    made = ControlReporter(post)
    yield made
    post.there.set()
    made.close()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]


def test_inside_the_fabric_control_is_told_and_elsewhere_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(reporter(tmp_path), FileReporter)
    monkeypatch.setenv(env.ADDRESS, "http://127.0.0.1:8270")
    assert isinstance(reporter(tmp_path), FileReporter), "an address alone is that of a person's shell"
    monkeypatch.setenv(env.WORKLOAD, "a")
    assert isinstance(reporter(tmp_path), ControlReporter)


def test_each_kind_of_report_has_the_fields_of_the_api(told: ControlReporter, post: FakePost) -> None:
    told.stage("train")
    told.checkpointed("file:///c/1", 100, 2**20, 1.5)
    told.progress(3, 10, "steps", loss=2.5)
    told.close()
    assert [Report.model_validate_json(json.dumps(fields)) for fields in post.taken] == [
        Report(stage="train"),
        Report(checkpoint_uri="file:///c/1", checkpoint_step=100, checkpoint_bytes=2**20, checkpoint_seconds=1.5),
        Report(done=3.0, total=10.0, unit="steps", metrics={"loss": 2.5}),
    ]


def test_of_much_progress_the_first_and_the_latest_are_told(told: ControlReporter, post: FakePost) -> None:
    told.progress(0, 1000, "steps", loss=9.0)
    until(lambda: len(post.taken) == 1)
    for step in range(1, 1001):
        told.progress(step, 1000, "steps", **({"loss": 1.0} if step == 500 else {"speed": 2.0}))
    told.close()
    assert [fields["done"] for fields in post.taken] == [0.0, 1000.0]
    assert post.taken[-1]["metrics"] == {"loss": 1.0, "speed": 2.0}


def test_progress_is_told_again_after_a_second(
    told: ControlReporter, post: FakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PROGRESS_EVERY_S", 0.05)
    told.progress(0, 2, "steps")
    told.progress(1, 2, "steps")
    until(lambda: [fields["done"] for fields in post.taken][-1:] == [1.0])


def test_a_stage_does_not_wait_for_progress_to_be_due(told: ControlReporter, post: FakePost) -> None:
    told.progress(0, 2, "steps")
    until(lambda: len(post.taken) == 1)
    told.progress(1, 2, "steps")
    told.stage("save")
    until(lambda: post.taken[-1] == {"stage": "save"}, seconds=0.5)


def test_while_control_is_away_the_work_goes_on_and_afterwards_all_is_told_in_order() -> None:
    post = FakePost(there=False)
    told = ControlReporter(post)
    began = time.monotonic()
    told.stage("one")
    for step in range(1000):
        told.progress(step, 1000, "steps")
    told.stage("two")
    assert time.monotonic() - began < 0.5
    until(lambda: post.tries > 2)
    post.there.set()
    until(lambda: len(post.taken) == 3)
    assert [fields.get("stage") or fields["done"] for fields in post.taken] == ["one", 999.0, "two"]
    told.close()


def test_only_so_many_reports_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_WAITING", 4)
    post = FakePost(there=False)
    told = ControlReporter(post)
    for number in range(100):
        told.stage(str(number))
    post.there.set()
    told.close()
    assert post.taken[-1] == {"stage": "99"}
    assert len(post.taken) <= 6


def test_the_end_of_the_process_does_not_wait_for_a_control_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ControlReporter(FakePost(there=False))
    told.stage("one")
    began = time.monotonic()
    told.close()
    assert time.monotonic() - began < 1.0


def test_after_its_end_a_reporter_may_be_used_again(told: ControlReporter, post: FakePost) -> None:
    told.stage("one")
    told.close()
    told.stage("two")
    told.close()
    assert post.taken == [{"stage": "one"}, {"stage": "two"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "x", object()])
def test_a_number_that_is_none_is_left_out_and_harms_nothing(told: ControlReporter, post: FakePost, value: Any) -> None:
    told.progress(value, value, "steps", loss=value, speed=1.0)
    told.checkpointed("file:///c", value, value, value)
    told.close()
    assert post.taken == [
        {"done": 0.0, "total": 0.0, "unit": "steps", "metrics": {"speed": 1.0}},
        {"checkpoint_uri": "file:///c"},
    ]


def test_a_reporter_travels_to_another_process() -> None:
    there = pickle.loads(pickle.dumps(ControlReporter(Post("http://control.test", "key", "a", attempt="2"))))  # noqa: S301 - our own
    assert there._post.__getstate__() == ("http://control.test", "key", "a", "2")
    there.close()


def test_reports_in_a_file_have_their_instant(tmp_path: Path) -> None:
    told = FileReporter(tmp_path / "out", clock=lambda: 1_000.0)
    told.stage("train")
    told.checkpointed("file:///c", 1, 2, 0.5)
    assert [line["at"] for line in lines(tmp_path / "out")] == [1_000.0, 1_000.0]
    told.close()


def test_progress_in_a_file_is_at_most_one_line_a_second_and_the_latest_is_never_lost(tmp_path: Path) -> None:
    now = 0.0

    def clock() -> float:
        return now

    told: Reporter = FileReporter(tmp_path, clock)
    for step in range(31):
        now = 10.0 + step / 10
        told.progress(step, 30, "steps")
    told.close()
    assert [line["done"] for line in lines(tmp_path)] == [0.0, 10.0, 20.0, 30.0]


def test_a_file_reporter_travels_to_another_process(tmp_path: Path) -> None:
    there: FileReporter = pickle.loads(pickle.dumps(FileReporter(tmp_path)))  # noqa: S301 - our own
    there.stage("train")
    assert lines(tmp_path)[0]["stage"] == "train"
    there.close()


def test_a_file_that_cannot_be_written_is_logged_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    told = FileReporter(tmp_path / "out")
    told.stage("train")
    told.close()
    assert "a report was not written" in caplog.text


def _post_to(answer: Callable[[httpx.Request], httpx.Response]) -> Post:
    return Post("http://control.test/", "key", "a", attempt="2", transport=httpx.MockTransport(answer))


def test_a_report_is_posted_to_the_workload_with_its_token() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    post = _post_to(answer)
    assert post.send({"stage": "train"})
    post.close()
    assert str(asked[0].url) == "http://control.test/api/fabric/workloads/a/report?attempt=2"
    assert asked[0].headers["Authorization"] == "Bearer key"
    assert json.loads(asked[0].content) == {"stage": "train"}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_control_that_has_trouble_is_told_again(status: int) -> None:
    assert not _post_to(lambda _: httpx.Response(status)).send({"stage": "x"})


def test_a_control_that_is_gone_is_told_again() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert not _post_to(gone).send({"stage": "x"})


def test_what_control_refuses_is_dropped_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    post = _post_to(lambda _: httpx.Response(401, text="expired"))
    with caplog.at_level(logging.WARNING):
        assert post.send({"stage": "x"})
        assert post.send({"stage": "y"})
    assert caplog.text.count("control refused a report (401): expired") == 1


def test_a_post_travels_without_its_connection() -> None:
    post = _post_to(lambda _: httpx.Response(204))
    post.send({"stage": "x"})
    there: Post = pickle.loads(pickle.dumps(post))  # noqa: S301 - our own
    assert there.__getstate__() == post.__getstate__()
    post.close()


def test_a_new_size_is_told_at_once(told: ControlReporter, post: FakePost) -> None:
    told.resized(3)
    until(lambda: post.taken == [{"workers": 3}], seconds=0.5)


def test_the_size_is_asked_for_every_two_seconds_at_most_and_outlives_a_control_that_is_away(
    told: ControlReporter, post: FakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.answer = SizeView(group="trainers", workers=2)
    assert [told.size() for _ in range(9)] == [post.answer] * 9
    assert post.questions == 1
    monkeypatch.setattr(report, "SIZE_EVERY_S", 0.0)
    told._ask_at = 0.0
    post.there.clear()
    assert (told.size(), post.questions) == (SizeView(group="trainers", workers=2), 2)
    post.there.set()
    post.answer = SizeView(group="trainers", workers=4)
    assert told.size() == post.answer


def test_work_of_a_fixed_size_asks_once_and_under_plain_ray_never(
    told: ControlReporter, post: FakePost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "SIZE_EVERY_S", 0.0)
    assert [told.size() for _ in range(3)] == [None] * 3
    assert post.questions == 1
    assert FileReporter(tmp_path).size() is None


def test_a_size_that_cannot_be_asked_for_yet_is_not_known() -> None:
    told = ControlReporter(FakePost(there=False))
    assert told.size() == SizeView()


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (httpx.Response(200, json={"group": "g", "workers": 2}), SizeView(group="g", workers=2)),
        (httpx.Response(404), SizeView()),
        (httpx.Response(503), None),
        (httpx.Response(200, text="?"), None),
    ],
)
def test_what_control_answers_about_the_size(answer: httpx.Response, size: SizeView | None) -> None:
    post = Post("http://control.test", "key", "a", transport=httpx.MockTransport(lambda _: answer))
    assert post.size() == size
