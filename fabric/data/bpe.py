"""Learn a byte-level BPE vocabulary, save it where `AutoTokenizer` finds it, and turn texts into tokens.

Knows nothing of splits, shards or workers.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from fabric.core.errors import BadConfig
from fabric.data.files import write_atomically

BEGIN, END = "<|bos|>", "<|eos|>"
"""Tokens before and after every text; ids 0 and 1."""

_CONFIG = {
    # The class that reads tokenizer.json as it stands, whatever model lies beside it.
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": BEGIN,
    "eos_token": END,
    "pad_token": END,
    "clean_up_tokenization_spaces": False,
}


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a vocabulary of exactly `vocab_size` tokens.

    Raises:
        BadConfig: If the texts are too short for so many merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BEGIN, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = tokenizer.get_vocab_size()
    if learned != vocab_size:
        raise BadConfig(
            f"tokenizer.vocab_size: {vocab_size} tokens cannot be learned from the training split, which has words for "
            f"{learned}. Choose at most {learned}, or add texts."
        )
    # Prompts begin as texts do, so that a model is asked in the form it was taught.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write what `AutoTokenizer.from_pretrained(folder)` reads.

    Raises:
        StorageFull: If the disk has no room.
    """
    write_atomically(folder / "tokenizer.json", tokenizer.to_str().encode())
    write_atomically(folder / "tokenizer_config.json", json.dumps(_CONFIG, indent=2, sort_keys=True).encode())


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read what `save_tokenizer` wrote."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode_text(tokenizer: Tokenizer, text: str) -> NDArray[np.uint16]:
    """Tokens of a whole text, between the one that begins and the one that ends a text."""
    ids = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    return np.array([tokenizer.token_to_id(BEGIN), *ids, tokenizer.token_to_id(END)], dtype=np.uint16)
