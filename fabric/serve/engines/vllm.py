"""Tokens from vLLM, inside this process.

Knows nothing of text: vLLM is given token ids and asked for token ids.

vLLM's `AsyncLLM` always runs its core in further processes, each of which imports vLLM again: on two cores 98 s until
ready and 2 GB more. Its `LLMEngine` runs in this process and is stepped by a thread here: 5 s after the import.
"""

import gc
import itertools
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fabric.core.errors import BadInput, Corrupt, Unavailable
from fabric.serve.engines.engine import Finish, Piece, Sampling
from fabric.serve.engines.inbox import Inbox
from fabric.serve.engines.settings import EngineSettings
from fabric.serve.engines.text import model_config

_FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length"}


class VllmSource:
    """One vLLM engine and the thread that steps it."""

    name = "vllm"
    takes_seed = True

    def __init__(self, folder: Path, settings: EngineSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._engine: Any = None
        self._params: Any = None
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._inboxes: dict[str, Inbox] = {}
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._serve, name="vllm", daemon=True)
        self._failure: Unavailable | None = None

    def load(self) -> None:
        """Read the model and start the thread.

        Raises:
            BadInput: If vLLM cannot serve the model.
            Corrupt: If its files are damaged.
        """
        architectures = model_config(self._folder)["architectures"]
        import vllm
        from safetensors import SafetensorError

        # Its warnings tell of choices made here on purpose.
        logging.getLogger("vllm").setLevel(logging.ERROR)
        self._params = partial(vllm.SamplingParams, detokenize=False, output_kind=_deltas())
        try:
            self._engine = _engine(self._folder, self._settings, architectures)
        except (SafetensorError, OSError, RuntimeError, KeyError) as error:
            raise Corrupt(f"{self._folder}: vLLM cannot load this model: {error}") from error
        except (ValueError, NotImplementedError) as error:
            raise BadInput(f"{self._folder}: vLLM cannot serve this model: {error}") from error
        self._thread.start()

    async def tokens(self, prompt: Sequence[int], sampling: Sampling, ends: frozenset[int]) -> AsyncGenerator[Piece]:
        """Continue `prompt`; what vLLM holds for it is freed when the generator is closed.

        Raises:
            Unavailable: If the engine has failed or fails meanwhile.
        """
        self.check()
        inbox, name = Inbox(), f"r{next(self._numbers)}"
        params = self._params(
            max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p,
            top_k=sampling.top_k, seed=sampling.seed, ignore_eos=True, stop_token_ids=sorted(ends),
        )  # fmt: skip
        self._commands.put(partial(self._add, name, list(prompt), params, inbox))
        try:
            # The engine may have ended just before that was put there, and then nobody takes it out any more.
            self.check()
            async for piece in inbox.pieces():
                yield piece
        finally:
            self._commands.put(partial(self._abort, name))

    def check(self) -> None:
        """Ask whether it still serves.

        Raises:
            Unavailable: With the first cause if it does not.
        """
        if self._failure is not None:
            raise self._failure
        if not self._thread.is_alive():
            raise Unavailable("the vLLM engine is not running")

    def close(self) -> None:
        """End the thread, and answers under way with Unavailable; the next engine of this process finds no trace."""
        self._commands.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)
        if self._engine is not None and not self._thread.is_alive():
            engine, self._engine = self._engine, None
            _forget(engine)

    def _serve(self) -> None:
        """Step vLLM while it has work; wait for commands while it has none."""
        try:
            while True:
                while not (self._engine.has_unfinished_requests() and self._commands.empty()):
                    command = self._commands.get()
                    if command is None:
                        return self._end(Unavailable("the vLLM engine was closed"))
                    command()
                for output in self._engine.step():
                    self._deliver(output)
        except Exception as error:
            # Whatever it was, those who wait must hear of it, and so must the health check.
            logging.getLogger(__name__).exception("the vLLM engine failed")
            self._end(Unavailable(f"the vLLM engine failed: {type(error).__name__}: {error}"))

    def _add(self, name: str, prompt: list[int], params: Any, inbox: Inbox) -> None:
        if self._failure is not None:
            inbox.put(self._failure)
            return
        # Known from here on, so that it hears of whatever else may go wrong with it.
        self._inboxes[name] = inbox
        from vllm.inputs import tokens_input

        try:
            self._engine.add_request(name, tokens_input(prompt), params)
        except ValueError as error:
            del self._inboxes[name]
            inbox.put(BadInput(f"vLLM refuses this request: {error}"))

    def _abort(self, name: str) -> None:
        if self._inboxes.pop(name, None) is not None:
            self._engine.abort_request([name])

    def _deliver(self, output: Any) -> None:
        inbox = self._inboxes.get(output.request_id)
        if inbox is None:
            return
        answer = output.outputs[0]
        if output.finished:
            del self._inboxes[output.request_id]
            if answer.finish_reason not in _FINISHES:
                inbox.put(Unavailable(f"vLLM gave this request up ({answer.finish_reason})"))
                return
        inbox.put(Piece(tuple(answer.token_ids), _FINISHES[answer.finish_reason] if output.finished else None))

    def _end(self, cause: Unavailable) -> None:
        """Tell everybody who waits, also those who came since commands were last looked at.

        Whoever comes later finds the cause: it is there before the commands are taken out, and who asks puts his
        command there before he looks for it.
        """
        self._failure = cause
        for inbox in self._inboxes.values():
            inbox.put(cause)
        self._inboxes.clear()
        while not self._commands.empty():
            if (command := self._commands.get()) is not None:
                command()


