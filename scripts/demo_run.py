"""Run the demo: `fabric up`, the stages of a model's life as ordinary jobs, two services, a chat, `fabric down`.

Knows nothing of how a stage works; it asks through the SDK and the OpenAI client, as a user would.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fabric.api.admin import WorkloadView
from fabric.config import env
from fabric.config.load import decode, read_yaml
from fabric.core.errors import FabricError
from fabric.sdk import Client
from fabric.workloads.spec import WorkloadSpec
from scripts.demo_report import Answer, Report, write_report

ROOT = Path(__file__).resolve().parents[1]
FABRIC = Path(sys.executable).with_name("fabric")
CONTROL, GATEWAY = 8270, 8271


@dataclass(frozen=True, slots=True)
class Stage:
    """One job of the demo: its config and the stages it comes after."""

    name: str
    config: str
    after: tuple[str, ...] = ()


STAGES = (
    Stage("prepare", "configs/data/demo.yaml"),
    Stage("pretrain", "configs/train/pretrain-demo.yaml", ("prepare",)),
    Stage("finetune", "configs/train/finetune-demo.yaml"),
    Stage("evaluate-finetuned", "configs/evaluate/demo-finetuned.yaml", ("finetune",)),
    Stage("register-finetuned", "configs/registry/finetuned.yaml", ("evaluate-finetuned",)),
    Stage("evaluate-pretrained", "configs/evaluate/demo-pretrained.yaml", ("pretrain",)),
    Stage("register-pretrained", "configs/registry/pretrained.yaml", ("evaluate-pretrained",)),
)
MODELS = {"reasoner": "finetuned", "shakespeare": "pretrained"}
"""Names of the registered models, as in configs/registry, and which stages made them."""
UNHAPPY = {"failed", "cancelled"}
"""States in which something is wrong."""


def main() -> int:
    """Run it all; 0 if every stage worked and nothing is left running."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--state", type=Path, default=ROOT / ".fabric" / "demo", help="folder of records and artifacts")
    parser.add_argument("--keep", action="store_true", help="leave the fabric and its services running at the end")
    given = parser.parse_args()
    console = Console()
    began = time.monotonic()
    try:
        shutil.rmtree(given.state, ignore_errors=True)
        with fabric_up(given.state, console, keep=given.keep) as client:
            report = live_a_life(client, given.state, console)
        report = Report(**{**report.__dict__, "total_s": time.monotonic() - began})
        console.print(write_report(report, given.state))
    except FabricError as error:
        console.print(f"[red]demo: {error.message}[/red]")
        return 1
    return 0


@contextmanager
def fabric_up(state: Path, console: Console, *, keep: bool) -> Iterator[Client]:
    """A fabric with the laptop site and its records in `state`; taken down at the end."""
    state.mkdir(parents=True, exist_ok=True)
    mine = {**os.environ, env.STATE: str(state)}
    up = [str(FABRIC), "up", "--site", "configs/sites/laptop.yaml", "--state", str(state), "--detach"]
    subprocess.run(up, cwd=ROOT, env=mine, check=True)
    os.environ[env.STATE] = str(state)
    try:
        with Client(f"http://127.0.0.1:{CONTROL}") as client:
            yield client
    finally:
        if not keep:
            console.print("taking the fabric down")
            subprocess.run([str(FABRIC), "down", "--state", str(state)], cwd=ROOT, env=mine, check=True)


def live_a_life(client: Client, state: Path, console: Console) -> Report:
    """Jobs, services, answers.

    Raises:
        FabricError: If a stage fails.
    """
    for stage in STAGES:
        client.submit(spec_of(stage))
    ended = follow(client, console)
    jobs = [ended[stage.name] for stage in STAGES]
    failed = [view for view in ended.values() if view.state in UNHAPPY]
    if failed:
        for view in failed:
            console.print(f"[red]{view.name}: {view.state}: {view.message}[/red]")
            print(tail(client, view.name, 40))
        raise FabricError("a stage failed; its log is above")
    for view in jobs:
        print(f"{view.name}: {tail(client, view.name, 1)}")
    answers = tuple(ask(model, state) for model in MODELS)
    explained = {name: [e.reason for e in client.events(name)] for name in ended}
    found = output_of("finetuned", state) / "evaluation.json"
    judged = json.loads(found.read_text(encoding="utf-8"))
    return Report(tuple(ended.values()), answers, explained, tuple(client.models()), judged, 0.0)


def tail(client: Client, name: str, num_lines: int) -> str:
    """The last lines of a workload's log."""
    return "\n".join("".join(client.logs(name, follow=False)).rstrip().splitlines()[-num_lines:])


def spec_of(stage: Stage) -> WorkloadSpec:
    """The workload section of the stage's own config, with its place in the pipeline."""
    section = read_yaml(ROOT / stage.config)["workload"]
    placed = {"name": stage.name, "after": list(stage.after), "runtime_env": {"working_dir": str(ROOT)}}
    return decode(WorkloadSpec, {**section, **placed}, stage.config)


