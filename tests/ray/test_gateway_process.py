"""The gateway as a process: signals, restarts, and a control that goes away."""

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from fabric.api.gateway import EndpointView, GatewaySnapshot, KeyView, ServedModel
from fabric.serve.endpoints import ReplicaSpec
from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from fabric.serve.engines.engine import Engine
from fabric.serve.openai_http import Replica, build_http
from tests.ray.serve_rig import FakeControl, GatewayProcess, events_of, free_port, wait

pytestmark = pytest.mark.ray
KEY = "sk-test"
HEADERS = {"Authorization": f"Bearer {KEY}"}
TOKEN_S = 0.02
Start = Callable[..., GatewayProcess]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """A slow echo service on a socket; its URL."""
    spec = ReplicaSpec(model_folder="", names=("parrot",), engine="echo")
    replica = Replica(Engine(EchoSource(token_s=TOKEN_S), ByteTokeniser(), 4096), spec)
    config = uvicorn.Config(build_http(replica, "s"), host="127.0.0.1", port=free_port(), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait("the echo service", lambda: server.started, longest_s=20)
    yield f"http://127.0.0.1:{config.port}"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def control(service: str) -> Iterator[FakeControl]:
    model = ServedModel(id="parrot", workload="w", endpoints=(EndpointView(url=service, secret="s"),))
    key = KeyView(sha256=hashlib.sha256(KEY.encode()).hexdigest(), project="default")
    control = FakeControl(GatewaySnapshot(version=1, models=(model,), keys=(key,)))
    yield control
    control.stop()


@pytest.fixture
def start(control: FakeControl, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways on one state folder, and ends them all."""
    started = []

    def start(**more: float) -> GatewayProcess:
        started.append(GatewayProcess(control.url, tmp_path, **more))
        return started[-1].ready()

    yield start
    for gateway in started:
        gateway.end()


class Streaming:
    """A stream that a thread reads; `content` grows."""

    def __init__(self, gateway: GatewayProcess, num_tokens: int) -> None:
        self.content = b""
        self._body = {
            "model": "parrot", "prompt": "abc", "max_tokens": num_tokens, "ignore_eos": True, "stream": True,
        }  # fmt: skip
        self._url = f"{gateway.url}/v1/completions"
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        wait("a first event", lambda: self.content, longest_s=30, every_s=0.01)

    def _read(self) -> None:
        with httpx.stream("POST", self._url, json=self._body, headers=HEADERS, timeout=30) as answer:
            for piece in answer.iter_raw():
                self.content += piece

    def whole(self) -> bytes:
        """Everything, once it has ended."""
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        return self.content


def test_answers_under_way_finish_after_sigterm_and_new_ones_are_refused(start: Start) -> None:
    gateway = start()
    under_way = Streaming(gateway, num_tokens=300)
    gateway.process.send_signal(signal.SIGTERM)
    wait("a closed port", lambda: refuses(gateway), longest_s=300 * TOKEN_S, every_s=0.05)
    assert b"[DONE]" not in under_way.content, "the answer was still under way"
    events = events_of(under_way.whole())
    assert [event["choices"][0]["finish_reason"] for event in events][-1] == "length"
    assert len(events) == 300
    gateway.process.wait(timeout=20)


def refuses(gateway: GatewayProcess) -> bool:
    """Whether it takes no more connections."""
    try:
        httpx.get(f"{gateway.url}/health", timeout=2)
    except httpx.ConnectError:
        return True
    return False


def test_answers_that_outlast_the_grace_end_with_an_error_event(start: Start) -> None:
    gateway = start(grace_s=1.0)
    under_way = Streaming(gateway, num_tokens=3000)
    gateway.process.send_signal(signal.SIGTERM)
    *texts, last = events_of(under_way.whole())
    assert 10 < len(texts) < 1000
    assert "the gateway is ending" in last["error"]["message"]
    gateway.process.wait(timeout=10)


def test_a_stream_outlives_control_and_a_new_gateway_serves_without_it(
    start: Start, control: FakeControl, tmp_path: Path
) -> None:
    gateway = start()
    under_way = Streaming(gateway, num_tokens=100)
    control.stop()
    assert len(events_of(under_way.whole())) == 100
    assert len(events_of(Streaming(gateway, num_tokens=5).whole())) == 5
    gateway.end()
    again = start()
    assert len(events_of(Streaming(again, num_tokens=5).whole())) == 5
    assert KEY not in again.log.read_text() + (tmp_path / "gateway.json").read_text()
