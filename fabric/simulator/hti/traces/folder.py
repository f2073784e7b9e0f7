"""All traces of the benchmark, read from one folder.

Knows nothing of where the folder is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric.simulator.hti.traces.lines import csv_rows
from fabric.simulator.hti.traces.philly import TrainingRow, read_philly
from fabric.simulator.hti.traces.servegen import clean_rates, read_rates
from fabric.simulator.hti.traces.swf import CpuRow, read_swf
from fabric.simulator.hti.traces.tokens import TokenSizes, read_azure, read_mooncake

MODELS = ("m-large", "m-mid", "m-small")
"""Models of the rate curves that cover fourteen days."""
_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class Traces:
    """What the benchmark is drawn from."""

    training: tuple[TrainingRow, ...]
    cpu: Mapping[str, tuple[CpuRow, ...]]
    """Batch logs by name."""
    rates: Mapping[str, tuple[float, ...]]
    """Cleaned requests per second by model, in windows of ten minutes."""
    sizes: Mapping[str, TokenSizes]
    """Token counts by trace: `azure` and `mooncake`."""
    base_load_s: tuple[float, ...]
    """Measured seconds to load a base model."""
    pipeline_load_s: tuple[float, ...]
    """Measured seconds to set up a pipeline."""


def read_load_latencies(path: Path) -> tuple[float, ...]:
    """Seconds of every measured load of alibaba-gentd26; the column `value` is in milliseconds.

    Raises:
        BadInput: If a value is no number, or negative.
    """
    return tuple(row.number("value") / _MS_PER_S for row in csv_rows(path, ("value",)))


def read_traces(folder: Path) -> Traces:
    """Read what the benchmark needs of the trace folder.

    Raises:
        NotFound: If one of the files is not there.
        BadInput: If a line of one is wrong; the message names it.
        Corrupt: If a packed file cannot be unpacked.
    """
    cold = folder / "alibaba-gentd26"
    logs = {"kth": "KTH-SP2.easy.swf.gz", "sdsc": "SDSC-SP2.easy.swf.gz"}
    curves = folder / "servegen-rates" / "rates_10min.csv"
    return Traces(
        training=read_philly(folder / "philly-sia" / "philly.csv.gz"),
        cpu={name: read_swf(folder / "swf-pyss-easy" / file) for name, file in logs.items()},
        rates={model: clean_rates(read_rates(curves, model)) for model in MODELS},
        sizes={
            "azure": read_azure(folder / "azure-llm-2023" / "AzureLLMInferenceTrace_conv.csv"),
            "mooncake": read_mooncake(folder / "mooncake-fast25" / "conversation_trace.jsonl.gz"),
        },
        base_load_s=read_load_latencies(cold / "basemodel_update_latency_anon.tar.gz"),
        pipeline_load_s=read_load_latencies(cold / "pipeline_update_latency_anon.tar.gz"),
    )
