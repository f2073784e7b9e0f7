"""A registered model as a service of a live fabric: deployed, asked, and served on while control is killed."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from fabric.registry.versions import Candidate
from fabric.serve.engines.settings import EngineSettings
from fabric.store.mlflow_registry import mlflow_at
from fabric.train.manifest import seal
from tests.ray.live import Live, until
from tests.ray.serve_rig import evaluated, served
from tests.tiny_llama import save_tiny_llama

pytestmark = pytest.mark.timeout(400)
LONG: Any = {"model": "small", "prompt": "What is", "max_tokens": 220, "temperature": 0, "stream": True}
MORE = {"ignore_eos": True}
MODEL = "small-model"
"""Its folder."""


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A fabric that serves one small model."""
    with Live(tmp_path_factory.mktemp("fab")) as live:
        folder = tmp_path_factory.getbasetemp() / MODEL
        save_tiny_llama(folder)
        seal(folder, {"kind": "model", "name": "small"})
        models = mlflow_at(f"{live.address}/mlflow", live.key)
        until(lambda: is_up(live), 120, lambda: "MLflow does not serve")
        made = Candidate("small", "d1", folder.as_uri())
        models.move_alias("small", "champion", models.register(made).version)
        live.fabric("deploy", "small@champion", "--name", "chat", "--engine", "transformers", "--wait")
        yield live


def is_up(live: Live) -> bool:
    """Whether MLflow serves behind control."""
    answer = httpx.get(f"{live.address}/mlflow/health", headers={"Authorization": f"Bearer {live.key}"}, timeout=10)
    return answer.is_success


def client_of(live: Live) -> OpenAI:
    """As an application has it."""
    return OpenAI(base_url=live.gateway, api_key=live.key, max_retries=0, timeout=60)


def test_a_deployed_model_answers_the_openai_client_by_each_of_its_names(serving: Live) -> None:
    client = client_of(serving)
    assert [model.id for model in client.models.list()] == ["chat", "small", "small@champion"]
    answers = {
        client.completions.create(model=name, prompt="What is", max_tokens=8, temperature=0).choices[0].text
        for name in ("small", "small@champion", "chat")
    }
    assert len(answers) == 1
    with pytest.raises(openai.NotFoundError, match="small"):
        client.completions.create(model="large", prompt="What is")
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=serving.gateway, api_key="sk-nobody", max_retries=0).models.list()


def test_served_greedy_tokens_are_those_that_evaluation_found(
    serving: Live, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / MODEL
    samples = evaluated(folder, "transformers", EngineSettings(max_context=256, kv_cache="64 MiB"), model="small")
    client = client_of(serving)
    assert [served(client, sample) for sample in samples] == [sample.token_ids for sample in samples]


def test_replicas_are_where_the_fabric_says_and_their_port_is_closed_to_others(serving: Live) -> None:
    told = serving.workload("chat")
    assert (told["state"], told["condition"]) == ("running", "ready")
    (snapshot,) = json.loads((serving.state / "gateway.json").read_text())["models"]
    (endpoint,) = snapshot["endpoints"]
    refused = httpx.get(f"{endpoint['url']}/v1/models", timeout=10)
    assert refused.status_code == 401
    assert endpoint["secret"] not in str(told)


def test_a_stream_goes_on_while_control_is_killed_and_questions_after_it_are_answered(serving: Live) -> None:
    client = client_of(serving)
    whole = client.completions.create(**{**LONG, "stream": False}, extra_body=MORE).choices[0].text
    pieces: list[str] = []
    first, killed = threading.Event(), threading.Event()

    def read() -> None:
        for chunk in client.completions.create(**LONG, extra_body=MORE):
            pieces.append(chunk.choices[0].text if chunk.choices else "")
            first.set()
            killed.wait(30)

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(60)
    control = serving.program("control")
    os.kill(control.pid, signal.SIGKILL)
    killed.set()
    short = client.completions.create(model="small", prompt="What is", max_tokens=8, temperature=0)
    reader.join(60)
    assert "".join(pieces) == whole
    assert whole.startswith(short.choices[0].text)
    until(lambda: serving.program_is_new("control", control), 60, lambda: "no new control")
    for _ in range(30):
        client.completions.create(model="small", prompt="What is", max_tokens=1)
    until(lambda: serving.workload("chat")["condition"] == "ready", 60, lambda: serving.explained("chat"))
    client.completions.create(model="small", prompt="What is", max_tokens=1)


def test_a_stopped_service_leaves_nothing_and_its_name_is_unknown_to_clients(serving: Live) -> None:
    serving.fabric("stop", "chat")
    serving.wait("chat", "cancelled", "succeeded")
    until(lambda: serving.cluster_processes() == [], 60, lambda: str(serving.cluster_processes()))
    until(lambda: not list(client_of(serving).models.list()), 10, lambda: "still listed")
    with pytest.raises(openai.NotFoundError):
        client_of(serving).completions.create(model="small", prompt="What is")
