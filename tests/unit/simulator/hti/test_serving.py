"""Time to first token: the queueing model, every request, their agreement, and how many replicas a rate needs."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.errors import BadConfig, BadInput, DoesNotFit
from fabric.simulator.hti.agreement import compare
from fabric.simulator.hti.planning import ReplicaTable, replica_table
from fabric.simulator.hti.queue import BIN_S, Traffic, backlog, draw_work, percentile_s, ttft_p99_s, waits_s
from fabric.simulator.hti.replica import Floats, batch_use, check_batch, decode_s, prefill_s
from fabric.simulator.hti.requests import Life, Requests, draw_requests, lives, ttft_s
from fabric.simulator.hti.settings import HtiSettings, ReplicaRates
from fabric.simulator.hti.traces.folder import Traces
from tests.unit.simulator.hti.small_traces import sizes

WINDOW_S = 300.0
REPLICA = ReplicaRates(gpus=1, prefill_tokens_per_s=1000.0, overhead_s=0.5, decode_s_per_token=0.1, batch_limit=2)


def even(seconds: float = 0.1) -> Floats:
    """Requests that all take equally long to read."""
    return np.full(100, seconds)


def mixed(seed: int = 3) -> Floats:
    """Requests of mean 0.1 s, the longest a good ten times that."""
    drawn = np.random.default_rng(seed).lognormal(0.0, 0.8, 4000)
    return np.asarray(0.1 * drawn / drawn.mean())


def requests(*rows: tuple[float, float, float]) -> Requests:
    """Requests of (arrival, reading, writing) seconds."""
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Requests(columns[0], columns[1], columns[2])


def test_reading_is_prompt_and_overhead_and_writing_is_all_but_the_first_token() -> None:
    mix = sizes((1500, 11), (500, 1))
    assert prefill_s(REPLICA, mix).tolist() == [2.0, 1.0]
    assert decode_s(REPLICA, mix).tolist() == [1.0, 0.0]
    assert batch_use(REPLICA, mix) == pytest.approx((1.5 + 0.5) / 1.5 / 2)


def test_a_service_whose_batch_would_be_felt_first_is_refused(settings: HtiSettings) -> None:
    service = settings.services[0].model_copy(update={"replica": REPLICA})
    check_batch(service, sizes((1500, 1)))
    with pytest.raises(BadConfig, match="would use 100% of its batch_limit 2"):
        check_batch(service, sizes((1500, 21)))


def test_one_replica_reads_in_the_order_of_arrival() -> None:
    found = ttft_s(requests((0, 2, 0), (1, 2, 0), (9, 2, 0)), [Life(0, np.inf)], 8)
    assert found.tolist() == [2, 3, 2]


def test_a_request_goes_to_the_replica_that_can_begin_first_even_one_that_is_not_there_yet() -> None:
    found = ttft_s(requests((0, 10, 0), (0, 1, 0), (0, 1, 0)), [Life(0, np.inf), Life(3, np.inf)], 8)
    assert found.tolist() == [10, 4, 5]


def test_a_full_batch_keeps_the_next_prompt_waiting() -> None:
    found = ttft_s(requests((0, 1, 10), (0, 1, 10), (0, 1, 10)), [Life(0, np.inf)], 2)
    assert found.tolist() == [1, 2, 12]


def test_a_replica_that_leaves_finishes_what_it_began_and_takes_no_more() -> None:
    found = ttft_s(requests((0, 5, 0), (1, 1, 0), (6, 1, 0)), [Life(0, 4)], 8)
    assert found.tolist() == [5, np.inf, np.inf]


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(BadInput, match="at least one request, not 0"):
        ttft_s(requests((0, 1, 0)), [Life(0, np.inf)], 0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_replicas_made_from_a_step_function_give_it_back(counts: list[int]) -> None:
    steps = [(10.0 * i, count) for i, count in enumerate(counts)]
    found = lives(steps)
    assert [sum(life.ready_s <= at < life.gone_s for life in found) for at, _ in steps] == counts


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5), st.floats(0, 20)), max_size=20), st.integers(1, 3))
def test_more_replicas_make_no_first_token_later(rows: list[tuple[float, float, float]], batch: int) -> None:
    few = ttft_s(requests(*sorted(rows)), [Life(0, np.inf)], batch)
    many = ttft_s(requests(*sorted(rows)), [Life(0, np.inf)] * 3, batch)
    assert (many <= few + 1e-9).all()


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=30), st.floats(0, 5))
def test_the_backlog_is_the_recursion_that_it_stands_for(bins: list[tuple[float, float]], left: float) -> None:
    expected = [left]
    for came, done in bins:
        expected.append(max(0.0, expected[-1] + came - done))
    came_s, done_s = np.array(bins).T
    assert backlog(came_s, done_s, left) == pytest.approx(expected, abs=1e-9)


def test_drawn_work_has_the_rate_and_spread_of_the_requests() -> None:
    reading = mixed()
    work = draw_work(np.array([50.0]), reading, bins=200_000, seed=(1,))
    assert work.mean() == pytest.approx(50 * BIN_S * reading.mean(), rel=0.01)
    assert work.var() == pytest.approx(50 * BIN_S * (reading**2).mean(), rel=0.03)


@given(st.integers(0, 2**31), st.lists(st.floats(0, 20), min_size=1, max_size=5))
def test_the_percentile_is_that_of_all_sums(seed: int, waits: list[float]) -> None:
    reading = np.random.default_rng(seed).uniform(0.1, 2.0, 500)
    sums = np.add.outer(np.array(waits), reading).ravel()
    found = percentile_s(np.array([waits]), reading)[0]
    assert found == pytest.approx(np.quantile(sums, 0.99), rel=0.02)


def test_with_idle_replicas_the_first_token_takes_the_reading_alone() -> None:
    found = ttft_p99_s(Traffic((1.0, 1.0), WINDOW_S, mixed(), seed=1), [(0.0, 50)])
    assert found == pytest.approx(np.quantile(mixed(), 0.99), rel=0.02)


def test_without_replicas_for_more_than_an_hour_the_first_token_never_comes() -> None:
    found = ttft_p99_s(Traffic((1.0,) * 24, WINDOW_S, even(), seed=1), [(0.0, 0), (6600.0, 5)])
    assert np.isinf(found[:9]).all()
    assert found[12] == pytest.approx(6600 - 3600, rel=0.05)
    assert found[-1] == pytest.approx(0.1, rel=0.05)


def test_a_backlog_is_carried_into_the_next_windows_until_it_is_done() -> None:
    # Two windows of twice what one replica reads leave 600 s of work; three replicas do 2 s of it in every second.
    found = ttft_p99_s(Traffic((20.0, 20.0, 10.0, 10.0, 10.0), WINDOW_S, even(), seed=2), [(0.0, 1), (600.0, 3)])
    assert found[0] == pytest.approx(297, rel=0.05)
    assert found[2] == pytest.approx(200, rel=0.05)
    assert found[4] < 0.5


@pytest.mark.parametrize(
    "steps", [[], [(5.0, 1)], [(0.0, 1), (0.0, 2)], [(0.0, -1)]], ids=["none", "late", "twice", "negative"]
)
def test_ready_replicas_that_are_no_step_function_are_refused(steps: list[tuple[float, int]]) -> None:
    with pytest.raises(BadInput):
        ttft_p99_s(Traffic((1.0,), WINDOW_S, even(), seed=1), steps)


def test_the_same_seed_gives_the_same_windows_and_another_does_not() -> None:
    first, again, other = (ttft_p99_s(Traffic((9.0,) * 4, WINDOW_S, mixed(), seed=s), [(0.0, 1)]) for s in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()


def test_days_in_pieces_are_the_same_as_a_day_at_once() -> None:
    traffic = Traffic((9.5,) * 300, 30.0, mixed(), seed=1)
    drawn = [draw_work(np.full(num, 9.5), mixed(), bins=300, seed=(1, chunk)) for chunk, num in enumerate((288, 12))]
    pieces = np.concatenate(list(waits_s(traffic, [(0.0, 1)])))
    work = np.concatenate(drawn)
    assert np.abs(pieces.ravel() - backlog(work, np.full(len(work), BIN_S), 0.0)[:-1]).max() < 1e-6


@pytest.fixture(scope="module")
def table() -> ReplicaTable:
    return replica_table("chat", mixed(), most=6, window_s=WINDOW_S, plan_ttft_s=1.5)


def test_more_replicas_carry_more_and_large_numbers_are_used_better(table: ReplicaTable) -> None:
    assert all(fewer < more for fewer, more in pairwise(table.most_rps))
    used = [rate * 0.1 / (index + 1) for index, rate in enumerate(table.most_rps)]
    assert 0 < used[0] < used[5] < 1


def test_needed_replicas_are_the_fewest_that_carry_the_rate(table: ReplicaTable) -> None:
    assert [table.needed(rate) for rate in (0.0, 0.01, table.most_rps[2], table.most_rps[2] * 1.001)] == [0, 1, 3, 4]
    with pytest.raises(DoesNotFit, match="more than 6 replicas carry"):
        table.needed(1000.0)


def test_a_rate_at_the_limit_keeps_the_promise_and_a_fifth_more_breaks_it(table: ReplicaTable) -> None:
    def good(rate: float) -> float:
        return float((ttft_p99_s(Traffic((rate,) * 96, WINDOW_S, mixed(), seed=11), [(0.0, 4)]) <= 2.0).mean())

    assert good(table.most_rps[3]) >= 0.98
    assert good(table.most_rps[3] * 1.2) < 0.5


def test_prompts_that_take_too_long_on_any_number_of_replicas_are_refused() -> None:
    with pytest.raises(DoesNotFit, match="reading a prompt takes 2 s"):
        replica_table("chat", even(2.0), most=2, window_s=WINDOW_S, plan_ttft_s=1.5)


@pytest.mark.slow
def test_the_model_is_within_a_tenth_of_every_request_at_every_level_of_load(
    settings: HtiSettings, traces: Traces
) -> None:
    service = settings.services[0]
    mix = traces.sizes[service.sizes]
    costs = (prefill_s(service.replica, mix), decode_s(service.replica, mix))
    full = 6 / float(costs[0].mean())
    rates = tuple(full * load for load in (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 1.05))
    found = compare(
        Traffic(rates, WINDOW_S, costs[0], seed=1),
        [(0.0, 6)],
        draw_requests(rates, WINDOW_S, costs, seed=2),
        batch_limit=service.replica.batch_limit,
        slo_ttft_s=2.0,
    )
    assert len(found) >= 6
    assert sum(level.windows for level in found) == len(rates)
    assert {level.least_load: round(level.error, 3) for level in found if abs(level.error) > 0.1} == {}
    assert [level.model_good for level in found] == [level.simulated_good for level in found]
