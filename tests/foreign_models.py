"""Models made elsewhere: ONNX files that no trainer of ours has seen, and the definitions they are versions of."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from example_models import unique
from onnx import TensorProto, helper

WEIGHTS: Final = (2.0, -1.0)
OFFSET: Final = 0.5


@dataclass(frozen=True, slots=True)
class Foreign:
    """A FeatureSet and a Model without a recipe."""

    feature_set: str
    model: str
    definitions: str


def tanks(*, approval: str = "automatic") -> Foreign:
    """A regression on two numbers."""
    feature_set, model = unique("tanks"), unique("tank-level")
    text = TANKS.replace("SET", feature_set).replace("MODEL", model).replace("APPROVAL", approval)
    return Foreign(feature_set, model, text)


def level(inflow: float, outflow: float) -> float:
    """What the model of `linear` answers."""
    return WEIGHTS[0] * inflow + WEIGHTS[1] * outflow + OFFSET


def linear(file: Path, *, input_name: str = "flows") -> Path:
    """An ONNX file that computes `level` from [N, 2] floats."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [input_name, "weights"], ["product"]),
            helper.make_node("Add", ["product", "offset"], ["level"]),
        ],
        "tank",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("level", TensorProto.FLOAT, ["N", 1])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [2, 1], WEIGHTS),
            helper.make_tensor("offset", TensorProto.FLOAT, [1], [OFFSET]),
        ],
        doc_string=file.name,  # another name is another digest
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())
    return file


def reads_a_file(file: Path) -> Path:
    """An ONNX file whose weights are to be read from a path outside."""
    linear(file)
    model = onnx.load(file)
    weights = model.graph.initializer[0]
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../../etc/passwd")
    file.write_bytes(model.SerializeToString())
    return file


def pickled(file: Path) -> Path:
    """A pickle that calls itself ONNX; running it would leave a trace beside it."""
    file.write_bytes(pickle.dumps(_Trap(str(file.with_name("executed")))))
    return file


class _Trap:
    def __init__(self, trace: str) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self._trace, "w")


TANKS: Final = """
apiVersion: headrace/v1
kind: FeatureSet
metadata: {name: SET, owner: data-team, description: What flows into a tank and out of it}
spec:
  version: 1.0.0
  entity: tank
  clock: replay
  features:
    - {name: outflow, dtype: float32, unit: l/s, range: [0, 100]}
    - {name: inflow, dtype: float32, unit: l/s, range: [0, 100]}
---
apiVersion: headrace/v1
kind: Model
metadata: {name: MODEL, owner: ml-team, description: The level that a tank will have}
spec:
  featureSet: SET@1
  target: {name: level, type: regression}
  gates:
    - {metric: latency_ms, max: 1000}
    - {metric: size_bytes, max: 100000}
  approval: {mode: APPROVAL}
"""