def _deltas() -> Any:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.DELTA


def _engine(folder: Path, settings: EngineSettings, architectures: Sequence[str]) -> Any:
    """The engine, with its core and its only worker in this process."""
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor import Executor

    _register(architectures)
    kind: dict[str, Any] = {}
    if current_platform.is_cpu():
        kind = {"dtype": "float32", "enforce_eager": True}
        _sample_without_compiler()
    config = EngineArgs(
        model=str(folder),
        max_model_len=settings.max_context,
        max_num_seqs=settings.max_running,
        kv_cache_memory_bytes=settings.kv_cache_bytes,
        # A prompt met again would be computed in other shapes than the first time, and its last bits could differ.
        enable_prefix_caching=False,
        disable_log_stats=True,
        use_tqdm_on_load=False,
        **kind,
    ).create_engine_config()
    config.parallel_config.distributed_executor_backend = "uni"
    import torch

    set_num_threads = torch.set_num_threads
    try:
        return LLMEngine(config, Executor.get_class(config), log_stats=False, multiprocess_mode=False)
    finally:
        # vLLM replaces it by a function that does nothing, to guard a binding of threads that is not made here.
        torch.set_num_threads = set_num_threads


def _forget(engine: Any) -> None:
    """Undo what vLLM keeps for a whole process: its workers, and the process group of one."""
    from vllm.distributed.parallel_state import destroy_distributed_environment, destroy_model_parallel

    engine.engine_core.shutdown()
    del engine
    destroy_model_parallel()
    destroy_distributed_environment()
    gc.collect()


def _sample_without_compiler() -> None:
    """Sample on CPUs as vLLM does for requests with a seed.

    For all others it compiles its sampler with a C++ compiler, while everybody waits: 25 s at the first request that is
    not greedy, and the end of the engine where there is no compiler.
    """
    from vllm.v1.sample.ops import topk_topp_sampler as sampler

    def sample(logits: Any) -> Any:
        shares = logits.softmax(dim=-1)
        noise = sampler.empty_exponential_noise_like(shares, False)
        return sampler.sample_with_exponential_noise(shares, noise.exponential_())

    sampler.compiled_random_sample = sample


def _register(architectures: Sequence[str]) -> None:
    """Show vLLM the Llama class; left to find it, it imports itself in another process (35 s, once per HOME)."""
    if "LlamaForCausalLM" in architectures:
        from vllm import ModelRegistry
        from vllm.model_executor.models.llama import LlamaForCausalLM

        ModelRegistry.register_model("LlamaForCausalLM", LlamaForCausalLM)
