"""Build a decoder from its settings, and store it so that every engine loads it unchanged.

Knows nothing of how it is trained or split.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from fabric.train.settings import ModelSettings

WEIGHTS = "model.safetensors"
"""The file of a model folder that holds the weights."""


def build(shape: ModelSettings, seed: int, end_token: int = 0) -> LlamaForCausalLM:
    """A fresh decoder; the same seed gives the same weights whatever was drawn before.

    Args:
        shape: Its sizes.
        seed: Seed of its weights.
        end_token: Id of the token that begins and ends every text.
    """
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context_tokens,
        rope_theta=shape.rope_theta,
        tie_word_embeddings=shape.tie_embeddings,
        initializer_range=shape.init_std,
        bos_token_id=end_token,
        eos_token_id=end_token,
        use_cache=False,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def num_params(model: torch.nn.Module) -> int:
    """Weights, a tied table counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write weights and configuration as a Hugging Face folder, which transformers and vLLM load.

    Raises:
        OSError: If the disk refuses.
    """
    logging.disable_progress_bar()
    model.config.use_cache = True
    model.save_pretrained(folder)


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Put the weights of a folder that `save` wrote into `model`.

    Raises:
        RuntimeError: If they are of another shape.
    """
    weights: Mapping[str, torch.Tensor] = load_file(folder / WEIGHTS)
    missing, unknown = model.load_state_dict(weights, strict=False)
    absent = [name for name in missing if name != "lm_head.weight"]  # tied, so it is stored once
    if absent or unknown:
        raise RuntimeError(f"{folder / WEIGHTS}: lacks {absent} and has unknown {unknown}")
