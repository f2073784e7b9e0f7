"""`up` and `down` with small programs in the place of control and gateway."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fabric.api import admin
from fabric.cli import checks, down, startup
from fabric.cli.checks import Check
from fabric.cli.local import LocalFabric
from fabric.cli.processes import Running
from fabric.cli.supervisor import Program, Supervisor
from fabric.cli.up import farewell
from fabric.config import env
from fabric.config.load import load
from fabric.config.site import Capacity, Site, Tier
from fabric.core.errors import Conflict, Unavailable
from fabric.sdk.target import target
from tests.unit.cli.conftest import SITE, Run, interrupt, once_up
from tests.unit.cli.test_processes import SLEEP
from tests.unit.sdk.fakes import FakeControl, Handler, answer

HEALTH, SHUTDOWN = "GET /api/fabric/health", "POST /api/fabric/shutdown"


def health(active: int) -> httpx.Response:
    return answer(admin.Health(status="ok", site="tiny", version="0.1.0", active=active, loop_age_s=0.1))


def test_up_tells_where_it_is_and_after_ctrl_c_that_work_goes_on(
    run: Run, small: Callable[..., None], local: LocalFabric, control: FakeControl
) -> None:
    small()
    control.on(HEALTH, health(active=2))
    once_up(local, interrupt)
    said = run("up", "--site", "site.yaml", "--set", "ports.control=9270")
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[0] == "fabric tiny is up"
    assert "http://127.0.0.1:9270" in lines[1]
    assert "http://127.0.0.1:8271/v1" in lines[2]
    assert "http://127.0.0.1:8272" in lines[3]
    assert lines[4].split(maxsplit=1)[1] == "2 × all (4 CPUs, 2 GPUs, 6 GiB, GPUs only counted)"
    assert lines[-1] == "the fabric has ended; 2 workloads go on, and the next `fabric up` adopts them"
    assert "WARN  memory" in said.stderr
    assert (local.running(), local.address()) == (None, None)


def test_the_site_in_force_is_written_down_with_its_overrides(
    run: Run, small: Callable[..., None], local: LocalFabric, control: FakeControl
) -> None:
    small()
    once_up(local, interrupt)
    run("up", "--site", "site.yaml", "--set", "ports.control=9270")
    expected = load(Site, Path("site.yaml"), ["ports.control=9270"])
    assert load(Site, local.site_file) == expected


def test_clients_find_a_fabric_on_another_port_while_it_is_up(
    run: Run, small: Callable[..., None], local: LocalFabric
) -> None:
    found: list[str] = []

    def look() -> None:
        found.append(target().address)
        interrupt()

    small()
    once_up(local, look)
    run("up", "--site", "site.yaml", "--set", "ports.control=9270")
    assert found == ["http://127.0.0.1:9270"]
    assert target().address == "http://127.0.0.1:8270"


def test_up_ends_when_control_ended_because_it_was_asked_to(
    run: Run, small: Callable[..., None], local: LocalFabric
) -> None:
    small(control="import time; time.sleep(0.3)")
    said = run("up", "--site", "site.yaml")
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (0, "the fabric has ended")


@pytest.mark.slow
def test_a_control_that_was_killed_is_started_again(
    run: Run, small: Callable[..., None], local: LocalFabric, tmp_path: Path, control: FakeControl
) -> None:
    mark = str(tmp_path / "was-here")
    small(
        control=f"""
import os, time
if os.path.exists({mark!r}):
    raise SystemExit(0)
while not os.path.exists({str(local.folder / "address")!r}):
    time.sleep(0.01)
