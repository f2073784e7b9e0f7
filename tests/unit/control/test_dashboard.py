"""The dashboard asks for figures that exist, from where they are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabric.config.site import Ports
from fabric.control.callers import Permission
from fabric.gateway.figures import Figures
from fabric.telemetry.http import METRICS
from tests.architecture.tree import ROOT
from tests.unit.control.world import World

FOLDER = ROOT / "clusters" / "observability"
LABELS = re.compile(r"\{\{(\w+)\}\}")


def panels(dashboard: Path = FOLDER / "dashboard.json") -> Iterator[dict[str, Any]]:
    for panel in json.loads(dashboard.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def told(text: str) -> Iterator[str]:
    """Names of all series that a text has or will have."""
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        yield from (f"{name}_{part}" for part in ("bucket", "sum", "count")) if kind == "histogram" else (name,)


@pytest.fixture
def known(world: World) -> set[str]:
    gateway = Figures(lambda: 0, lambda: True).text().decode()
    return {*told(world.client().get(METRICS).text), *told(gateway)}


def test_every_figure_of_the_dashboard_is_told(known: set[str]) -> None:
    asked = {name for panel in panels() for t in panel["targets"] for name in re.findall(r"fabric_\w+", t["expr"])}
    assert asked - known == set()


def test_everything_that_is_told_is_on_the_dashboard(known: set[str]) -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in known if not name.endswith("_created")}
    assert {family for family in families if family not in shown} == set()


def test_legends_use_labels_that_their_expressions_keep() -> None:
    wrong = [
        (panel["title"], label)
        for panel in panels()
        for target in panel["targets"]
        for label in LABELS.findall(target["legendFormat"])
        if not re.search(rf"by \([^)]*\b{label}\b[^)]*\)", target["expr"])
    ]
    assert wrong == []


def test_panels_lie_beside_each_other_and_have_names_of_their_own() -> None:
    boxes = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y)
        for box in boxes
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


def test_prometheus_is_sent_to_where_control_and_gateway_answer_with_a_key_that_opens_them() -> None:
    text = (FOLDER / "scrape.yaml").read_text()
    [job] = YAML(typ="safe").load(text)["scrape_configs"]
    assert job["metrics_path"] == METRICS
    ports = {name: target["targets"] for target in job["static_configs"] for name in [target["labels"]["part"]]}
    service = "fabric-control.fabric"
    assert ports == {"control": [f"{service}:{Ports().control}"], "gateway": [f"{service}:{Ports().gateway}"]}
    assert set(re.findall(r"--scope (\w+)", text)) == {Permission.METRICS, Permission.ASK}
