import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.data.fingerprint import fingerprint, shingle_hashes
from fabric.data.similarity import Overlap, exact_groups, near_pairs, overlaps
from tests.unit.data.world import prints, prose, words_of

A, B, C = prose(1), prose(2), prose(3)


def test_equal_texts_are_grouped_by_name() -> None:
    assert exact_groups(prints(d=A, b=B, a=A, c=B, e=C)) == (("a", "d"), ("b", "c"))


def test_case_and_punctuation_do_not_make_shingles_different() -> None:
    assert (shingle_hashes("Who's there? Nay, answer me!", 3) == shingle_hashes("who s there nay ANSWER me", 3)).all()


def test_the_order_of_words_makes_shingles_different() -> None:
    assert not set(shingle_hashes("one two three four", 3).tolist()) & set(
        shingle_hashes("four three two one", 3).tolist()
    )


@given(words=st.lists(st.sampled_from("abcdefgh"), max_size=30), width=st.integers(2, 6))
def test_there_is_a_hash_for_every_different_run_of_words(words: list[str], width: int) -> None:
    runs = {tuple(words[i : i + width]) for i in range(max(1, len(words) - width + 1))} if words else set()
    hashes = shingle_hashes(" ".join(words), width)
    assert len(hashes) == len(runs)
    assert (np.sort(hashes) == hashes).all()


def test_a_passage_is_found_in_the_text_that_holds_it() -> None:
    passage = words_of(A, 100, 104)
    assert overlaps(prints(whole=A, passage=passage, other=B), 0.01) == (Overlap("passage", "whole", 1.0),)


@pytest.mark.parametrize(("borrowed", "share"), [(54, 0.5), (14, 0.1), (6, 0.02)])
def test_the_share_is_that_of_the_smaller_text(borrowed: int, share: float) -> None:
    small = words_of(B, 0, 104 - borrowed) + words_of(A, 50, borrowed)
    assert overlaps(prints(a=A, small=small), 0.01) == (Overlap("small", "a", share),)


def test_what_shares_less_than_the_threshold_is_not_told() -> None:
    assert overlaps(prints(a=A, small=words_of(B, 0, 98) + words_of(A, 50, 6)), 0.03) == ()


def test_a_sketch_estimates_the_share() -> None:
    whole, half = prose(1, 20_000), prose(2, 5_000) + words_of(prose(1, 20_000), 0, 5_000)
    sketches = [fingerprint(name, text, shingle_words=5, sketch_one_in=8) for name, text in (("w", whole), ("h", half))]
    assert 1000 < len(sketches[1].shingles) < 1500
    (found,) = overlaps(sketches, 0.1)
    assert (found.small, found.large) == ("h", "w")
    assert found.share == pytest.approx(0.5, abs=0.05)


def test_a_text_with_few_changes_is_a_near_duplicate() -> None:
    changed = A.replace(words_of(A, 200, 1).strip(), "elsewhere", 1)
    ((first, second, likeness),) = near_pairs(prints(z=changed, b=B, a=A), 0.7)
    assert (first, second) == ("a", "z")
    assert likeness > 0.9


def test_texts_that_share_a_third_are_no_near_duplicates() -> None:
    assert near_pairs(prints(a=A + B, b=B + C), 0.7) == ()


def test_empty_texts_are_like_nothing() -> None:
    empty = prints(a="...\n", b="!\n")
    assert (near_pairs(empty, 0.5), overlaps(empty, 0.01), overlaps([], 0.01)) == ((), (), ())