open({mark!r}, 'w').close()
os.kill(os.getpid(), 9)
""",
    )
    said = run("up", "--site", "site.yaml")
    assert said.exit_code == 0
    assert "control was ended by SIGKILL after 0 s; starting it again in 0.5 s" in said.stderr


def test_a_second_up_on_the_same_folder_is_refused(run: Run, small: Callable[..., None], local: LocalFabric) -> None:
    small()
    assert local.lock.take()
    said = run("up", "--site", "site.yaml")
    local.lock.release()
    assert said.exit_code == 2
    assert said.stderr.startswith(f"error: a fabric is up already on {local.folder}")
    assert "`fabric down`" in said.stderr


def test_what_an_up_that_was_killed_left_behind_does_not_matter(
    run: Run, small: Callable[..., None], local: LocalFabric
) -> None:
    for name in ("up.lock", "control.lock"):
        (local.folder / name).touch()
    (local.folder / "up.pid").write_text(f"{os.getpid()}\n1\n")
    (local.folder / "address").write_text("http://127.0.0.1:1\n")
    small(control="pass", healthy=lambda: False)
    said = run("up", "--site", "site.yaml")
    assert "control ended with code 0 while starting" in said.stderr


def test_a_control_that_holds_the_folder_is_named(run: Run, small: Callable[..., None], local: LocalFabric) -> None:
    small()
    assert local.control_lock.take()
    said = run("up", "--site", "site.yaml")
    local.control_lock.release()
    assert said.exit_code == 2
    assert "a control process holds" in said.stderr


def test_a_port_in_use_is_named_with_what_to_do(
    run: Run, small: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    small()
    monkeypatch.setattr(checks, "port_is_free", lambda host, number: number != 8271)
    said = run("up", "--site", "site.yaml")
    assert said.exit_code == 2
    assert said.stderr.splitlines()[-1] == (
        "error: port 127.0.0.1:8271 is in use: end the program that holds it, "
        "or choose another with --set ports.gateway=PORT"
    )


def test_a_machine_that_lacks_something_is_refused(
    run: Run, small: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    small()
    monkeypatch.setattr(checks, "quick", lambda site, state: [Check("memory", "failed", "1 GiB", "end other programs")])
    said = run("up", "--site", "site.yaml")
    assert said.exit_code == 2
    assert said.stderr == "error: memory: 1 GiB; end other programs. `fabric doctor` checks everything.\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--site", "nothing.yaml"), "nothing.yaml: no such file"),
        (("--site", "site.yaml", "--set", "ports.control=8265"), "8265 is Ray's own dashboard port"),
        (("--site", "site.yaml", "--set", "ports.door=1"), "ports.door: unknown key"),
        (("--site", "site.yaml", "--set", "ports"), "write it as path=value"),
        ((), "which site? Give --site FILE"),
    ],
)
def test_a_bad_site_is_one_line(run: Run, local: LocalFabric, words: tuple[str, ...], problem: str) -> None:
    said = run("up", *words)
    assert said.exit_code == 2
    assert problem in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(("code", "exit_code"), [(3, 2), (1, 4)])
def test_a_control_that_does_not_start_is_told_by_its_last_line(
    run: Run, small: Callable[..., None], local: LocalFabric, code: int, exit_code: int
) -> None:
    small(control=f"import sys; print('error: no database', file=sys.stderr); sys.exit({code})", healthy=lambda: False)
    said = run("up", "--site", "site.yaml")
    assert said.exit_code == exit_code
    assert said.stderr.splitlines()[-1] == (
        f"error: control ended with code {code} while starting: no database (log: {local.folder}/control.log)"
    )
    assert local.running() is None


def test_programs_that_never_answer_are_given_up(local: LocalFabric) -> None:
    supervisor = Supervisor([Program("control", (sys.executable, "-c", SLEEP), local.log("control"))], print)
    supervisor.start()
    with pytest.raises(Unavailable, match="do not both answer after 0 s"):
        startup.wait_until_healthy(supervisor, lambda: False, lambda: False, longest_s=0.0)
    supervisor.stop(5.0)


def test_the_programs_are_control_gateway_and_console_with_the_site_in_force(local: LocalFabric) -> None:
    control, gateway, console = startup.programs(load(Site, local.folder.parent / "site.yaml"), local)
    folder = str(local.folder)
    assert control.command[1:] == ("-m", "fabric.control", "serve", "--site", f"{folder}/site.yaml", "--state", folder)
    assert gateway.command[1:3] == ("-m", "fabric.gateway")
    listen = ("--host", "127.0.0.1", "--port", "8271")
    assert gateway.command[3:] == (*listen, "--control", "http://127.0.0.1:8270", "--state", folder)
    assert console.command[1:7] == ("-m", "fabric.console", "--host", "127.0.0.1", "--port", "8272")
    others = ("--control", "http://127.0.0.1:8270", "--gateway", "http://127.0.0.1:8271", "--state", folder)
    assert console.command[7:] == others
    assert (control.ends_all, gateway.ends_all, console.ends_all) == (True, False, False)


def test_a_site_may_have_no_console_and_one_that_trusts_its_machine_says_so(local: LocalFabric) -> None:
    file = local.folder.parent / "site.yaml"
    assert [p.name for p in startup.programs(load(Site, file, ["ports.console=null"]), local)] == ["control", "gateway"]
    assert startup.programs(load(Site, file, ["anonymous=true"]), local)[2].command[-1] == "--anonymous"


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:1"), ("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")],
)
def test_a_host_that_means_every_address_is_reached_on_this_machine(host: str, address: str) -> None:
    tier = Tier(name="t", nodes=1, capacity=Capacity(cpus=4, memory="6 GiB"), heads=True)
    assert Site(name="s", host=host, tiers=(tier,)).url(1) == address


@pytest.mark.parametrize(
    ("going_on", "asked", "words"),
    [
        (0, True, "the fabric has ended; nothing was running"),
        (1, True, "the fabric has ended; 1 workload goes on, and the next `fabric up` adopts it"),
        (None, True, "the fabric has ended; work that was running goes on, and the next `fabric up` adopts it"),
        (None, False, "the fabric has ended"),
    ],
)
def test_the_last_line_tells_what_goes_on(going_on: int | None, asked: bool, words: str) -> None:
    assert farewell(going_on, asked=asked) == words


def test_down_without_up_says_that_nothing_is_running(run: Run, local: LocalFabric) -> None:
    said = run("down")
    assert (said.exit_code, said.stdout) == (0, f"nothing is running on {local.folder}\n")


@pytest.fixture
def upping(local: LocalFabric, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the state folder names as its `fabric up`."""
    monkeypatch.setattr(down, "ASKED_S", 0.05)
    monkeypatch.setattr(down, "_LOOK_EVERY_S", 0.01)
    process = subprocess.Popen([sys.executable, "-c", SLEEP])
    running = Running.now(process.pid)
    assert running is not None
    running.write(local.folder / "up.pid")
    local.announce("http://127.0.0.1:8270")
    yield process
    process.kill()
    process.wait()


