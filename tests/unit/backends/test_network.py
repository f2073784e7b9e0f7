"""A network that is not the wanted one is read from what NCCL and libfabric print, and silence is no consent."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fabric.backends.kuberay import preflight
from fabric.backends.kuberay.network import fallbacks

CXI = {"NCCL_NET": "AWS Libfabric", "FI_PROVIDER": "cxi"}
PRE = "nid001:12:12 [0] NCCL INFO "
GOOD = (f"{PRE}NET/OFI Selected Provider is cxi (found 4 nics)", f"{PRE}Using network AWS Libfabric", "provider: cxi")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (GOOD, []),
        ((f"{PRE}Using network AWS Libfabric",), []),
        ((f"{PRE}Assigned NET plugin AWS Libfabric to comm",), []),
        (
            (f"{PRE}NET/Plugin: Could not find: libnccl-net.so", f"{PRE}Using network Socket"),
            ["NCCL fell back to Socket instead of AWS Libfabric"],
        ),
        ((f"{PRE}Assigned NET plugin Socket to comm",), ["NCCL fell back to Socket instead of AWS Libfabric"]),
        (
            (f"{PRE}NET/OFI Selected provider is tcp;ofi_rxm, fabric is tcp", f"{PRE}Using network AWS Libfabric"),
            ["libfabric chose tcp;ofi_rxm instead of cxi"],
        ),
        ((*GOOD[:2], "provider: tcp", "    provider: sockets"), ["fi_info knows tcp, sockets instead of cxi"]),
        ((), ["NCCL did not say which network it uses"]),
        (("NCCL did not start: no CUDA-capable device",), ["NCCL did not start: no CUDA-capable device"]),
    ],
)
def test_what_is_not_the_wanted_network_is_a_reason(said: Sequence[str], wrong: list[str]) -> None:
    assert list(fallbacks(said, CXI)) == wrong


def test_without_a_wanted_provider_only_tcp_is_wrong() -> None:
    wanted = {"NCCL_NET": "AWS Libfabric"}
    assert list(fallbacks(GOOD, wanted)) == []
    said = (f"{PRE}NET/OFI Selected Provider is tcp", GOOD[1])
    assert list(fallbacks(said, wanted)) == ["libfabric chose tcp, which is no fabric"]


def test_a_pod_tells_the_lines_about_the_network_and_no_others(tmp_path: Path) -> None:
    log = tmp_path / "nccl.log"

    def starts() -> None:
        log.write_text("\n".join((f"{PRE}cudaDriverVersion 12040", *GOOD[:2], GOOD[1], "x" * 500)))

    assert preflight.nccl_says(str(log), starts) == list(GOOD[:2])
    assert preflight.nccl_says(str(tmp_path / "gone"), lambda: None) == []


def test_an_nccl_that_does_not_start_says_why(tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no CUDA-capable device is detected")

    said = preflight.nccl_says(str(tmp_path / "log"), fails)
    assert said == ["NCCL did not start: no CUDA-capable device is detected"]


def test_providers_are_asked_of_libfabrics_own_program_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight.fabric_says() == []
    program = tmp_path / "fi_info"
    program.write_text("#!/bin/sh\necho 'provider: cxi'\necho '    fabric: cxi'\necho 'provider: cxi'\n")
    program.chmod(0o755)
    assert preflight.fabric_says() == ["provider: cxi"]
