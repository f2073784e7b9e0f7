"""What is done to a fabric under load: kills at chosen moments, a clock that is stepped, a full disk, a new database.

Knows nothing of what must be left afterwards (`tests/kills.py` does).
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from fabric.store.files import write_atomically
from fabric.workloads.states import State
from tests.controls import TIERS, Control, until
from tests.fake_control import CLOCK
from tests.kills import END_S, SERVICE, Disturb, Play

MOMENT_S = 4.0
"""Longest wait for work to be in a certain state before control is killed."""
_NUMBERS = count()
_NODES = tuple(f"{tier['name']}-{number}" for tier in TIERS for number in range(int(str(tier["nodes"]))))


@dataclass(frozen=True, slots=True)
class Moment:
    """When control is killed."""

    state: State
    """While work is in this one."""
    provoke: Callable[[Play, random.Random], None]
    """Makes it come, as it is rare by itself."""


def _hand_in(play: Play, draw: random.Random, *kinds: str) -> list[str]:
    names = [f"{kind}-m{next(_NUMBERS)}" for kind in kinds]
    for name in names:
        play.submit(name, draw)
    return names


def _run(play: Play, draw: random.Random, *kinds: str) -> str:
    """Hand in jobs, and wait some seconds for one of them to run; its name, or the first one's."""
    names = _hand_in(play, draw, *kinds)
    _wait_for(play, State.RUNNING, names)
    states = play.control.states()
    return next((name for name in names if states.get(name) is State.RUNNING), names[0])


def _begin(play: Play, draw: random.Random) -> None:
    _hand_in(play, draw, "short", "wide")


def _scale(play: Play, draw: random.Random) -> None:
    present = play.control.get(SERVICE)["workers"]
    other = draw.choice([workers for workers in (1, 2, 3) if workers != present])
    play.control.ask("POST", f"workloads/{SERVICE}/scale", {"workers": other})


def _resize_job(play: Play, draw: random.Random) -> None:
    """Let an elastic job run, which grows; one in two, also what it has to shrink for."""
    _run(play, draw, "elastic")
    if draw.random() < 0.5:
        _hand_in(play, draw, "urgent", "urgent")


def _preempt(play: Play, draw: random.Random) -> None:
    _run(play, draw, "leftover", "leftover", "leftover")
    _hand_in(play, draw, "urgent", "urgent", "urgent")


def _drain(play: Play, draw: random.Random) -> None:
    slices = play.control.get(_run(play, draw, "stubborn", "stubborn"))["slices"]
    play.drain(slices[0]["node"] if slices else draw.choice(_NODES))


def _stop(play: Play, draw: random.Random) -> None:
    name = _run(play, draw, "stubborn", "stubborn")
    play.stopped.add(name)
    play.control.ask("POST", f"workloads/{name}/stop")


MOMENTS: Mapping[str, Moment] = {
    "placing": Moment(State.PLACING, _begin),
    "starting": Moment(State.STARTING, _begin),
    "running": Moment(State.RUNNING, _begin),
    "service resizing": Moment(State.RESIZING, _scale),
    "job resizing": Moment(State.RESIZING, _resize_job),
    "preempting": Moment(State.DRAINING, _preempt),
    "node draining": Moment(State.DRAINING, _drain),
    "stopping": Moment(State.STOPPING, _stop),
}
"""Moments by name."""


def kill(play: Play, draw: random.Random) -> str:
    """Kill -9 control at a random instant, one in four while it starts, and start it again."""
    play.undrain()
    if draw.random() < 0.25:
        return _killed(play, draw.uniform(0.2, 3.0), "starting up")
    return _kill_at(play, draw, draw.choice(tuple(MOMENTS)))


def aimed_at(names: Sequence[str]) -> Disturb:
    """Kills at these moments only, one after the other."""
    turn = count()

    def aimed(play: Play, draw: random.Random) -> str:
        play.undrain()
        return _kill_at(play, draw, names[next(turn) % len(names)])

    return aimed


def _kill_at(play: Play, draw: random.Random, name: str) -> str:
    until(lambda: play.control.leads, END_S, play.control.last_words)
    time.sleep(draw.uniform(0.0, 1.0))
    # It may be away by itself, as where its database is.
    with suppress(httpx.HTTPError):
        MOMENTS[name].provoke(play, draw)
    _wait_for(play, MOMENTS[name].state)
    return _killed(play, draw.uniform(0.0, 0.3), "")


def _killed(play: Play, pause_s: float, phase: str) -> str:
    time.sleep(pause_s)
    seen = phase or _seen(play)
    with play.changing:
        play.control.kill()
        play.control.start()
    return seen


def _wait_for(play: Play, moment: State, names: Sequence[str] = ()) -> None:
    """Wait some seconds for work to be in a state, so that each kind of moment is among those at which it is killed.

    Args:
        play: The fabric.
        moment: The state.
        names: Of the work; any where there are none.
    """
    ends = time.monotonic() + MOMENT_S
    while time.monotonic() < ends:
        try:
            states = play.control.states()
        except httpx.HTTPError:
            return
        if moment in (states.values() if not names else [states[name] for name in names if name in states]):
            return
        time.sleep(0.05)


def _seen(play: Play) -> str:
    """In which states work was at that instant."""
    try:
        states = Counter(play.control.states().values())
    except httpx.HTTPError:
        return "unknown"
    return " ".join(sorted(str(state) for state in states if not state.final))


def step_clock(play: Play, draw: random.Random) -> str:
    """Let the wall clock go forth or back by up to an hour; one in three, kill control as well."""
    time.sleep(draw.uniform(0.3, 2.0))
    by_s = draw.choice((-3600.0, -60.0, 60.0, 3600.0))
    write_atomically(play.control.state / CLOCK, f"{by_s}".encode())
    if draw.random() < 1 / 3:
        kill(play, draw)
    return f"clock {by_s:+.0f} s"


def fill_of(disk: Path) -> Disturb:
    """Fill the disk of the records for some seconds."""

    def fill(play: Play, draw: random.Random) -> str:
        time.sleep(draw.uniform(0.3, 2.0))
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)
        with suppress(OSError), (disk / "filler").open("ab", buffering=0) as filler:
            while True:
                filler.write(b"\0")
        play.refused_while_full += _refused(play.control)
        time.sleep(draw.uniform(0.5, 2.0))
        (disk / "filler").unlink()
        return "disk full"

    return fill


def _refused(control: Control) -> int:
    """Whether new work is refused with the reason, as it must be where it cannot be kept."""
    answer = control.submit("large-0", "x" * 300_000)
    return int(answer.status_code == 503 and "full" in answer.text)


def restart_of(server: Any) -> Disturb:
    """Restart PostgreSQL under control, in an orderly way or as in a crash; one in two, kill control instead."""

    def restart(play: Play, draw: random.Random) -> str:
        if draw.random() < 0.5:
            return kill(play, draw)
        time.sleep(draw.uniform(0.2, 2.0))
        how = draw.choice((signal.SIGINT, signal.SIGQUIT))
        server.end(how)
        time.sleep(draw.uniform(0.0, 1.0))
        server.start()
        return f"PostgreSQL {how.name}"

    return restart
