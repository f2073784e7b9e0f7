"""Two sides of a comparison are told with their medians, ranges and ratio, and a missed bound is a failure."""

import json

import pytest

from scripts.benches._sides import compared


def test_a_bound_that_holds_and_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"fabric": [3.0, 2.0, 9.0], "bare": [2.0, 2.0, 1.0]}
    assert compared(found, 1.5) == 0
    *lines, told = capsys.readouterr().out.splitlines()
    assert lines == [
        "fabric   median   3.00 s  from   2.00 to   9.00",
        "bare     median   2.00 s  from   1.00 to   2.00",
        "ratio    1.50 (at most 1.5)",
    ]
    assert json.loads(told) == {"ratio": 1.5, "at_most": 1.5, "seconds": found}
    assert compared(found, 1.4) == 1
