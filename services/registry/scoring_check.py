"""Runs a model once, inside the probe: signature, outputs, golden rows, latency. The only module that starts ONNX Runtime."""

import threading
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from schemas.definitions import FeatureSet, TargetType
from schemas.events.training import Candidate, ModelInput
from schemas.model_inputs import assemble
from services.registry.model_file import ModelRefusedError
from services.registry.synthetic_rows import synthetic_rows

TIMED_RUNS: Final = 20
GOLDEN_LIMIT: Final = 1000  # rows that are scored
_ONNX_TYPES: Final[Mapping[str, str]] = {
    "numeric": "tensor(float)",
    "categorical": "tensor(int64)",
    "string": "tensor(string)",
    "float64": "tensor(double)",
    "int64": "tensor(int64)",
}
_OUT_OF_MEMORY: Final = ("bad_alloc", "failed to allocate", "bfcarena", "cannot allocate memory", "out of memory")


def load(content: bytes) -> ort.InferenceSession:
    """A session on one thread without memory arena. Raises `ModelRefusedError`: not_loadable, opset, memory."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = _one_line(error)
        code = _code(text, "opset" if "opset" in text.lower() or "ir version" in text.lower() else "not_loadable")
        raise ModelRefusedError(code, f"ONNX Runtime cannot load the model: {text}") from None


def check_signature(session: ort.InferenceSession, candidate: Candidate) -> None:
    """Inputs and outputs as the candidate says. Raises `ModelRefusedError`: wrong_inputs, wrong_outputs."""
    actual = {item.name: item for item in session.get_inputs()}
    expected = {item.name: item for item in candidate.inputs}
    if actual.keys() != expected.keys():
        message = f"the model's inputs are {sorted(actual)}, the candidate maps {sorted(expected)}."
        raise ModelRefusedError("wrong_inputs", message)
    for name, item in expected.items():
        _check_input(item, actual[name].type, actual[name].shape)
    outputs = {item.name: item.type for item in session.get_outputs()}
    for name in _wanted(candidate):
        if name not in outputs:
            raise ModelRefusedError("wrong_outputs", f"the model has no output {name!r}; it has {sorted(outputs)}.")
        if not outputs[name].startswith("tensor("):
            message = f"output {name!r} is {outputs[name]}, not a tensor; export the model with zipmap off."
            raise ModelRefusedError("wrong_outputs", message)


def score_golden(session: ort.InferenceSession, candidate: Candidate, feature_set: FeatureSet, seconds: float) -> float:
    """Score the golden rows (or made-up ones) at once and one by one; the median milliseconds of one row.

    Raises `ModelRefusedError`: wrong_inputs, run_failed, timeout, memory, wrong_outputs, nan_output.
    """
    rows = list(candidate.golden[:GOLDEN_LIMIT]) or synthetic_rows(feature_set)
    deadline = time.monotonic() + seconds
    check_outputs(_run(session, candidate, feature_set, rows, deadline), candidate, len(rows))
    timings = []
    for position in range(TIMED_RUNS):
        started = time.perf_counter()
        outputs = _run(session, candidate, feature_set, [rows[position % len(rows)]], deadline)
        timings.append((time.perf_counter() - started) * 1000)
        check_outputs(outputs, candidate, 1)
    return round(median(timings), 4)


def check_outputs(outputs: Mapping[str, NDArray[Any]], candidate: Candidate, rows: int) -> None:
    """Shapes, classes and finite numbers. Raises `ModelRefusedError`: wrong_outputs, nan_output."""
    names = candidate.outputs
    for name, values in outputs.items():
        if values.ndim == 0 or values.shape[0] != rows or values.size % rows:
            raise ModelRefusedError("wrong_outputs", f"output {name!r} has shape {list(values.shape)} for {rows} rows.")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            place = int(np.argwhere(~np.isfinite(values.reshape(rows, -1)).all(axis=1))[0][0])
            message = f"output {name!r} is {values.reshape(rows, -1)[place][:5].tolist()} for golden row {place}; missing values must be imputed."
            raise ModelRefusedError("nan_output", message)
    if names.probabilities is not None and outputs[names.probabilities].shape != (rows, len(candidate.classes)):
        shape = list(outputs[names.probabilities].shape)
        message = (
            f"the probabilities have shape {shape}, expected [{rows}, {len(candidate.classes)}], one column a class."
        )
        raise ModelRefusedError("wrong_outputs", message)
    if candidate.target_type is not TargetType.REGRESSION and names.label is not None and candidate.classes:
        foreign = {value for value in outputs[names.label].reshape(-1).tolist() if value not in candidate.classes}
        if foreign:
            message = f"the model answers {sorted(map(str, foreign))[:5]}, which are not among the candidate's classes."
            raise ModelRefusedError("wrong_outputs", message)


def _run(
    session: ort.InferenceSession,
    candidate: Candidate,
    feature_set: FeatureSet,
    rows: Sequence[Mapping[str, Any]],
    deadline: float,
) -> dict[str, NDArray[Any]]:
    try:
        feed = assemble(candidate.inputs, feature_set, rows)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise ModelRefusedError(
            "wrong_inputs", f"the golden rows do not fill the model's inputs: {_one_line(error)}"
        ) from None
    options = ort.RunOptions()
    options.log_severity_level = 4
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), lambda: setattr(options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        answers = session.run(_wanted(candidate), feed, options)
    except Exception as error:
        text = _one_line(error)
        if options.terminate:
            raise ModelRefusedError("timeout", "scoring the golden rows took too long and was stopped.") from None
        raise ModelRefusedError(_code(text, "run_failed"), f"the model fails on the golden rows: {text}") from None
    finally:
        timer.cancel()
    return {name: np.asarray(answer) for name, answer in zip(_wanted(candidate), answers, strict=True)}


def _check_input(item: ModelInput, kind: str, shape: Sequence[Any]) -> None:
    if kind != _ONNX_TYPES[item.kind]:
        raise ModelRefusedError(
            "wrong_inputs", f"input {item.name!r} takes {kind}, the candidate says {_ONNX_TYPES[item.kind]}."
        )
    if len(shape) != item.rank:
        raise ModelRefusedError(
            "wrong_inputs", f"input {item.name!r} has shape {shape}, the candidate says rank {item.rank}."
        )
    if isinstance(shape[0], int):
        message = f"input {item.name!r} takes {shape[0]} rows only; export the model with a dynamic first dimension."
        raise ModelRefusedError("wrong_inputs", message)
    if item.rank > 1 and isinstance(shape[1], int) and shape[1] != len(item.features):
        message = f"input {item.name!r} takes {shape[1]} columns, the candidate fills {len(item.features)}."
        raise ModelRefusedError("wrong_inputs", message)


def _wanted(candidate: Candidate) -> list[str]:
    outputs = candidate.outputs
    return [name for name in (outputs.label, outputs.probabilities, outputs.value) if name is not None]


def _code(text: str, otherwise: str) -> str:
    return "memory" if any(mark in text.lower() for mark in _OUT_OF_MEMORY) else otherwise


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
