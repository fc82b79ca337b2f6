"""From the JSON of events' features to the arrays that models take: the fast twin of `schemas.model_inputs.assemble`.

A FeatureSet compiles to a msgspec Struct with only the features that its models use, so nothing else is decoded, in the
order of the definition, in which validation writes them and msgspec expects them. The rows of a batch are turned into
columns once; each ONNX input compiles to one pass over its columns. A property test holds both paths to exactly the same
arrays.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.definitions import Dtype, Feature, FeatureSet
from schemas.events.training import ModelInput
from services.inference.errors import ScoringError

Array = NDArray[Any]
Row = msgspec.Struct
Columns = Sequence[Sequence[Any]]  # by feature, in the order of the Struct's fields
_Builder = Callable[[Columns], Array]

MISSING: Final = -1
UNSEEN: Final = -2

_TYPES: Final[Mapping[Dtype, Any]] = {
    Dtype.FLOAT32: float | None,
    Dtype.FLOAT64: float | None,
    Dtype.INT64: int | None,
    Dtype.BOOL: bool | None,
    Dtype.CATEGORY: str | None,
    Dtype.STRING: str | None,
}


class FeatureColumns:
    """One FeatureSet, compiled for the inputs of the models that are served on it. Immutable."""

    def __init__(self, feature_set: FeatureSet, inputs: Iterable[ModelInput]) -> None:
        """Raises KeyError where an input names a feature that the set does not have."""
        distinct = tuple(dict.fromkeys(inputs))
        used = {name: feature_set.feature(name) for model_input in distinct for name in model_input.features}
        fields = [feature for feature in feature_set.spec.features if feature.name in used]
        row = msgspec.defstruct(
            "Row",
            # Positional attribute names: a feature may be called like a Python keyword.
            [(f"f{place}", _TYPES[feature.dtype], None) for place, feature in enumerate(fields)],
            rename={f"f{place}": feature.name for place, feature in enumerate(fields)},
            gc=False,
        )
        places = {feature.name: place for place, feature in enumerate(fields)}
        self.ref: Final = feature_set.ref
        self._decode: Final = msgspec.json.Decoder(row).decode
        self._builders: Final = {each: _builder(each, used, places) for each in distinct}

    def decode(self, documents: Sequence[msgspec.Raw]) -> list[Row | ScoringError]:
        """A row per document, or why that document's features are not those of the set."""
        decode = self._decode
        try:
            return [decode(document) for document in documents]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [self._decode_one(document) for document in documents]

    def _decode_one(self, document: msgspec.Raw) -> Row | ScoringError:
        try:
            return self._decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return ScoringError(f"the features are not those of {self.ref}: {error}")

    def array(self, model_input: ModelInput, columns: Columns) -> Array:
        """What ``model_input`` takes of the rows in ``columns``. Raises `ScoringError` where one has no value that fits."""
        try:
            return self._builders[model_input](columns)
        except (TypeError, ValueError, OverflowError) as error:
            message = f"input {model_input.name} cannot be filled: {error}"
            raise ScoringError(message) from error


class BatchColumns:
    """The rows of one batch with the arrays built so far: models that share an input share its array."""

    def __init__(self, columns: FeatureColumns, rows: Sequence[Row]) -> None:
        """``rows`` were decoded by ``columns``."""
        self._compiled = columns
        self._columns: Columns = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        self._whole: dict[ModelInput, Array] = {}

    def arrays(self, inputs: Sequence[ModelInput], positions: Sequence[int] | None) -> dict[str, Array]:
        """ONNX inputs for the rows at ``positions``, None for all of them. Raises `ScoringError`."""
        if positions is None:
            return {model_input.name: self._all(model_input) for model_input in inputs}
        try:
            return {model_input.name: self._all(model_input)[positions] for model_input in inputs}
        except ScoringError:  # some row spoils the whole array: look at these rows alone
            columns = [[column[position] for position in positions] for column in self._columns]
            return {model_input.name: self._compiled.array(model_input, columns) for model_input in inputs}

    def _all(self, model_input: ModelInput) -> Array:
        array = self._whole.get(model_input)
        if array is None:
            array = self._whole[model_input] = self._compiled.array(model_input, self._columns)
        return array


class _Codes(dict[str | None, int]):
    """Category → code; what is not in the list is unseen."""

    def __missing__(self, key: str | None) -> int:
        return UNSEEN


def _builder(model_input: ModelInput, features: Mapping[str, Feature], places: Mapping[str, int]) -> _Builder:
    dtype, filler = _KINDS[model_input.kind]
    fillers = [(places[name], filler(features[name])) for name in model_input.features]

    def build(columns: Columns) -> Array:
        rows = len(columns[0])
        array = np.empty((len(fillers), rows), dtype)
        for column, (place, fill) in zip(array, fillers, strict=True):
            fill(column, columns[place])
        return np.ascontiguousarray(array.T)

    if model_input.rank == 1:
        return lambda columns: build(columns).reshape(-1)
    return build


_Filler = Callable[[Array, Sequence[Any]], None]


def _numbers(feature: Feature) -> _Filler:
    """NumPy makes NaN of None where the type has it, and refuses it where not."""
    del feature

    def fill(column: Array, values: Sequence[Any]) -> None:
        column[:] = np.fromiter(values, column.dtype, len(values))

    return fill


def _categories(feature: Feature) -> _Filler:
    code = _codes(feature).__getitem__

    def fill(column: Array, values: Sequence[Any]) -> None:
        column[:] = np.fromiter(map(code, values), column.dtype, len(values))

    return fill


def _texts(feature: Feature) -> _Filler:
    del feature

    def fill(column: Array, values: Sequence[Any]) -> None:
        column[:] = list(map(_text, values))

    return fill


_KINDS: Final[Mapping[str, tuple[Any, Callable[[Feature], _Filler]]]] = {
    "numeric": (np.float32, _numbers),
    "float64": (np.float64, _numbers),
    "int64": (np.int64, _numbers),
    "categorical": (np.int64, _categories),
    "string": (np.object_, _texts),
}


def _codes(feature: Feature) -> _Codes:
    codes = _Codes({category: code for code, category in enumerate(feature.categories or ())})
    codes[None] = MISSING
    return codes


def _text(value: Any) -> str:
    return "" if value is None else str(value)
