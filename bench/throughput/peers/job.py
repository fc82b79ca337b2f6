"""What every peer is told, and the scoring that all of them share: the same ONNX model, one CPU thread."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

BOOTSTRAP = os.environ["BENCH_BOOTSTRAP"]
INPUT, OUTPUT, GROUP = os.environ["BENCH_INPUT"], os.environ["BENCH_OUTPUT"], os.environ["BENCH_GROUP"]
NUMERIC: list[str] = json.loads(os.environ["BENCH_NUMERIC"])
CATEGORICAL: dict[str, list[str]] = json.loads(os.environ["BENCH_CATEGORICAL"])
CODES = [(name, {category: code for code, category in enumerate(found)}) for name, found in CATEGORICAL.items()]

CONSUMER = {  # of confluent-kafka: exactly once wants no more
    "bootstrap.servers": BOOTSTRAP,
    "group.id": GROUP,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
}
TUNED_CONSUMER = {**CONSUMER, "fetch.wait.max.ms": 5, "queued.min.messages": 200_000}
TUNED_PRODUCER = {
    "bootstrap.servers": BOOTSTRAP,
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 1_000_000,
    "retry.backoff.ms": 1,
}


def session() -> onnxruntime.InferenceSession:
    """The model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])


_session = session()


def scores(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """The positive class's probability for each row of features."""
    numeric = np.array([[row[name] for name in NUMERIC] for row in rows], np.float64).astype(np.float32)
    coded = np.array([[codes.get(row[name], -2) for name, codes in CODES] for row in rows], np.int64)
    found: list[float] = _session.run(None, {"numeric": numeric, "categorical": coded})[0][:, 1].tolist()
    return found
