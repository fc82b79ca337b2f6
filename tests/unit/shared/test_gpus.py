"""GPUs are told where a driver tells them; without one nothing is said."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from shared import gpus as module
from shared.gpus import Gpus, computes

GIB = 1024**3


class DriverError(Exception):
    """What the library raises."""


class Said:
    """What is logged, whatever level other tests have set."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields["index"]))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """The log of the module."""
    found = Said()
    monkeypatch.setattr(module, "log", found)
    return found


class Driver:
    """The library's functions over devices that a test makes up. There is no GPU where tests run."""

    NVMLError = DriverError

    def __init__(self, *, listed: list[tuple[int, int | None]], devices: int = 1, **failing: bool) -> None:
        self.listed = listed
        self.devices = devices
        self.failing = failing

    def _may_fail(self, name: str) -> None:
        if self.failing.get(name):
            raise DriverError(name)

    def nvmlInit(self) -> None:  # noqa: N802 - the library's name, as below
        self._may_fail("init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.devices

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index == 1:
            self._may_fail("second")
        return index

    def nvmlDeviceGetName(self, device: int) -> str:  # noqa: N802
        return f"made up {device}"

    def nvmlDeviceGetMemoryInfo(self, _: int) -> Any:  # noqa: N802
        self._may_fail("memory")
        return SimpleNamespace(used=3 * GIB, total=8 * GIB)

    def nvmlDeviceGetUtilizationRates(self, _: int) -> Any:  # noqa: N802
        self._may_fail("utilisation")
        return SimpleNamespace(gpu=25)

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        self._may_fail("processes")
        return [] if device else [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.listed]


def gpus(
    *,
    computing: bool = False,
    listed: Callable[[int], list[tuple[int, int | None]]] | None = None,
    devices: int = 1,
    **failing: bool,
) -> Gpus:
    driver = Driver(listed=(listed or (lambda _: []))(os.getpid()), devices=devices, **failing)
    return Gpus.found(lambda: driver, lambda: computing)


def test_the_real_library_finds_none_on_a_machine_without_a_driver(said: Said) -> None:
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlInit()
    found = Gpus.found()
    assert (bool(found), found.read(), said.lines) == (False, (), [])


def test_without_the_library_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Gpus.found().read() == ()


def test_a_process_that_the_driver_lists_is_told_its_own_part() -> None:
    [gpu] = gpus(listed=lambda own: [(own, GIB), (own + 1, 2 * GIB)]).read()
    assert (gpu.index, gpu.name, gpu.utilisation) == (0, "made up 0", 0.25)
    assert (gpu.memory_bytes, gpu.memory_total_bytes, gpu.own_memory_bytes) == (3 * GIB, 8 * GIB, GIB)


def test_a_process_that_is_listed_on_a_device_says_nothing_of_its_neighbours() -> None:
    [gpu] = gpus(computing=True, listed=lambda own: [(own, GIB)], devices=3).read()
    assert gpu.index == 0


def test_a_device_that_is_lost_takes_no_other_with_it(said: Said) -> None:
    found = gpus(computing=True, devices=3, second=True).read()
    assert [gpu.index for gpu in found] == [0, 2]
    assert said.lines == [("a GPU does not answer", 1)]


@pytest.mark.parametrize("failing", ["none", "processes"])
def test_a_process_that_computes_but_is_not_listed_is_told_the_device(failing: str) -> None:
    [gpu] = gpus(computing=True, listed=lambda own: [(own + 1, GIB), (own, None)], **{failing: True}).read()
    assert (gpu.memory_bytes, gpu.own_memory_bytes) == (3 * GIB, None)


def test_a_process_that_does_not_compute_says_nothing_of_other_peoples_devices() -> None:
    assert gpus(listed=lambda own: [(own + 1, GIB)]).read() == ()


def test_a_device_that_does_not_tell_its_utilisation_is_shown_without() -> None:
    [gpu] = gpus(computing=True, utilisation=True).read()
    assert gpu.utilisation is None


def test_a_device_that_does_not_answer_is_left_out_and_said_once(said: Said) -> None:
    found = gpus(computing=True, memory=True)
    assert [found.read(), found.read()] == [(), ()]
    assert said.lines == [("a GPU does not answer", 0)]


def test_who_has_cuda_in_memory_computes(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/libnvidia-ml.so.1\n")
    assert not computes(maps)
    maps.write_text("7f00-7f01 r-xp 00000000 08:01 1 /usr/lib/x86_64-linux-gnu/libcuda.so.550.54\n")
    assert computes(maps)
    assert computes(tmp_path / "absent")
