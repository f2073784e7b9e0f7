"""Which engine to take, why, and how to open it.

Knows nothing of what engines do.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fabric.core.errors import Unavailable
from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from fabric.serve.engines.engine import Engine
from fabric.serve.engines.settings import EngineName, EngineSettings
from fabric.serve.engines.text import FolderTokeniser, model_config

_MODULES = {"vllm": "vllm", "transformers": "transformers"}
_CANNOT_IMPORT = (ImportError, OSError, RuntimeError, AttributeError)
"""What packages with native parts raise when they meet the wrong machine or the wrong neighbours."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and the reason for it."""

    engine: EngineName
    """Never `auto`."""
    reason: str
    """For reports."""


def environment() -> Mapping[str, str]:
    """Variables for a process that runs an engine; none is needed, they keep engines off the network and quiet."""
    return {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


def choose(name: EngineName) -> Choice:
    """Settle on an engine; imports it, which takes seconds.

    Args:
        name: What was asked for. `auto` takes vLLM where it imports, else transformers, and never echo.

    Raises:
        Unavailable: If what was asked for does not import.
    """
    if name == "echo":
        return Choice("echo", "asked for by name; it repeats its prompt and is for load tests only")
    if name != "auto":
        if (problem := _problem(name)) is not None:
            raise Unavailable(f"engine {name} does not import here: {problem}. Install it, or use engine: auto.")
        return Choice(name, "asked for by name")
    if (vllm := _problem("vllm")) is None:
        return Choice("vllm", "auto: vLLM imports")
    if (transformers := _problem("transformers")) is not None:
        raise Unavailable(f"no engine imports here: vllm: {vllm}; transformers: {transformers}. Run scripts/setup.")
    return Choice("transformers", f"auto: vLLM does not import ({vllm})")


def open_engine(choice: Choice, folder: Path, settings: EngineSettings) -> Engine:
    """An engine for the model in `folder`, whose weights are read by its `load` or `warm_up`.

    Its context is as long as the settings say, but never longer than the model was made for.

    Raises:
        NotFound: If the folder holds no model.
        Corrupt: If its configuration or tokenizer cannot be read.
    """
    if choice.engine == "echo":
        return Engine(EchoSource(), ByteTokeniser(), settings.max_context)
    tokeniser = FolderTokeniser(folder)
    longest = model_config(folder).get("max_position_embeddings", settings.max_context)
    settings = settings.model_copy(update={"max_context": min(settings.max_context, longest)})
    if choice.engine == "vllm":
        from fabric.serve.engines.vllm import VllmSource

        return Engine(VllmSource(folder, settings), tokeniser, settings.max_context)
    from fabric.serve.engines.transformers import TransformersSource

    return Engine(TransformersSource(folder, settings), tokeniser, settings.max_context)


def _problem(name: str) -> str | None:
    """Why an engine's package does not import; None if it does."""
    try:
        importlib.import_module(_MODULES[name])
    except _CANNOT_IMPORT as error:
        return f"{type(error).__name__}: {error}"
    return None
