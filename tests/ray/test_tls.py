"""A fabric that answers https: control, gateway and console, and a job that tells of itself through it."""

import shlex
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fabric.config.trust import believing
from tests.certificates import Certificate
from tests.ray.live import BIN, Live, free_ports, run, spec_file

pytestmark = pytest.mark.timeout(400)
TELLS = (
    "from pathlib import Path; from fabric.sdk.report import reporter; tells = reporter(Path()); "
    "tells.progress(1, 2, 'words'); tells.close()"
)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A fabric with a certificate that signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate.make(folder, "127.0.0.1")
    console = f"ports.console={free_ports(1)[0]}"
    words = ("--set", console, "--tls-cert", str(made.cert), "--tls-key", str(made.key))
    with Live(folder, words=words) as live:
        yield live


def test_all_three_answer_https_with_the_certificate_and_nothing_answers_http(fabric: Live) -> None:
    ports = (*fabric.ports, int(fabric.words[1].rpartition("=")[2]))
    context = believing(fabric.folder / "127.0.0.1.pem")
    for port, path in zip(ports, ("/api/fabric/health", "/health", "/health"), strict=True):
        answer = httpx.get(f"https://127.0.0.1:{port}{path}", verify=context, trust_env=False, timeout=30)
        assert answer.status_code == 200, (port, answer.text)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30)


def test_who_does_not_believe_the_certificate_does_not_send_a_key(fabric: Live) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED") as refused:
        httpx.get(f"{fabric.address}/api/version", verify=ssl.create_default_context(), trust_env=False, timeout=30)
    assert "self" in str(refused.value)


def test_a_job_and_the_command_lines_reach_control(fabric: Live, tmp_path: Path) -> None:
    spec = spec_file(tmp_path, name="tells", entrypoint=f"python -c {shlex.quote(TELLS)}")
    fabric.fabric("submit", str(spec), "--wait")
    assert fabric.workload("tells")["progress"]["done"] == 1
    bundle = fabric.environment(REQUESTS_CA_BUNDLE=str(fabric.folder / "127.0.0.1.pem"))
    assert "tells" in run([str(BIN / "ray"), "job", "list", "--address", fabric.address], bundle).stdout
