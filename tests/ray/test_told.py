"""What a job is told of its grant and what it tells of itself, seen from outside while it runs."""

import json
import re
import statistics
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.control.logins import TOKEN_OUTLIVES_S
from tests.ray.live import Live, until

pytestmark = pytest.mark.timeout(500)
TELLER = """
import json, os, pathlib, time
from fabric.sdk.report import reporter

tell = reporter(pathlib.Path("unused"))
tell.stage("imports")
import mlflow

mlflow.set_experiment("told")
with mlflow.start_run():
    mlflow.log_metric("loss", 0.5)
tell.stage("work")
tell.progress(3, 10, "steps", loss=0.5)
tell.checkpointed("file:///nowhere/step-3", 3, 100, 0.25)
told = {name: value for name, value in os.environ.items() if name.startswith(("FABRIC_", "MLFLOW_TRACKING_URI"))}
folder = pathlib.Path(told["FABRIC_ARTIFACTS"].removeprefix("file://")) / "told"
folder.mkdir(parents=True)
(folder / "told.partial").write_text(json.dumps(told))
(folder / "told.partial").replace(folder / "told.json")
while not (folder / "enough").exists():
    print("clock", time.time(), flush=True)
    time.sleep(0.2)
"""
"""As long as it runs, its output says what time it is."""


