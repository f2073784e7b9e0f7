"""Run the demo: `fabric up`, the stages of a model's life as ordinary jobs, two services, a chat, `fabric down`.

Knows nothing of how a stage works; it asks through the SDK and the OpenAI client, as a user would.
"""

import argparse
import json
import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fabric.api.admin import WorkloadView
from fabric.config.load import decode, read_yaml
from fabric.core.errors import FabricError
from fabric.sdk import Client
from fabric.workloads.spec import WorkloadSpec
from scripts.demo_chat import ask, engines, openai_client, samples_of
from scripts.demo_fabric import end_in_order, fabric_up, forget
from scripts.demo_report import Report, training_of, write_report
from scripts.demo_site import LAPTOP, Home, home
from scripts.rigging.layout import ROOT

WIDTH = 150
"""Columns of what is written where no terminal says how wide it is."""


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
STAGE_CPUS, SERVICE_CPUS = 2.0, 2.0
"""Most CPU cores that a stage takes of the gpu tier, and those of a replica where there is room."""


def main() -> int:
    """Run it all; 0 if every stage worked, both models say what they said when judged, and nothing is left running."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--site", type=Path, default=LAPTOP,
        help="site file; configs/sites/rig.yaml brings up a Kubernetes with KubeRay on this machine and uses its pods",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, help="folder of records and artifacts")
    parser.add_argument("--keep", action="store_true", help="leave the fabric and its services running at the end")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    end_in_order()
    try:
        state = given.state and given.state.expanduser().absolute()
        with home(given.site.absolute(), state, keep=given.keep) as place:
            return run(place, console, keep=given.keep)
    except FabricError as error:
        wrong(console, error.message)
        return 1
    except KeyboardInterrupt:
        wrong(console, "interrupted" if given.keep else "interrupted; the fabric was taken down")
        return 128 + signal.SIGINT


def wrong(console: Console, sentence: str) -> None:
    """Say in one line what went wrong."""
    console.print(f"demo: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)


def run(place: Home, console: Console, *, keep: bool) -> int:
    """The demo on a fabric of its own; the exit status.

    Raises:
        FabricError: If the fabric does not start or end, or a stage fails.
    """
    began = time.monotonic()
    forget(place)
    with fabric_up(place, console, keep=keep) as client:
        report = live_a_life(client, place, console)
    console.print(write_report(replace(report, total_s=time.monotonic() - began), place.state, place.report))
    return verdict(report, console)


def verdict(report: Report, console: Console) -> int:
    """1 if a served model differs from its evaluation or pods were not where they were granted, told in a line each.

    0 if all is well.
    """
    different = [answer for answer in report.answers if answer.differing or not answer.asked]
    for answer in different:
        prompt = f", first to {answer.differing[0]!r}" if answer.differing else ""
        wrong(
            console, f"{answer.model}: {answer.same} of {answer.asked} served answers equal the evaluated ones{prompt}"
        )
    astray = report.astray()
    for name in astray:
        wrong(console, f"{name}: its pods were seen on {report.seen_on(name)}, not on the nodes it was granted")
    return int(bool(different or astray))


def live_a_life(client: Client, place: Home, console: Console) -> Report:
    """Jobs, services, answers.

    Raises:
        FabricError: If a stage fails.
    """
    room = room_of(largest_node(client))
    for stage in STAGES:
        client.submit(spec_of(stage, room.cpus))
    ended, state = follow(client, console, place, room), place.state
    failed = [view for view in ended.values() if view.state in UNHAPPY]
    if failed:
        for view in failed:
            wrong(console, f"{view.name}: {view.state}: {view.message}")
            print(tail(client, view.name, 40))
        raise FabricError("a stage failed; its log is above")
    for stage in STAGES:
        print(f"{stage.name}: {last_words(tail(client, stage.name, 20))}")
    openai, say = openai_client(place), partial(print, end="", flush=True)
    return Report(
        workloads=tuple(ended.values()),
        answers=tuple(ask(openai, model, samples_of(output_of(made, state)), say) for model, made in MODELS.items()),
        events={name: client.events(name) for name in ended},
        models=client.models(),
        judged=json.loads((output_of("finetuned", state) / "evaluation.json").read_text(encoding="utf-8")),
        training=training_of(state / "artifacts" / "default" / "demo" / "pretrain"),
        engines=engines(place),
        pods={name: place.pods.of(name, v.attempt) for name, v in ended.items()} if place.pods else None,
    )


def tail(client: Client, name: str, num_lines: int) -> str:
    """The last lines of a workload's log."""
    return "\n".join("".join(client.logs(name, follow=False)).rstrip().splitlines()[-num_lines:])


