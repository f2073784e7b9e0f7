"""A notice is believed if it comes from who knows the secret, as it was sent and just now."""

import hashlib
import hmac

import pytest

from fabric.api.notices import TOLERANCE_S, check_signature, signed_headers
from fabric.core.errors import Unauthenticated

BODY, SECRET, SENT = b'{"id": "toy/1/5.000"}', "word", 1_764_600_000.7


def test_the_signature_is_what_the_documentation_says() -> None:
    digest = hmac.new(b"word", b"1764600000." + BODY, hashlib.sha256).hexdigest()
    said = {"Fabric-Timestamp": "1764600000", "Fabric-Signature": f"v1={digest}"}
    assert signed_headers(SECRET, BODY, SENT) == said


@pytest.mark.parametrize("late", [0.0, TOLERANCE_S - 1, -TOLERANCE_S + 1])
def test_what_comes_about_when_it_was_sent_is_believed(late: float) -> None:
    headers = {name.lower(): value for name, value in signed_headers(SECRET, BODY, SENT).items()}
    check_signature(SECRET, headers, BODY, SENT + late)


@pytest.mark.parametrize("late", [TOLERANCE_S + 1, -TOLERANCE_S - 1, 86_400.0])
def test_a_notice_that_is_repeated_later_is_recognised_by_its_timestamp(late: float) -> None:
    with pytest.raises(Unauthenticated, match="somebody repeats it, or a clock"):
        check_signature(SECRET, signed_headers(SECRET, BODY, SENT), BODY, SENT + late)


@pytest.mark.parametrize(
    ("secret", "change", "body"),
    [
        ("other", {}, BODY),
        (SECRET, {}, BODY + b" "),
        (SECRET, {"Fabric-Timestamp": "1764600001"}, BODY),
        (SECRET, {"Fabric-Timestamp": "now"}, BODY),
        (SECRET, {"Fabric-Signature": ""}, BODY),
        (SECRET, {"Fabric-Signature": "v1=ü"}, BODY),
        (SECRET, {"Fabric-Signature": signed_headers(SECRET, BODY, SENT)["Fabric-Signature"][3:]}, BODY),
    ],
)
def test_what_is_signed_otherwise_or_changed_is_not_believed(secret: str, change: dict[str, str], body: bytes) -> None:
    headers = {**signed_headers(SECRET, BODY, SENT), **change}
    with pytest.raises(Unauthenticated, match="not signed with the secret"):
        check_signature(secret, headers, body, SENT)


def test_a_notice_that_was_cut_elsewhere_is_not_believed() -> None:
    begins, _, rest = BODY.partition(b".")
    signed = signed_headers(SECRET, BODY, SENT)
    cut = signed | {"Fabric-Timestamp": f"{signed['Fabric-Timestamp']}.{begins.decode()}"}
    with pytest.raises(Unauthenticated, match="not signed with the secret"):
        check_signature(SECRET, cut, rest, SENT)


def test_a_notice_without_a_signature_is_not_believed() -> None:
    with pytest.raises(Unauthenticated):
        check_signature(SECRET, {}, BODY, SENT)
