"""A person types in a slice of the fabric."""

import os
import pty
import subprocess
import time

from tests.ray.live import BIN, Live

PATIENCE_S = 120.0


class Person:
    """Somebody at a terminal, on which a command runs."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._outer, inner = pty.openpty()
        self.process = subprocess.Popen(
            command, env=environment, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        os.set_blocking(self._outer, False)
        self.seen = b""

    def types(self, text: str) -> None:
        """Press keys."""
        os.write(self._outer, text.encode())

    def sees(self, wanted: str) -> None:
        """Wait until it is shown."""
        ends = time.monotonic() + PATIENCE_S
        while wanted.encode() not in self.seen:
            assert time.monotonic() < ends, self.seen.decode(errors="replace")[-2000:]
            try:
                self.seen += os.read(self._outer, 65536)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                assert wanted.encode() in self.seen, self.seen.decode(errors="replace")[-2000:]

    def leaves(self) -> None:
        """The terminal is gone, as when a window is closed."""
        self.process.kill()
        self.process.wait(30)
        os.close(self._outer)


def test_a_shell_runs_in_its_slice_and_its_end_ends_the_workload(live: Live) -> None:
    person = Person([str(BIN / "fabric"), "shell", "--name", "typed", "--cpus", "1"], live.environment())
    try:
        person.sees("typed is")
        person.types("echo I-am-in-$FABRIC_WORKLOAD-$((40+2))\n")
        person.sees("I-am-in-typed-42")
        person.types("exit\n")
        person.sees("the shell ended with code 0")
        assert person.process.wait(30) == 0
    finally:
        person.leaves()
    assert live.wait("typed", "succeeded")["priority"] == "interactive"


def test_a_shell_outlives_its_connection_and_ends_when_nothing_is_typed(live: Live) -> None:
    command = [str(BIN / "fabric"), "shell"]
    first = Person([*command, "--name", "left", "--cpus", "1", "--idle", "20s"], live.environment())
    try:
        first.types("x=still-there\n")
        first.types("echo $x-once\n")
        first.sees("still-there-once")
    finally:
        first.leaves()
    second = Person([*command, "--attach", "left"], live.environment())
    try:
        second.sees("still-there-once")
        second.types("echo $x-twice\n")
        second.sees("still-there-twice")
        second.sees("nothing was typed for 20 s")
    finally:
        second.leaves()
    live.wait("left", "succeeded")
