"""What the demo tells at its end, and the files it leaves.

Knows nothing of how anything ran.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from fabric.api.admin import EventView, ModelVersionView, WorkloadView, as_json


@dataclass(frozen=True, slots=True)
class Answer:
    """What a served model said."""

    model: str
    prompt: str
    text: str
    asked: int
    """Prompts of the evaluation that it was asked."""
    differing: tuple[str, ...] = ()
    """Those to which its greedy tokens are others than the evaluation's."""

    @property
    def same(self) -> int:
        """Prompts to which it said exactly what it said when it was evaluated."""
        return self.asked - len(self.differing)


@dataclass(frozen=True, slots=True)
class Engine:
    """What a replica says of itself."""

    service: str
    model: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Training:
    """How the pre-training went."""

    readings: tuple[Mapping[str, Any], ...]
    """`step`, `of` (the held-out works `all`, or a `subset`) and `bits_per_byte`."""
    metrics: Mapping[str, Any]
    note: str
    """What must be known of the run: that it was short."""


@dataclass(frozen=True)
class Report:
    """Everything the report is made from."""

    workloads: tuple[WorkloadView, ...]
    answers: tuple[Answer, ...]
    events: Mapping[str, Sequence[EventView]]
    models: tuple[ModelVersionView, ...]
    judged: Mapping[str, Any]
    """What the evaluation of the fine-tuned model found."""
    training: Training
    engines: tuple[Engine, ...]
    total_s: float = 0.0
    pods: Mapping[str, Mapping[str, str]] | None = None
    """Where the work was done by pods: node by pod, by workload, as the cluster said."""

    def granted(self, name: str) -> set[str]:
        """Nodes that a workload was granted slices of."""
        return {part.node for view in self.workloads if view.name == name for part in view.slices}

    def astray(self) -> list[str]:
        """Workloads whose pods were not seen on exactly the nodes that they were granted."""
        return [name for name, pods in (self.pods or {}).items() if set(pods.values()) != self.granted(name)]

    def seen_on(self, name: str) -> str:
        """Nodes on which a workload's pods were seen, as text."""
        return ", ".join(sorted(set((self.pods or {}).get(name, {}).values()))) or "no node"


def training_of(folder: Path) -> Training:
    """What a pre-training run left in its output folder."""
    lines = (folder / "readings.jsonl").read_text(encoding="utf-8").splitlines()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return Training(tuple(json.loads(line) for line in lines), manifest["metrics"], manifest["note"])


def write_report(report: Report, state: Path, keep_in: Path | None = None) -> Group:
    """Write `report.json` and return the tables for a terminal.

    Args:
        report: What to tell.
        state: Folder of the records, where the report goes if nothing else is said.
        keep_in: Folder for the report and its plots, where the records will not stay.
    """
    document = {
        "workloads": [as_json(view) for view in report.workloads],
        "why": {view.name: why_of(view, report.events.get(view.name, ())) for view in report.workloads},
        "engines": [asdict(engine) for engine in report.engines],
        "answers": [{**asdict(answer), "same": answer.same} for answer in report.answers],
        "events": {name: [event.reason for event in events] for name, events in report.events.items()},
        "models": [as_json(model) for model in report.models],
        "training": asdict(report.training),
        "judged": {name: report.judged[name] for name in ("engine", "metrics", "before", "after", "guessing")},
        "pods": report.pods,
        "total_s": round(report.total_s, 1),
    }
    plots = sorted((state / "artifacts" / "default" / "demo").glob("*/*.png"))
    if keep_in:
        keep_in.mkdir(parents=True, exist_ok=True)
        plots = [Path(shutil.copy(plot, keep_in / f"{plot.parent.name}-{plot.name}")) for plot in plots]
    file = (keep_in or state) / "report.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return Group(
        _times(report.workloads),
        _places(report),
        _curve(report.training),
        _models(report.models),
        _judged(report.judged),
        _engines(report.engines),
        *_answers(report.answers),
        *(f"plot: {plot}" for plot in plots),
        *_pods(report),
        f"whole report: {file}",
        f"everything took {report.total_s:.0f} s after set-up",
    )


def why_of(view: WorkloadView, events: Sequence[EventView]) -> str:
    """The reason that came with the grant of its last attempt; empty if it never had one."""
    granted = [event.reason for event in events if event.state == "placing" and event.attempt == view.attempt]
    return granted[-1].removeprefix("granted ") if granted else ""


