"""Request rates of production models, and what to do about the windows that are missing.

Knows nothing of replicas.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from fabric.core.errors import BadInput
from fabric.simulator.hti.traces.lines import Row, csv_rows

MISSING_BELOW = 0.1
"""Share of the median rate below which a window counts as missing. Whole windows of all three 14-day curves stay above
0.25 of their median; the first window after a gap, which the gap has cut, is at about 0.01."""


def read_rates(path: Path, model: str) -> tuple[float, ...]:
    """Requests per second of `model` in each window of the span it covers, as recorded.

    Blank cells before and after the span are outside of it.

    Args:
        path: CSV with `t_s` and one column `MODEL_rps` for each model.
        model: Such as `m-large`.

    Raises:
        BadInput: If there is no such model, windows are not equally long, or a cell inside the span is blank or no
            rate.
    """
    column = f"{model}_rps"
    rows = list(csv_rows(path, ("t_s", column)))
    _check_steps(rows)
    given = [index for index, row in enumerate(rows) if row.cells[column].strip()]
    if not given:
        raise BadInput(f"{path}: {column} has no rates", path=str(path), column=column)
    return tuple(row.number(column) for row in rows[given[0] : given[-1] + 1])


def _check_steps(rows: Sequence[Row]) -> None:
    times = [row.number("t_s") for row in rows]
    for row, earlier, later in zip(rows[1:], times, times[1:], strict=False):
        if later <= earlier or later - earlier != times[1] - times[0]:
            raise row.wrong("t_s", "one window after the line above, and all windows equally long")


def clean_rates(rates: Sequence[float]) -> tuple[float, ...]:
    """The rates with missing windows filled by a straight line between their neighbours.

    A window is missing if its rate is below `MISSING_BELOW` of the median of all that are not zero: a zero is a hole
    in the recording, and the windows beside a hole are cut by it. At either end the nearest window is repeated. The
    rule is for curves most of whose windows are whole.

    Raises:
        BadInput: If no window has a rate.
    """
    positive = [rate for rate in rates if rate > 0]
    if not positive:
        raise BadInput("every window has the rate zero; choose another model or span")
    least = MISSING_BELOW * median(positive)
    kept = [index for index, rate in enumerate(rates) if rate >= least]
    filled = np.interp(np.arange(len(rates)), kept, [rates[index] for index in kept])
    return tuple(float(rate) for rate in filled)


def num_missing(rates: Sequence[float]) -> int:
    """How many windows `clean_rates` fills."""
    return sum(old != new for old, new in zip(rates, clean_rates(rates), strict=True))
