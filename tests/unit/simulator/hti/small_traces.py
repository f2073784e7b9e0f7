"""A made-up set of traces in the public ones' formats, small enough to be drawn from in a test."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces, read_traces
from fabric.simulator.hti.traces.tokens import TokenSizes

DAYS = 21
"""Length of the made-up logs."""
FILES = {
    "philly-sia": "philly.csv.gz",
    "servegen-rates": "rates_10min.csv",
    "azure-llm-2023": "AzureLLMInferenceTrace_conv.csv",
    "mooncake-fast25": "conversation_trace.jsonl.gz",
}
"""File of each folder that has one."""


def write_csv(path: Path, heading: str, rows: Iterable[Sequence[object]]) -> Path:
    """A comma-separated file, packed if its name says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading.split(","))
    writer.writerows(rows)
    return write(path, text.getvalue())


def write(path: Path, text: str) -> Path:
    """A text file, packed if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo(path.name.removesuffix(".tar.gz") + ".csv")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    else:
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_all(folder: Path) -> Path:
    """The whole set: 3,000 training jobs, two batch logs, fourteen days of rates, 400 requests of each kind."""
    rng = np.random.default_rng(7)
    first = datetime(2020, 1, 1)
    training = [
        (
            first + timedelta(seconds=int(rng.integers(DAYS * 86400))),
            round(float(rng.lognormal(8, 1.5)), 0) + 1,
            int(rng.choice([1, 1, 1, 2, 4, 8, 32])),
            0.0,
            f"vc{rng.integers(3)}",
        )
        for _ in range(3000)
    ]
    write_csv(folder / "philly-sia" / FILES["philly-sia"], "timestamp,duration,num_gpus,gpu_time,cluster", training)
    for name in ("KTH-SP2", "SDSC-SP2"):
        times = np.sort(rng.integers(DAYS * 86400, size=2000))
        lines = [
            swf_line(i + 1, int(at), int(rng.lognormal(9, 1)), int(rng.integers(1, 65))) for i, at in enumerate(times)
        ]
        write(folder / "swf-pyss-easy" / f"{name}.easy.swf.gz", "; MaxProcs: 100\n" + "\n".join(lines) + "\n")
    hours = np.arange(2016) / 6
    curve = 100 + 50 * np.sin(2 * np.pi * hours / 24)
    rates = [(int(i * 600), c, 0.0 if i == 5 else 2 * c, 3 * c, "") for i, c in enumerate(curve)]
    heading = "t_s,m-large_rps,m-mid_rps,m-small_rps,deepseek-r1_rps"
    write_csv(folder / "servegen-rates" / FILES["servegen-rates"], heading, rates)
    tokens = [("2023-11-16 18:15:46", int(rng.lognormal(6.5, 0.8)) + 1, int(rng.integers(10, 400))) for _ in range(400)]
    write_csv(folder / "azure-llm-2023" / FILES["azure-llm-2023"], "TIMESTAMP,ContextTokens,GeneratedTokens", tokens)
    requests = [
        {"timestamp": i, "input_length": int(rng.integers(1000, 20000)), "output_length": 300, "hash_ids": [0, i + 1]}
        for i in range(400)
    ]
    lines = [json.dumps(request) for request in requests]
    write(folder / "mooncake-fast25" / FILES["mooncake-fast25"], "\n".join(lines))
    for kind in ("basemodel", "pipeline"):
        loads = [(0.0, float(rng.integers(1000, 40000)), "c") for _ in range(50)]
        name = f"{kind}_update_latency_anon.tar.gz"
        write_csv(folder / "alibaba-gentd26" / name, "timestamp_anon,value,container_ip", loads)
    return folder


def swf_line(job_id: int, submit: int, run: int, processors: int, requested: int = -1, user: int = 3) -> str:
    """One job of a batch log."""
    fields = [job_id, submit, 0, run, processors, -1, -1, processors, requested, -1, 1, user, *[-1] * 6]
    return " ".join(str(field) for field in fields)


def small_traces(folder: Path) -> Traces:
    """The made-up set, read."""
    return read_traces(write_all(folder))


def tables(settings: HtiSettings) -> tuple[ReplicaTable, ...]:
    """Made-up tables: five requests a second for each replica."""
    return tuple(
        ReplicaTable(service.name, tuple(5.0 * number for number in range(1, service.peak_replicas + 5)))
        for service in settings.services
    )


def sizes(*pairs: tuple[int, int]) -> TokenSizes:
    """Requests of (prompt, answer) tokens."""
    return TokenSizes(tuple(read for read, _ in pairs), tuple(written for _, written in pairs))
