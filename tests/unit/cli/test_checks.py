"""What `doctor` finds on machines that lack something."""

import errno
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.api import admin
from fabric.cli import checks
from fabric.cli.checks import GIB, Check
from fabric.config.site import Capacity, Site, Tier
from fabric.config.tls import Tls
from tests.certificates import Certificate
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer


def site(*, gpus: float = 0.0, pretend: bool = False, **more: Any) -> Site:
    tier = Tier(name="t", nodes=2, capacity=Capacity(cpus=4, gpus=gpus, memory="6 GiB"), heads=True, pretend=pretend)
    return Site(name="s", tiers=(tier,), **more)


@pytest.mark.parametrize(
    ("check", "status", "advice"),
    [
        (checks.python((3, 11, 7)), "ok", ""),
        (checks.python((3, 12, 0)), "failed", "use Python 3.11"),
        (checks.memory(None, 32 * GIB), "ok", ""),
        (checks.memory(site(), 10 * GIB), "warning", "lower the memory of the site's tiers"),
        (checks.memory(site(), 3 * GIB), "failed", "end other programs"),
        (checks.disk(Path(), 100 * GIB), "ok", ""),
        (checks.disk(Path(), 5 * GIB), "warning", "--state"),
        (checks.disk(Path(), GIB), "failed", "--state"),
        (checks.shared_memory(total=64 * 2**20), "warning", "--shm-size"),
        (checks.shared_memory(total=8 * GIB), "ok", ""),
        (checks.shared_memory(Path("/no/such/folder")), "ok", ""),
        (checks.port("control", 8270, "h", free=True, ours=False), "ok", ""),
        (checks.port("control", 8270, "h", free=False, ours=True), "ok", ""),
        (checks.port("control", 8270, "h", free=False, ours=False), "failed", "--set ports.control=PORT"),
        (checks.gpus(None, list), "ok", ""),
        (checks.gpus(site(gpus=2, pretend=True), list), "ok", ""),
        (checks.gpus(site(gpus=2), list), "failed", "pretend: true"),
        (checks.gpus(site(gpus=2), lambda: ["GPU 0: H100"]), "ok", ""),
        (checks.owner(["compute-fabric"]), "ok", ""),
        (checks.owner([]), "ok", ""),
        (checks.owner(["compute-fabric", "fabric"]), "failed", "make a new environment"),
        (checks.packages(lambda name: "2.60.0"), "ok", ""),
        (checks.packages(lambda name: "2.0.0"), "warning", "tested with Ray 2.60.0"),
        (checks.open_files(1_048_576), "ok", ""),
        (checks.open_files(-1), "ok", ""),
        (checks.open_files(4096), "warning", "ulimit -n 65536"),
        (checks.open_files(256), "failed", "ulimit -n 65536"),
        (checks.temporary_folder("/tmp"), "ok", ""),
        (checks.temporary_folder("/scratch/" + "x" * 60), "failed", "TMPDIR=/tmp"),
        (checks.system("Linux"), "ok", ""),
        (checks.system("Darwin"), "warning", "only Linux is tested"),
    ],
    ids=lambda value: f"{value.name}, {value.found}"[:60] if isinstance(value, Check) else "",
)
def test_what_is_missing_is_said_with_what_to_do(check: Check, status: str, advice: str) -> None:
    assert check.status == status, check
    assert advice in check.advice
    assert bool(check.advice) == (status != "ok")


def test_packages_that_are_not_installed_are_named() -> None:
    def version(name: str) -> str:
        if name == "mlflow":
            raise metadata.PackageNotFoundError(name)
        return "1"

    check = checks.packages(version)
    assert (check.status, check.found) == ("failed", "not installed: mlflow")


def test_this_machine_has_memory_and_the_checks_run() -> None:
    assert checks.available_memory() > 2**20
    assert {check.name for check in checks.quick(None, Path())} >= {
        "python",
        "memory",
        "disk",
        "open files",
        "packages",
    }


def test_a_control_group_limits_memory_and_its_file_cache_counts_as_free(tmp_path: Path) -> None:
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "700"),
        ("memory.stat", "anon 500\ninactive_file 200"),
    ):
        (tmp_path / name).write_text(text)
    assert checks._allowed_memory(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert checks._allowed_memory(tmp_path) is None
    assert checks._allowed_memory(tmp_path / "nothing") is None


@pytest.mark.parametrize("made", ["", "state", "state/artifacts"], ids=["no state", "no artifacts", "artifacts"])
def test_artifacts_can_be_written_and_read_and_nothing_stays(tmp_path: Path, made: str) -> None:
    (tmp_path / made).mkdir(parents=True, exist_ok=True)
    check = checks.artifacts(tmp_path / "state")
    assert (check.status, check.found) == ("ok", f"{tmp_path / made} gives back what is written")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_artifacts_that_cannot_be_written_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    check = checks.artifacts(tmp_path)
    assert (check.status, check.found) == ("failed", f"{tmp_path}: No space left on device")
    assert "--state" in check.advice


def test_artifacts_that_come_back_different_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"something else")
    check = checks.artifacts(tmp_path)
    assert (check.status, check.found) == ("failed", f"{tmp_path} gives back other bytes than were written")