def last_words(log: str) -> str:
    """The last line that a stage wrote itself; libraries complain after it, in lines such as `[W1201 03:34:53`."""
    return next((line for line in reversed(log.splitlines()) if not re.match(r"\[[WE]\d{4} ", line)), "")


@dataclass(frozen=True, slots=True)
class Room:
    """What services find on the gpu tier."""

    cpus: float
    """CPU cores of a replica."""
    beside_stages: bool
    """Whether a node holds a service beside a stage."""


def room_of(cores: float) -> Room:
    """What services find where the largest node has so many CPU cores."""
    return Room(min(SERVICE_CPUS, cores / len(MODELS)), cores >= STAGE_CPUS + SERVICE_CPUS)


def spec_of(stage: Stage, service_cpus: float = SERVICE_CPUS) -> WorkloadSpec:
    """The workload section of the stage's own config, with its place in the pipeline.

    Args:
        stage: The stage.
        service_cpus: CPU cores with which a model is served. It is judged with as many: sums of other threads may end
            in other last bits, and then served answers would differ from judged ones.
    """
    section = read_yaml(ROOT / stage.config)["workload"]
    if section.get("entrypoint_cpus", service_cpus) != service_cpus:
        section["entrypoint"] += f" --set threads={max(1, int(service_cpus))}"
        section["entrypoint_cpus"] = service_cpus
        section["groups"] = [{**group, "cpus": service_cpus} for group in section["groups"]]
    placed = {"name": stage.name, "after": list(stage.after), "runtime_env": {"working_dir": str(ROOT)}}
    return decode(WorkloadSpec, {**section, **placed}, stage.config)


def deploy(client: Client, model: str, cpus: float) -> str:
    """Serve a registered model by its alias, on the gpu tier."""
    name = f"serve-{model}"
    client.deploy(f"{model}@champion", name=name, cpus=cpus, wait=False)
    return name


def largest_node(client: Client) -> float:
    """CPU cores of the gpu tier's largest node."""
    return max(node.capacity["cpus"] for node in client.nodes() if node.tier == "gpu")


def follow(client: Client, console: Console, place: Home, room: Room) -> dict[str, WorkloadView]:
    """Show a bar for each workload until all jobs have ended and both services answer, or until one has failed.

    A model is deployed as soon as it is registered; where no node holds a service beside a stage, after the last stage.
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
            if place.pods:
                place.pods.look()
            registered = [name for name in undeployed if views[name].state == "succeeded"]
            for registration in registered if room.beside_stages or len(registered) == len(MODELS) else []:
                name = deploy(client, undeployed.pop(registration), room.cpus)
                tasks[name] = bars.add_task(name, total=None, start=False, words="queued")
            for name, view in views.items():
                show(bars, tasks[name], view)
                if not console.is_terminal and said.get(name) != (words := line_of(view)):
                    said[name] = words
                    console.print(words, markup=False, highlight=False, soft_wrap=True)
            done = len(views) == len(STAGES) + len(MODELS) and all(is_over(v) or is_ready(v) for v in views.values())
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


def output_of(made: str, state: Path) -> Path:
    """Where a model's evaluation left what it found."""
    return state / "artifacts" / "default" / "demo" / f"evaluate-{made}"


if __name__ == "__main__":
    sys.exit(main())
