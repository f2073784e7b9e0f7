"""A demo's place follows from its site file; of the rig's pods it remembers where each attempt's were."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.core.errors import FabricError
from scripts.demo_site import LAPTOP, Pods, home
from scripts.rigging.errors import RigError
from scripts.rigging.layout import ROOT


class FakeApi:
    """Pods as a test says."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.trouble: Exception | None = None

    def items(self, path: str, selector: str) -> list[dict[str, Any]]:
        assert (path, selector) == ("/api/v1/namespaces/here/pods", "fabric/workload")
        if self.trouble:
            raise self.trouble
        return self.pods


def pod(name: str, attempt: int, node: str | None) -> dict[str, Any]:
    labels = {"fabric/workload": "train", "fabric/attempt": str(attempt)}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": node} if node else {}}


def test_a_site_of_processes_is_on_this_machine_alone(tmp_path: Path) -> None:
    with home(LAPTOP, None, keep=False) as found:
        assert (found.state, found.pods, dict(found.variables)) == (ROOT / ".fabric" / "demo", None, {})
        assert found.url(8270) == "http://127.0.0.1:8270"
    with home(LAPTOP, tmp_path, keep=False) as found:
        assert found.state == tmp_path


def test_a_cluster_that_is_not_the_rig_is_refused_before_anything_is_built() -> None:
    site = ROOT / "configs" / "sites" / "alps-like.yaml"
    with pytest.raises(FabricError, match=r"alps-like.yaml: host: the demo on Kubernetes needs the rig"):
        home(site, None, keep=False).__enter__()


def test_a_site_file_that_is_not_there_is_named() -> None:
    with pytest.raises(FabricError, match=r"no such file\. Did you mean .*laptop\.yaml"):
        home(LAPTOP.with_name("labtop.yaml"), None, keep=False).__enter__()


def test_pods_are_remembered_with_their_attempt_once_they_have_a_node() -> None:
    api = FakeApi()
    pods = Pods(api, "here")  # type: ignore[arg-type]
    api.pods = [pod("a", 1, "gpu-0"), pod("b", 1, None)]
    pods.look()
    api.pods = [pod("b", 1, "commodity-0"), pod("c", 2, "gpu-0")]
    pods.look()
    for api.trouble in (RigError("too busy"), httpx.ReadTimeout("too busy")):
        pods.look()
    assert pods.of("train", 1) == {"a": "gpu-0", "b": "commodity-0"}
    assert pods.of("train", 2) == {"c": "gpu-0"}
    assert pods.of("other", 1) == {}