@pytest.mark.slow
def test_doctor_looks_at_the_artifacts_and_up_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ray_imports", lambda: Check("ray", "ok", "loads"))
    assert "artifacts" in {check.name for check in checks.thorough(None, tmp_path)}
    assert "artifacts" not in {check.name for check in checks.quick(None, tmp_path)}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which all is well and all ports are taken."""
    found = [Check("python", "ok", "3.11.9")]
    monkeypatch.setattr(checks, "thorough", lambda site, state: found)
    monkeypatch.setattr(checks, "port_is_free", lambda host, number: False)


def test_ports_of_a_fabric_that_is_up_are_fine(control: FakeControl, run: Run, machine: None) -> None:
    health = admin.Health(status="ok", site="laptop", version="0.1.0", active=0, loop_age_s=0.1)
    control.on("GET /api/fabric/health", answer(health))
    said = run("doctor")
    assert said.exit_code == 0
    assert "ok    port control       127.0.0.1:8270 is this fabric's\n" in said.stdout


def test_ports_of_another_program_are_a_failure(control: FakeControl, run: Run, machine: None) -> None:
    control.on("GET /api/fabric/health", httpx.Response(200, text="<html>"))
    said = run("doctor")
    assert said.exit_code == 1
    assert "FAIL  port gateway       127.0.0.1:8271 is in use\n" in said.stdout
    assert "choose another with --set ports.gateway=PORT" in said.stdout


def test_the_answer_of_doctor_may_be_json(control: FakeControl, run: Run, machine: None) -> None:
    told = json.loads(run("doctor", "--json").stdout)["checks"]
    assert told[0] == {"name": "python", "status": "ok", "found": "3.11.9", "advice": ""}
    assert [check["status"] for check in told] == ["ok", "failed", "failed", "failed"]


def test_the_site_of_doctor_must_be_right(run: Run, tmp_path: Path, machine: None) -> None:
    (tmp_path / "site.yaml").write_text("name: x\ntiers: []\n")
    said = run("doctor", "--site", "site.yaml")
    assert said.exit_code == 2
    assert said.stderr.startswith("error: site.yaml: tiers: ")


@pytest.mark.parametrize(
    ("host", "tls", "status", "found"),
    [
        ("127.0.0.1", False, "ok", "not needed: only this machine is listened to"),
        ("0.0.0.0", False, "warning", "0.0.0.0 is listened on without"),
        ("fabric.example", True, "ok", "a.example.pem is taken for a.example"),
        ("127.0.0.1", True, "ok", "a.example.pem is taken for a.example"),
    ],
)
def test_keys_are_not_sent_over_a_network_unencrypted_without_a_warning(
    tmp_path: Path, host: str, tls: bool, status: str, found: str
) -> None:
    made = Certificate.make(tmp_path, "a.example")
    named = Tls(cert=str(made.cert), key=str(made.key), name="a.example") if tls else None
    check = checks.encryption(site(host=host, tls=named))
    assert (check.status, check.found.endswith(found)) == (status, True), check


def test_a_certificate_that_clients_would_refuse_is_a_failure(tmp_path: Path) -> None:
    made = Certificate.make(tmp_path, "a.example")
    check = checks.encryption(site(tls=Tls(cert=str(made.cert), key=str(made.key))))
    assert (check.status, check.advice) == ("failed", "clients call 127.0.0.1; `tls.name` may say another name")
    assert "IP address mismatch" in check.found


SHARED = """\
name: tiny
tiers: [{name: all, nodes: 2, capacity: {cpus: 4, memory: 6 GiB}, heads: true}]
store: {url: "postgresql://fabric@db/fabric"}
"""


@pytest.mark.parametrize(
    ("control_says", "line"),
    [
        (
            '[{"name": "database", "status": "ok", "found": "answers", "advice": ""}]',
            "ok    database           answers",
        ),
        (None, "FAIL  site               no such host"),
    ],
)
def test_doctor_asks_control_for_what_the_site_relies_on(
    run: Run, tmp_path: Path, machine: None, monkeypatch: pytest.MonkeyPatch, control_says: str | None, line: str
) -> None:
    asked: list[list[str]] = []

    def answers(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        if control_says is None:
            raise subprocess.CalledProcessError(2, command, "", "error: no such host\n")
        return subprocess.CompletedProcess(command, 0, control_says, "")

    (tmp_path / "site.yaml").write_text(SHARED)
    monkeypatch.setattr(subprocess, "run", answers)
    assert line in run("doctor", "--site", "site.yaml").stdout
    assert asked[0][1:] == ["-m", "fabric.control", "check", "--site", "site.yaml"]
