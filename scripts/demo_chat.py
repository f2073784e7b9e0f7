"""Ask served models through the OpenAI client, and compare what they say with what their evaluation said.

Knows nothing of how they were made.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from fabric.api.admin import GATEWAY as SNAPSHOT
from fabric.api.gateway import GatewaySnapshot
from fabric.config import env
from scripts.demo_fabric import CONTROL, GATEWAY
from scripts.demo_report import Answer, Engine
from scripts.demo_site import Home


def openai_client(home: Home) -> Any:
    """A client of the gateway, with the administrator's key."""
    from openai import OpenAI

    key = env.admin_key(home.state)
    return OpenAI(base_url=f"{home.url(GATEWAY)}/v1", api_key=key, max_retries=2, timeout=120)


def ask(client: Any, model: str, samples: Sequence[Mapping[str, Any]], say: Callable[[str], object]) -> Answer:
    """Stream the first answer, then compare the greedy tokens of every answer with those of the evaluation.

    Args:
        client: As of the `openai` package.
        model: Name of a served model.
        samples: Of its evaluation: `prompt`, `kind`, `max_tokens`, `token_ids`.
        say: Told each piece of the first answer as it comes.
    """
    first = samples[0]
    say(f"{model} is asked: {first['prompt']}\n{model} answers: ")
    text = stream(client, model, first, say)
    say("\n")
    differing = [str(one["prompt"]) for one in samples if served_tokens(client, model, one) != list(one["token_ids"])]
    return Answer(model, str(first["prompt"]), text, asked=len(samples), differing=tuple(differing))


def stream(client: Any, model: str, sample: Mapping[str, Any], say: Callable[[str], object]) -> str:
    """The answer, told piece by piece as it arrives."""
    more = {"model": model, "max_tokens": sample["max_tokens"], "temperature": 0.0, "stream": True}
    pieces = []
    for chunk in _asked(client, sample, more):
        choice = chunk.choices[0] if chunk.choices else None
        piece = (choice.delta.content if sample["kind"] == "chat" else choice.text) if choice else ""
        pieces.append(piece or "")
        say(pieces[-1])
    return "".join(pieces)


def served_tokens(client: Any, model: str, sample: Mapping[str, Any]) -> list[int]:
    """Token ids of the served greedy answer."""
    more = {
        "model": model, "max_tokens": sample["max_tokens"], "temperature": 0.0,
        "extra_body": {"return_token_ids": True},
    }  # fmt: skip
    return list(_asked(client, sample, more).choices[0].model_dump().get("token_ids") or [])


def _asked(client: Any, sample: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    if sample["kind"] == "chat":
        return client.chat.completions.create(messages=[{"role": "user", "content": sample["prompt"]}], **more)
    return client.completions.create(prompt=sample["prompt"], **more)


def engines(home: Home) -> tuple[Engine, ...]:
    """What the replicas themselves say of their engines, one line for each place that answers."""
    signed = {"Authorization": f"Bearer {env.admin_key(home.state)}"}
    with httpx.Client(trust_env=False, timeout=30.0) as http:
        told = http.get(home.url(CONTROL) + SNAPSHOT, headers=signed).raise_for_status()
        models = GatewaySnapshot.model_validate_json(told.content).models
        return tuple(
            Engine(model.workload, model.id, str(said["engine"]), str(said.get("reason", "")))
            for model in models
            for place in model.endpoints
            for said in [http.get(f"{place.url}/health").raise_for_status().json()]
        )


def samples_of(evaluation: Path) -> list[Mapping[str, Any]]:
    """Prompts and greedy answers that an evaluation left."""
    found: list[Mapping[str, Any]] = json.loads((evaluation / "samples.json").read_text(encoding="utf-8"))
    return found
