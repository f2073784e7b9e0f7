"""What every engine must do, whatever gives it tokens; subclasses bring the engine."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from fabric.core.errors import BadInput, Unavailable
from fabric.serve.engines.engine import Delta, Engine, Sampling, TokenSource
from fabric.serve.engines.text import Tokeniser, Turn
from fabric.serve.greedy import generate_greedy

PROMPTS = ("Once upon a time", "0123456789" * 3, "é中🙂 and so on")
TEXTS = (
    "Once upon a time", "To be, or not to be", "The sum of one and two is", "0123", "def add(a, b):", "é中🙂", "A",
    "  ",
    "What is the capital of France?", "Write one sentence about the sea.", "What is 7 plus 5?", "Name three colours.",
    "Who wrote Hamlet?", "How many legs has a spider?", "Spell the word cat backwards.", "What comes after Monday?",
    "Is ice warmer than fire?", "Say hello in French.", "What do bees make?", "Count from one to five.",
)  # fmt: skip
"""Twenty prompts, as text to go on with and as a user's question."""
LONG = 100


class Loaded:
    """An engine, loaded, and the parts it is made of."""

    max_context = 256

    def __init__(self, source: TokenSource, tokeniser: Tokeniser) -> None:
        self.source = source
        self.tokeniser = tokeniser
        self._engine = Engine(source, tokeniser, self.max_context)
        self._engine.load()

    def engine(self, *ends: int) -> Engine:
        """The engine, or one with other end-of-text tokens that shares its model."""
        if not ends:
            return self._engine
        return Engine(self.source, EndsElsewhere(self.tokeniser, frozenset(ends)), self.max_context)


