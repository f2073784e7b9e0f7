"""The hybrid benchmark drawn from the public traces: counts, targets, and the queueing model against every request."""

from pathlib import Path

import pytest

from fabric.config import env
from fabric.config.load import load
from fabric.simulator.hti.agreement import compare
from fabric.simulator.hti.queue import Traffic
from fabric.simulator.hti.replica import decode_s, prefill_s
from fabric.simulator.hti.requests import draw_requests
from fabric.simulator.hti.services import table_of
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces, read_traces
from fabric.simulator.hti.traces.servegen import num_missing, read_rates
from fabric.simulator.hti.workload import digest, draw_workload

pytestmark = [pytest.mark.validation, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = Path(env.get(env.TRACES) or ROOT.parent / "shared" / "traces")
    if not found.is_dir():
        pytest.skip(f"needs the public traces: set {env.TRACES} to their folder ({found} is none)")
    return found


@pytest.fixture(scope="module")
def public(folder: Path) -> Traces:
    return read_traces(folder)


@pytest.fixture(scope="module")
def hti() -> HtiSettings:
    return load(HtiSettings, ROOT / "configs" / "simulate" / "hti-14.yaml")


def test_the_public_traces_have_the_rows_that_their_notes_count(public: Traces, folder: Path) -> None:
    assert (len(public.training), len(public.base_load_s), len(public.pipeline_load_s)) == (82_247, 7_531, 36_046)
    assert (len(public.cpu["kth"]), len(public.cpu["sdsc"])) == (28_481, 54_006)
    counts = {name: len(mix.prefill_tokens) for name, mix in public.sizes.items()}
    assert counts == {"azure": 19_366, "mooncake": 12_031}
    curves = folder / "servegen-rates" / "rates_10min.csv"
    missing = {model: num_missing(read_rates(curves, model)) for model in public.rates}
    assert missing == {"m-large": 0, "m-mid": 102, "m-small": 37}


def test_workloads_from_the_public_traces_meet_their_targets_and_repeat(public: Traces, hti: HtiSettings) -> None:
    tables = [table_of(service, hti, public) for service in hti.services]
    drawn = draw_workload(hti, public, tables, load=0.95, seed=0)
    wanted = 0.95 * (hti.reference_gpus - drawn.serving_gpus) * hti.duration_s
    assert sum(job.work_gpu_s for job in drawn.training) == pytest.approx(wanted, rel=0.001)
    assert {s.name: max(s.needed) for s in drawn.services} == {s.name: s.peak_replicas for s in hti.services}
    assert digest(drawn) == digest(draw_workload(hti, public, tables, load=0.95, seed=0))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_model_is_within_a_tenth_of_every_request_at_every_level(
    number: int, public: Traces, hti: HtiSettings
) -> None:
    service = hti.services[number]
    sizes = public.sizes[service.sizes]
    costs = (prefill_s(service.replica, sizes), decode_s(service.replica, sizes))
    full = 8 / float(costs[0].mean())
    rates = tuple(full * level for level in (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 1.05, 0.4) for _ in range(6))
    found = compare(
        Traffic(rates, hti.window_s, costs[0], seed=1),
        [(0.0, 8)],
        draw_requests(rates, hti.window_s, costs, seed=2),
        batch_limit=service.replica.batch_limit,
        slo_ttft_s=hti.slo_ttft_s,
    )
    assert len(found) >= 6
    assert {level.least_load: round(level.error, 3) for level in found if abs(level.error) > 0.1} == {}
