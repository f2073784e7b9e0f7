"""The command `top`."""

import httpx
import pytest

from fabric.api import admin
from fabric.api.occupancy import OCCUPANCY, BookingView, OccupancyView, Steps
from fabric.api.overview import OVERVIEW, Amounts, Overview, PromisesView, TierView
from fabric.api.use import UseAmounts
from fabric.cli import show, top, watching
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

ASK, AHEAD = f"GET {OVERVIEW}", f"GET {OCCUPANCY}"
NOBODY = PromisesView(num=0, num_kept=0, within_s=1.0)
KEPT = PromisesView(num=8, num_kept=7, within_s=1.0, p50_s=-2.0, p95_s=12.25, worst_s=12.25)
GPU = TierView(
    name="gpu", nodes=3, ready=2, total=Amounts(cpus=8, gpus=4, memory_bytes=12 * 2**30),
    free=Amounts(cpus=3, gpus=1, memory_bytes=6 * 2**30), held={"batch": Amounts(cpus=5, gpus=3, memory_bytes=2**30)},
)  # fmt: skip


def coming(*bookings: BookingView, num: int | None = None) -> OccupancyView:
    steps = Steps(begins=1_100.0, step_s=1.0, num=0)
    number = len(bookings) if num is None else num
    return OccupancyView(at=1_100.0, past=steps, ahead=steps, tiers=(), bookings=bookings, num_bookings=number)


@pytest.fixture(autouse=True)
def nothing_ahead(control: FakeControl) -> None:
    control.on(AHEAD, answer(coming()))


def glance(**more: object) -> Overview:
    given = {"site": "toy", "at": 1_100.0, "tiers": (GPU,), "num_waiting": 0, "promises": NOBODY}
    return Overview.model_validate({**given, **more})


def test_it_shows_tiers_queue_services_and_promises(control: FakeControl, run: Run) -> None:
    waits = (
        view("a", "queued", expected_start=2_000.0, promised=True, message="waits: 1 GPU short"),
        view("b", "queued", expected_start=3_000.0, message="behind a"),
    )
    serves = (view("s", kind="service", condition="ready", message="running"),)
    found = glance(num_waiting=2, queue=waits, services=serves, running={"batch": 3}, promises=KEPT)
    control.on(ASK, answer(found))
    lines = [" ".join(line.split()) for line in run("top").stdout.splitlines() if line.strip()]
    assert lines == [
        f"toy at {show.clock(1_100.0)}: 2 wait, jobs that run: 3 batch",
        "TIER NODES GPUS CPUS MEMORY HELD BY",
        "gpu 2 of 3 1 / 4 3 / 8 6 GiB / 12 GiB batch 5 CPUs, 3 GPUs, 1 GiB",
        "WAITS CLASS AGE STARTS WHY",
        f"a batch 1m40s by {show.clock(2_000.0)} waits: 1 GPU short",
        f"b batch 1m40s about {show.clock(3_000.0)} behind a",
        "SERVES STATE AGE ON MESSAGE",
        "s running (ready) 1m40s - running",
        "promises 7 of 8 kept (87.5%, within 1 s); start against promise: median -2.0 s, p95 +12.2 s, worst +12.2 s",
    ]
    assert Overview.model_validate_json(run("top", "--json").stdout) == found


def test_it_shows_what_is_set_aside_or_taken_away_ahead(control: FakeControl, run: Run) -> None:
    gpus = {"gpu": Amounts(cpus=2, gpus=4, memory_bytes=2**30)}
    window = BookingView(kind="window", name="upgrade", starts_at=2_000.0, ends_at=3_000.0, amounts=gpus, nodes=2)
    forecast = BookingView(kind="forecast", name="chat", starts_at=2_500.0, amounts={}, replicas=1)
    control.on(ASK, answer(glance())).on(AHEAD, answer(coming(window, forecast, num=40)))
    lines = [" ".join(line.split()) for line in run("top").stdout.splitlines() if line.strip()]
    assert lines[-5:-1] == [
        "AHEAD FROM UNTIL AMOUNT FOR",
        f"window {show.clock(2_000.0)} {show.clock(3_000.0)} gpu 2 CPUs, 4 GPUs, 1 GiB upgrade",
        f"forecast {show.clock(2_500.0)} - - chat",
        f"and {40 - top.MOST_AHEAD} more",
    ]
    assert dict(control.asked[-1].url.params) == {"back_s": "0"}