def deploy(client: Client, model: str) -> str:
    """Serve a registered model by its alias, on the gpu tier."""
    name = f"serve-{model}"
    client.deploy(f"{model}@champion", name=name, wait=False)
    return name


def follow(client: Client, console: Console) -> dict[str, WorkloadView]:
    """Show a bar for each workload until all jobs have ended and both services answer, or until one has failed.

    A model is deployed as soon as it is registered.
    """
    columns = (
        TextColumn("{task.description:20}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    said: dict[str, str] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {stage.name: bars.add_task(stage.name, total=None, start=False, words="queued") for stage in STAGES}
        undeployed = {f"register-{made}": model for model, made in MODELS.items()}
        while True:
            views = {name: client.get(name) for name in tasks}
            for registration in [name for name in undeployed if views[name].state == "succeeded"]:
                name = deploy(client, undeployed.pop(registration))
                tasks[name] = bars.add_task(name, total=None, start=False, words="queued")
            for name, view in views.items():
                show(bars, tasks[name], view)
                if not console.is_terminal and said.get(name) != (words := line_of(view)):
                    said[name] = words
                    console.print(words, markup=False, highlight=False, soft_wrap=True)
            done = len(views) == len(tasks) and all(is_over(view) or is_ready(view) for view in views.values())
            if done or any(view.state in UNHAPPY for view in views.values()):
                return views
            time.sleep(1.0)


def line_of(view: WorkloadView) -> str:
    """Where a workload stands, for a log in which no bar can be drawn."""
    stage = view.progress.stage if view.state == "running" else ""
    return " ".join(filter(None, (f"{view.name}:", view.condition or view.state, stage)))


def is_over(view: WorkloadView) -> bool:
    """Whether nothing follows."""
    return view.state == "succeeded" or view.state in UNHAPPY


def is_ready(view: WorkloadView) -> bool:
    """Whether a service answers."""
    return view.condition == "ready"


def show(bars: Progress, task: TaskID, view: WorkloadView) -> None:
    """One bar as the workload is now."""
    told = view.progress
    if view.granted_at is not None and not bars.tasks[task].started:
        bars.start_task(task)
    words = view.state if view.state != "running" else told.stage or "running"
    if view.state == "running" and told.metrics:
        words += "  " + "  ".join(f"{name} {value:.4g}" for name, value in list(told.metrics.items())[:2])
    done = is_over(view) or is_ready(view)
    total = told.total or None
    bars.update(task, words=view.condition or words, total=1.0 if done else total, completed=1.0 if done else told.done)
    if done:
        bars.stop_task(task)


def ask(model: str, state: Path) -> Answer:
    """Stream an answer through the OpenAI client, then compare greedy tokens with those of the evaluation."""
    from openai import OpenAI

    key = (state / "admin.key").read_text(encoding="utf-8").strip()
    client = OpenAI(base_url=f"http://127.0.0.1:{GATEWAY}/v1", api_key=key, max_retries=2, timeout=120)
    samples = json.loads((output_of(MODELS[model], state) / "samples.json").read_text(encoding="utf-8"))
    same = sum(served_tokens(client, model, sample) == list(sample["token_ids"]) for sample in samples)
    first = samples[0]
    return Answer(model, str(first["prompt"]), stream(client, model, first), same, len(samples))


def output_of(made: str, state: Path) -> Path:
    """Where a model's evaluation left what it found."""
    return state / "artifacts" / "default" / "demo" / f"evaluate-{made}"


def stream(client: Any, model: str, sample: Mapping[str, Any]) -> str:
    """The answer as it arrives, printed piece by piece."""
    more = {"model": model, "max_tokens": sample["max_tokens"], "temperature": 0.0, "stream": True}
    pieces = []
    if sample["kind"] == "chat":
        for chunk in client.chat.completions.create(messages=[{"role": "user", "content": sample["prompt"]}], **more):
            pieces.append((chunk.choices[0].delta.content or "") if chunk.choices else "")
    else:
        for chunk in client.completions.create(prompt=sample["prompt"], **more):
            pieces.append(chunk.choices[0].text if chunk.choices else "")
    return "".join(pieces)


def served_tokens(client: Any, model: str, sample: Mapping[str, Any]) -> list[int]:
    """Token ids of the served greedy answer."""
    more = {
        "model": model, "max_tokens": sample["max_tokens"], "temperature": 0.0,
        "extra_body": {"return_token_ids": True},
    }  # fmt: skip
    if sample["kind"] == "chat":
        answer = client.chat.completions.create(messages=[{"role": "user", "content": sample["prompt"]}], **more)
    else:
        answer = client.completions.create(prompt=sample["prompt"], **more)
    return list(answer.choices[0].model_dump().get("token_ids") or [])


if __name__ == "__main__":
    sys.exit(main())
