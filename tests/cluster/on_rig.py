"""A whole fabric beside the rig, with control's rights in one namespace and no others.

Knows nothing of what is tested.
"""

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fabric.config import env
from scripts.rigging.api import Api
from scripts.rigging.installing import USER, install, uninstall
from scripts.rigging.layout import NODES, layout
from tests.cluster.pods import Namespace
from tests.ray.live import Live

HOST = NODES[0].address
START_S = 300.0


class OnRig(Live):
    """The fabric, and the commands people use with it."""

    def environment(self, **more: str) -> dict[str, str]:
        """Stock clients say who they are."""
        header = json.dumps({"Authorization": f"Bearer {self.key}"})
        return super().environment(**{env.TOKEN: self.key, "RAY_JOB_HEADERS": header, **more})


@contextmanager
def installed_as(api: Api, prefix: str) -> Iterator[Namespace]:
    """A namespace of one's own with the rights of the install."""
    name = f"{prefix}-{uuid.uuid4().hex[:6]}"
    install(api, name)
    yield Namespace(api, name)
    uninstall(api, name)


@contextmanager
def beside_the_rig(namespace: Namespace) -> Iterator[OnRig]:
    """A fabric for a namespace, its state where pods reach it."""
    folder = Path(tempfile.mkdtemp(prefix="fab-", dir=layout().shared))
    fabric = OnRig(folder, site="configs/sites/rig.yaml", host=HOST)
    fabric.variables = {"KUBECONFIG": str(layout().kubeconfig_of(USER))}
    fabric.sets = (f"kubernetes.namespace={namespace.name}", f"kubernetes.control_url={fabric.address}")
    fabric.up()
    try:
        yield fabric
    finally:
        fabric.down()
        shutil.rmtree(folder, ignore_errors=True)
