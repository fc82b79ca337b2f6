"""Small ONNX models, good and bad, and the candidates that offer them."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from schemas.definitions import FeatureSet, Model
from schemas.events.training import Candidate, Lineage, ModelInput, ModelOutputs

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOLDEN = ({"x": 1.0, "y": -2.0, "color": "red"}, {"x": 0.5, "y": None, "color": "blue"})

FEATURE_SET: dict[str, Any] = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": "points", "owner": "team", "description": "points in a plane"},
    "spec": {
        "version": "1.0.0",
        "entity": "point",
        "features": [
            {"name": "x", "dtype": "float32", "range": [-10, 10]},
            {"name": "y", "dtype": "float32", "nullable": True},
            {"name": "color", "dtype": "category", "categories": ["red", "blue"]},
        ],
    },
}


def model_definition(name: str = "shade", **spec: Any) -> dict[str, Any]:
    content = {
        "featureSet": "points@1",
        "target": {"name": "late", "type": "binary"},
        "approval": {"mode": "automatic"},
    }
    return {
        "apiVersion": "headrace/v1",
        "kind": "Model",
        "metadata": {"name": name, "owner": "team", "description": "dark or light"},
        "spec": content | spec,
    }


def feature_set() -> FeatureSet:
    return FeatureSet.model_validate(FEATURE_SET)


def model(name: str = "shade", **spec: Any) -> Model:
    return Model.model_validate(model_definition(name, **spec))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def candidate(content: bytes = b"model", **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "candidate_id": f"c-{digest(content)[:12]}",
        "model": "shade",
        "digest": digest(content),
        "size": max(1, len(content)),
        "feature_set": "points@1",
        "definition_version": "1.0.0",
        "target_type": "binary",
        "inputs": (ModelInput(name="numeric", kind="numeric", features=("x", "y")),),
        "outputs": ModelOutputs(probabilities="probabilities"),
        "classes": (False, True),
        "metrics": {"roc_auc": 0.8},
        "golden": GOLDEN,
        "lineage": Lineage(source="trained", run_id="run-1"),
        "created_at": NOW,
    }
    return Candidate(**(values | changes))


def good_model(weight: float = 1.0) -> bytes:
    """Softmax over two linear functions of the imputed numbers."""
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numeric"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"zero": np.float32(0), "weights": np.array([[weight, -weight], [0.5, -0.5]], dtype=np.float32)}
    return build(nodes, constants)


def nan_model() -> bytes:
    """Does not impute, so a missing value becomes a NaN probability."""
    weights = np.array([[1, -1], [0.5, -0.5]], dtype=np.float32)
    return build([helper.make_node("MatMul", ["numeric", "weights"], ["probabilities"])], {"weights": weights})


def huge_model() -> bytes:
    """A few dozen bytes of graph that ask for a gigabyte."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["numeric", "sum"], ["probabilities"]),
    ]
    return build(nodes, {"shape": np.array([1 << 28], dtype=np.int64)})


def endless_model() -> bytes:
    """A loop of 2^62 turns."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Add", ["carried", "carried"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [None, 2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 2]),
        ],
    )
    nodes = [helper.make_node("Loop", ["turns", "yes", "numeric"], ["probabilities"], body=body)]
    return build(nodes, {"turns": np.array(1 << 62, dtype=np.int64), "yes": np.array(True)})


def external_model(location: str = "../../etc/passwd") -> bytes:
    proto = onnx.load_model_from_string(good_model())
    tensor = next(t for t in proto.graph.initializer if t.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return proto.SerializeToString()


def build(nodes: list[onnx.NodeProto], constants: dict[str, Any], *, opset: int = 17, columns: int = 2) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, columns])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    proto.ir_version = 8
    return proto.SerializeToString()
