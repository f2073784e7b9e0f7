"""Where a demo's fabric lives: on this machine alone, or beside the Kubernetes rig, whose pods then do the work.

Knows nothing of what runs on it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fabric.backends.kuberay.names import ATTEMPT, WORKLOAD
from fabric.config.load import load
from fabric.config.site import Site
from fabric.core.errors import BadInput, FabricError
from scripts.rigging.api import Api
from scripts.rigging.building import build
from scripts.rigging.errors import RigError
from scripts.rigging.installing import USER, install, uninstall
from scripts.rigging.layout import NODES, ROOT, layout
from scripts.rigging.rig import Rig

LAPTOP = ROOT / "configs" / "sites" / "laptop.yaml"


class Pods:
    """Which nodes the pods of each attempt were seen on, as the cluster itself says."""

    def __init__(self, api: Api, namespace: str) -> None:
        """Look at the pods of a namespace, whenever it is asked to."""
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._seen: dict[tuple[str, int], dict[str, str]] = {}

    def look(self) -> None:
        """Remember the pods that are there now and know their node; a cluster that does not answer is asked later."""
        try:
            found = self._api.items(self._path, WORKLOAD)
        except (RigError, httpx.HTTPError):
            return
        for pod in found:
            labels, node = pod["metadata"]["labels"], pod["spec"].get("nodeName")
            if node:
                attempt = (labels[WORKLOAD], int(labels[ATTEMPT]))
                self._seen.setdefault(attempt, {})[pod["metadata"]["name"]] = node

    def of(self, workload: str, attempt: int) -> Mapping[str, str]:
        """Node by pod, of all that were seen of an attempt."""
        return self._seen.get((workload, attempt), {})


@dataclass(frozen=True, slots=True)
class Home:
    """A fabric's place and how it is reached."""

    state: Path
    """Folder of records and artifacts."""
    site: Path = LAPTOP
    """Site file."""
    host: str = "127.0.0.1"
    """Where it listens."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What it finds in its environment besides."""
    pods: Pods | None = None
    """The pods that do the work; None where processes do."""
    report: Path | None = None
    """Folder for what the demo tells at its end; None is beside the records."""

    def url(self, port: int) -> str:
        """Of one of its programs."""
        return f"http://{self.host}:{port}"


@contextmanager
def home(site_file: Path, state: Path | None, *, keep: bool) -> Iterator[Home]:
    """The place that a site file describes; for one on Kubernetes, the rig is built and brought up.

    Args:
        site_file: The site.
        state: Folder of records and artifacts; None is the usual one.
        keep: Whether to leave the rig up; one that was up before stays so anyway.

    Raises:
        BadInput: If the site file is wrong, or describes another cluster than the rig.
        FabricError: If the rig does not come up, or does not go away.
    """
    site = load(Site, site_file)
    if site.kubernetes is None:
        yield Home(state or ROOT / ".fabric" / "demo", site_file, site.host)
        return
    if site.host != NODES[0].address:
        raise BadInput(f"{site_file}: host: the demo on Kubernetes needs the rig, whose pods reach {NODES[0].address}")
    try:
        with _rig(site.kubernetes.namespace, keep=keep) as api:
            yield Home(
                state or layout().shared / "demo", site_file, site.host,
                {"KUBECONFIG": str(layout().kubeconfig_of(USER))},
                Pods(api, site.kubernetes.namespace), ROOT / ".fabric" / "demo-rig",
            )  # fmt: skip
    except RigError as error:
        raise FabricError(f"the rig: {error}") from error


@contextmanager
def _rig(namespace: str, *, keep: bool) -> Iterator[Api]:
    """The rig with control's rights in a namespace, and down again unless it was up or is to stay."""
    build(layout())
    rig = Rig(layout())
    stays = keep or rig.status().up
    try:
        rig.up()
        with rig.api() as api:
            install(api, namespace)
            yield api
            if not keep:
                uninstall(api, namespace)
    finally:
        if not stays:
            rig.down()
