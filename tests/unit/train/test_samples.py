"""Which samples are whose, at any number of ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.train.samples import fingerprints, share


@given(
    rows_per_rank=st.integers(1, 5),
    worlds=st.lists(st.sampled_from([1, 2, 3, 4, 6, 12]), min_size=1, max_size=8),
)
def test_a_run_whose_world_changes_meets_every_sample_once(rows_per_rank: int, worlds: list[int]) -> None:
    batch_rows = 12 * rows_per_rank
    met = [
        number
        for step, world in enumerate(worlds)
        for rank in range(world)
        for number in share(step, batch_rows, rank=rank, world_size=world)
    ]
    assert met == list(range(len(worlds) * batch_rows))


def test_a_batch_that_ranks_cannot_share_equally_is_refused() -> None:
    with pytest.raises(ValueError, match="8 rows cannot be shared by 3 ranks"):
        share(0, 8, rank=0, world_size=3)


def test_a_fingerprint_depends_on_every_token_and_on_nothing_else() -> None:
    rows = np.arange(12).reshape(3, 4)
    changed = rows.copy()
    changed[1, 3] += 1
    first, second, third = fingerprints(rows)
    assert fingerprints(rows[:, ::1].astype(np.int32).astype(np.int64)) == [first, second, third]
    assert fingerprints(changed)[0::2] == [first, third]
    assert fingerprints(changed)[1] != second
