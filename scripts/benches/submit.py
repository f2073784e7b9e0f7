"""From `ray job submit` of `print(1)` to its output: an idle fabric against a bare new Ray cluster; about 6 minutes.

Both sides pay for the start of a Ray head: the fabric makes one for the job, the other side runs `ray start --head`
first. Runs alternate A-B-B-A. The clock starts before the first command and stops when the line `1` arrives on the
terminal of the stock `ray job submit`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from fabric.backends.local import processes
from fabric.backends.local.ports import free_ports
from scripts.benches._own_fabric import own_fabric
from scripts.benches._sides import compared

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
AT_MOST = 1.5
"""Fabric / bare; the goal of the project."""
MARK = "FABRIC_BENCH_RUN"
"""Environment variable by which the processes of a bare cluster are found and ended."""


def submit(address: str, environment: dict[str, str]) -> float:
    """`ray job submit` until it has ended; the instant at which its output showed, on the monotonic clock.

    Raises:
        SystemExit: If the output never comes.
    """
    command = [str(BIN / "ray"), "job", "submit", "--address", address, "--", sys.executable, "-c", "print(1)"]
    return shown_at(command, environment, address)


def shown_at(command: list[str], environment: dict[str, str], address: str) -> float:
    """Run a client to its end; the instant at which it wrote the line `1`.

    Raises:
        SystemExit: If that never comes, or the client fails.
    """
    at, said = None, []
    job = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with job:
        for line in job.stdout or ():
            said.append(line)
            at = at or (time.monotonic() if line.strip() == "1" else None)
    if at is None or job.returncode != 0:
        sys.exit(f"bench: {address}: the client ended with {job.returncode} and wrote:\n{''.join(said)}")
    return at


@contextmanager
def new_cluster(num_cpus: int = 1) -> Iterator[tuple[str, dict[str, str]]]:
    """`ray start --head`: its dashboard's address, and the environment of its processes; all end on leaving."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        run = uuid.uuid4().hex
        # As in an activated environment; without a token, whatever lies in ~/.ray.
        activated = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled"}
        environment = {**os.environ, **activated, MARK: run, "SPT_NOENV": "1", "RAY_TMPDIR": folder}
        # Ray's fixed port for the agent that takes jobs, where another cluster has it, leaves this one without.
        port, dashboard, agent = free_ports(("gcs", "dashboard", "agent")).values()
        start = [str(BIN / "ray"), "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}"]
        more = [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
        more += [f"--temp-dir={folder}", f"--num-cpus={num_cpus}"]
        try:
            subprocess.run([*start, *more], env=environment, check=True, capture_output=True)
            yield f"http://127.0.0.1:{dashboard}", environment
        finally:
            processes.end_all((f"{MARK}={run}",), 5.0)


def bare(_: str) -> float:
    """Seconds on a new cluster, its start included."""
    began = time.monotonic()
    with new_cluster() as (address, environment):
        return submit(address, environment) - began


def fabric(address: str) -> float:
    """Seconds on an idle fabric."""
    began = time.monotonic()
    return submit(address, dict(os.environ)) - began


def main() -> int:
    """Measure, print a table and JSON; 1 if the ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="runs of each side")
    parser.add_argument("--rest", type=float, default=5.0, help="seconds between runs, for what ends to end")
    options = parser.parse_args()
    found: dict[str, list[float]] = {"fabric": [], "bare": []}
    with own_fabric() as idle:
        for name in islice(cycle(("fabric", "bare", "bare", "fabric")), 2 * options.times):
            took_s = {"fabric": fabric, "bare": bare}[name](idle.address)
            found[name].append(took_s)
            print(f"{name:6} {took_s:6.2f} s", flush=True)
            time.sleep(options.rest)
    return compared(found, AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