@dataclass
class Teller:
    """The job that tells, while it runs and afterwards."""

    live: Live
    told: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where it is told."""
        return self.live.state / "artifacts" / "default" / "told"

    def status(self) -> int:
        """What a question with its token is answered with."""
        mine = {"Authorization": f"Bearer {self.told['FABRIC_TOKEN']}"}
        return httpx.get(f"{self.live.address}/api/fabric/workloads/teller", headers=mine, timeout=30).status_code

    def age_of_output_s(self) -> float:
        """At least how old the newest line is that the fabric shows."""
        now = time.time()
        log = httpx.get(f"{self.live.address}/api/jobs/teller/logs", timeout=30).raise_for_status().json()["logs"]
        return now - float(log.rpartition("clock ")[2].split()[0])


@pytest.fixture(scope="module")
def teller(shared: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    """Submitted; it runs until a test lets it end."""
    folder = tmp_path_factory.mktemp("teller")
    (folder / "teller.py").write_text(TELLER)
    submit = ("submit", "--no-wait", "--submission-id", "teller", "--working-dir", str(folder))
    shared.ray(*submit, "--metadata-json", '{"fabric.memory": "2 GiB"}', "--", "python", "teller.py")
    teller = Teller(shared, {})
    file = teller.folder / "told.json"
    until(file.exists, 300, lambda: shared.explained("teller") + shared.ray("logs", "teller").stdout)
    teller.told = json.loads(file.read_text())
    yield teller
    shared.stop_all(["teller"] if "teller" in shared.active() else [])


def test_a_job_is_told_who_it_is_and_how_long_its_grace_is(teller: Teller) -> None:
    live = teller.live
    expected = {
        "FABRIC_ADDRESS": live.address,
        "FABRIC_WORKLOAD": "teller",
        "FABRIC_ATTEMPT": "1",
        "FABRIC_USER": "local administrator",
        "FABRIC_GRACE_S": f"{live.grace_s:g}",
        "FABRIC_CLUSTER": "teller-1",
        "FABRIC_ARTIFACTS": (live.state / "artifacts" / "default").as_uri(),
        "MLFLOW_TRACKING_URI": f"{live.address}/mlflow",
    }
    assert {name: teller.told[name] for name in expected} == expected
    assert teller.status() == 200, "its token opens what is its own"


def test_what_a_job_tells_reaches_explain_while_it_runs(teller: Teller) -> None:
    def progress() -> Any:
        return teller.live.workload("teller")["progress"]

    until(lambda: progress()["checkpoint_uri"] is not None, 30, lambda: str(progress()))
    told = progress()
    assert (told["stage"], told["done"], told["total"], told["unit"]) == ("work", 3, 10, "steps")
    assert (told["metrics"], told["checkpoint_uri"], told["checkpoint_step"]) == (
        {"loss": 0.5},
        "file:///nowhere/step-3",
        3,
    )
    explained = teller.live.explained("teller")
    assert "reports    work, 3 of 10 steps, loss 0.5" in explained
    assert "saved      file:///nowhere/step-3 (step 3)" in explained


def test_what_a_job_gave_to_mlflow_is_there_for_others(teller: Teller) -> None:
    live = teller.live
    with httpx.Client(base_url=f"{live.address}/mlflow/api/2.0/mlflow", timeout=60) as mlflow:
        mlflow.headers["Authorization"] = f"Bearer {live.key}"
        asked = {"experiment_name": "told"}
        found = mlflow.get("/experiments/get-by-name", params=asked).raise_for_status().json()["experiment"]
        runs = mlflow.post("/runs/search", json={"experiment_ids": [found["experiment_id"]]}).raise_for_status().json()
    assert [(m["key"], m["value"]) for run in runs["runs"] for m in run["data"]["metrics"]] == [("loss", 0.5)]


def test_output_shows_a_few_seconds_after_it_was_written(teller: Teller) -> None:
    ages = []
    for _ in range(15):
        ages.append(teller.age_of_output_s())
        time.sleep(0.4)
    print(f"output shows after {statistics.median(ages):.1f} s (median), {max(ages):.1f} s (most)")
    assert statistics.median(ages) < 4


def test_a_job_at_the_end_of_its_walltime_saves_inside_its_grace(live: Live, tmp_path: Path) -> None:
    (tmp_path / "timed.py").write_text(
        textwrap.dedent(f"""
        import pathlib, signal, sys, time
        folder = pathlib.Path({str(tmp_path)!r})

        def on_notice(*_):
            (folder / "asked").write_text(str(time.time()))
            time.sleep(1)
            (folder / "saved").write_text(str(time.time()))
            sys.exit(0)

        signal.signal(signal.SIGTERM, on_notice)
        print("works", flush=True)
        time.sleep(600)
        """)
    )
    live.ray(
        "submit", "--no-wait", "--submission-id", "timed", "--metadata-json", '{"fabric.walltime": "20"}',
        "--", "python", str(tmp_path / "timed.py"),
    )  # fmt: skip
    ended = live.wait("timed", "succeeded", "failed", "cancelled")
    assert (ended["state"], ended["failures"]) == ("failed", 0)
    assert ended["message"] == "failed (walltime): walltime of 20 s is over"
    asked, saved = (float((tmp_path / name).read_text()) for name in ("asked", "saved"))
    assert ended["running_at"] + 20 - live.grace_s <= asked
    assert saved <= ended["ended_at"] + 1, "it ended after it had saved"
    assert "works" in live.ray("logs", "timed").stdout


def test_a_job_that_takes_more_memory_than_granted_is_stopped_and_its_slice_named(live: Live, tmp_path: Path) -> None:
    (tmp_path / "hog.py").write_text(
        "import time\nprint('takes it', flush=True)\nheld = b'1' * (900 * 2**20)\ntime.sleep(600)\n"
    )
    live.ray(
        "submit", "--no-wait", "--submission-id", "hog",
        "--metadata-json", '{"fabric.memory": "512 MiB", "fabric.max_failures": "0"}',
        "--", "python", str(tmp_path / "hog.py"),
    )  # fmt: skip
    ended = live.wait("hog", "succeeded", "failed")
    assert (ended["state"], ended["attempt"]) == ("failed", 1)
    said = r"slice workers-0 on commodity-\d uses \d\.\d\d GiB of 512 MiB granted; ask for more memory in its group"
    assert re.search(said, ended["message"]), ended["message"]
    log = live.ray("logs", "hog").stdout
    assert "takes it" in log
    assert re.search(r"\[fabric\] " + said, log), log


def test_the_token_of_a_job_opens_nothing_a_minute_after_its_end(teller: Teller) -> None:
    (teller.folder / "enough").touch()
    ended = teller.live.wait("teller", "succeeded", "failed")
    assert ended["state"] == "succeeded"
    until(lambda: teller.status() == 401, TOKEN_OUTLIVES_S + 30, lambda: f"still {teller.status()}")
    assert time.time() > ended["ended_at"] + TOKEN_OUTLIVES_S
