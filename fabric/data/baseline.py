"""The baseline every model is compared with: what `xz -9e` needs for the held-out texts once it has seen the others.

Knows nothing of tokens or models.
"""

import lzma
from collections.abc import Iterable


def xz_size(texts: Iterable[str]) -> int:
    """Bytes of one `xz -9e` stream over all `texts`, in order and with nothing between them."""
    compressor = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = sum(len(compressor.compress(text.encode())) for text in texts)
    return size + len(compressor.flush())


def xz_bits_per_byte(*, train_bytes: int, both_bytes: int, held_out_bytes: int) -> float:
    """Bits that a held-out byte adds to the compressed training split.

    A model that was trained on the same split is measured on the same bytes, so the two figures compare. `xz` looks
    back over at most 64 MiB, so beyond that much training text the baseline no longer gains from it.

    Args:
        train_bytes: Compressed size of the training split.
        both_bytes: Compressed size of the training split followed by the held-out texts.
        held_out_bytes: Plain size of the held-out texts.
    """
    return 8 * (both_bytes - train_bytes) / held_out_bytes
