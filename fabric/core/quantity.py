"""Amounts with their unit in the type: whole thousandths of CPUs and GPUs, whole bytes.

Knows nothing of nodes or workloads.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Self

from fabric.core.errors import BadInput


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """A non-negative whole number of some unit; subclasses name the unit."""

    count: int

    unit: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"{type(self).__name__} cannot be negative, got {self.count}")

    def __add__(self, other: Self) -> Self:
        return type(self)(self.count + other.count)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.count - other.count)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.count * times)

    def __bool__(self) -> bool:
        return self.count > 0

    def shortfall(self, free: Self) -> Self:
        """How much more than `free` this needs; zero if it fits."""
        return type(self)(max(0, self.count - free.count))


class _Milli(Quantity):
    """Thousandths of a countable device."""

    __slots__ = ()

    @classmethod
    def of(cls, whole: float | str) -> Self:
        """Read a number of devices, such as 2, 0.5 or "1.25".

        Raises:
            BadInput: If it is negative, no number, or finer than a thousandth.
        """
        try:
            exact = Decimal(str(whole)) * 1000
        except InvalidOperation:
            raise BadInput(f"{whole!r} is not a number of {cls.unit}. Write it like 2 or 0.5.") from None
        if not exact.is_finite() or exact < 0 or exact != exact.to_integral_value():
            raise BadInput(f"{whole!r} {cls.unit} is not a non-negative multiple of 0.001")
        return cls(int(exact))

    def whole(self) -> float:
        """The amount in devices."""
        return self.count / 1000

    def devices(self) -> int:
        """Whole devices that hold the amount; a Ray node offers no other number of them."""
        return -(-self.count // 1000)

    def __str__(self) -> str:
        return f"{self.count / 1000:g} {self.unit}"


class MilliCpus(_Milli):
    """Thousandths of one CPU core."""

    __slots__ = ()
    unit = "CPUs"


class MilliGpus(_Milli):
    """Thousandths of one accelerator; 1000 is a whole device."""

    __slots__ = ()
    unit = "GPUs"


_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
          "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}  # fmt: skip
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$")


class Bytes(Quantity):
    """Memory or storage in bytes."""

    __slots__ = ()
    unit = "bytes"

    @classmethod
    def of(cls, size: int | str) -> Self:
        """Read a size such as 1048576, "512 MiB" or "2GiB".

        Raises:
            BadInput: If the number is negative or the unit unknown.
        """
        match = _SIZE.match(str(size))
        if match is None or match[2] not in _UNITS:
            raise BadInput(f"{size!r} is not a size. Write a number with one of B, KiB, MiB, GiB, TiB, kB, MB, GB, TB.")
        return cls(int(Decimal(match[1]) * _UNITS[match[2]]))

    def __str__(self) -> str:
        for name in ("TiB", "GiB", "MiB", "KiB"):
            if self.count >= _UNITS[name]:
                return f"{self.count / _UNITS[name]:.4g} {name}"
        return f"{self.count} B"
