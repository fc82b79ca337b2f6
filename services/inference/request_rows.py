"""From the tensors of a request to rows of features, which the one checker then judges like those of events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from schemas.definitions import Dtype, Feature, FeatureSet
from schemas.events.open_inference import InferenceRequest, Tensor
from schemas.reasons import Reason, Rule, reason

MAX_ROWS: Final = 1000  # scoring holds the event loop: whoever has more sends several requests

_FLOATS: Final = ("FP16", "FP32", "FP64")
_INTEGERS: Final = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
_DATATYPES: Final[Mapping[Dtype, Sequence[str]]] = {
    Dtype.FLOAT32: (*_FLOATS, *_INTEGERS),
    Dtype.FLOAT64: (*_FLOATS, *_INTEGERS),
    Dtype.INT64: _INTEGERS,
    Dtype.BOOL: ("BOOL",),
    Dtype.CATEGORY: ("BYTES",),
    Dtype.STRING: ("BYTES",),
}


class RequestError(Exception):
    """A request that cannot be answered as it is; the message says what to do, ``reasons`` say the same to programs."""

    def __init__(self, message: str, *reasons: Reason) -> None:
        self.reasons = reasons
        super().__init__(message)


def rows_of(request: InferenceRequest, feature_set: FeatureSet) -> list[dict[str, Any]]:
    """One row per entry of the inputs; values are not judged yet. Raises `RequestError`."""
    features = {feature.name: feature for feature in feature_set.spec.features if not feature.derived}
    columns: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in columns:
            raise RequestError(
                f"input {tensor.name} stands there twice; send it once.",
                reason(_field(tensor), Rule.DUPLICATE_KEY, "one input of that name", "several"),
            )
        feature = features.get(tensor.name)
        if feature is None:
            raise RequestError(
                f"input {tensor.name} is no feature that {feature_set.ref} takes: {', '.join(features)}.",
                reason(_field(tensor), Rule.EXTRA_FIELD, f"a feature of {feature_set.ref}", tensor.name),
            )
        columns[tensor.name] = _column(tensor, feature)
    if not columns:
        raise RequestError(
            f"no inputs were sent; send {', '.join(features)}.",
            reason("inputs", Rule.MISSING_FIELD, ", ".join(features), "absent"),
        )
    counts = {len(values) for values in columns.values()}
    if len(counts) > 1:
        found = ", ".join(map(str, sorted(counts)))
        raise RequestError(
            f"inputs differ in their number of rows ({found}); make them alike.",
            reason("inputs", Rule.TYPE, "one number of rows", found),
        )
    (rows,) = counts
    if not 0 < rows <= MAX_ROWS:
        raise RequestError(
            f"{rows} rows were sent; send 1 to {MAX_ROWS} in one request.",
            reason("inputs", Rule.TOO_LARGE if rows else Rule.EMPTY, f"1 to {MAX_ROWS} rows", str(rows)),
        )
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(tensor: Tensor, feature: Feature) -> list[Any]:
    accepted = _DATATYPES[feature.dtype]
    nothing = all(value is None for value in tensor.data)  # then a client that goes by its values cannot know
    if tensor.datatype not in accepted and not nothing:
        expected = " or ".join(accepted)
        raise RequestError(
            f"input {tensor.name} is {tensor.datatype}; {feature.dtype.value} takes {expected}.",
            reason(f"{_field(tensor)}.datatype", Rule.TYPE, expected, tensor.datatype),
        )
    shape = str(list(tensor.shape))
    if tensor.shape[1:] not in ((), (1,)) or not tensor.shape:
        raise RequestError(
            f"input {tensor.name} has shape {shape}; send [rows] or [rows, 1].",
            reason(f"{_field(tensor)}.shape", Rule.TYPE, "[rows] or [rows, 1]", shape),
        )
    values = list(_flat(tensor.data))
    if len(values) != tensor.shape[0]:
        raise RequestError(
            f"input {tensor.name} has {len(values)} values for shape {shape}.",
            reason(f"{_field(tensor)}.data", Rule.TYPE, f"values for shape {shape}", f"{len(values)} values"),
        )
    return values


def _field(tensor: Tensor) -> str:
    return f"inputs.{tensor.name}"


def _flat(data: Iterable[Any]) -> Iterable[Any]:
    """The values, one level of nesting undone: more the shape does not allow."""
    for value in data:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value
