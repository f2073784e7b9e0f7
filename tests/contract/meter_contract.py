"""What everything that measures slices does; each implementation inherits the suite and says how to build it."""

import pytest

from fabric.scheduler.metering import Meter, Readings

CLUSTER = "w-1"
"""The cluster that every meter of the suite has; it is ready, and its slices have joined."""
SLICES = {"workers-c0", "trainers-g0"}
"""Its slices; the second one holds accelerators."""


class MeterContract:
    """The suite; `meter` is a fixture of the subclass, which has begun to count."""

    @pytest.fixture
    def found(self, meter: Meter) -> Readings:
        """What is read of the cluster at instant 115."""
        return meter.measure(115.0)[CLUSTER]

    def test_only_clusters_that_exist_are_read(self, meter: Meter) -> None:
        assert set(meter.measure(115.0)) == {CLUSTER}

    def test_only_slices_of_the_cluster_are_read(self, found: Readings) -> None:
        assert found.slices.keys() <= SLICES

    def test_a_reading_carries_the_instant_that_was_given_and_the_span_that_it_is_of(self, found: Readings) -> None:
        assert all(reading.at == 115.0 and reading.over_s > 0 for reading in found.slices.values())

    def test_nobody_is_left_without_a_number_and_without_a_reason(self, found: Readings) -> None:
        missing = SLICES - found.slices.keys()
        blind = [r for r in found.slices.values() if None in (r.cpus, r.memory, r.gpus)]
        assert bool(missing or blind) == bool(found.unmeasured)

    def test_shares_of_accelerators_are_those_of_whole_devices(self, found: Readings) -> None:
        shares = [share.count for reading in found.slices.values() for share in reading.gpus or ()]
        assert all(0 <= share <= 1000 for share in shares)
