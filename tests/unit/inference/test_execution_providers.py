"""Models run on the CPU unless CUDA is asked for and there."""

import pytest

from services.inference.adapters.onnxruntime import execution_providers
from services.inference.execution import Execution
from shared.errors import ConfigurationError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("execution", "available", "expected"),
    [
        (Execution.CPU, [CUDA, CPU], (CPU,)),
        (Execution.AUTO, [CPU], (CPU,)),
        (Execution.AUTO, [CUDA, CPU], (CUDA, CPU)),
        (Execution.CUDA, ["TensorrtExecutionProvider", CUDA, CPU], (CUDA, CPU)),
    ],
)
def test_what_is_asked_for_is_taken_where_it_is_there(
    execution: Execution, available: list[str], expected: tuple[str, ...]
) -> None:
    assert execution_providers(execution, available) == expected


def test_cuda_that_is_asked_for_and_absent_stops_the_service_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="install onnxruntime-gpu"):
        execution_providers(Execution.CUDA, [CPU])
