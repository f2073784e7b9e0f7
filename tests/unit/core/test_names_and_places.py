"""Names that paths and labels can hold, places, and errors by their code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import ERRORS, BadInput, FabricError
from fabric.core.ids import attempt_id, check_name, generated_name
from fabric.core.topology import Place

PLACES = st.builds(Place, st.sampled_from(["", "a", "b"]), st.sampled_from(["", "r1", "r2"]))


@pytest.mark.parametrize("name", ["a", "A1", "pretrain-7b", "x_y.z", "raysubmit_9aXk", "0", "a" * 160])
def test_a_good_name_is_returned_as_it_is(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".", "..", "a..b", "a/b", "../x", "a b", "a\n", "ä", "a\0", "$HOME", "a" * 161]
)
def test_a_name_that_a_path_or_a_label_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is not a tier name. Use letters") as caught:
        check_name(name, "tier")
    assert caught.value.fields == {"name": name}


def test_attempts_and_generated_names_are_names_too() -> None:
    assert attempt_id(check_name("train"), 2) == "train-2"
    assert check_name(generated_name("job", b"\x00\xff\x10\x99")) == "job-00ff10"


@given(PLACES, PLACES)
def test_distance_is_the_same_both_ways_and_zero_at_home(one: Place, other: Place) -> None:
    assert one.hops(other) == other.hops(one)
    assert one.hops(one) == 0


def test_distance_counts_the_levels_that_differ() -> None:
    here = Place("g1", "r1")
    assert [here.hops(Place(*there)) for there in (("g1", "r1"), ("g1", "r2"), ("g2", "r1"))] == [0, 1, 2]


def _descendants(error: type[FabricError]) -> set[type[FabricError]]:
    return {error}.union(*(_descendants(child) for child in error.__subclasses__()))


def test_every_error_of_the_tree_has_a_code_of_its_own() -> None:
    ours = {error for error in _descendants(FabricError) if error.__module__ == FabricError.__module__}
    assert set(ERRORS.values()) == ours
    assert {code: error.code for code, error in ERRORS.items()} == {code: code for code in ERRORS}


def test_an_error_carries_what_its_message_says() -> None:
    error = ERRORS["does_not_fit"]("too large", asked=16, most=8)
    assert (str(error), error.message, dict(error.fields)) == ("too large", "too large", {"asked": 16, "most": 8})
    assert isinstance(error, BadInput)
