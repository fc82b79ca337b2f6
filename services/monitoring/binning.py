"""Which bin of a reference distribution each value falls into.

Bin positions of a number: 0 … len(edges) by the reference's inner edges (a value equal to an edge belongs to the bin above
it), then missing. Of a category: one per known value in the reference's order, then missing, then unseen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.events.training import CategoricalReference, NumericReference
from schemas.reference import counts_of
from services.monitoring.tallies import Counts, Floats

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumericBinning:
    """Bins of a number."""

    edges: Floats
    reference: Counts  # [width]

    @property
    def width(self) -> int:
        """Bins including missing."""
        return len(self.edges) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """A name per bin."""
        return (*(f"bin {position}" for position in range(len(self.edges) + 1)), "missing")

    def codes(self, values: Sequence[Any]) -> Codes:
        """The bin of each of ``values``; None, NaN and anything that is no number are missing."""
        found = numbers(values)
        positions = np.searchsorted(self.edges, found, side="right").astype(np.int64)
        positions[np.isnan(found)] = self.width - 1
        return positions


@dataclass(frozen=True, slots=True)
class CategoricalBinning:
    """Bins of a category, a string or a bool."""

    positions: Mapping[Any, int]
    reference: Counts  # [width]

    @property
    def width(self) -> int:
        """Bins including missing and unseen."""
        return len(self.reference)

    @property
    def labels(self) -> tuple[str, ...]:
        """A name per bin."""
        known = sorted((position, str(value)) for value, position in self.positions.items() if isinstance(value, str))
        return (*(value for _, value in known), "missing", "unseen")

    def codes(self, values: Sequence[Any]) -> Codes:
        """The bin of each of ``values``; None is missing."""
        missing, unseen, find = self.width - 2, self.width - 1, self.positions.get
        return np.fromiter(
            (missing if value is None else find(value, unseen) for value in values), dtype=np.int64, count=len(values)
        )


Binning = NumericBinning | CategoricalBinning


def binning_of(reference: NumericReference | CategoricalReference) -> Binning:
    """The bins of ``reference``, with its own counts per bin."""
    if isinstance(reference, NumericReference):
        return NumericBinning(np.array(reference.edges, dtype=np.float64), counts_of(reference))
    return grouping_of(reference)


def grouping_of(reference: CategoricalReference) -> CategoricalBinning:
    """The bins of a category, a string or a bool, or the groups that its values form."""
    positions: dict[Any, int] = {value: position for position, value in enumerate(reference.counts)}
    for value, text in ((True, "true"), (False, "false")):
        if text in positions:
            positions[value] = positions[text]
    return CategoricalBinning(positions, counts_of(reference))


def numbers(values: Sequence[Any]) -> Floats:
    """``values`` as float64 [n]; None and what is no number become NaN."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([value if isinstance(value, int | float) else np.nan for value in values], dtype=np.float64)
