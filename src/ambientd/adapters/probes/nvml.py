"""NVIDIA's management library, where its driver has installed it; nothing of ours depends on it."""

import ctypes
from collections.abc import Sequence

from ambientd.adapters.probes.graphics import Graphics

LIBRARY = "libnvidia-ml.so.1"
DEVICES_MAX = 64
SOURCE = "nvml"
_DONE = 0
_CORE_SENSOR = 0
_MILLIWATT_MAX = 5_000_000


# nvmlUtilization_t: of the processor and of the memory; nvmlMemory_t: total, free, used.
_Utilization = ctypes.c_uint * 2
_Memory = ctypes.c_ulonglong * 3


class Nvml:
    """Opens the library at the first look; a device without it is asked once."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._name = library
        self._library: ctypes.CDLL | None = None
        self._is_absent = False

    def read(self) -> Sequence[Graphics] | None:
        """Look at every device; None where the library, or the driver below it, is not there."""
        library = self._open()
        if library is None:
            return None
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _DONE:
            return None
        return [_device(library, index) for index in range(min(count.value, DEVICES_MAX))]

    def _open(self) -> ctypes.CDLL | None:
        if self._library is None and not self._is_absent:
            try:
                library = ctypes.CDLL(self._name)
                is_ready = library.nvmlInit_v2() == _DONE
            except (OSError, AttributeError):  # no such file, or another library by that name
                is_ready = False
            self._is_absent = not is_ready
            if is_ready:
                self._library = library
        return self._library


def _device(library: ctypes.CDLL, index: int) -> Graphics:
    handle = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle)) != _DONE:
        return Graphics(SOURCE)  # it is there, and tells nothing
    load, memory = _Utilization(), _Memory()
    celsius, power_mw = ctypes.c_uint(), ctypes.c_uint()
    loads = library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(load))
    frees = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    heats = library.nvmlDeviceGetTemperature(handle, _CORE_SENSOR, ctypes.byref(celsius))
    powers = library.nvmlDeviceGetPowerUsage(handle, ctypes.byref(power_mw))
    return Graphics(
        source=SOURCE,
        load_percent=load[0] if loads == _DONE and load[0] <= 100 else None,
        memory_free_bytes=memory[1] if frees == _DONE and memory[1] <= memory[0] else None,
        milli_celsius=celsius.value * 1000 if heats == _DONE and celsius.value <= 150 else None,
        power_mw=power_mw.value if powers == _DONE and power_mw.value <= _MILLIWATT_MAX else None,
    )
