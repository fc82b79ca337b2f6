"""What the harness asks the platform to serve: tanks, a linear model made elsewhere, a business figure that alarms."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

FEATURE_SET: Final = "tanks"
REF: Final = "tanks@1"
MODEL: Final = "tank-level"
SOURCE: Final = "fault-generator"
WEIGHTS: Final = (2.0, -1.0)
OFFSET: Final = 0.5
# Long ago: with a clock that is ten years slow nothing of it is in the future, labels observed three years late neither.
START: Final = datetime(2012, 3, 5, tzinfo=UTC)
WINDOW: Final = timedelta(minutes=15)
LABEL_AFTER: Final = timedelta(minutes=5)
ALARMING: Final = 60.0  # mean inflow of a window above which the KPI alarms
INPUTS: Final = "flows=inflow,outflow"

FEATURE_SET_DEFINITION: Final[dict[str, Any]] = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": FEATURE_SET, "owner": "faults", "description": "What flows into a tank and out of it"},
    "spec": {
        "version": "1.0.0",
        "entity": "tank",
        "clock": "replay",
        "features": [
            {"name": "outflow", "dtype": "float32", "range": [0, 100]},
            {"name": "inflow", "dtype": "float32", "range": [0, 100]},
        ],
    },
}
MODEL_DEFINITION: Final[dict[str, Any]] = {
    "apiVersion": "headrace/v1",
    "kind": "Model",
    "metadata": {"name": MODEL, "owner": "faults", "description": "The level that a tank will have"},
    "spec": {
        "featureSet": REF,
        "target": {"name": "level", "type": "regression", "label": {"expected": "10m", "timeout": "30m"}},
        "gates": [{"metric": "latency_ms", "max": 5000}],
        "approval": {"mode": "automatic"},
        "monitoring": {"window": {"every": "15m", "lateness": "2m"}},
        "kpis": [{"name": "mean_inflow", "expression": "avg(inflow)", "max": ALARMING}],
    },
}
DEFINITIONS: Final = (FEATURE_SET_DEFINITION, MODEL_DEFINITION)


def scratch_definition(number: int) -> dict[str, Any]:
    """A feature set that nobody uses, to give the registry something to decide while faults go on."""
    return {
        "apiVersion": "headrace/v1",
        "kind": "FeatureSet",
        "metadata": {"name": "scratch", "owner": "faults", "description": f"Description number {number}"},
        "spec": {
            "version": f"1.{number}.0",
            "entity": "thing",
            "clock": "replay",
            "features": [{"name": "size", "dtype": "float32"}],
        },
    }


def level(inflow: float, outflow: float) -> float:
    """What the model answers."""
    return WEIGHTS[0] * inflow + WEIGHTS[1] * outflow + OFFSET


def artifact() -> bytes:
    """The model as ONNX."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["flows", "weights"], ["product"]),
            helper.make_node("Add", ["product", "offset"], ["level"]),
        ],
        "tank",
        [helper.make_tensor_value_info("flows", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("level", TensorProto.FLOAT, ["N", 1])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [2, 1], WEIGHTS),
            helper.make_tensor("offset", TensorProto.FLOAT, [1], [OFFSET]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
