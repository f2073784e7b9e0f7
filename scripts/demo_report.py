"""What the demo tells at its end, and the files it leaves.

Knows nothing of how anything ran.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from fabric.api.admin import ModelVersionView, WorkloadView, as_json


@dataclass(frozen=True, slots=True)
class Answer:
    """What a served model said."""

    model: str
    prompt: str
    text: str
    same: int
    """Greedy answers whose tokens equal the evaluation's, of `asked`."""
    asked: int


@dataclass(frozen=True)
class Report:
    """Everything the report is made from."""

    workloads: tuple[WorkloadView, ...]
    answers: tuple[Answer, ...]
    events: Mapping[str, list[str]]
    models: tuple[ModelVersionView, ...]
    judged: Mapping[str, Any]
    """What the evaluation of the fine-tuned model found."""
    total_s: float


def write_report(report: Report, state: Path) -> Group:
    """Write `report.json` beside the records and return the tables for a terminal."""
    document = {
        "workloads": [as_json(view) for view in report.workloads],
        "answers": [answer.__dict__ if hasattr(answer, "__dict__") else _fields(answer) for answer in report.answers],
        "events": dict(report.events),
        "models": [as_json(model) for model in report.models],
        "judged": {name: report.judged[name] for name in ("engine", "metrics", "before", "after", "guessing")},
        "total_s": round(report.total_s, 1),
    }
    (state / "report.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    artifacts = state / "artifacts" / "default" / "demo"
    plots = sorted(artifacts.glob("*/*.png"))
    return Group(
        _times(report.workloads),
        _places(report.workloads),
        _models(report.models),
        _judged(report.judged),
        *_answers(report.answers),
        *(f"plot: {plot}" for plot in plots),
        f"whole report: {state / 'report.json'}",
        f"everything took {report.total_s:.0f} s after set-up",
    )


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__dataclass_fields__}


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


def _places(views: tuple[WorkloadView, ...]) -> Table:
    table = Table(title="what ran where")
    for column in ("stage", "slice", "node", "tier", "workers", "CPUs", "GPUs"):
        table.add_column(column)
    for view in views:
        for part in view.slices:
            amounts = (str(part.workers), f"{part.cpus:g}", f"{part.gpus:g}")
            table.add_row(view.name, part.name, part.node, part.tier, *amounts)
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
        lines.append(f"{answer.model} was asked {answer.prompt!r}")
        lines.append(f"{answer.model} answered {answer.text!r}")
        lines.append(f"{answer.model}: {answer.same} of {answer.asked} served greedy answers equal the evaluated ones")
    return lines