def test_what_all_work_uses_is_one_line(control: FakeControl, run: Run) -> None:
    use = UseAmounts(cpus=12.4, of_cpus=40.0, memory_bytes=0, of_memory_bytes=2**40, gpus=1.5, of_gpus=4.0)
    control.on(ASK, answer(glance(use=use, num_measured=3, num_holding=5)))
    said = "uses       1.5 of 4 GPUs, 12 of 40 CPUs, 0 of 1 TiB, by the 3 of 5 that are measured\n"
    assert said in run("top", "--once").stdout


def test_an_empty_site_says_that_nobody_was_promised_anything(control: FakeControl, run: Run) -> None:
    control.on(ASK, answer(glance()))
    said = run("top", "--once").stdout
    assert "nobody who has started was promised a start" in said
    assert "WAITS" not in said


def test_a_long_queue_is_counted(control: FakeControl, run: Run) -> None:
    queue = tuple(view(f"w{number:03d}", "queued") for number in range(100))
    control.on(ASK, answer(glance(num_waiting=250, queue=queue)))
    said = run("top").stdout
    assert f"w{top.MOST_SHOWN - 1:03d}" in said
    assert f"w{top.MOST_SHOWN:03d}" not in said
    assert f"and {250 - top.MOST_SHOWN} more" in said


def test_going_on_and_not_going_on_is_refused(run: Run) -> None:
    said = run("top", "--watch", "--once")
    assert said.exit_code == 2
    assert "Give one of them" in said.stderr


def test_watching_prints_json_only_when_more_than_the_time_changed(
    control: FakeControl, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaves(request: httpx.Request) -> httpx.Response:
        return refusal(404, "not_found", "enough")

    control.on(ASK, answer(glance()), answer(glance(at=1_101.0)), answer(glance(num_waiting=1)), leaves)
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.0)
    assert run("top", "--watch", "--json").stdout.count('"num_waiting"') == 2


def test_watching_shows_tables_until_it_is_interrupted(
    control: FakeControl, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    control.on(ASK, answer(glance(promises=KEPT)))
    monkeypatch.setattr("time.sleep", interrupted)
    said = run("top", "--watch")
    assert said.exit_code == 130
    assert "7 of 8 kept" in said.stdout


@pytest.mark.parametrize(
    ("what", "fields", "line"),
    [
        (
            "set aside",
            {"expected_start": 2_000.0, "promised": True, "promised_start": 2_000.0},
            "starts     promised to start by {2000} (set aside: nobody may delay it)",
        ),
        (
            "set aside, earlier than at first",
            {"expected_start": 2_000.0, "promised": True, "promised_start": 2_100.0},
            "starts     promised to start by {2000} (set aside: nobody may delay it; first promised {2100})",
        ),
        ("not set aside", {"expected_start": 2_000.0}, "starts     expected about {2000}"),
        (
            "set aside no more",
            {"expected_start": 2_000.0, "promised_start": 2_100.0},
            "starts     expected about {2000} (first promised {2100}; nothing is set aside for it now)",
        ),
        (
            "started as promised",
            {"state": "running", "promised_start": 2_100.0, "granted_at": 2_100.4},
            "started    {2100}, promised {2100} (as promised)",
        ),
        (
            "started early",
            {"state": "running", "promised_start": 2_100.0, "granted_at": 2_000.0},
            "started    {2000}, promised {2100} (1m40s early)",
        ),
        (
            "started late",
            {"state": "succeeded", "promised_start": 2_000.0, "granted_at": 2_100.0},
            "started    {2100}, promised {2000} (1m40s late)",
        ),
    ],
)
def test_explain_tells_a_promise_from_an_expectation(
    control: FakeControl, run: Run, what: str, fields: dict[str, object], line: str
) -> None:
    told = admin.ExplanationView(workload=view(**{"name": "a", "state": "queued", **fields}))  # type: ignore[arg-type]
    control.on("GET /api/fabric/workloads/a/explain", answer(told))
    for instant in (2_000, 2_100):
        line = line.replace(f"{{{instant}}}", show.clock(float(instant)))
    assert line in run("explain", "a").stdout.splitlines(), what
