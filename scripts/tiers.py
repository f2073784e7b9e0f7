"""Run tiers of tests, each in a process tree of its own that must be gone afterwards, and sum them up.

Knows nothing of what the tests do. Options after `--` go to pytest.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.junit import Counts, read_counts
from scripts.leftovers import adopt_orphans, end, find, reap
from scripts.rigging.refusing import refusal

ROOT = Path(__file__).resolve().parents[1]
MARKER = "FABRIC_TEST_RUN"
SETTLE_S = 15.0
"""How long what a tier started may take to leave after its last test."""
CLUSTER = "FABRIC_KUBECONFIG"
HARMLESS = frozenset({"FABRIC_CACHE", "FABRIC_TRACES", CLUSTER})
"""Variables that only say where something lies that was meant for tests: converted assets and programs, which
`scripts/assets` and `scripts/rig` put there too, traces, and a cluster to use instead of the rig."""
TRACES = ROOT.parent / "shared" / "traces"
"""Where the public traces lie if nobody says otherwise; a test that needs one skips where it is absent."""
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2 << 30  # noqa: S108 (what is made there has a name of its own)
"""Where files are kept in memory, and the room there that the tests of a tier may need."""
GIVE_UP_S = 30.0
"""How long pytest may take to end once it is told to."""
ALL_S = 4500.0
"""What all tiers of a run without names may take together; one that may not end in what is left is not begun."""
INTERRUPTED, NO_TESTS = 2, 5
"""Exit statuses of pytest."""


@dataclass(frozen=True, slots=True)
class Tier:
    """How a tier is run, how long it should take and when it is given up."""

    arguments: tuple[str, ...]
    budget_s: float
    limit_s: float
    prepare: tuple[str, ...] = ()
    """A module and its arguments that are run before, once; its time counts."""
    seen_s: float | None = None
    """What a slow machine was seen to need, where that is far from the budget."""
    in_memory: bool = False
    """Whether temporary files are kept in memory where there is room: thousands of small stores wait for no disk."""


# Not even imported in the fast tier: what lies there loads Ray and Torch.
PLAIN = tuple(f"--ignore=tests/{folder}" for folder in ("ray", "cluster", "gpu"))
ANYWHERE = "not ray and not cluster and not gpu"
# What `scripts/check` runs.
CHECKED = tuple(f"--ignore=tests/{folder}" for folder in ("architecture", "docs"))
NO_SOCKETS = ("--disable-socket", "--allow-unix-socket")
SERIAL = ("-p", "no:randomly", "-p", "no:xdist")
# Files side by side, in the order of tests/ray/conftest.py: by the number of tests, as xdist has it, the longest test
# comes last and alone.
BESIDE = ("-p", "no:randomly", "--dist", "loadfile", "--no-loadscope-reorder")
# Who is done early takes over what the other has not begun.
STEALING = ("-n", "2", "--dist", "worksteal")
LOOPBACK = ("--allow-hosts=127.0.0.1,::1,localhost", "--allow-unix-socket", "--timeout=300")
TIERS = {
    "fast": Tier(
        (
            "-m",
            f"{ANYWHERE} and not validation and not slow",
            *PLAIN,
            *CHECKED,
            *STEALING,
            *NO_SOCKETS,
        ),
        60,
        900,
        in_memory=True,
    ),
    "validation": Tier(
        # Properties of the fast tier again, with six times as many made-up worlds.
        (
            "-m",
            f"{ANYWHERE} and (validation or slow or hypothesis)",
            "--hypothesis-profile=thorough",
            *PLAIN,
            "-p",
            "no:randomly",
            *STEALING,
            *NO_SOCKETS,
        ),
        900,
        2400,
        in_memory=True,
    ),
    # Starting Ray is a chain of processes that wait for each other: it takes three to use both cores.
    "ray": Tier(("-m", "ray and not models", "-n", "3", *BESIDE, *LOOPBACK), 900, 3000),
    "models": Tier(("-m", "models", "-n", "2", *BESIDE, *LOOPBACK), 900, 3000),
    # The first time, the rig's programs are built.
    "cluster": Tier(("-m", "cluster", *SERIAL, "--timeout=600"), 2700, 3000, ("scripts.rigging", "build"), 2100),
    "gpu": Tier(("-m", "gpu", *SERIAL, "--timeout=600"), 1800, 3600),
}


DEFAULT = ("fast", "validation", "ray", "models", "cluster")
"""The tiers of a run without names, in their order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a tier."""

    name: str
    counts: Counts
    seconds: float = 0.0
    wrong: str = ""
    """What is wrong with it; empty if nothing is."""
    interrupted: bool = False

    def __str__(self) -> str:
        counts, budget_s = self.counts, TIERS[self.name].budget_s
        reasons = "; ".join(f"{number} x {reason}" for reason, number in counts.reasons.items())
        parts = [
            f"{self.name}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped",
            f" ({reasons})" if reasons else "",
            f", {self.seconds:.0f} s of {budget_s:.0f} s",
            " OVER BUDGET" if self.seconds > budget_s else "",
            f", {self.wrong}" if self.wrong else "",
        ]
        return "".join(parts)


def missing_machine(name: str) -> str:
    """Why this machine cannot run the tier; empty if it can."""
    if name in ("cluster", "gpu") and not any((ROOT / "tests" / name).rglob("test_*.py")):
        return f"tests/{name} has no tests yet"
    if name == "gpu" and not Path("/dev/nvidiactl").exists():
        return "this machine has no NVIDIA GPU"
    return refusal() if name == "cluster" and not os.environ.get(CLUSTER) else ""


def prepared(tier: Tier) -> str:
    """Do what a tier needs done before; what went wrong, or empty."""
    if not tier.prepare or os.environ.get(CLUSTER):
        return ""
    done = subprocess.run([sys.executable, "-m", *tier.prepare], check=False)
    return f"{' '.join(tier.prepare)} ended with {done.returncode}" if done.returncode else ""


def environment(run: str) -> dict[str, str]:
    """The caller's environment without what would lead tests to the caller's own fabric or cluster."""
    # Without kept byte code, each worker would compile all of the project and of its tests in every run.
    led = ("FABRIC_", "MLFLOW_", "RAY_ADDRESS", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(led) or k in HARMLESS}
    if TRACES.is_dir():
        kept.setdefault("FABRIC_TRACES", str(TRACES))
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0", MARKER: run}


def memory() -> Path | None:
    """A folder whose files are kept in memory, if there is one with room."""
    usable = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if usable else None


def run_pytest(arguments: list[str], env: dict[str, str], limit_s: float, output: Path | None = None) -> int:
    """Run pytest to its end or the limit, reaping what falls to us meanwhile; returns its exit status.

    Args:
        arguments: Of pytest.
        env: Its environment.
        limit_s: Seconds after which it is stopped.
        output: File for what it prints; None leaves it on ours.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [(os.POSIX_SPAWN_OPEN, number, str(output), flags, 0o644) for number in (1, 2)] if output else []
    command = [sys.executable, "-m", "pytest", *arguments]
    pid = os.posix_spawn(sys.executable, command, env, file_actions=files)
    signals = iter((signal.SIGINT, signal.SIGKILL, signal.SIGKILL))
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if (status := reap().get(pid)) is not None:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                print("tiers: out of time, stopping pytest", file=sys.stderr)
                os.kill(pid, next(signals))
                deadline = time.monotonic() + GIVE_UP_S
            time.sleep(0.05)
        except KeyboardInterrupt:
            deadline = min(deadline, time.monotonic() + GIVE_UP_S)


