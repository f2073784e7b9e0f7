"""What an engine is told besides its model.

Knows nothing of any engine.
"""

from typing import Literal

from pydantic import Field, field_validator

from fabric.config.settings import Settings
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes

EngineName = Literal["auto", "vllm", "transformers", "echo"]
"""`auto` takes vLLM where it imports and transformers otherwise."""


class EngineSettings(Settings):
    """How large an engine may be."""

    max_context: int = Field(default=512, ge=16)
    """Longest prompt and answer together, in tokens."""

    max_running: int = Field(default=16, ge=1, le=1024)
    """Requests computed together; more wait inside the engine."""

    kv_cache: str = "256 MiB"
    """Memory for keys and values of running requests, with unit; SmolLM2-135M in fp32 needs 45 KiB per token."""

    @field_validator("kv_cache")
    @classmethod
    def _size(cls, kv_cache: str) -> str:
        try:
            Bytes.of(kv_cache)
        except BadInput as error:
            raise ValueError(error.message) from None
        return kv_cache

    @property
    def kv_cache_bytes(self) -> int:
        """`kv_cache` in bytes."""
        return Bytes.of(self.kv_cache).count
