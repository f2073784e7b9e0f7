"""Ports of clusters: from a range of their own, free at both addresses, and not those of clusters that only start.

What opens sockets is in the ray tier, as the fast one may open none.
"""

import socket
from pathlib import Path

import pytest

from fabric.backends.local import ports
from fabric.backends.local.layout import HOST
from fabric.backends.local.ports import AFTER_LAST_PORT, FIRST_PORT, free_ports
from fabric.core.errors import Unavailable

NAMES = [f"port-{number}" for number in range(20)]


@pytest.fixture
def all_free(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """A machine where nobody listens but at the addresses that a test adds."""
    used: set[tuple[str, int]] = set()
    monkeypatch.setattr(ports, "_is_free", lambda host, port: (host, port) not in used)
    return used


@pytest.mark.ray
def test_ports_are_different_and_below_those_that_the_kernel_lends() -> None:
    found = free_ports(NAMES)
    assert list(found) == NAMES
    assert len(set(found.values())) == len(NAMES)
    assert all(FIRST_PORT <= port < AFTER_LAST_PORT for port in found.values())


@pytest.mark.parametrize("host", ["127.0.0.1", HOST])
def test_a_port_in_use_at_either_address_is_passed_over(host: str, all_free: set[tuple[str, int]]) -> None:
    all_free.add((host, FIRST_PORT + 1))
    found = free_ports(["a", "b"], draw=lambda size: 0)
    assert found == {"a": FIRST_PORT, "b": FIRST_PORT + 2}


@pytest.mark.ray
@pytest.mark.parametrize("host", ["127.0.0.1", HOST, "0.0.0.0"])
def test_a_listener_is_noticed(host: str) -> None:
    first = free_ports(["a"])["a"]
    with socket.create_server((host, first)):
        assert not all(ports._is_free(address, first) for address in ("127.0.0.1", HOST))


def test_ports_of_clusters_that_do_not_listen_yet_are_passed_over(all_free: set[tuple[str, int]]) -> None:
    one = free_ports(["a", "b"], draw=lambda size: 0)
    assert free_ports(["a"], one.values(), draw=lambda size: 0) == {"a": FIRST_PORT + 2}


def test_the_range_is_a_circle(all_free: set[tuple[str, int]]) -> None:
    found = free_ports(["a", "b"], draw=lambda size: size - 1)
    assert found["b"] == FIRST_PORT
    assert found["a"] > FIRST_PORT


def test_two_fabrics_begin_at_different_places(all_free: set[tuple[str, int]]) -> None:
    assert len({free_ports(["a"])["a"] for _ in range(20)}) > 1


def test_too_few_ports_are_said_with_the_range(all_free: set[tuple[str, int]]) -> None:
    taken = range(FIRST_PORT, AFTER_LAST_PORT)
    with pytest.raises(Unavailable, match=f"2 TCP ports are needed, but only 0 from {FIRST_PORT} to"):
        free_ports(["a", "b"], taken)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32768\t60999\n", 12_768),
        ("30000 60999", 10_000),
        ("1024 65535", 12_768),
        ("", 12_768),
        (None, 12_768),
    ],
)
def test_the_range_ends_where_the_kernel_begins_to_lend(tmp_path: Path, text: str | None, size: int) -> None:
    file = tmp_path / "range"
    if text is not None:
        file.write_text(text)
    assert ports._own_range(file) == (FIRST_PORT, size)