def ended(upping: subprocess.Popen[bytes]) -> Handler:
    """The last answer of control about how it is: nothing is left, and `fabric up` ends by itself."""

    def ends(request: httpx.Request) -> httpx.Response:
        upping.terminate()
        return health(active=0)

    return ends


def test_down_waits_until_the_work_has_left_and_up_has_ended(
    run: Run, control: FakeControl, upping: subprocess.Popen[bytes]
) -> None:
    control.on(SHUTDOWN, httpx.Response(202))
    control.on(HEALTH, health(active=2), health(active=2), health(active=1), ended(upping))
    said = run("down")
    assert (said.exit_code, said.stdout) == (0, "the fabric has ended; its work has left\n")
    assert said.stderr.splitlines()[:2] == ["2 workloads left", "1 workload left"]
    assert control.asked[0].content == b'{"kill":false}'


@pytest.mark.parametrize("started", [True, False], ids=["up", "still starting"])
def test_down_speaks_to_its_own_fabric_whatever_the_environment_is_set_for(
    run: Run,
    control: FakeControl,
    upping: subprocess.Popen[bytes],
    local: LocalFabric,
    monkeypatch: pytest.MonkeyPatch,
    started: bool,
) -> None:
    monkeypatch.setenv(env.TOKEN, "for another fabric")
    monkeypatch.setenv(env.ADDRESS, "http://other.test:8270")
    (local.folder / env.ADMIN_KEY_FILE).write_text("own\n")
    if not started:
        local.site_file.write_text(SITE)
        (local.folder / "address").unlink()
    control.on(SHUTDOWN, httpx.Response(202))
    control.on(HEALTH, ended(upping))
    assert run("down", "--now").exit_code == 0
    assert {request.url.host for request in control.asked} == {"127.0.0.1"}
    assert {request.headers["Authorization"] for request in control.asked} == {"Bearer own"}


