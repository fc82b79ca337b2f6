"""The probabilities of a window's predictions and of its labelled pairs, as counts that merge (`schemas.probability_bins`).

Names in a tally: counts ``probability:chosen``, ``probability:other`` and, of labelled pairs, the same with ``:hit``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.definitions import TargetType
from schemas.probability_bins import BINS, CHOSEN, HIT, OTHER, Mask, count_cases
from services.monitoring.binning import numbers
from services.monitoring.inputs import Outputs
from services.monitoring.joins import Pair
from services.monitoring.tallies import Counts, Floats, Tally

PROBABILITY: Final = "probability:"
SERVED: Final = (f"{PROBABILITY}{CHOSEN}", f"{PROBABILITY}{OTHER}")
HITS: Final = tuple(f"{name}{HIT}" for name in SERVED)

Classes = Sequence[bool | int | str]


def tally_probabilities(target: TargetType, classes: Classes, outputs: Sequence[Outputs], tally: Tally) -> None:
    """Add what was served; nothing of numbers. ``classes`` in the order of the probabilities."""
    if target is TargetType.BINARY:
        scores = numbers([output.score for output in outputs])[:, None]
        _add(tally, count_cases(scores, _positive([output.label for output in outputs])))
    elif target is TargetType.MULTICLASS and classes:
        given, chosen = _rows(classes, [output.probabilities for output in outputs], [o.label for o in outputs])
        _add(tally, count_cases(given, chosen))


def tally_outcomes(target: TargetType, classes: Classes, pairs: Sequence[Pair], tally: Tally) -> None:
    """Add what was served and what happened; nothing of numbers, nor of pairs without a predicted class."""
    decided = [pair for pair in pairs if pair.predicted is not None]
    labels, values = [pair.predicted for pair in decided], [pair.value for pair in decided]
    if target is TargetType.BINARY:
        scores = numbers([pair.score for pair in decided])[:, None]
        _add(tally, count_cases(scores, _positive(labels), _positive(values)))
    elif target is TargetType.MULTICLASS and classes:
        given, chosen = _rows(classes, [pair.probabilities for pair in decided], labels)
        _add(tally, count_cases(given, chosen, _places(classes, values)))


def counted(counts: Mapping[str, Counts], name: str) -> Counts:
    """Those called ``name`` [BINS]; of other bins, as of a release that cut them otherwise, there are none."""
    held = counts.get(name)
    return held if held is not None and len(held) == BINS else np.zeros(BINS, dtype=np.int64)


def _add(tally: Tally, found: dict[str, Counts]) -> None:
    for name, counts in found.items():
        tally.count(f"{PROBABILITY}{name}", counts)


def _positive(labels: Sequence[Any]) -> Mask:
    return np.fromiter(map(bool, labels), np.bool_, len(labels))[:, None]


def _rows(
    classes: Classes, probabilities: Sequence[Sequence[float] | None], labels: Sequence[Any]
) -> tuple[Floats, Mask]:
    """Probabilities [rows, classes], and where the chosen class is; a row that has not all of it is NaN."""
    unknown = [math.nan] * len(classes)
    given = [unknown if row is None or len(row) != len(classes) else row for row in probabilities]
    chosen = _places(classes, labels)
    found = np.array(given, dtype=np.float64).reshape(-1, len(classes))
    found[~chosen.any(axis=1)] = math.nan
    return found, chosen


def _places(classes: Classes, labels: Sequence[Any]) -> Mask:
    """[rows, classes]: which class each label is; a class may be told as text in one place and as itself in another."""
    places = {str(value): place for place, value in enumerate(classes)}
    found = np.fromiter((places.get(str(label), -1) for label in labels), np.int64, len(labels))[:, None]
    return np.asarray(found == np.arange(len(classes)))
