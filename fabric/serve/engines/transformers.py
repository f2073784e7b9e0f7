"""Tokens from transformers' continuous batching, inside this process: the engine where vLLM does not import.

Knows nothing of text. Its manager has one sampler for all requests, so greedy ones are sampled from the likeliest token
alone, and there is no seed for a single request.
"""

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fabric.core.errors import BadInput, Corrupt, Unavailable
from fabric.serve.engines.engine import Piece, Sampling
from fabric.serve.engines.inbox import Inbox
from fabric.serve.engines.settings import EngineSettings
from fabric.serve.engines.text import model_config

PAGE_TOKENS = 64
"""Tokens whose keys and values are kept together; the context of a request is rounded up to whole pages."""
PREFILL_TOKENS = 512
"""Tokens computed in one step at most; longer prompts take several, between which others go on."""


class TransformersSource:
    """A model and its continuous batching manager."""

    name = "transformers"
    takes_seed = False

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._manager: Any = None
        self._vocabulary = 0
        self._numbers = itertools.count()

    def load(self) -> None:
        """Read the model and start the manager's thread.

        Raises:
            BadInput: If transformers cannot batch the model.
            Corrupt: If its files are damaged.
        """
        config = model_config(self._folder)
        self._vocabulary = config["vocab_size"]
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM

        try:
            model = AutoModelForCausalLM.from_pretrained(
                self._folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
            )
            self._manager = _manager(model, self._settings)
        except (SafetensorError, OSError, RuntimeError, KeyError) as error:
            raise Corrupt(f"{self._folder}: transformers cannot load this model: {error}") from error
        except (ValueError, NotImplementedError) as error:
            raise BadInput(f"{self._folder}: transformers cannot serve this model: {error}") from error
        self._manager.start()

    async def tokens(self, prompt: Sequence[int], sampling: Sampling, ends: frozenset[int]) -> AsyncGenerator[Piece]:
        """Continue `prompt`; what the manager holds for it is freed when the generator is closed.

        Raises:
            Unavailable: If the engine has failed or fails meanwhile.
        """
        self.check()
        inbox, name = Inbox(), f"r{next(self._numbers)}"
        answer = _Answer(inbox, sampling.max_tokens, ends)
        self._manager.register_result_handler(name, answer.take)
        self._manager.add_request(
            list(prompt), request_id=name, max_new_tokens=sampling.max_tokens, streaming=True,
            eos_token_id=sorted(ends) or -1, **self._choice(sampling),
        )  # fmt: skip
        try:
            async for piece in inbox.pieces():
                yield piece
        finally:
            if not answer.finished:
                self._manager.cancel_request(name)
                # The manager forgets a handler with the last result, and a cancelled request has none.
                self._manager.output_router.result_handlers.pop(name, None)

    def check(self) -> None:
        """Ask whether it still serves.

        Raises:
            Unavailable: With the first cause if it does not.
        """
        if self._manager is None or not self._manager.is_running():
            cause = getattr(getattr(self._manager, "background_thread_status", None), "fatal_error", None)
            raise Unavailable(f"the transformers engine is not running{f': {cause}' if cause else ''}")

    def close(self) -> None:
        """End the thread, and answers under way with Unavailable."""
        if self._manager is not None and self._manager.is_running():
            with suppress(RuntimeError):
                self._manager.stop(block=True, timeout=10.0, hard_stop=True)

    def _choice(self, sampling: Sampling) -> dict[str, float | int]:
        if sampling.temperature == 0:
            return {"temperature": 1.0, "top_k": 1, "top_p": 1.0}
        top_k = min(sampling.top_k, self._vocabulary) if sampling.top_k > 0 else self._vocabulary
        return {"temperature": sampling.temperature, "top_k": top_k, "top_p": sampling.top_p}


class _Answer:
    """Turns results, which hold the answer so far, into pieces, which hold what is new."""

    def __init__(self, inbox: Inbox, max_tokens: int, ends: frozenset[int]) -> None:
        self._inbox = inbox
        self._max_tokens = max_tokens
        self._ends = ends
        self._given = 0
        self.finished = False

    def take(self, result: Any) -> None:
        """Called in the event loop with every result."""
        if result.error is not None:
            self.finished = True
            self._inbox.put(Unavailable(f"transformers gave this request up: {result.error}"))
            return
        new = tuple(result.generated_tokens[self._given :])
        self._given += len(new)
        self.finished = result.is_finished()
        ended = bool(new) and new[-1] in self._ends
        self._inbox.put(Piece(new, ("stop" if ended else "length") if self.finished else None))


def _manager(model: Any, settings: EngineSettings) -> Any:
    """A manager with a cache of the size that is set; left to itself it takes most of the machine's memory."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * config.num_key_value_heads * head * 4
    most = settings.max_running * -(-settings.max_context // PAGE_TOKENS)
    least = -(-settings.max_context // PAGE_TOKENS)
    num_pages = max(least, min(most, settings.kv_cache_bytes // (token_bytes * PAGE_TOKENS)))
    return model.init_continuous_batching(
        # Values other than the defaults make the manager keep the three processors that requests then set.
        generation_config=GenerationConfig(
            do_sample=True, temperature=0.5, top_k=1, top_p=0.5, eos_token_id=-1, pad_token_id=0
        ),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=PAGE_TOKENS, num_blocks=num_pages, max_batch_tokens=PREFILL_TOKENS,
            max_requests_per_batch=settings.max_running, per_request_processors=True, allow_block_sharing=False,
            use_cuda_graph=False, use_async_batching=False, auto_switch_to_flash=False,
        ),
    )  # fmt: skip
