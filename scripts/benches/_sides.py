"""Two sides of a comparison, measured in one run: their medians and ranges, and what one is of the other.

Knows nothing of what was measured, but that it took seconds.
"""

import json
import statistics
from collections.abc import Mapping, Sequence


def compared(found: Mapping[str, Sequence[float]], at_most: float) -> int:
    """Print a table and JSON; 1 if the ratio is above its bound, else 0.

    Args:
        found: Seconds of every run of both sides, ours first.
        at_most: Bound of the median of the first side over that of the second.
    """
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    ours, theirs = medians.values()
    for name, seconds in found.items():
        print(f"{name:8} median {medians[name]:6.2f} s  from {min(seconds):6.2f} to {max(seconds):6.2f}")
    print(f"ratio    {ours / theirs:.2f} (at most {at_most})")
    print(json.dumps({"ratio": ours / theirs, "at_most": at_most, "seconds": found}))
    return 0 if ours <= at_most * theirs else 1
