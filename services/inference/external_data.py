"""Does an ONNX file refer to other files? Read from its protobuf wire format, before any parser with a file system sees it.

ONNX Runtime would open such files (and follows hard links), so a model that names any is refused.
Source of the field numbers: onnx.proto3 (ONNX 1.22); of the wire format: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from services.inference.errors import Refusal, VersionRefusedError

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_EXTERNAL_DATA: Final = 13  # TensorProto.external_data
_DATA_LOCATION: Final = 14  # TensorProto.data_location; 1 is EXTERNAL
_MAX_DEPTH: Final = 64

# message → field → message that stands in it; only the paths that lead to tensors
_PATHS: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}


def refuse_external_data(artifact: bytes) -> None:
    """Raises `VersionRefusedError` where a tensor's data lies outside of the file, or the bytes are no protobuf."""
    if not artifact:
        raise VersionRefusedError(Refusal.NOT_A_MODEL, "The artifact is empty.")
    try:
        external = _external(memoryview(artifact), "model", 0)
    except (IndexError, ValueError):
        message = "The artifact is not an ONNX file: its protobuf is damaged or it is something else."
        raise VersionRefusedError(Refusal.NOT_A_MODEL, message) from None
    if external:
        message = "The artifact keeps weights in other files; save the model with its weights inside."
        raise VersionRefusedError(Refusal.EXTERNAL_DATA, message)


def _external(data: memoryview, message: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError(message)
    paths = _PATHS[message]
    for field, wire, value in _fields(data):
        if message == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1)):
            return True
        inner = paths.get(field)
        if (
            inner is not None
            and wire == _BYTES
            and isinstance(value, memoryview)
            and _external(value, inner, depth + 1)
        ):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """``(field, wire type, value)`` of each field; fixed-width values are not read and given as 0."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(wire)
        if at + length > end:
            raise ValueError(length)
        yield field, wire, data[at : at + length] if wire == _BYTES else 0
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, at
    raise ValueError(value)
