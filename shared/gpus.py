"""The GPUs that this process uses, as NVIDIA's driver tells them (NVML).

They need the extra ``gpu`` (``nvidia-ml-py``) and a driver. Without either there are none, and nothing is said about it.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from schemas.events.platform import Gpu
from shared.logs import get_logger

LIBRARY: Final = "pynvml"
MAPS: Final = Path("/proc/self/maps")
CUDA: Final = "libcuda.so"  # whoever computes on a GPU has it in memory; NVML alone does not load it

log = get_logger(__name__)


class Gpus:
    """The driver's devices, found once. Calls may wait for the driver: make them in a thread."""

    def __init__(self, nvml: Any, devices: dict[int, Any], *, pid: int, cuda: Callable[[], bool]) -> None:
        """``nvml`` is initialised, ``devices`` by index; ``cuda`` says whether this process computes on GPUs."""
        self._nvml = nvml
        self._devices = devices
        self._pid = pid
        self._cuda = cuda
        self._told = False

    @classmethod
    def found(cls, load: Callable[[], Any] | None = None, cuda: Callable[[], bool] | None = None) -> Self:
        """Look for the library, a driver and its devices."""
        nvml, devices = None, {}
        try:
            nvml = (load or _load)()
            nvml.nvmlInit()
            devices = dict(_handles(nvml))
        except ImportError:
            pass
        except Exception as error:
            if nvml is None or not isinstance(error, nvml.NVMLError):
                raise
        return cls(nvml, devices, pid=os.getpid(), cuda=cuda or computes)

    def __bool__(self) -> bool:
        return bool(self._devices)

    def read(self) -> tuple[Gpu, ...]:
        """Those that this process uses. A device that does not answer is left out, which the log says once.

        Where the driver lists this process on none of them (in a container), whoever computes may use any of them.
        """
        return tuple(self._used())

    def _used(self) -> Iterator[Gpu]:
        own = {index: self._own(device) for index, device in self._devices.items()}
        used = [index for index, memory in own.items() if memory is not None]
        if not used and own and self._cuda():
            used = list(own)
        for index in used:
            try:
                yield self._gpu(index, self._devices[index], own[index])
            except self._nvml.NVMLError as error:
                if not self._told:
                    log.warning("a GPU does not answer", index=index, why=str(error))
                self._told = True

    def _gpu(self, index: int, device: Any, own: int | None) -> Gpu:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
        return Gpu(
            index=index,
            name=self._nvml.nvmlDeviceGetName(device),
            utilisation=self._utilisation(device),
            memory_bytes=memory.used,
            memory_total_bytes=memory.total,
            own_memory_bytes=own,
        )

    def _own(self, device: Any) -> int | None:
        """The memory of this process, if the driver lists it. In a container it may be listed under the host's number."""
        try:
            listed = self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
        except self._nvml.NVMLError:
            return None  # an older driver, or not allowed
        mine = [each.usedGpuMemory for each in listed if each.pid == self._pid and each.usedGpuMemory is not None]
        return sum(mine) if mine else None

    def _utilisation(self, device: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(device).gpu) / 100
        except self._nvml.NVMLError:
            return None  # a device that is divided does not tell it


def computes(maps: Path = MAPS) -> bool:
    """Whether this process has loaded CUDA; True where that cannot be seen."""
    try:
        return CUDA in maps.read_text(errors="replace")
    except OSError:
        return True


def _handles(nvml: Any) -> Iterator[tuple[int, Any]]:
    """The devices by index; one that fell off the bus takes no other with it."""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            yield index, nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            log.warning("a GPU does not answer", index=index, why=str(error))


def _load() -> Any:
    return importlib.import_module(LIBRARY)
