"""How models are named."""

import pytest

from fabric.core.errors import BadInput
from fabric.registry.reference import ModelReference, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("shakespeare", ModelReference("shakespeare", "champion")),
        ("shakespeare@champion", ModelReference("shakespeare", "champion")),
        ("shakespeare@a-b_2", ModelReference("shakespeare", "a-b_2")),
        ("shakespeare:3", ModelReference("shakespeare", None, 3)),
        (" smol-1.5_x ", ModelReference("smol-1.5_x", "champion")),
    ],
)
def test_a_reference_is_read(text: str, reference: ModelReference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    ["", "@champion", ":3", "a@", "a:", "a:0", "a:-1", "a:x", "a:1.5", "a@b:1", "a:1@b", "a@b@c", "a/b", "../a",
     "a@9x", "a@b c", "a@latest", "a@v3", "a@V12", f"a@{'x' * 101}"],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"Write it like|Use letters"):
        parse_reference(text)


@pytest.mark.parametrize("text", ["shakespeare@champion", "shakespeare:3"])
def test_a_reference_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_reference(text)) == text
