"""A Ray cluster of its own with Serve on it, a stand-in for control, and a gateway process in front.

Knows nothing of what is asked.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from fabric.api.gateway import GatewaySnapshot
from fabric.serve.endpoints import APPLICATION, ReplicaSpec, serve_config
from fabric.serve.engines.settings import EngineName, EngineSettings
from fabric.serve.offline import OfflineEngines
from fabric.train.evaluate import Sample, chat_samples, completion_samples
from tests.contract.engine_contract import TEXTS
from tests.ray.answering import Answering

START_S = 240.0
"""Longest wait for a cluster or a model, on a busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait(what: str, so: Any, longest_s: float = START_S, every_s: float = 0.2) -> Any:
    """The first true answer of `so`, which may fail to connect until then."""
    ends, last = time.monotonic() + longest_s, None
    while time.monotonic() < ends:
        try:
            if answer := so():
                return answer
        except (httpx.HTTPError, AssertionError) as error:
            last = error
        time.sleep(every_s)
    raise TimeoutError(f"{what} did not come about in {longest_s} s: {last}")


class ServeCluster:
    """One head with token authentication, as the fabric's own clusters have it."""

    def __init__(self, folder: Path, num_cpus: int = 2) -> None:
        ports = {
            name: free_port() for name in ("gcs", "dashboard", "serve", "client", "agent", "agent-grpc", "metrics")
        }
        self.url = f"http://127.0.0.1:{ports['serve']}"
        self._serve_port = ports["serve"]
        token = secrets.token_hex(32)
        command = [
            str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--node-ip-address=127.0.0.1",
            f"--num-cpus={num_cpus}", f"--port={ports['gcs']}", f"--dashboard-port={ports['dashboard']}",
            "--dashboard-host=127.0.0.1", f"--ray-client-server-port={ports['client']}", f"--temp-dir={folder}",
            f"--dashboard-agent-listen-port={ports['agent']}", f"--dashboard-agent-grpc-port={ports['agent-grpc']}",
            f"--metrics-export-port={ports['metrics']}", "--disable-usage-stats", "--object-store-memory=100000000",
        ]  # fmt: skip
        self._log = (folder / "start.log").open("wb")
        mine = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        self._process = subprocess.Popen(
            command, env=mine, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._rest = httpx.Client(
            base_url=f"http://127.0.0.1:{ports['dashboard']}", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def deploy(self, spec: ReplicaSpec) -> float:
        """Bring `spec` about; returns the seconds until it answers."""
        wait("the Ray head", lambda: self._rest.get("/api/serve/applications/").is_success)
        begun = time.monotonic()
        self._rest.put("/api/serve/applications/", json=serve_config(spec, port=self._serve_port)).raise_for_status()
        wait(f"{spec.engine}", lambda: self._runs(spec))
        return time.monotonic() - begun

    def _runs(self, spec: ReplicaSpec) -> bool:
        status = self.application()
        if status["status"] == "DEPLOY_FAILED":
            raise RuntimeError(status["message"])
        health = httpx.get(f"{self.url}/health", timeout=5).raise_for_status().json()
        return bool(status["status"] == "RUNNING" and health["model"] == spec.names[0])

    def application(self) -> dict[str, Any]:
        """Serve's own view."""
        details = self._rest.get("/api/serve/applications/").raise_for_status().json()
        found: dict[str, Any] = details["applications"][APPLICATION]
        return found

    def replica_pids(self) -> list[int]:
        """Process ids of the replicas that Serve knows."""
        replicas = self.application()["deployments"]["replica"]["replicas"]
        return [replica["pid"] for replica in replicas if replica["state"] == "RUNNING"]

    def end(self) -> None:
        """End the head and everything it started."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        self._rest.close()


@contextmanager
def serve_cluster() -> Iterator[ServeCluster]:
    """A cluster, gone afterwards; its folder's name is short, since sockets in it must be."""
    with tempfile.TemporaryDirectory(prefix="rs-", ignore_cleanup_errors=True) as folder:
        cluster = ServeCluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.end()


class FakeControl(Answering):
    """Tells one snapshot, over HTTP, until it is stopped."""

    def __init__(self, snapshot: GatewaySnapshot) -> None:
        super().__init__(snapshot.model_dump_json())


class GatewayProcess:
    """`python -m fabric.gateway` with a state folder."""

    def __init__(self, control: str, folder: Path, grace_s: float = 20.0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "gateway.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "fabric.gateway", "--port", str(self.port), "--control", control,
                    "--state", str(folder), "--grace", str(grace_s),
                ],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ready(self) -> "GatewayProcess":
        """Itself, once it has a table."""
        wait("the gateway", lambda: httpx.get(f"{self.url}/health", timeout=5).is_success, longest_s=60)
        return self

    def end(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def events_of(content: bytes) -> list[dict[str, Any]]:
    """The events of a stream, which must end with [DONE]."""
    *events, done, rest = content.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b""), content[-200:]
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def evaluated(folder: Path, engine: EngineName, sizes: EngineSettings, *, model: str) -> list[Sample]:
    """What evaluation finds a model to say: twenty answers to questions and twenty continuations, all greedy."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with OfflineEngines(engine, sizes).opened(folder) as generate:
        samples = chat_samples(generate, tokenizer, TEXTS, model=model, max_tokens=24)
        samples += completion_samples(generate, tokenizer, TEXTS, model=model, max_tokens=24)
    assert len({sample.token_ids for sample in samples}) > 30, "answers differ from prompt to prompt"
    return samples


def served(client: OpenAI, sample: Sample) -> tuple[int, ...]:
    """The greedy tokens that a service says to what evaluation asked."""
    more: Any = {
        "model": sample.model, "max_tokens": sample.max_tokens, "temperature": 0,
        "extra_body": {"return_token_ids": True},
    }  # fmt: skip
    if sample.kind == "chat":
        answer: Any = client.chat.completions.create(messages=[{"role": "user", "content": sample.prompt}], **more)
    else:
        answer = client.completions.create(prompt=sample.prompt, **more)
    return tuple(answer.choices[0].model_dump()["token_ids"])
