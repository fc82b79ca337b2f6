"""ONNX Runtime behind `Runnable`: its errors translated, its threads bounded, its runs under a deadline."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as vendor

from services.inference.errors import DeadlineError, Refusal, ScoringError, VersionRefusedError
from services.inference.execution import DEFAULT, Execution, Optimisation, Tuning
from services.inference.loading import Tensor
from shared.errors import ConfigurationError

ERRORS_ONLY: Final = 3
POLL_SECONDS: Final = 0.02
_CPU: Final = "CPUExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
_LEVELS: Final = {
    Optimisation.ALL: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    Optimisation.EXTENDED: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    Optimisation.BASIC: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
}
_VENDOR_ERRORS: Final = (
    vendor.EPFail,
    vendor.EngineError,
    vendor.Fail,
    vendor.InvalidArgument,
    vendor.InvalidGraph,
    vendor.InvalidProtobuf,
    vendor.ModelLoadCanceled,
    vendor.NoModel,
    vendor.NoSuchFile,
    vendor.NotFound,
    vendor.NotImplemented,
    vendor.RuntimeException,
    ValueError,  # its Python layer's: a missing input, an unknown output
    RuntimeError,
    TypeError,
)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """``load_deadline`` in seconds; ``providers`` as `execution_providers` gives them."""

    tuning: Tuning = DEFAULT
    load_deadline: float = 60.0
    providers: tuple[str, ...] = (_CPU,)


def execution_providers(execution: Execution, available: Sequence[str] | None = None) -> tuple[str, ...]:
    """ONNX Runtime's names, the preferred one first; what CUDA cannot run falls to the CPU.

    ``available`` defaults to what this installation offers. Raises `ConfigurationError` where CUDA is asked for and absent.
    """
    offered = onnxruntime.get_available_providers() if available is None else available
    if execution is Execution.CPU or (execution is Execution.AUTO and _CUDA not in offered):
        return (_CPU,)
    if _CUDA not in offered:
        message = (
            f"HEADRACE_INFERENCE__EXECUTION=cuda, but ONNX Runtime offers only {', '.join(offered)} here: install "
            f"onnxruntime-gpu {onnxruntime.__version__} in place of onnxruntime, or set it to auto or cpu."
        )
        raise ConfigurationError(message)
    return (_CUDA, _CPU)


class OnnxSession:
    """One model in memory. `run` may be called from any thread."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Use `open_session`."""
        self._session = session

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What the model takes, by name."""
        return {item.name: Tensor(item.type, tuple(item.shape)) for item in self._session.get_inputs()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it gives."""
        return tuple(item.name for item in self._session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], deadline: float) -> dict[str, Any]:
        """See `Runnable.run`."""
        options = onnxruntime.RunOptions()
        options.log_severity_level = ERRORS_ONLY + 1
        _watchdog.watch(options, deadline)
        try:
            found = self._session.run(list(outputs), dict(inputs), options)
        except _VENDOR_ERRORS as error:
            if options.terminate:
                message = f"the model was stopped after {deadline:g} s"
                raise DeadlineError(message) from None
            message = f"the model failed: {_first_line(error)}"
            raise ScoringError(message) from error
        finally:
            _watchdog.forget(options)
        return dict(zip(outputs, found, strict=True))


def open_session(artifact: bytes, options: SessionOptions) -> OnnxSession:
    """Load ``artifact`` from memory. Raises `VersionRefusedError`; blocks for up to ``load_deadline``."""
    chosen = onnxruntime.SessionOptions()
    _tune(chosen, options.tuning)
    chosen.log_severity_level = ERRORS_ONLY + 1  # errors come as exceptions; its own log would tell them twice
    expired = threading.Event()

    def cancel() -> None:
        expired.set()
        chosen.set_load_cancellation_flag(True)

    timer = threading.Timer(options.load_deadline, cancel)
    timer.daemon = True
    timer.start()
    try:
        return OnnxSession(onnxruntime.InferenceSession(artifact, chosen, providers=list(options.providers)))
    except _VENDOR_ERRORS as error:
        if expired.is_set():
            message = f"ONNX Runtime did not load the model within {options.load_deadline:g} s."
            raise VersionRefusedError(Refusal.DEADLINE, message) from None
        message = f"ONNX Runtime cannot load the model: {_first_line(error)}"
        raise VersionRefusedError(Refusal.NOT_A_MODEL, message) from error
    finally:
        timer.cancel()


def _tune(chosen: onnxruntime.SessionOptions, tuning: Tuning) -> None:
    modes = onnxruntime.ExecutionMode
    chosen.execution_mode = modes.ORT_PARALLEL if tuning.parallel else modes.ORT_SEQUENTIAL
    chosen.intra_op_num_threads = 1 if tuning.parallel else tuning.threads
    chosen.inter_op_num_threads = tuning.threads if tuning.parallel else 1
    chosen.graph_optimization_level = _LEVELS[tuning.optimisation]
    for pool in ("intra_op", "inter_op"):
        chosen.add_session_config_entry(f"session.{pool}.allow_spinning", "1" if tuning.spinning else "0")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


class _Watchdog:
    """Stops runs past their deadline, from one daemon thread that sleeps while nothing runs."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[onnxruntime.RunOptions, float]] = {}
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def watch(self, options: onnxruntime.RunOptions, seconds: float) -> None:
        """Stop the run that ``options`` belong to after ``seconds``."""
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._running[id(options)] = (options, time.monotonic() + seconds)
        self._busy.set()

    def forget(self, options: onnxruntime.RunOptions) -> None:
        """The run is over."""
        self._running.pop(id(options), None)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._patrol, name="onnx deadlines", daemon=True)
                self._thread.start()

    def _patrol(self) -> None:
        while True:
            self._busy.wait()
            self._busy.clear()
            while self._running:
                time.sleep(POLL_SECONDS)
                now = time.monotonic()
                for options, deadline in list(self._running.values()):
                    if now > deadline:
                        options.terminate = True


_watchdog: Final = _Watchdog()