def _times(views: tuple[WorkloadView, ...]) -> Table:
    """Seconds by stage: queue, cluster start, imports, work."""
    table = Table(title="where the time went (s)")
    for column in ("stage", "queue", "cluster start", "imports", "work", "attempts"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for view in views:
        table.add_row(view.name, *times_of(view), str(view.attempt))
    return table


def times_of(view: WorkloadView) -> tuple[str, str, str, str]:
    """Queue, cluster start, imports and work of the last attempt, as text; a service has no end."""
    began = min(view.progress.stages.values(), default=None)
    imports_end = began if began is not None else view.running_at
    spans = (
        (view.submitted_at, view.granted_at),
        (view.granted_at, view.cluster_ready_at),
        (view.cluster_ready_at, imports_end),
        (imports_end, view.ended_at),
    )
    return tuple(f"{end - start:.1f}" if start and end else "-" for start, end in spans)  # type: ignore[return-value]


def _places(report: Report) -> Table:
    table = Table(title="what ran where, and why there")
    for column in ("stage", "slice", "node", "tier", "workers", "CPUs", "GPUs", "why"):
        table.add_column(column)
    for view in report.workloads:
        why = why_of(view, report.events.get(view.name, ()))
        for part in view.slices:
            amounts = (str(part.workers), f"{part.cpus:g}", f"{part.gpus:g}")
            table.add_row(view.name, part.name, part.node, part.tier, *amounts, escape(why))
            why = ""
    return table


def _pods(report: Report) -> list[str]:
    """How many pods were seen where their workload's slices were granted."""
    if report.pods is None:
        return []
    right = [name for name in report.pods if name not in report.astray()]
    pods = sum(len(report.pods[name]) for name in right)
    return [f"{pods} pods of {len(right)} of {len(report.pods)} workloads were on the nodes that were granted"]


def _curve(training: Training) -> Table:
    """Bits per byte of held-out works while it trained, beside xz."""
    metrics = training.metrics
    tokens, trained = f"{metrics['num_tokens']:,} tokens", f"{metrics['trained_s']:g} s"
    table = Table(title=f"pre-training: {tokens} in {trained}", caption=training.note or None)
    for column in ("step", "held-out works", "bits per byte"):
        table.add_column(column, justify="left" if column == "held-out works" else "right")
    for reading in training.readings:
        table.add_row(str(reading["step"]), str(reading["of"]), f"{reading['bits_per_byte']:.3f}")
    if metrics.get("xz_bits_per_byte") is not None:
        table.add_row("", "all, by xz -9e", f"{metrics['xz_bits_per_byte']:.3f}")
    return table


def _engines(engines: Sequence[Engine]) -> Table:
    table = Table(title="what answers, as each replica says itself")
    for column in ("service", "model", "engine", "why"):
        table.add_column(column)
    for engine in engines:
        table.add_row(engine.service, engine.model, engine.name, escape(engine.reason))
    return table


def _models(models: tuple[ModelVersionView, ...]) -> Table:
    table = Table(title="registered models")
    for column in ("model", "version", "aliases", "metrics"):
        table.add_column(column)
    for model in models:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(model.metrics.items())[:8])
        table.add_row(model.name, str(model.version), ", ".join(model.aliases), metrics)
    return table


def _judged(judged: Mapping[str, Any]) -> Table:
    """Exact match on held-out items by kind, and of all together."""
    metrics = judged["metrics"]
    title = (
        f"fine-tuning: share of exact answers to {metrics['num_items']:.0f} held-out items, through {judged['engine']}"
    )
    table = Table(title=title)
    for column in ("kind", "guessing", "before", "after"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, after in judged["after"].items():
        table.add_row(kind, f"{judged['guessing'][kind]:.2f}", f"{judged['before'][kind]:.2f}", f"{after:.2f}")
    whole = (f"{metrics['exact_match_before']:.2f}", f"{metrics['exact_match']:.2f}")
    table.add_row(f"all (McNemar p {metrics['mcnemar_p']:.2g})", "", *whole)
    return table


def _answers(answers: tuple[Answer, ...]) -> list[str]:
    lines = []
    for answer in answers:
        lines.append(escape(f"{answer.model} was asked {answer.prompt!r}"))
        lines.append(escape(f"{answer.model} answered {answer.text!r}"))
        lines.append(f"{answer.model}: {answer.same} of {answer.asked} served greedy answers equal the evaluated ones")
    return lines
