"""A seeded shuffle that answers "which item is at position i" at once, without a table.

Knows nothing of tokens, files or workers.
"""

from dataclasses import dataclass

_ROUNDS = 6
_MASK = 2**64 - 1


def _mix(value: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): 64 bits in, 64 well mixed bits out."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@dataclass(frozen=True, slots=True)
class Shuffle:
    """A permutation of `num_items` items for every epoch.

    A Feistel network over the next even power of two, walked until it falls inside the range, needs no memory and no
    state, and its answers do not change with a library's version; a resumed run of any world size asks for the
    positions it still lacks.
    """

    num_items: int
    seed: int

    def __post_init__(self) -> None:
        if self.num_items < 1:
            raise ValueError(f"num_items must be at least 1, got {self.num_items}")

    def at(self, position: int) -> int:
        """The item at `position`, counted from 0 over all epochs; every epoch holds every item once.

        Raises:
            ValueError: If `position` is negative.
        """
        if position < 0:
            raise ValueError(f"position must not be negative, got {position}")
        epoch, item = divmod(position, self.num_items)
        half_bits = max(1, ((self.num_items - 1).bit_length() + 1) // 2)
        item = self._scramble(item, epoch, half_bits)
        while item >= self.num_items:
            item = self._scramble(item, epoch, half_bits)
        return item

    def _scramble(self, item: int, epoch: int, half_bits: int) -> int:
        low_mask = (1 << half_bits) - 1
        high, low = item >> half_bits, item & low_mask
        for turn in range(_ROUNDS):
            key = _mix(_mix(self.seed & _MASK) ^ (epoch * _ROUNDS + turn))
            high, low = low, high ^ (_mix(key ^ low) & low_mask)
        return (high << half_bits) | low