def left_out(name: str, reason: str) -> Outcome:
    """A tier that is not run."""
    return Outcome(name, Counts(skipped=1, reasons={reason: 1}))


def staying(name: str) -> Callable[[], Collection[int]]:
    """Says which processes a tier found and leaves behind: those of a rig that is up.

    Tests start parts of it anew, which then descend from us.
    """
    if name != "cluster":
        return tuple
    from scripts.rigging.layout import layout
    from scripts.rigging.leaving import standing

    return partial(standing, layout()) if standing(layout()) else tuple


def run_tier(name: str, extra: list[str]) -> Outcome:
    """Run one tier, and end what it left behind."""
    if reason := missing_machine(name):
        return left_out(name, reason)
    print(f"\n=== {name} ===", flush=True)
    tier, run, started = TIERS[name], uuid.uuid4().hex, time.monotonic()
    if wrong := prepared(tier):
        return Outcome(name, Counts(), time.monotonic() - started, wrong)
    spared = staying(name)
    with tempfile.TemporaryDirectory(prefix="fabric-test-", dir=memory() if tier.in_memory else None) as folder:
        report = Path(folder, "junit.xml")
        arguments = ["tests", *tier.arguments, "-q", "--durations=10", f"--junitxml={report}", *extra]
        place = {"TMPDIR": folder} if tier.in_memory else {}
        status = run_pytest(arguments, environment(run) | place, tier.limit_s)
        seconds, counts = time.monotonic() - started, read_counts(report)
    left = find(MARKER, run, SETTLE_S, spared)
    for process in left:
        print(f"{name}: left behind: {process.pid} {process.command}", file=sys.stderr)
    end(left)
    troubles = [f"{len(left)} processes left behind"] if left else []
    if status not in (0, NO_TESTS):
        troubles.append(f"pytest ended with {status}")
    elif status == NO_TESTS:
        counts = Counts(skipped=1, reasons={"no tests chosen": 1})
    return Outcome(name, counts, seconds, ", ".join(troubles), interrupted=status == INTERRUPTED)


def too_late(name: str, used_s: float) -> str:
    """Why a tier is not begun after so many seconds of a run of all; empty if it is."""
    needs_s = TIERS[name].seen_s or TIERS[name].budget_s
    if used_s + needs_s <= ALL_S:
        return ""
    return (
        f"it may take {needs_s:.0f} s, and {used_s:.0f} s of the {ALL_S:.0f} s for all tiers are used; "
        f"scripts/test {name} runs it alone"
    )


def main(words: list[str]) -> int:
    """Run the tiers named in `words`, by default those that need no special machine; returns the exit status."""
    names, extra = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    if unknown := [name for name in names if name not in TIERS]:
        print(
            f"test: no tier {unknown[0]!r}; there are {', '.join(TIERS)}. Options of pytest go after --",
            file=sys.stderr,
        )
        return 2
    adopt_orphans()
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for name in names or DEFAULT:
        late = "" if names else too_late(name, time.monotonic() - started)
        outcomes.append(left_out(name, late) if late else run_tier(name, extra))
        if outcomes[-1].interrupted:
            break
    print("\n=== summary ===")
    for outcome in outcomes:
        print(outcome, *(f"  {test}: {said}" for test, said in outcome.counts.failures.items()), sep="\n")
    passed, failed, skipped = (
        sum(getattr(o.counts, kind) for o in outcomes) for kind in ("passed", "failed", "skipped")
    )
    print(f"total: {passed} passed, {failed} failed, {skipped} skipped, {sum(o.seconds for o in outcomes):.0f} s")
    return int(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
