"""How busy the accelerators of this machine were, by NVIDIA's management library.

Knows nothing of slices. The library is the driver's own, so it is there exactly where the accelerators are. It is
loaded at the first question; starting `nvidia-smi` for each would cost more than all else that is measured.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

from fabric.core.errors import Unavailable
from fabric.core.quantity import MilliGpus

LIBRARY = "libnvidia-ml.so.1"
"""What the driver installs."""

_DONE, _NOT_SUPPORTED, _NONE_SINCE = 0, 3, 6
"""Answers of `nvml.h`: success, not supported by this device, nothing found."""
_BUSY_PERCENT = 1
"""Which samples are asked for: `NVML_GPU_UTILIZATION_SAMPLES`."""
_MOST_SAMPLES = 512
"""More than the driver keeps; it takes up to six in a second, and keeps about 20 s of them."""


class _Value(ctypes.Union):
    _fields_ = [("of_double", ctypes.c_double), ("of_whole", ctypes.c_uint), ("of_long", ctypes.c_ulonglong)]


class _Sample(ctypes.Structure):
    _fields_ = [("at_us", ctypes.c_ulonglong), ("value", _Value)]


class _Rates(ctypes.Structure):
    _fields_ = [("busy", ctypes.c_uint), ("memory", ctypes.c_uint)]


class Nvml:
    """Implements `fabric.backends.local.metering.Accelerators`; for one thread."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """Load nothing yet.

        Args:
            load: Loads a library by its name.
        """
        self._load = load
        self._library: Any = None
        self._seen_us: dict[int, int] = {}

    def busy(self) -> Mapping[int, MilliGpus]:
        """The share of the time since the last call for which each was busy, as far back as the driver remembers.

        Raises:
            Unavailable: If there is no such library, or it does not answer.
        """
        library = self._opened()
        number = ctypes.c_uint()
        self._check(library.nvmlDeviceGetCount_v2(ctypes.byref(number)), "count the devices")
        shares = {index: self._share(library, index) for index in range(number.value)}
        return {index: share for index, share in shares.items() if share is not None}

    def _opened(self) -> Any:
        if self._library is None:
            try:
                library = self._load(LIBRARY)
            except OSError:
                raise Unavailable(f"{LIBRARY}, which NVIDIA's driver brings, is not on this machine") from None
            self._check(library.nvmlInit_v2(), "begin")
            self._library = library
        return self._library

    def _share(self, library: Any, index: int) -> MilliGpus | None:
        """How busy one device was; None if it cannot say, as while it is divided."""
        device = ctypes.c_void_p()
        self._check(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)), "find a device")
        kind, number = ctypes.c_uint(), ctypes.c_uint(_MOST_SAMPLES)
        samples = (_Sample * _MOST_SAMPLES)()
        since = ctypes.c_ulonglong(self._seen_us.get(index, 0))
        answer = library.nvmlDeviceGetSamples(
            device, _BUSY_PERCENT, since, ctypes.byref(kind), ctypes.byref(number), samples
        )
        found = [sample for sample in samples[: number.value] if sample.at_us > since.value] if answer == _DONE else []
        if not found:
            return self._present_share(library, device) if answer in (_DONE, _NOT_SUPPORTED, _NONE_SINCE) else None
        self._seen_us[index] = max(sample.at_us for sample in found)
        percent = sum(_number(sample.value, kind.value) for sample in found) / len(found)
        return _milli(percent)

    def _present_share(self, library: Any, device: ctypes.c_void_p) -> MilliGpus | None:
        """The same over the last second at most, for devices that keep no samples."""
        rates = _Rates()
        answer = library.nvmlDeviceGetUtilizationRates(device, ctypes.byref(rates))
        return _milli(rates.busy) if answer == _DONE else None

    def _check(self, answer: int, what: str) -> None:
        if answer != _DONE:
            raise Unavailable(f"{LIBRARY} answers {answer} when asked to {what}")


def _number(value: _Value, kind: int) -> float:
    """A sample in the form that the driver says: 0 is a double, 1 a whole number, all others are long ones."""
    return float((value.of_double, value.of_whole, value.of_long)[min(kind, 2)])


def _milli(percent: float) -> MilliGpus:
    return MilliGpus(round(10 * min(100.0, max(0.0, percent))))