class EndsElsewhere:
    """A tokeniser whose model ends its answers with other tokens."""

    def __init__(self, inner: Tokeniser, ends: frozenset[int]) -> None:
        self._inner = inner
        self.num_tokens = inner.num_tokens
        self.ends = ends

    def encode(self, text: str) -> tuple[int, ...]:
        return self._inner.encode(text)

    def encode_turns(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        return self._inner.encode_turns(turns)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._inner.decode(token_ids)


async def deltas(engine: Engine, prompt: str, sampling: Sampling) -> list[Delta]:
    async with aclosing(engine.generate(engine.encode(prompt), sampling)) as stream:
        return [delta async for delta in stream]


def tokens_of(found: Sequence[Delta]) -> tuple[int, ...]:
    return tuple(token for delta in found for token in delta.token_ids)


def text_of(found: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in found)


class EngineContract:
    """Tests for one engine; `loaded` is overridden."""

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls) -> Loaded:
        """The engine, loaded."""
        raise NotImplementedError

    def is_busy(self, loaded: Loaded) -> bool:
        """Whether it still computes something."""
        raise NotImplementedError

    @pytest.mark.parametrize("prompt", PROMPTS)
    async def test_greedy_answers_are_the_same_every_time(self, loaded: Loaded, prompt: str) -> None:
        sampling = Sampling(max_tokens=24, ignore_eos=True)
        first, *others = [await deltas(loaded.engine(), prompt, sampling) for _ in range(3)]
        assert len(tokens_of(first)) == 24
        assert [tokens_of(other) for other in others] == [tokens_of(first)] * 2

    async def test_the_text_of_a_stream_is_the_text_of_its_tokens(self, loaded: Loaded) -> None:
        found = await deltas(loaded.engine(), PROMPTS[0], Sampling(max_tokens=40, ignore_eos=True))
        assert len(found) > 1
        assert text_of(found) == loaded.tokeniser.decode(tokens_of(found))

    async def test_an_answer_is_as_long_as_asked_and_says_so(self, loaded: Loaded) -> None:
        found = await deltas(loaded.engine(), PROMPTS[0], Sampling(max_tokens=7, ignore_eos=True))
        assert len(tokens_of(found)) == 7
        assert [delta.finish for delta in found if delta.finish] == ["length"] == [found[-1].finish]

    async def test_an_answer_ends_with_the_end_of_text_token(self, loaded: Loaded) -> None:
        plain = tokens_of(await deltas(loaded.engine(), PROMPTS[1], Sampling(max_tokens=24, ignore_eos=True)))
        end = plain[-1]
        found = await deltas(loaded.engine(end), PROMPTS[1], Sampling(max_tokens=24))
        assert tokens_of(found) == plain[: plain.index(end) + 1]
        assert found[-1].finish == "stop"

    async def test_an_answer_ends_before_a_stop_text(self, loaded: Loaded) -> None:
        whole = text_of(await deltas(loaded.engine(), PROMPTS[1], Sampling(max_tokens=24, ignore_eos=True)))
        stop = whole[5:8]
        found = await deltas(loaded.engine(), PROMPTS[1], Sampling(max_tokens=24, ignore_eos=True, stop=(stop,)))
        assert text_of(found) == whole[: whole.index(stop)]
        assert found[-1].finish == "stop"
        assert 0 < len(tokens_of(found)) < 24

    async def test_many_answers_at_once_are_each_complete(self, loaded: Loaded) -> None:
        engine = loaded.engine()
        jobs = [deltas(engine, PROMPTS[i % 3], Sampling(max_tokens=5 + i, ignore_eos=True)) for i in range(12)]
        assert [len(tokens_of(found)) for found in await asyncio.gather(*jobs)] == [5 + i for i in range(12)]

    async def test_an_answer_that_nobody_waits_for_is_freed_within_a_second(self, loaded: Loaded) -> None:
        stream = loaded.engine().generate(loaded.tokeniser.encode("x"), Sampling(max_tokens=LONG, ignore_eos=True))
        await anext(stream)
        assert self.is_busy(loaded)
        await stream.aclose()
        async with asyncio.timeout(1.0):
            while self.is_busy(loaded):
                await asyncio.sleep(0.005)

    async def test_sampling_with_a_seed_repeats_or_is_refused(self, loaded: Loaded) -> None:
        engine, sampling = loaded.engine(), Sampling(max_tokens=16, temperature=1.0, seed=7, ignore_eos=True)
        if not loaded.source.takes_seed:
            with pytest.raises(BadInput, match="seed"):
                await deltas(engine, PROMPTS[0], sampling)
            return
        first, second = [await deltas(engine, PROMPTS[0], sampling) for _ in range(2)]
        assert tokens_of(first) == tokens_of(second)

    async def test_sampling_takes_every_kind_of_choice(self, loaded: Loaded) -> None:
        for sampling in (
            Sampling(max_tokens=4, temperature=0.7, ignore_eos=True),
            Sampling(max_tokens=4, temperature=1.5, top_p=0.5, top_k=3, ignore_eos=True),
            Sampling(max_tokens=4, temperature=0.7, top_k=10**6, ignore_eos=True),
        ):
            assert len(tokens_of(await deltas(loaded.engine(), PROMPTS[2], sampling))) == 4

    def test_a_program_without_an_event_loop_gets_the_same_tokens(self, loaded: Loaded) -> None:
        engine = loaded.engine()
        prompts: list[str | tuple[int, ...]] = [PROMPTS[0], engine.encode(PROMPTS[1])]
        answers = generate_greedy(engine, prompts, max_tokens=12)
        again = asyncio.run(deltas(engine, PROMPTS[0], Sampling(max_tokens=12)))
        assert [answer.prompt_token_ids for answer in answers] == [engine.encode(text) for text in PROMPTS[:2]]
        assert (answers[0].token_ids, answers[0].text) == (tokens_of(again), text_of(again))

    def test_a_context_that_is_full_ends_an_offline_answer(self, loaded: Loaded) -> None:
        prompt = [1] * (loaded.max_context - 3)
        [answer] = generate_greedy(loaded.engine(), [prompt], max_tokens=50)
        assert len(answer.token_ids) <= 3


class ClosingContract:
    """What happens at the end; the engine serves no more afterwards, so these tests bring their own."""

    @pytest.fixture
    def to_close(self) -> Loaded:
        """An engine of this test's own, loaded."""
        raise NotImplementedError

    async def test_closing_ends_answers_under_way_and_says_so(self, to_close: Loaded) -> None:
        engine = to_close.engine()
        stream = engine.generate(engine.encode("x"), Sampling(max_tokens=LONG, ignore_eos=True))
        await anext(stream)
        await asyncio.to_thread(engine.close)
        with pytest.raises(Unavailable):
            async with asyncio.timeout(5):
                _ = [delta async for delta in stream]
        with pytest.raises(Unavailable):
            engine.check()
        with pytest.raises(Unavailable):
            await deltas(engine, "x", Sampling(max_tokens=1))
