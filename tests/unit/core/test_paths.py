"""What may be the path of an artifact."""

import pytest

from fabric.core.errors import BadInput
from fabric.core.paths import MOST_PARTS, parts_of


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        ("loss.csv", ("loss.csv",)),
        ("runs/7/a b ü.csv", ("runs", "7", "a b ü.csv")),
        ("...", ("...",)),
        ("a\\..\\b", ("a\\..\\b",)),
    ],
)
def test_a_path_leads_through_its_names(path: str, parts: tuple[str, ...]) -> None:
    assert parts_of(path) == parts


@pytest.mark.parametrize(
    "path",
    ["/", "/etc/passwd", "..", "../x", "a/../../x", "a/./x", "a//x", "a/", "a\0b", "a\nb", "\udc80", "ü" * 128,
     "/".join("a" * (MOST_PARTS + 1)), "/".join(["a" * 200] * 11)],
)  # fmt: skip
def test_a_path_that_leads_out_or_that_no_file_has_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match=r"Write it like runs/7/loss\.csv"):
        parts_of(path)
