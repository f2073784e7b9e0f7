"""An object stays the workload that it became, whatever version and settings the fabric has that looks at it later."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopter import Adopter, Standing
from fabric.backends.kuberay.adoption import spec_of
from fabric.backends.kuberay.api import RAY_CLUSTERS, Object
from fabric.backends.kuberay.foreign import Foreign
from fabric.backends.kuberay.identity import name_before
from fabric.backends.kuberay.pods import Home
from fabric.config.site import Defaults
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State
from tests.foreign import foreign, ray_cluster
from tests.unit.backends.test_adopted_cluster import TWO, Theirs
from tests.unit.backends.test_kuberay_manifest import pods_site

OTHER_DEFAULTS = pods_site(defaults=Defaults(walltime_s=60.0, max_failures=9))


class FakeReception:
    """Queues whatever is handed in."""

    def __init__(self, *known: Standing) -> None:
        self.known = {one.workload: one for one in known}
        self.withdrawn: list[str] = []

    def take_in(self, spec: WorkloadSpec) -> Standing:
        name, uid = spec.name or "", spec.adopted.uid if spec.adopted else ""
        return self.known.setdefault(name, Standing(name, uid, State.QUEUED, "waits"))

    def find(self, workload: str) -> Standing | None:
        return self.known.get(workload)

    def withdraw(self, workload: str, reason: str) -> None:
        self.withdrawn.append(workload)

    def standing(self) -> Mapping[str, Standing]:
        return {name: one for name, one in self.known.items() if not one.state.final}


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    made = Theirs()
    yield made
    made.close()


def before() -> tuple[Object, str]:
    """An object that the version before took in, and the name that its workload got."""
    item = ray_cluster("mine", TWO)
    one = foreign(item)
    return item, name_before(one, spec_of(one, pods_site()))


def turned(theirs: Theirs, reception: FakeReception) -> None:
    """Look once at an object as the server has it, with what the version and settings are."""

    def heard() -> bool:
        found = theirs.surface.clusters.get("mine")
        return found is not None and theirs.is_latest(RAY_CLUSTERS, Foreign("RayCluster", found))

    theirs.until(heard)
    Adopter(theirs.surface, reception, lambda uid: False).turn()
    theirs.until(heard)


def test_an_object_that_ended_under_an_earlier_version_does_not_run_again_under_this_one_and_other_defaults(
    theirs: Theirs,
) -> None:
    item, name = before()
    item["metadata"]["annotations"] = {names.WORKLOAD: name, names.STATE: State.CANCELLED.value}
    theirs.api.add(RAY_CLUSTERS, item)
    reception = FakeReception()
    turned(theirs, reception)
    theirs.surface = replace(theirs.surface, home=Home(OTHER_DEFAULTS))
    turned(theirs, reception)
    assert reception.known == {}
    assert [call for call in theirs.api.calls if call[0] == "patch"] == [("patch", "rayclusters", "mine")]
    theirs.api.change(RAY_CLUSTERS, "mine", metadata={"annotations": {names.AGAIN: "2"}})
    turned(theirs, reception)
    assert len(reception.known) == 1
    assert name not in reception.known


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_one_that_waits_or_runs_since_an_earlier_version_stays_what_it_is(theirs: Theirs, state: State) -> None:
    item, name = before()
    theirs.api.add(RAY_CLUSTERS, item)
    reception = FakeReception(Standing(name, item["metadata"]["uid"], state, "as it is"))
    turned(theirs, reception)
    theirs.surface = replace(theirs.surface, home=Home(OTHER_DEFAULTS))
    turned(theirs, reception)
    assert (list(reception.known), reception.withdrawn) == ([name], [])
    assert "was changed" not in str(theirs.api.get(RAY_CLUSTERS, "mine")["metadata"]["annotations"])


def test_one_that_is_taken_in_now_is_named_by_what_its_owner_asks_for(theirs: Theirs) -> None:
    item, name = before()
    theirs.api.add(RAY_CLUSTERS, item)
    reception = FakeReception()
    turned(theirs, reception)
    theirs.surface = replace(theirs.surface, home=Home(OTHER_DEFAULTS))
    turned(theirs, reception)
    (taken,) = reception.known
    assert (taken != name, reception.withdrawn) == (True, [])
    assert names.KNOWN_AS not in theirs.api.get(RAY_CLUSTERS, "mine")["metadata"].get("annotations", {})
