"""A tiny model on a real Ray Serve cluster, asked by OpenAI's client through the gateway's own process."""

import hashlib
import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from fabric.api.gateway import EndpointView, GatewaySnapshot, KeyView, ServedModel
from fabric.serve.endpoints import SECRET_HEADER, ReplicaSpec
from tests.ray.serve_rig import (
    START_S,
    FakeControl,
    GatewayProcess,
    ServeCluster,
    evaluated,
    events_of,
    serve_cluster,
    served,
    wait,
)
from tests.tiny_llama import save_tiny_llama

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
KEY, SECRET = "sk-test", "between-us"
USER: Any = [{"role": "user", "content": "hello"}]
LONG: Any = {"max_tokens": 1900, "temperature": 0, "extra_body": {"ignore_eos": True}}
"""Takes seconds."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def spec(tiny: Path) -> ReplicaSpec:
    names = ("tiny", "tiny@champion")
    return ReplicaSpec(model_folder=str(tiny), names=names, max_context=2048, kv_cache="64 MiB", secret=SECRET)


@pytest.fixture(scope="module")
def cluster(spec: ReplicaSpec) -> Iterator[ServeCluster]:
    with serve_cluster() as cluster:
        seconds = cluster.deploy(spec)
        print(f"\nServe, vLLM and a tiny model: {seconds:.1f} s from the request until it answers")
        yield cluster


@pytest.fixture(scope="module")
def gateway(cluster: ServeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    control = FakeControl(snapshot(cluster.url))
    gateway = GatewayProcess(control.url, tmp_path_factory.mktemp("gateway"))
    try:
        yield gateway.ready()
    finally:
        gateway.end()
        control.stop()


@pytest.fixture
def client(gateway: GatewayProcess) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=START_S)


def snapshot(url: str) -> GatewaySnapshot:
    model = ServedModel(
        id="tiny", aliases=("tiny@champion",), workload="serve-tiny", endpoints=(EndpointView(url=url, secret=SECRET),)
    )
    key = KeyView(sha256=hashlib.sha256(KEY.encode()).hexdigest(), project="default")
    return GatewaySnapshot(version=1, models=(model,), keys=(key,))


@pytest.fixture(scope="module")
def whole_s(cluster: ServeCluster) -> float:
    """Seconds that a whole long answer takes on this machine today."""
    body = {"model": "tiny", "prompt": "x", "max_tokens": 1900, "temperature": 0, "ignore_eos": True}
    begun = time.perf_counter()
    httpx.post(f"{cluster.url}/v1/completions", json=body, headers={SECRET_HEADER: SECRET}, timeout=200)
    return time.perf_counter() - begun


def health(cluster: ServeCluster) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{cluster.url}/health", timeout=5).raise_for_status().json()
    return found


def text_of(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_a_replica_is_ready_with_the_engine_that_auto_chose(cluster: ServeCluster) -> None:
    assert health(cluster) == {
        "status": "ok", "model": "tiny", "engine": "vllm", "reason": "auto: vLLM imports", "running": 0,
    }  # fmt: skip


def test_serve_answers_nobody_without_the_secret(cluster: ServeCluster) -> None:
    refused = httpx.post(f"{cluster.url}/v1/completions", json={"model": "tiny", "prompt": "x"})
    let_in = httpx.get(f"{cluster.url}/v1/models", headers={SECRET_HEADER: SECRET})
    assert (refused.status_code, refused.json()["error"]["code"], let_in.status_code) == (401, "invalid_api_key", 200)


def test_the_client_chats_streams_and_completes(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny@champion", messages=USER, max_tokens=20, temperature=0)
    streamed = client.chat.completions.create(model="tiny", messages=USER, max_tokens=20, temperature=0, stream=True)
    completion = client.completions.create(model="tiny", prompt="once", max_tokens=8, temperature=0)
    assert whole.choices[0].message.content == text_of(streamed)
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 8


def test_served_greedy_tokens_are_those_that_evaluation_found(client: OpenAI, spec: ReplicaSpec) -> None:
    samples = evaluated(Path(spec.model_folder), "vllm", spec.engine_settings, model="tiny")
    assert [served(client, sample) for sample in samples] == [sample.token_ids for sample in samples]


def test_refusals_reach_the_client_as_its_own_errors(client: OpenAI, gateway: GatewayProcess) -> None:
    with pytest.raises(openai.NotFoundError, match="tiny@champion"):
        client.completions.create(model="big", prompt="x")
    with pytest.raises(openai.BadRequestError, match="context holds 2048"):
        client.completions.create(model="tiny", prompt="x" * 3000)
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-bad", max_retries=0).models.list()
    assert KEY not in gateway.log.read_text()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_client_that_leaves_frees_the_replica_long_before_its_answer_would_have_ended(
    client: OpenAI, cluster: ServeCluster, whole_s: float, stream: bool
) -> None:
    if stream:
        answer: Any = client.completions.create(model="tiny", prompt="x", stream=True, **LONG)
        next(iter(answer))
        wait("a running answer", lambda: health(cluster)["running"] == 1, longest_s=whole_s / 4, every_s=0.02)
        answer.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=whole_s / 4).completions.create(model="tiny", prompt="x", **LONG)
    wait("an idle replica", lambda: health(cluster)["running"] == 0, longest_s=whole_s / 2, every_s=0.02)


def test_the_gateway_adds_little_to_the_first_token(cluster: ServeCluster, gateway: GatewayProcess) -> None:
    ways = {
        "direct": (cluster.url, {SECRET_HEADER: SECRET}),
        "gateway": (gateway.url, {"Authorization": f"Bearer {KEY}"}),
    }
    body = {"model": "tiny", "prompt": "once", "max_tokens": 4, "temperature": 0, "stream": True}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with httpx.Client(timeout=60) as http:
        for _ in range(40):
            for name, (url, headers) in ways.items():
                begun = time.perf_counter()
                with http.stream("POST", f"{url}/v1/completions", json=body, headers=headers) as answer:
                    pieces = answer.iter_raw()
                    next(pieces)
                    seconds[name].append(time.perf_counter() - begun)
                    for _piece in pieces:
                        pass
    medians = (f"{statistics.median(seconds[name]) * 1000:.1f} ms {name}" for name in ways)
    print(f"\nfirst token, median: {', '.join(medians)}")
    # The quickest of each, as others may need the processors too.
    assert min(seconds["gateway"]) - min(seconds["direct"]) < 0.025


def test_a_replica_that_is_killed_ends_the_stream_properly_and_is_replaced(
    cluster: ServeCluster, gateway: GatewayProcess
) -> None:
    body = {"model": "tiny", "prompt": "x", "max_tokens": 1900, "temperature": 0, "ignore_eos": True, "stream": True}
    headers = {"Authorization": f"Bearer {KEY}"}
    [pid] = cluster.replica_pids()
    with httpx.stream("POST", f"{gateway.url}/v1/completions", json=body, headers=headers, timeout=START_S) as answer:
        pieces = answer.iter_raw()
        content = next(pieces)
        os.kill(pid, signal.SIGKILL)
        content += b"".join(pieces)
    *texts, last = events_of(content)
    assert last["error"]["code"] == "stream_broken"
    assert all(event["choices"] for event in texts)
    while_gone = httpx.post(
        f"{gateway.url}/v1/completions",
        json=body | {"stream": False, "max_tokens": 2},
        headers=headers,
        timeout=START_S,
    )
    assert while_gone.status_code in {200, 500, 502, 503}
    assert while_gone.status_code == 200 or while_gone.json()["error"]["message"]
    wait("another replica", lambda: health(cluster)["status"] == "ok" and cluster.replica_pids() not in ([], [pid]))


def test_the_fallback_engine_serves_the_same_model(cluster: ServeCluster, client: OpenAI, spec: ReplicaSpec) -> None:
    ask: Any = {"model": "tiny", "prompt": "once upon", "max_tokens": 12, "temperature": 0}
    before = client.completions.create(**ask).choices[0].text
    cluster.deploy(spec.model_copy(update={"engine": "transformers", "names": ("tiny", "other")}))
    wait("the other engine", lambda: health(cluster)["engine"] == "transformers")
    assert client.completions.create(**ask).choices[0].text == before
