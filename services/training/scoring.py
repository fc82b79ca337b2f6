"""The artifact at work: ONNX Runtime on one thread, as the evaluation, the parity proof and the latency measurement use it."""

import time
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

Arrays = Mapping[str, npt.NDArray[np.generic]]
BLOCK: Final = 20_000  # rows scored at once: bounds memory
LATENCY_ROUNDS: Final = 60


class Scorer:
    """One loaded artifact. Classifiers give probabilities [N, classes], regressors values [N]; float64."""

    def __init__(self, artifact: bytes) -> None:
        """Load ``artifact``; ONNX Runtime's own errors pass."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        self._names = [entry.name for entry in self._session.get_inputs()]

    def __call__(self, arrays: Arrays) -> npt.NDArray[np.float64]:
        """The outputs for all rows of ``arrays``."""
        rows = len(next(iter(arrays.values())))
        blocks = [self._run(arrays, start, min(rows, start + BLOCK)) for start in range(0, max(rows, 1), BLOCK)]
        return np.concatenate(blocks).astype(np.float64)

    def _run(self, arrays: Arrays, start: int, stop: int) -> npt.NDArray[np.float32]:
        (output,) = self._session.run(None, {name: arrays[name][start:stop] for name in self._names})
        return np.asarray(output, np.float32)

    def latency(self, arrays: Arrays, rows: int) -> float:
        """The 99th percentile of the time that ``rows`` rows take, in milliseconds."""
        took = []
        for _ in range(LATENCY_ROUNDS):
            begun = time.perf_counter()
            self._run(arrays, 0, rows)
            took.append(time.perf_counter() - begun)
        return float(np.quantile(took, 0.99) * 1000)
