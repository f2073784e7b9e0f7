"""vLLM and transformers keep the engines' contract, and agree with each other."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fabric.config import env
from fabric.core.errors import BadInput, Corrupt, NotFound
from fabric.serve.engines.choice import Choice, choose, open_engine
from fabric.serve.engines.engine import Engine, Prompt, TokenSource
from fabric.serve.engines.settings import EngineName, EngineSettings
from fabric.serve.engines.text import FolderTokeniser, Turn
from fabric.serve.engines.transformers import TransformersSource
from fabric.serve.engines.vllm import VllmSource
from fabric.serve.greedy import Answer, generate_greedy
from fabric.train.assets import base_model
from tests.contract.engine_contract import TEXTS, ClosingContract, EngineContract, Loaded
from tests.tiny_llama import save_tiny_llama

pytestmark = pytest.mark.ray
SETTINGS = EngineSettings(max_context=256, kv_cache="64 MiB")
CLOSE_CALL = 1e-3
"""Gap between the two largest logits below which two ways to add floats may disagree."""
SOURCES: dict[str, Callable[[Path, EngineSettings], TokenSource]] = {
    "vllm": VllmSource,
    "transformers": TransformersSource,
}
QUESTIONS: list[Prompt] = [[Turn("user", text)] for text in TEXTS]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


def loaded_from(folder: Path, name: str) -> Loaded:
    return Loaded(SOURCES[name](folder, SETTINGS), FolderTokeniser(folder))


class OfAModel(EngineContract):
    """The contract with a model."""

    name: str

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, tiny: Path) -> Iterator[Loaded]:
        loaded = loaded_from(tiny, cls.name)
        yield loaded
        loaded.source.close()


class TestVllm(OfAModel):
    name = "vllm"

    def is_busy(self, loaded: Loaded) -> bool:
        assert isinstance(loaded.source, VllmSource)
        return bool(loaded.source._engine.has_unfinished_requests())


class TestTransformers(OfAModel):
    name = "transformers"

    def is_busy(self, loaded: Loaded) -> bool:
        assert isinstance(loaded.source, TransformersSource)
        return bool(loaded.source._manager.batch_processor.scheduler.has_pending_requests())


class TestVllmCloses(ClosingContract):
    @pytest.fixture
    def to_close(self, tiny: Path) -> Loaded:
        return loaded_from(tiny, "vllm")


class TestTransformersCloses(ClosingContract):
    @pytest.fixture
    def to_close(self, tiny: Path) -> Loaded:
        return loaded_from(tiny, "transformers")


def answers(name: EngineName, folder: Path, prompts: Sequence[Prompt], max_tokens: int) -> tuple[list[Answer], float]:
    """Greedy answers, and the seconds it took to load."""
    engine = open_engine(Choice(name, "the test"), folder, SETTINGS)
    begun = time.monotonic()
    engine.load()
    seconds = time.monotonic() - begun
    try:
        return generate_greedy(engine, prompts, max_tokens), seconds
    finally:
        engine.close()


def logit_gaps(folder: Path, answer: Answer) -> list[float]:
    """For each token of the answer, how far the likeliest was ahead of the next."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([answer.prompt_token_ids + answer.token_ids])
    with torch.no_grad():
        logits = model(ids).logits[0, len(answer.prompt_token_ids) - 1 : -1]
    top = logits.topk(2).values
    return [float(gap) for gap in top[:, 0] - top[:, 1]]


def agree(folder: Path, first: Answer, second: Answer) -> bool:
    """Whether they are equal to the end; where they are not, they part at a close call."""
    assert first.prompt_token_ids == second.prompt_token_ids
    if first.token_ids == second.token_ids:
        return True
    both = zip(first.token_ids, second.token_ids, strict=False)
    step = next(i for i, (one, other) in enumerate(both) if one != other)
    assert logit_gaps(folder, first)[step] < CLOSE_CALL
    return False


def assert_engines_agree(folder: Path, prompts: Sequence[Prompt], max_tokens: int) -> list[Answer]:
    """The answers of vLLM, which are those of transformers up to the first close call; prints the share."""
    (one, one_s), (other, other_s) = (answers(name, folder, prompts, max_tokens) for name in ("vllm", "transformers"))
    same = [agree(folder, a, b) for a, b in zip(one, other, strict=True)]
    assert len({answer.token_ids for answer in one}) > len(prompts) / 2, "answers differ from prompt to prompt"
    print(
        f"\n{folder.name}: {sum(same)} of {len(same)} answers equal to the end, the others up to a gap below "
        f"{CLOSE_CALL:g}; loaded in {one_s:.1f} s (vLLM), {other_s:.1f} s (transformers)"
    )
    return one


def test_vllm_and_transformers_give_the_same_greedy_tokens(tiny: Path) -> None:
    assert_engines_agree(tiny, [*TEXTS, *QUESTIONS], 24)


def test_auto_takes_vllm_where_it_imports() -> None:
    assert choose("auto") == Choice("vllm", "auto: vLLM imports")


def test_smollm2_answers_alike_through_both_engines() -> None:
    try:
        folder = base_model(env.cache_folder())
    except NotFound as missing:
        pytest.skip(missing.message)
    found = dict(zip(TEXTS, assert_engines_agree(folder, QUESTIONS, 24), strict=True))
    france = found["What is the capital of France?"]
    assert "Paris" in france.text
    assert france.finish == "stop"


@pytest.mark.parametrize("name", ["vllm", "transformers"])
@pytest.mark.parametrize(("damage", "error"), [("weights", Corrupt), ("architecture", BadInput)])
def test_a_model_that_cannot_be_served_says_so(
    tmp_path: Path, name: EngineName, damage: str, error: type[Exception]
) -> None:
    folder = save_tiny_llama(tmp_path)
    if damage == "weights":
        (folder / "model.safetensors").write_bytes(b"\x10" * 1000)
    else:
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace('"llama"', '"no-such-model"'))
    engine: Any = None
    with pytest.raises((error, Corrupt), match=str(folder)):
        engine = _opened(name, folder)
    assert engine is None


def _opened(name: EngineName, folder: Path) -> Engine:
    engine = open_engine(Choice(name, "the test"), folder, SETTINGS)
    engine.load()
    return engine
