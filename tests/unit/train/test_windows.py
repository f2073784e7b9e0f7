"""Every held-out token is predicted once, with enough before it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fabric.train.samples import HeldOut, Work
from fabric.train.windows import subset_of, windows


@given(num_tokens=st.integers(0, 500), half=st.integers(1, 40))
def test_every_token_but_the_first_is_predicted_once_with_at_least_half_a_context(num_tokens: int, half: int) -> None:
    context = 2 * half
    predicted: list[int] = []
    for window in windows(0, num_tokens, context):
        end = window.start + window.num_inputs
        targets = range(end - window.num_scored + 1, end + 1)
        assert 0 <= window.start
        assert end <= num_tokens - 1
        assert window.num_inputs <= context
        assert all(target - window.start >= min(half, target) for target in targets)
        predicted += targets
    assert predicted == list(range(1, num_tokens))


def test_a_subset_takes_the_beginning_of_every_work_and_its_share_of_the_bytes() -> None:
    works = (Work("long", np.arange(101), 300), Work("short", np.arange(6), 20))
    part = subset_of(HeldOut(works, 2.5), 42)
    assert [(work.name, len(work.tokens), work.num_bytes) for work in part.works] == [
        ("long", 21, 60),
        ("short", 6, 20),
    ]
    assert part.xz_bits_per_byte == 2.5
