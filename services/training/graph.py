"""From a fitted estimator and its preparation to one ONNX graph: raw inputs in, probabilities or a value out.

The preparation is written node by node (its float32 operations are those of `preparation`), only the estimator is
converted by skl2onnx. The same preparation and estimator give the same bytes: names, versions and order are fixed.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from schemas.definitions import TargetType
from schemas.events.training import ModelInput, ModelOutputs
from services.training.errors import RunError
from services.training.preparation import Preparation

OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
IR_VERSION: Final = 9
PREPARED: Final = "prepared"
PROBABILITIES: Final = "probabilities"
VALUE: Final = "value"


def outputs_of(target: TargetType) -> ModelOutputs:
    """What our graphs give out; the label of a classifier is the class of the largest probability."""
    return ModelOutputs(value=VALUE) if target is TargetType.REGRESSION else ModelOutputs(probabilities=PROBABILITIES)


def to_onnx(estimator: Any, preparation: Preparation, inputs: Sequence[ModelInput], target: TargetType) -> bytes:
    """The graph's bytes. Raises `RunError` (``conversion_failed``) when skl2onnx or the checker refuses."""
    classifier = target is not TargetType.REGRESSION
    try:
        converted = convert_sklearn(
            estimator,
            name="headrace",
            initial_types=[(PREPARED, FloatTensorType([None, preparation.width]))],
            options={id(estimator): {"zipmap": False}} if classifier else None,
            target_opset=OPSETS,
        )
        model = _joined(converted, preparation, inputs, classifier=classifier)
        onnx.checker.check_model(model, full_check=True)
    except RunError:
        raise
    except Exception as error:
        message = f"{type(estimator).__name__} with these parameters cannot be converted to ONNX: {error}"
        raise RunError("conversion_failed", message) from error
    artifact: bytes = model.SerializeToString(deterministic=True)
    return artifact


def _joined(
    converted: onnx.ModelProto, preparation: Preparation, inputs: Sequence[ModelInput], *, classifier: bool
) -> onnx.ModelProto:
    nodes, constants = _prepare(preparation)
    wanted = PROBABILITIES if classifier else converted.graph.output[0].name
    columns = len(converted.graph.output[0].type.tensor_type.shape.dim) if not classifier else 0
    estimator_nodes = _reaching(converted.graph.node, wanted)
    used = {name for node in estimator_nodes for name in node.input}
    constants.extend(tensor for tensor in converted.graph.initializer if tensor.name in used)
    output = wanted
    if not classifier:
        output = VALUE
        estimator_nodes.append(
            _flattened(wanted, constants) if columns != 1 else helper.make_node("Identity", [wanted], [VALUE])
        )
    shape: list[Any] = [None, None] if classifier else [None]
    graph = helper.make_graph(
        [*nodes, *estimator_nodes],
        "headrace",
        [_declared(entry) for entry in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        initializer=constants,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(graph, producer_name="headrace", opset_imports=opsets, ir_version=IR_VERSION)


def _flattened(name: str, constants: list[onnx.TensorProto]) -> onnx.NodeProto:
    constants.append(numpy_helper.from_array(np.array([-1], np.int64), "headrace_flat"))
    return helper.make_node("Reshape", [name, "headrace_flat"], [VALUE])


def _declared(entry: ModelInput) -> onnx.ValueInfoProto:
    kind = TensorProto.INT64 if entry.kind == "categorical" else TensorProto.FLOAT
    return helper.make_tensor_value_info(entry.name, kind, [None, len(entry.features)])


def _reaching(nodes: Sequence[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes that ``output`` depends on, in order; the label's nodes fall away."""
    needed, kept = {output}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]


def _prepare(preparation: Preparation) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    steps = _Steps()
    parts: list[str] = []
    if preparation.columns:
        parts.extend(_numbers(steps, preparation))
    columns, codes = preparation.one_hot
    if columns:
        picked = steps.add("Gather", "categorical", steps.constant(np.array(columns, np.int64)), axis=1)
        equal = steps.add("Equal", picked, steps.constant(np.array([codes], np.int64)))
        parts.append(steps.add("Cast", equal, to=TensorProto.FLOAT))
    steps.nodes.append(helper.make_node("Concat", parts, [PREPARED], axis=1))
    return steps.nodes, steps.constants


def _numbers(steps: "_Steps", preparation: Preparation) -> list[str]:
    current = "numeric"
    missing = steps.add("IsNaN", current) if preparation.fill is not None or preparation.flagged else ""
    if preparation.fill is not None:
        current = steps.add("Where", missing, steps.constant(preparation.fill), current)
    if preparation.shift is not None and preparation.scale is not None:
        current = steps.add("Sub", current, steps.constant(preparation.shift))
        current = steps.add("Div", current, steps.constant(preparation.scale))
    parts = [current]
    if preparation.flagged:
        picked = steps.add("Gather", missing, steps.constant(np.array(preparation.flagged, np.int64)), axis=1)
        parts.append(steps.add("Cast", picked, to=TensorProto.FLOAT))
    return parts


class _Steps:
    """Nodes and constants under construction, with fixed names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; the output's name."""
        name = f"headrace_step_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        """A constant; its name."""
        name = f"headrace_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
