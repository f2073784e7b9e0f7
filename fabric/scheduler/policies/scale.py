"""What amounts are divided by, so that scores stay in [0, 1] and mean the same whichever nodes are compared.

Knows nothing of policies.
"""

import numpy as np

from fabric.scheduler.policies.columns import Floats, Ints

LARGEST_MILLI_CPUS = 128_000
"""Processors of the largest node: 128 cores, as in the experiments of Weng et al., USENIX ATC 2023."""

LARGEST_MILLI_GPUS = 8_000
"""Devices of the largest node: 8, as in the same experiments."""


def cpu_share(milli_cpus: Ints | int) -> Floats:
    """Processors as a share of the largest node's, at most 1."""
    return np.minimum(np.asarray(milli_cpus) / LARGEST_MILLI_CPUS, 1.0)


def gpu_share(milli_gpus: Ints | int) -> Floats:
    """Devices as a share of the largest node's, at most 1."""
    return np.minimum(np.asarray(milli_gpus) / LARGEST_MILLI_GPUS, 1.0)
