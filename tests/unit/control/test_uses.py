"""What work uses of its grant: measured, shown to who may see it, and counted."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from fabric.control.figures import Figures
from fabric.control.metering import Metering
from fabric.core.errors import Denied, Unavailable
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.metering import BRIDGED_S, Measured, Reading, Readings
from fabric.scheduler.ports import ClusterView, Phase
from tests.unit.control.test_metrics import asked
from tests.unit.control.test_notices import runs_on_gpus
from tests.unit.control.test_sdk_against_routes import connected
from tests.unit.control.world import START, World


class Meter:
    """A meter that reads what a test says, and the metering of a world with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.found: dict[str, Readings] = {}
        self.kept: list[Collection[Measured]] = []
        self.metering = Metering(self, lambda: world.views, self.keep, now=world.clock.now)

    def measure(self, now: float) -> Mapping[str, Readings]:
        """Readings of this instant."""
        return self.found

    def keep(self, measured: Collection[Measured]) -> None:
        """As the records do."""
        self.kept.append(measured)
        self.world.records.keep_uses(measured)

    def read(
        self, name: str, cpus: float = 0.0, gpus: tuple[float, ...] | None = (), *, over_s: float = 20.0
    ) -> None:  # fmt: skip
        """Let a workload that runs on one slice be read."""
        record, at = self.world.records.get(name), self.world.clock.at
        assert record.grant is not None
        shares = None if gpus is None else tuple(MilliGpus.of(share) for share in gpus)
        reading = Reading(at, over_s, MilliCpus.of(cpus), Bytes(2**29), shares)
        unmeasured = ("they are pretend ones",) if gpus is None else ()
        self.found = {record.cluster: Readings({"workers-0": reading}, unmeasured)}
        self.world.views[record.cluster] = ClusterView(
            record.cluster, Phase.READY, born=record.at.submitted, held=record.grant.slices
        )
        self.metering.turn()


@pytest.fixture
def meter(world: World) -> Meter:
    return Meter(world)


def test_what_is_used_stands_in_lists_explanations_and_the_overview(world: World, meter: Meter) -> None:
    for name in ("mine", "waits"):
        world.job(name)
    world.run("mine")
    meter.read("mine", 0.25)
    client = world.client()
    listed = {view["name"]: view["use"] for view in client.get("/api/fabric/workloads").json()["workloads"]}
    assert listed["waits"] is None
    assert (listed["mine"]["cpus"], listed["mine"]["of_cpus"], listed["mine"]["slices"]) == (0.25, 1.0, [])
    assert client.get("/api/fabric/workloads/mine/explain").json()["workload"]["use"] == listed["mine"]
    seen = client.get("/api/fabric/overview").json()
    assert (seen["use"]["memory_bytes"], seen["num_measured"], seen["num_holding"]) == (2**29, 1, 1)
    world.clock.at += BRIDGED_S + 1
    assert client.get("/api/fabric/workloads/mine").json()["use"] is None, "nothing was measured of late"
    assert client.get("/api/fabric/overview").json()["use"] is None


async def test_its_history_is_for_who_may_see_the_workload(world: World, meter: Meter) -> None:
    world.job("mine", project="alpha")
    world.run("mine")
    for cpus in (0.2, 0.4):
        world.clock.at += 20
        meter.read("mine", cpus)
    async with connected(world, world.person("ann", "viewer", "alpha")) as client:
        found = await client.use("mine")
        assert [(point.at, point.cpus) for point in found.points] == [(START + 20, 0.2), (START + 40, 0.4)]
        assert found.latest is not None
        assert [part.words() for part in found.latest.slices] == ["0.4 of 1 CPUs, 0.5 of 1 GiB"]
        world.end("mine")
        ended = await client.use("mine")
        assert (ended.latest, ended.points) == (None, found.points)
    async with connected(world, world.person("bob", "viewer", "beta")) as other:
        with pytest.raises(Denied):
            await other.use("mine")


def test_figures_stand_beside_what_is_held_and_name_no_workload(world: World, meter: Meter) -> None:
    runs_on_gpus(world, "a-name-of-work")
    meter.read("a-name-of-work", 0.5, (0.25, 0.0))
    found = asked(world)
    assert found["fabric_used_cpus", ("batch", "gpu")] == 0.5
    assert found["fabric_used_gpus", ("batch", "gpu")] == 0.25
    assert found["fabric_measured_gpus", ("batch", "gpu")] == found["fabric_held_gpus", ("batch", "gpu")] == 2
    assert "a-name-of-work" not in world.client().get("/metrics").text


def test_only_clusters_that_work_are_kept_and_what_nothing_counts_is_written_once(world: World, meter: Meter) -> None:
    world.job("mine")
    world.run("mine")
    blind = Readings(unmeasured=("no right",))
    meter.found = {"mine-1": blind, "gone-1": blind}
    meter.metering.turn()
    world.views["mine-1"] = ClusterView("mine-1", Phase.STARTING, born=START)
    meter.metering.turn()
    assert meter.kept == [[], []]
    world.views["mine-1"] = replace(world.views["mine-1"], phase=Phase.READY)
    for _ in range(3):
        meter.metering.turn()
    assert [len(kept) for kept in meter.kept[2:]] == [1, 0, 0]
    world.clock.at += 10 * BRIDGED_S
    use = world.client().get("/api/fabric/workloads/mine/use").json()
    assert (use["latest"]["unmeasured"], use["points"]) == (["no right"], [])
    assert world.client().get("/api/fabric/overview").json()["num_measured"] == 0


def test_measuring_goes_on_after_an_error_and_its_processor_time_is_counted(
    world: World, meter: Meter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fabric.control.metering.MEASURE_EVERY_S", 0.0)
    turns = iter([Unavailable("the disk is full"), ZeroDivisionError("ours"), None])
    figures = Figures()
    metering = Metering(meter, dict, meter.keep, now=world.clock.now, took=figures.metering_took)

    def turn() -> None:
        if (problem := next(turns)) is not None:
            raise problem
        metering.end()

    monkeypatch.setattr(metering, "turn", turn)
    monkeypatch.setattr(metering, "join", lambda timeout: None)
    metering.run()
    assert [record.getMessage() for record in caplog.records] == [
        "use is not kept: the disk is full",
        "measuring goes on in spite of an error",
        "use is not kept: internal error: ZeroDivisionError",
        "use is kept again",
    ]
    assert figures.registry.get_sample_value("fabric_metering_cpu_seconds_total") is not None


def test_a_grant_is_all_that_the_slices_hold(world: World, meter: Meter) -> None:
    runs_on_gpus(world, "train", gpus=1)
    meter.read("train", 0.5, (1.0,))
    [kept] = meter.kept
    assert [each.granted for each in kept] == [{"workers-0": Resources.of(1, 1, "1 GiB")}]
