"""MLflow keeps the contract: behind a proxy with a key, as control has it, and on a database file."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from fabric.control import models
from fabric.control.models import Models
from fabric.core.errors import FabricError, Unauthenticated, Unavailable
from fabric.registry.ports import ModelStore
from fabric.store.mlflow_http import MlflowHttp
from fabric.store.mlflow_registry import mlflow_at
from fabric.store.mlflow_server import MlflowServer
from tests.architecture.tree import ROOT
from tests.contract.models_contract import ModelsContract
from tests.fake_pins import FakePins

# Starting the server is part of the first test, whichever that is.
pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

KEY = "a key"
START_S = 240.0
ORPHAN = """
import sys, threading, time
from pathlib import Path
from fabric.store.mlflow_server import MlflowServer
server = MlflowServer(Path(sys.argv[1]))
# From a thread that ends, whose end must not take the server along.
starter = threading.Thread(target=server.start); starter.start(); starter.join()
print(server.pid, flush=True)
time.sleep(60)
"""


def proxy_for(server: MlflowServer) -> FastAPI:
    """What control does: look at the key, take its own prefix away, pass the rest on."""
    app = FastAPI()
    http = httpx.AsyncClient(base_url=server.url, timeout=60.0)

    @app.api_route("/mlflow/{path:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def relay(request: Request, path: str) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return Response('{"code": "unauthenticated", "message": "who is that?"}', 401)
        kept = {"content-type": request.headers.get("content-type", "application/json")}
        query = request.url.query
        answer = await http.request(
            request.method, f"/{path}?{query}" if query else f"/{path}", headers=kept, content=await request.body()
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    return app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        deadline = time.monotonic() + START_S
        while not server.serves():
            assert server.pid, "MLflow's server ended"
            assert time.monotonic() < deadline, f"MLflow's server did not serve within {START_S} s"
            time.sleep(0.5)
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def proxied(server: MlflowServer) -> Iterator[str]:
    config = uvicorn.Config(proxy_for(server), port=0, log_level="warning")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.05)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/mlflow"
    running.should_exit = True
    thread.join()


class TestMlflowOverHttp(ModelsContract):
    """As jobs and control reach it."""

    @pytest.fixture
    def models(self, proxied: str) -> ModelStore:
        """With the key."""
        return mlflow_at(proxied, KEY)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow-file')}/mlflow.db"


class TestMlflowOnAFile(ModelsContract):
    """As jobs under plain Ray have it."""

    @pytest.fixture
    def models(self, database: str) -> ModelStore:
        """On one database."""
        return mlflow_at(database)


def test_mlflows_own_client_works_through_the_proxy_with_the_key(proxied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", KEY)
    from fabric.store.mlflow_file import MlflowFile

    made = MlflowHttp(proxied, KEY)
    made.make_model("by-http")
    client = MlflowFile(proxied)
    client.make_model("by-client")
    assert {"by-http", "by-client"} <= client.aliases(None).keys() & made.aliases(None).keys()


def test_mlflows_pages_are_served_below_the_prefix(proxied: str) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        page = http.get(f"{proxied}/")
        assert "<title>MLflow</title>" in page.text
        script = page.text.split('src="')[1].split('"')[0]
        assert http.get(f"{proxied}/{script}").status_code == 200


def test_a_wrong_key_is_refused_before_mlflow_sees_it(proxied: str) -> None:
    with pytest.raises(Unauthenticated, match="who is that"):
        mlflow_at(proxied, "another").versions()


def test_a_page_of_another_origin_may_not_write(server: MlflowServer) -> None:
    stranger = {"Origin": "http://evil.example"}
    asked = {"name": "evil"}
    answer = httpx.post(f"{server.url}/api/2.0/mlflow/registered-models/create", json=asked, headers=stranger)
    assert answer.status_code == 403


def test_another_host_name_is_refused(server: MlflowServer) -> None:
    answer = httpx.get(f"{server.url}/api/2.0/mlflow/registered-models/search", headers={"Host": "evil.example"})
    assert answer.status_code == 403


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        mlflow_at("http://127.0.0.1:9").versions()


def test_every_error_of_mlflow_is_mapped() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    from fabric.store.mlflow_file import mlflow_errors

    for code in ErrorCode.values():
        with pytest.raises(FabricError, match="MLflow at here: said"), mlflow_errors("here"):
            raise MlflowException("said", error_code=code)


def test_a_server_does_not_outlive_its_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(3.0)
        assert child.is_running(), "it outlives the thread that started it"
        os.kill(parent.pid, signal.SIGKILL)
    child.wait(10.0)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_mlflow_that_hangs_costs_all_services_together_one_short_wait(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LOOP_WAITS_S", 0.02)
    known = Models(f"http://127.0.0.1:{silent.getsockname()[1]}", FakePins())
    said = set()
    for number in range(5):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            known.folder(f"chat-{number}", "chat@champion", "alpha")
        said.add(caught.value.message)
    assert len(said) == 1, "a message that changes would be written into the records each time"
    silent.accept()[0].close()
    with pytest.raises(BlockingIOError):
        silent.accept()
