"""`up` with a certificate."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fabric.cli import startup
from fabric.cli.local import LocalFabric
from fabric.config import env
from fabric.config.load import load
from fabric.config.site import Site
from fabric.sdk.target import target
from tests.unit.cli.conftest import Run, interrupt, once_up


def test_a_certificate_by_flags_reaches_every_program_and_clients_believe_it(
    run: Run, small: Callable[..., None], local: LocalFabric
) -> None:
    believed: list[str] = []

    def look() -> None:
        believed.append(Path(str(target().ca)).read_text())
        believed.append(target().address)
        interrupt()

    Path("a.pem").write_text("certificate")
    small()
    once_up(local, look)
    assert run("up", "--site", "site.yaml", "--tls-cert", "a.pem", "--tls-key", "a.key").exit_code == 0
    assert believed == ["certificate", "https://127.0.0.1:8270"]
    site = load(Site, local.site_file)
    assert site.tls is not None
    assert (site.tls.cert, site.tls.key) == (str(Path("a.pem").absolute()), str(Path("a.key").absolute()))


def test_gateway_and_console_are_given_the_certificate_of_the_site(local: LocalFabric) -> None:
    tls = ["tls.cert=/a.pem", "tls.key=/a.key"]
    _, gateway, console = startup.programs(load(Site, local.folder.parent / "site.yaml", tls), local)
    for program in (gateway, console):
        assert program.command[-4:] == ("--tls-cert", "/a.pem", "--tls-key", "/a.key")
        assert "https://127.0.0.1:8270" in program.command


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_a_certificate_without_its_key_is_refused(run: Run, local: LocalFabric, flag: str) -> None:
    said = run("up", "--site", "site.yaml", flag, "a.pem")
    assert (said.exit_code, said.stderr[:49]) == (2, "error: --tls-cert and --tls-key: give both, or na")
    assert local.running() is None


def test_a_site_that_answers_https_no_more_leaves_no_certificate_to_believe(local: LocalFabric) -> None:
    file = local.folder.parent / "site.yaml"
    (local.folder / "a.pem").write_text("certificate")
    sets = [f"tls.cert={local.folder}/a.pem", f"tls.key={local.folder}/a.key"]
    local.remember(load(Site, file, sets))
    assert env.authority(local.folder) is not None
    local.remember(load(Site, file))
    assert env.authority(local.folder) is None
