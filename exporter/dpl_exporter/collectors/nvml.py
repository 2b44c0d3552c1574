"""NVIDIA's management library: the one module that loads its Python binding, nvidia-ml-py.

Every reading may be missing on some card, driver or system, and says so with an error code. Here
those become None; what means more than a missing reading becomes an exception.
"""

import ctypes
import importlib
import sys
from collections.abc import Callable
from typing import Any

from dpl_exporter.errors import CardLost, DriverFailed, NoData

Handle = Any
"""Of a card: a C pointer of the binding's."""

LIBRARY = "libnvidia-ml.so.1"
LOST = frozenset({15, 16})
"""NVML_ERROR_GPU_IS_LOST, _RESET_REQUIRED."""
GONE = frozenset({1, 9, 12, 18})
"""NVML_ERROR_UNINITIALIZED, _DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _LIB_RM_VERSION_MISMATCH."""
NOT_HERE = frozenset({9, 12, 28})
"""At the first start: no driver, or no card (_GPU_NOT_FOUND)."""
BROKEN = frozenset({10, 11, 17, 20, 999})
"""_TIMEOUT, _IRQ_ISSUE, _OPERATING_SYSTEM, _MEMORY, _UNKNOWN: nothing to do with the reading."""
NOT_SUPPORTED = 3
TIMEOUT = 10
VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""The member of nvmlValue_t, by nvmlValueType_t."""


def load_binding() -> Any:
    """The binding costs 3 MB, so it is not loaded where the library is missing.

    Raises: NoData. On Windows the binding itself looks for nvml.dll.
    """
    if sys.platform != "win32":
        try:
            ctypes.CDLL(LIBRARY)
        except OSError:
            raise NoData(f"no NVIDIA driver ({LIBRARY})") from None
    return importlib.import_module("pynvml")


def value_of(union: Any, kind: int) -> float | None:
    """A number of nvmlValue_t; None where its type is one we do not know."""
    return float(getattr(union, VALUES[kind])) if kind < len(VALUES) else None


class Nvml:
    """One initialisation for the process, held open: a fresh one may take seconds.

    Calls go by their name without its first word: `DeviceGetName`.
    """

    def __init__(self, load: Callable[[], Any] = load_binding) -> None:
        self._load = load
        self._binding: Any = None
        self._was_open = False
        self.is_open = False

    def open(self) -> None:
        """Raises: NoData where there is no driver and never was one; DriverFailed."""
        if self._binding is None:
            self._binding = self._load()
        try:
            self._binding.nvmlInit()
        except self._binding.NVMLError as error:
            if error.value in NOT_HERE and not self._was_open:
                raise NoData(f"no NVIDIA driver: {error}") from None
            raise DriverFailed(f"nvmlInit: {error}") from None
        self.is_open = self._was_open = True

    def close(self) -> None:
        self.is_open = False
        try:
            self._binding.nvmlShutdown()
        except self._binding.NVMLError:
            return  # it was gone already

    def constant(self, name: str) -> int:
        """By its whole name: NVML_CLOCK_SM, nvmlMemory_v2."""
        return int(getattr(self._binding, name))

    def must(self, call: str, *arguments: object) -> Any:
        """Raises: CardLost; DriverFailed for anything else, with NVML's code."""
        try:
            return getattr(self._binding, f"nvml{call}")(*arguments)
        except self._binding.NVMLError as error:
            if error.value in LOST:
                raise CardLost(f"nvml{call}: {error}") from None
            raise DriverFailed(f"nvml{call}: {error}", error.value) from None
        except UnicodeError:
            raise DriverFailed(f"nvml{call} answered no text") from None

    def ask(self, call: str, *arguments: object) -> Any | None:
        """None where this card does not tell, for whatever reason.

        Raises: CardLost; DriverFailed where the driver itself is gone.
        """
        try:
            return self.must(call, *arguments)
        except DriverFailed as error:
            if error.code in GONE:
                raise
            return None
