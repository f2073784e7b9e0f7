"""What a run costs: requests to the API server by kind, and memory and processor time of each process.

Knows nothing of what was run.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_S = 1.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LINE = re.compile(r"apiserver_request_total\{(?P<labels>[^}]*)\} (?P<count>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_STANDING = frozenset({"leases", "nodes", "events", "endpoints", "endpointslices"})
"""Resources whose requests come from the nodes' and controllers' standing work, and not from what is placed."""


def request_counts(text: str) -> Counter[str]:
    """Requests so far by `VERB resource/subresource`, from an API server's metrics; watches are left out."""
    found: Counter[str] = Counter()
    for line in _LINE.finditer(text):
        labels = dict(_LABEL.findall(line["labels"]))
        if labels.get("verb") in {"WATCH", "CONNECT"} or not labels.get("resource"):
            continue
        below = f"/{labels['subresource']}" if labels.get("subresource") else ""
        found[f"{labels['verb']} {labels['resource']}{below}"] += int(float(line["count"]))
    return found


def about_placement(counts: Mapping[str, int]) -> int:
    """Requests but for standing work: leases, nodes, events and endpoints."""
    return sum(n for name, n in counts.items() if name.partition(" ")[2].partition("/")[0] not in _STANDING)


def by_the_fabric(counts: Mapping[str, int]) -> int:
    """Requests that in an arm of ours only control makes: objects it creates and patches, and gates it lifts."""
    ours = ("POST rayclusters", "PATCH rayclusters", "POST secrets", "GET secrets", "PATCH pods")
    return sum(counts.get(name, 0) for name in ours)


def resident_bytes(pid: int) -> int:
    """Memory of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cpu_s(pid: int) -> float:
    """Processor time that a process has used; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def pid_of(*words: str) -> int | None:
    """The process whose command line has all of these words; the oldest if there are several."""
    for entry in sorted((e for e in Path("/proc").iterdir() if e.name.isdigit()), key=lambda e: int(e.name)):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in command for word in words):
            return int(entry.name)
    return None


class Costs:
    """Memory and processor time of processes as long as it is entered.

    Args:
        processes: Process ids by name.
    """

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self._before: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes: dict[str, int] = dict.fromkeys(processes, 0)
        """Most memory of each at any look."""
        self.used_s: dict[str, float] = {}
        """Processor time of each."""

    def __enter__(self) -> Self:
        self._before = {name: cpu_s(pid) for name, pid in self._processes.items()}
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.used_s = {name: round(cpu_s(pid) - self._before[name], 2) for name, pid in self._processes.items()}

    def _sample(self) -> None:
        while True:
            for name, pid in self._processes.items():
                self.peak_bytes[name] = max(self.peak_bytes[name], resident_bytes(pid))
            if self._over.wait(SAMPLE_S):
                return
