"""What a model's output arrays say about each row, in the words of the labels."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.definitions import TargetType
from schemas.events.training import ModelOutputs
from services.inference.errors import ScoringError

Array = NDArray[Any]
_TWO: Final = 2


class ClassOutputs(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A classifier's answer. ``score``: binary, the positive class's probability; else that of ``label``."""

    label: bool | int | str
    score: float | None = None
    probabilities: list[float] | None = None


class ValueOutputs(msgspec.Struct, frozen=True, gc=False):
    """A regressor's answer."""

    value: float


Answer = ClassOutputs | ValueOutputs | ScoringError


class OutputReader:
    """Reads the outputs of one model. Immutable."""

    def __init__(self, target: TargetType, outputs: ModelOutputs, classes: Sequence[bool | int | str]) -> None:
        """``classes`` in the order of the probabilities; the last of two is the positive one."""
        self._outputs = outputs
        self._classes = tuple(classes)
        self._labels = _label_lookup(self._classes)
        self._binary = target is TargetType.BINARY
        self._regression = target is TargetType.REGRESSION
        wanted = (outputs.value,) if self._regression else (outputs.label, outputs.probabilities)
        self.names: Final = tuple(name for name in wanted if name is not None)

    def read(self, arrays: Mapping[str, Any], rows: int) -> list[Answer]:
        """An answer per row; a row whose numbers are not finite gets a `ScoringError`.

        Raises `ScoringError` where the arrays have not the shape that the model's metadata promise.
        """
        if not self.names:
            message = "the model's metadata name no output"
            raise ScoringError(message)
        for name in self.names:
            if not isinstance(arrays[name], np.ndarray):
                message = f"output {name} is a {type(arrays[name]).__name__}, not a tensor; convert without ZipMap"
                raise ScoringError(message)
        return self._values(arrays, rows) if self._regression else self._labelled(arrays, rows)

    def _values(self, arrays: Mapping[str, Array], rows: int) -> list[Answer]:
        name = self.names[0]
        values = _flat(name, arrays[name], rows)
        answers: list[Answer] = [ValueOutputs(value) for value in values.astype(np.float64).tolist()]
        return _refuse(answers, np.isfinite(values), name)

    def _labelled(self, arrays: Mapping[str, Array], rows: int) -> list[Answer]:
        labels: list[Any] | None = None
        if self._outputs.label is not None:
            labels = self._named(_flat(self._outputs.label, arrays[self._outputs.label], rows).tolist())
        if self._outputs.probabilities is None:
            return [_labelled(label, None, None) for label in labels or ()]
        probabilities = self._probabilities(arrays[self._outputs.probabilities], rows)
        best = probabilities.argmax(axis=1)
        if labels is None:
            labels = [self._classes[index] for index in best.tolist()]
        scores = probabilities[:, -1] if self._binary else probabilities[np.arange(rows), best]
        make = _labelled if _UNKNOWN in labels else ClassOutputs
        answers: list[Answer] = list(map(make, labels, scores.tolist(), probabilities.tolist()))
        return _refuse(answers, np.isfinite(probabilities.sum(axis=1)), self._outputs.probabilities)

    def _probabilities(self, found: Array, rows: int) -> Array:
        name = self._outputs.probabilities
        if self._binary and found.size == rows and len(self._classes) == _TWO:  # only the positive class's
            positive = found.reshape(rows)
            found = np.stack([1 - positive, positive], axis=1)
        if found.ndim != _TWO or found.shape[0] != rows or found.shape[1] != len(self._classes):
            expected = f"[{rows}, {len(self._classes)}]"
            message = (
                f"output {name} has shape {list(found.shape)}, expected {expected} for the classes {self._classes}"
            )
            raise ScoringError(message)
        return found

    def _named(self, labels: list[Any]) -> list[Any]:
        return [self._labels.get(label, _UNKNOWN) for label in labels] if self._classes else labels


_UNKNOWN: Final = object()


def _labelled(label: Any, score: float | None, probabilities: list[float] | None) -> Answer:
    if label is _UNKNOWN:
        return ScoringError("the model's label is none of its classes")
    return ClassOutputs(label, score, probabilities)


def _label_lookup(classes: Sequence[bool | int | str]) -> dict[bool | int | str, bool | int | str]:
    """What may stand in the label output → the class as it stands in the labels.

    Tensors have no mixed types, so converters write bools as 0 and 1 (equal to False and True as keys), and strings
    sometimes as their index.
    """
    lookup: dict[bool | int | str, bool | int | str] = {}
    if all(isinstance(name, str) for name in classes):
        lookup.update(enumerate(classes))
    lookup.update({str(name): name for name in classes if not isinstance(name, bool)})
    lookup.update({name: name for name in classes})
    return lookup


def _flat(name: str, found: Array, rows: int) -> Array:
    if found.size != rows:
        message = f"output {name} has shape {list(found.shape)}, expected one value for each of {rows} rows"
        raise ScoringError(message)
    return found.reshape(rows)


def _refuse(answers: list[Answer], finite: NDArray[np.bool_], name: str) -> list[Answer]:
    if not finite.all():
        for position in np.flatnonzero(~finite).tolist():
            answers[position] = ScoringError(f"output {name} is not a finite number")
    return answers
