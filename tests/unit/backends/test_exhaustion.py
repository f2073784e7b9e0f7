"""A control that can open nothing more takes nobody for dead, silent or gone."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.backends.keeping.exhaustion import exhausted
from fabric.backends.keeping.head import RayHead
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local import processes
from fabric.backends.local.backend import LocalBackend
from fabric.backends.local.slices import Slices
from fabric.core.errors import ClusterLost, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.ports import Outcome, Phase
from tests.builders import FakeLogs, FakePackages, piece, tiny_site
from tests.fake_proc import FakeProc, marks
from tests.unit.backends.test_keeper import Kept
from tests.unit.backends.test_local import layout
from tests.unit.backends.test_resizing import RUNNING, Clock, clock

__all__ = ["clock"]

PART = piece("c0", "workers", Resources.of(1, 0, "1 GiB"), head=True)


def none_left(code: int = errno.EMFILE) -> OSError:
    return OSError(code, os.strerror(code))


@contextmanager
def opening_fails(code: int = errno.EMFILE) -> Iterator[None]:
    """Whoever opens a file of `/proc` is told this meanwhile."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise none_left(code)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "open", refuse, raising=False)
        yield


def running(folder: Path) -> Slices:
    """A cluster whose only Ray node is this very process."""
    slices = Slices(layout(PART), folder, folder)
    slices._watched = {PART.name: processes.Process(os.getpid(), _started())}
    assert (slices.lost(), slices.has_left(PART.name)) == ([], False)
    return slices


def _started() -> int:
    me = processes.identify(os.getpid())
    assert me is not None
    return me.started


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        (errno.EMFILE, []),
        (errno.ENFILE, []),
        (errno.ENOMEM, []),
        (errno.ENOENT, [PART.name]),
        (errno.ESRCH, [PART.name]),
    ],
)
def test_with_no_file_descriptor_left_nothing_counts_as_lost(tmp_path: Path, code: int, lost: list[str]) -> None:
    slices = running(tmp_path)
    with opening_fails(code):
        assert slices.lost() == lost
        assert slices.has_left(PART.name) == bool(lost)
    assert slices.lost() == []


def test_what_cannot_be_looked_at_is_not_said_to_be_gone(tmp_path: Path) -> None:
    slices = running(tmp_path)
    with opening_fails(), pytest.raises(OSError, match="Too many open files"):
        slices.end(0.0)
    with opening_fails(), pytest.raises(OSError, match="Too many open files"):
        slices.end_one(PART.name, 0.0)
    assert slices.lost() == []


def test_a_process_that_could_not_be_looked_at_is_not_taken_for_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
    FakeProc(tmp_path / "proc").runs(10, memory_bytes=2 * 2**30, environment=marks(tmp_path))
    slices = Slices(layout(PART), tmp_path, tmp_path)
    with opening_fails():
        assert slices.oversized({PART.name: PART}) == ""
    assert slices.oversized({PART.name: PART}).startswith("slice workers-c0 on c0 uses 2.00 GiB of 1 GiB granted")


def test_what_is_used_is_not_measured_as_nothing(tmp_path: Path) -> None:
    backend = LocalBackend(tiny_site(), Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event()))
    with opening_fails(), pytest.raises(Unavailable, match="cannot be looked at now: .*Too many open files"):
        backend.measure(1.0)


def test_a_head_that_cannot_be_called_for_want_of_file_descriptors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(code: int) -> ClusterLost:
        def refuse(*_: Any, **__: Any) -> socket.socket:
            raise none_left(code)

        monkeypatch.setattr(socket, "create_connection", refuse)
        with pytest.raises(ClusterLost) as caught:
            RayHead("http://127.0.0.1:1", "t").job("w-1")
        return caught.value

    assert exhausted(called(errno.EMFILE))
    assert not exhausted(called(errno.ECONNREFUSED))


def unheard(cause: OSError) -> ClusterLost:
    """What a head raises that does not answer for this cause."""
    try:
        try:
            raise httpx.ConnectError(str(cause)) from cause
        except httpx.HTTPError:
            raise ClusterLost("the Ray head does not answer") from None
    except ClusterLost as error:
        return error


def test_a_head_is_silent_only_for_as_long_as_it_could_have_been_heard(tmp_path: Path, clock: Clock) -> None:
    kept = Kept(tmp_path).turns()
    kept.head.refuses = unheard(none_left())
    clock.now_s += 61.0
    assert kept.turns().seen == RUNNING
    kept.head.refuses = unheard(none_left(errno.ECONNREFUSED))
    clock.now_s += 59.0
    assert kept.turns().seen == RUNNING
    clock.now_s += 2.0
    assert kept.turns().seen == (Phase.BROKEN, Outcome.RUNNING)


def test_an_entrypoint_whose_package_cannot_be_opened_now_is_handed_over_later(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    submit = kept.head.submit

    def refuse(request: Any) -> None:
        raise none_left()

    kept.head.submit = refuse  # type: ignore[method-assign]
    assert kept.turns().seen == (Phase.READY, Outcome.NONE)
    assert kept.keeper.view.message == "control cannot look at it now: [Errno 24] Too many open files"
    kept.head.submit = submit  # type: ignore[method-assign]
    assert kept.turns().seen == RUNNING


@pytest.mark.parametrize("error", [none_left(), RuntimeError("a mistake of ours")])
def test_a_keeper_whose_end_could_not_be_looked_at_tries_again_and_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("fabric.backends.keeping.keeper._AGAIN_S", 0.0)
    kept = Kept(tmp_path)
    looks: Iterator[Exception | bool] = iter([error, error, True])

    def end(patience_s: float) -> bool:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    kept.slices.end = end  # type: ignore[method-assign]
    kept.keeper.leave()
    kept.keeper.run()
    assert (kept.keeper.done, list(looks)) == (True, [])
