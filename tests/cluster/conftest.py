"""The rig, up for the whole tier, and a namespace for each test.

Knows nothing of what is tested. A rig that was up before stays up.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from scripts.rigging.api import Api, wait_until
from scripts.rigging.layout import layout
from scripts.rigging.refusing import refusal
from scripts.rigging.rig import Rig
from tests.cluster.pods import Namespace

EMPTY_S = 60.0


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    if os.environ.get("FABRIC_KUBECONFIG"):
        pytest.skip("FABRIC_KUBECONFIG names another cluster, and this breaks parts of the rig")
    if reason := refusal():
        pytest.skip(reason)
    rig = Rig(layout())
    was_up = rig.status().up
    rig.up()
    yield rig
    if not was_up:
        rig.down()
        assert rig.remains() == []


@pytest.fixture(scope="session")
def api(rig: Rig) -> Iterator[Api]:
    with rig.api() as api:
        yield api


@pytest.fixture
def namespace(api: Api) -> Iterator[Namespace]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    namespace = Namespace(api, name)
    wait_until("pods can be", lambda: api.get(namespace.path("serviceaccounts/default")), EMPTY_S)
    yield namespace
    namespace.empty()
    api.delete(f"/api/v1/namespaces/{name}")
