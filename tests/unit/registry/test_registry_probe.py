"""What the probe says of model files; the dangerous ones run in its process, never here."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import registry_models as samples

from schemas.events.training import ModelOutputs
from services.registry.adapters.probe_process import ProbeLimits, probe
from services.registry.model_file import ModelRefusedError
from services.registry.probe import ProbeAnswer
from services.registry.scoring_check import check_outputs, load, score_golden
from services.registry.synthetic_rows import synthetic_rows

ROOT = Path(__file__).parents[3]


def run(content: bytes, path: Path, **changes: Any) -> ProbeAnswer:
    file = path / "model.onnx"
    file.write_bytes(content)
    limits = ProbeLimits(memory_bytes=512 * 1024**2, seconds=2)
    return asyncio.run(probe(file, samples.candidate(content, **changes), samples.feature_set(), limits))


def test_a_good_model_passes_and_its_latency_is_measured(tmp_path: Path) -> None:
    answer = run(samples.good_model(), tmp_path)
    assert answer.code is None
    assert answer.latency_ms is not None
    assert 0 < answer.latency_ms < 1000


CRASHING = """
import ctypes
from services.registry import probe
probe.load = lambda content: ctypes.string_at(0)
probe.main()
"""


def test_a_segmentation_fault_inside_of_the_probe_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real probe in its sandbox, in which ONNX Runtime is as if it read address 0."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{CRASHING}'\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    answer = run(samples.good_model(), tmp_path)
    assert (answer.code, answer.message) == ("crash", "the model crashed the probe (SIGSEGV).")


def test_a_model_without_golden_rows_is_scored_on_made_up_ones() -> None:
    rows = synthetic_rows(samples.feature_set())
    assert (rows[0]["x"], rows[-1]["x"], rows[-1]["y"], rows[1]["color"]) == (-10, 10, None, "blue")
    assert score_golden(load(samples.good_model()), samples.candidate(golden=()), samples.feature_set(), 5) > 0


def test_outputs_have_a_row_a_row_and_a_column_a_class() -> None:
    offered = samples.candidate(outputs=ModelOutputs(label="label", probabilities="p"), classes=("no", "yes"))
    good = {"label": np.array(["yes"], dtype=object), "p": np.array([[0.1, 0.9]], dtype=np.float32)}
    check_outputs(good, offered, 1)
    for bad in (
        good | {"p": np.array([[0.1]], dtype=np.float32)},
        good | {"label": np.array(["maybe"], dtype=object)},
        good | {"label": np.array(["yes", "no"], dtype=object)},
    ):
        with pytest.raises(ModelRefusedError, match=r"."):
            check_outputs(bad, offered, 1)


CONFINED = """
import ctypes, os, socket
from services.registry.sandbox import confine
confine(memory_bytes=64 * 2**20, cpu_seconds=5)
for attempt in (lambda: socket.socket(), lambda: bytearray(256 * 2**20), lambda: open("made", "w").write("x" * 10)):
    try:
        attempt()
        print("done")
    except BaseException as error:
        print(type(error).__name__)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.socket(2, 1, 0), libc.execve(b"/bin/true", None, None))
"""


def test_a_confined_process_has_no_network_no_memory_beyond_its_bound_no_files_and_starts_nothing(
    tmp_path: Path,
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CONFINED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, second = result.stdout.split()[:2]
    assert (first, second) == ("PermissionError", "MemoryError"), result.stderr
    if sys.platform == "linux":
        assert result.stdout.split()[-2:] == ["-1", "-1"]
    made = tmp_path / "made"
    assert not made.exists() or made.stat().st_size == 0
    assert socket.socket  # this process keeps its own