def test_down_asks_nobody_where_it_does_not_know_its_own_fabric(
    run: Run, control: FakeControl, upping: subprocess.Popen[bytes], local: LocalFabric
) -> None:
    (local.folder / "address").unlink()
    assert run("down").exit_code == 4
    assert control.asked == []
    assert upping.wait() == -signal.SIGTERM


def test_down_now_kills(run: Run, control: FakeControl, upping: subprocess.Popen[bytes]) -> None:
    control.on(SHUTDOWN, httpx.Response(202))
    control.on(HEALTH, ended(upping))
    said = run("down", "--now")
    assert (said.exit_code, said.stdout) == (0, "the fabric has ended; its work was killed\n")
    assert control.asked[0].content == b'{"kill":true}'


@pytest.mark.parametrize(("flags", "kill"), [((), b'{"kill":false}'), (("--now",), b'{"kill":true}')])
def test_a_control_that_is_started_again_while_it_drains_is_asked_again(
    run: Run, control: FakeControl, upping: subprocess.Popen[bytes], flags: tuple[str, ...], kill: bytes
) -> None:
    gone = httpx.ConnectError("gone")
    control.on(SHUTDOWN, httpx.Response(202), gone, httpx.Response(202))
    control.on(
        HEALTH, health(active=2), gone, gone, health(active=2), health(active=2), health(active=1), ended(upping)
    )
    said = run("down", *flags)
    assert said.exit_code == 0
    assert [asked.content for asked in control.asked if asked.method == "POST"] == [kill] * 3, "once it was not heard"
    assert said.stderr.splitlines()[:2] == ["2 workloads left", "1 workload left"]


@pytest.mark.parametrize("answers", [(health(active=2),), ()], ids=["while it drains", "before anything was seen"])
def test_down_does_not_say_that_work_has_left_if_control_is_gone_for_good(
    run: Run,
    control: FakeControl,
    upping: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[httpx.Response, ...],
) -> None:
    monkeypatch.setattr(down, "AWAY_S", 0.05)
    control.on(SHUTDOWN, httpx.Response(202))
    control.on(HEALTH, *answers, httpx.ConnectError("gone"))
    said = run("down")
    assert (said.exit_code, said.stdout) == (4, "")
    assert "work that was running may go on" in said.stderr
    assert upping.wait() == -signal.SIGTERM


def test_down_ends_an_up_whose_control_does_not_answer_and_says_that_work_may_go_on(
    run: Run, control: FakeControl, upping: subprocess.Popen[bytes]
) -> None:
    control.on(SHUTDOWN, httpx.ConnectError("refused"))
    said = run("down")
    assert said.exit_code == 4
    assert "work that was running may go on" in said.stderr
    assert upping.wait() == -signal.SIGTERM


def test_an_up_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(down, "_LOOK_EVERY_S", 0.01)
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); {SLEEP}"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        running = Running.now(process.pid)
        assert running is not None
        down.end(running, longest_s=0.1)
        assert process.wait() == -signal.SIGKILL


def test_what_is_written_down_is_removed_only_by_who_wrote_it(local: LocalFabric) -> None:
    (local.folder / "up.pid").write_text("1\n1\n")
    local.announce("http://127.0.0.1:1")
    local.forget()
    assert local.address() == "http://127.0.0.1:1"


def test_a_conflict_is_raised_at_once_where_nothing_was_left_behind(
    local: LocalFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "port_is_free", lambda host, number: False)
    monkeypatch.setattr(startup, "PREDECESSOR_S", 60.0)
    with pytest.raises(Conflict, match=r"8270 is in use.*ports\.control=PORT"):
        startup.wait_for_predecessor(load(Site, local.folder.parent / "site.yaml"), local)
