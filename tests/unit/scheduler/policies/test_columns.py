"""What may be asked, and where it fits."""

import pytest

from fabric.core.errors import BadInput
from fabric.core.quantity import MilliCpus, MilliGpus
from fabric.scheduler.policies.columns import Ask, fitting
from tests.unit.scheduler.policies.world import Box, ask, boxes


@pytest.mark.parametrize(
    ("world", "num_gpus", "share", "says"),
    [
        ("devices without a share of each", 1, 0, "1 devices with 0 thousandths"),
        ("a share of no device", 0, 500, "0 devices with 500 thousandths"),
        ("more than a device", 1, 1001, "1 to 1000"),
        ("a negative count", -1, 1000, "-1 devices"),
        ("shares of several devices", 2, 500, "only one device can be shared"),
    ],
)
def test_an_ask_that_no_node_could_grant_is_refused(world: str, num_gpus: int, share: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Ask(MilliCpus(1000), num_gpus=num_gpus, gpu=MilliGpus(share))


@pytest.mark.parametrize(
    ("world", "asked", "answer"),
    [
        ("all of it", ask(16, 2, gib=64), True),
        ("processors are short", ask(17), False),
        ("memory is short", ask(1, gib=65), False),
        ("only two devices are whole", ask(1, 3), False),
        ("a share of the used device", ask(1, 0.25), True),
        ("the only device model it can use", ask(1, 1, models="G2|T4"), True),
        ("another model", ask(1, 1, models="G2"), False),
        ("another model counts for work without devices too", ask(1, models="G2"), False),
    ],
)
def test_an_ask_fits_where_everything_suffices(world: str, asked: Ask, answer: bool) -> None:
    nodes = boxes(Box(16, (250, 1000, 1000), "T4"))
    assert fitting(asked, nodes).tolist() == [answer], world


def test_kinds_tell_shares_and_counts_of_whole_devices_apart() -> None:
    assert [ask(1, gpus).kind for gpus in (0, 0.5, 1, 2, 8)] == [0, 1, 2, 4, 256]
