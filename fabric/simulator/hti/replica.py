"""One replica of a service: how long a request occupies it, and when its batch limit would be felt.

Knows nothing of arrivals. A replica reads one prompt at a time, first come first served; the first token is there when
the prompt is read, and the request stays in the batch until its last token. Tokens are decoded at the speed of a full
batch, whatever the batch; reading is as fast as it is beside decoding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.core.errors import BadConfig
from fabric.simulator.hti.settings import ReplicaRates, ServiceSettings
from fabric.simulator.hti.traces.tokens import TokenSizes

Floats = NDArray[np.floating[Any]]
"""Columns of numbers; their names carry the unit."""

MOST_BATCH_USE = 0.7
"""Share of the batch limit that may be in use, on average, by a replica that reads without pause. The queueing model
knows no batch and is wrong where it is felt: twice too low at mooncake sizes, 0.94 and nine tenths of the load."""


def prefill_s(rates: ReplicaRates, sizes: TokenSizes) -> Floats:
    """Seconds for which each request of `sizes` occupies the reading of prompts."""
    return np.asarray(sizes.prefill_tokens, dtype=np.float64) / rates.prefill_tokens_per_s + rates.overhead_s


def decode_s(rates: ReplicaRates, sizes: TokenSizes) -> Floats:
    """Seconds from the first to the last token of each request of `sizes`."""
    return (np.asarray(sizes.output_tokens, dtype=np.float64) - 1) * rates.decode_s_per_token


def batch_use(rates: ReplicaRates, sizes: TokenSizes) -> float:
    """Mean share of the batch limit in use at a replica that reads without pause (Little's law)."""
    reading, writing = float(prefill_s(rates, sizes).mean()), float(decode_s(rates, sizes).mean())
    return (reading + writing) / reading / rates.batch_limit


def check_batch(service: ServiceSettings, sizes: TokenSizes) -> None:
    """Refuse a service whose batch limit would be felt before its reading speed.

    Raises:
        BadConfig: If more than `MOST_BATCH_USE` of the batch would be in use.
    """
    used = batch_use(service.replica, sizes)
    if used > MOST_BATCH_USE:
        raise BadConfig(
            f"service {service.name}: a busy replica would use {used:.0%} of its batch_limit "
            f"{service.replica.batch_limit}, and the model holds up to {MOST_BATCH_USE:.0%}. Raise batch_limit or "
            "lower decode_s_per_token.",
            service=service.name,
        )
