"""What can be said of a model file without running it: is it ONNX at all, and does it ask for anything we do not give.

Pure over bytes; the protobuf parser is the only code that sees them. Runs inside the probe.
"""

from collections.abc import Iterator
from typing import Final

import onnx
from google.protobuf.message import DecodeError

ALLOWED_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_OTHER_FORMATS: Final = (
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ustar", "a tar archive"),
    (b"ZF", "a joblib dump"),
    (b"x\x9c", "a zlib stream"),
)


class ModelRefusedError(Exception):
    """A model file that is not accepted; ``code`` is the probe's, the message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def parse(content: bytes) -> onnx.ModelProto:
    """``content`` as an ONNX model. Raises `ModelRefusedError`: empty, not_onnx."""
    if not content:
        raise ModelRefusedError("empty", "the file is empty.")
    for magic, name in _OTHER_FORMATS:
        if content.startswith(magic):
            raise ModelRefusedError("not_onnx", f"the file is {name}, not an ONNX model; convert the model to ONNX.")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelRefusedError("not_onnx", f"the file is not an ONNX model: {error}.") from None
    if not model.HasField("graph") or not model.graph.output:
        raise ModelRefusedError("not_onnx", "the file is not an ONNX model: it has no graph with outputs.")
    return model


def inspect(model: onnx.ModelProto) -> None:
    """Look at everything a model declares. Raises `ModelRefusedError`: ir_version, opset, custom_operator, external_data."""
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        message = f"the model has IR version {model.ir_version}; 1 to {onnx.IR_VERSION} are known. Export it with an older one."
        raise ModelRefusedError("ir_version", message)
    supported = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
    for opset in model.opset_import:
        domain = _plain(opset.domain)
        _known_domain(domain, "the model imports")
        if opset.version > supported[domain]:
            message = f"opset {opset.version} of domain {domain or 'ai.onnx'} is too new; at most {supported[domain]}."
            raise ModelRefusedError("opset", message)
    for graph in _graphs(model):
        _inspect_graph(graph)
    for function in model.functions:
        for node in function.node:
            _inspect_node(node)


def _inspect_graph(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _inspect_tensor(tensor)
    for sparse in graph.sparse_initializer:
        _inspect_tensor(sparse.values)
        _inspect_tensor(sparse.indices)
    for node in graph.node:
        _inspect_node(node)


def _inspect_node(node: onnx.NodeProto) -> None:
    _known_domain(_plain(node.domain), f"operator {node.op_type} is of")
    for attribute in node.attribute:
        for tensor in (attribute.t, *attribute.tensors):
            _inspect_tensor(tensor)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            _inspect_tensor(sparse.values)
            _inspect_tensor(sparse.indices)


def _inspect_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "?")
        message = f"tensor {tensor.name!r} keeps its data in another file ({place[:100]!r}); put everything into the ONNX file."
        raise ModelRefusedError("external_data", message)


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every graph inside of a node (the bodies of If, Loop and Scan), in functions too."""
    waiting = [model.graph, *(training.algorithm for training in model.training_info)]
    waiting += [training.initialization for training in model.training_info]
    bodies = [attribute for function in model.functions for node in function.node for attribute in node.attribute]
    waiting += [graph for attribute in bodies for graph in (attribute.g, *attribute.graphs)]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def _known_domain(domain: str, subject: str) -> None:
    if domain not in ALLOWED_DOMAINS:
        message = (
            f"{subject} domain {domain!r}, which is not part of ONNX; export the model with standard operators only."
        )
        raise ModelRefusedError("custom_operator", message)


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
