"""Tallies: what is counted and summed over a window, in integers, so that merging in any order gives the same bits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

SCALE: Final = 1_000_000  # fixed point: a sum of 1.5 is kept as 1_500_000
_LARGEST: Final = float(2**62)
_LOW_BITS: Final = 31


def fixed_sum(values: Floats) -> int:
    """The sum of ``values`` [n] in fixed point; NaN counts as nothing, values beyond 4.6e12 are cut off there.

    Each value is rounded before it is added, so the sum does not depend on how the values were grouped.
    """
    finite = values[~np.isnan(values)]
    scaled = np.clip(np.rint(finite * SCALE), -_LARGEST, _LARGEST).astype(np.int64)
    high, low = scaled >> _LOW_BITS, scaled & ((1 << _LOW_BITS) - 1)
    return (int(high.sum()) << _LOW_BITS) + int(low.sum())


def significant(value: float) -> float:
    """``value`` with six significant digits: what is kept of windows, so that a checkpoint holds exactly what was compared."""
    return float(f"{value:.6g}")


@dataclass(slots=True)
class Tally:
    """Counts per bin by name, fixed-point sums by name, and the first and last event time in microseconds."""

    counts: dict[str, Counts] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def count(self, name: str, counts: Counts) -> None:
        """Add ``counts`` [bins] to those called ``name``; the longer one sets the length."""
        held = self.counts.get(name)
        if held is None:
            self.counts[name] = counts.astype(np.int64, copy=True)
        elif len(held) >= len(counts):
            held[: len(counts)] += counts
        else:
            longer = counts.astype(np.int64, copy=True)
            longer[: len(held)] += held
            self.counts[name] = longer

    def add(self, name: str, amount: int) -> None:
        """Add ``amount`` to the sum called ``name``."""
        self.sums[name] = self.sums.get(name, 0) + amount

    def saw(self, first: int, last: int) -> None:
        """Widen the event time seen."""
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)

    def merge(self, other: "Tally") -> None:
        """Add all of ``other``."""
        for name, counts in other.counts.items():
            self.count(name, counts)
        for name, amount in other.sums.items():
            self.add(name, amount)
        if other.first is not None and other.last is not None:
            self.saw(other.first, other.last)

    def total(self, name: str) -> int:
        """The sum called ``name``, or 0."""
        return self.sums.get(name, 0)

    def real(self, name: str) -> float:
        """The fixed-point sum called ``name`` as a number."""
        return self.sums.get(name, 0) / SCALE

    def to_content(self) -> dict[str, Any]:
        """As JSON: sums are strings, because they may exceed 64 bits. Names are sorted, so equal tallies give equal bytes."""
        return {
            "counts": {name: self.counts[name].tolist() for name in sorted(self.counts)},
            "sums": {name: str(self.sums[name]) for name in sorted(self.sums)},
            "first": self.first,
            "last": self.last,
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """The tally that `to_content` wrote."""
        return cls(
            counts={name: np.array(counts, dtype=np.int64) for name, counts in content["counts"].items()},
            sums={name: int(amount) for name, amount in content["sums"].items()},
            first=content["first"],
            last=content["last"],
        )


def merged(tallies: Iterable[Tally]) -> Tally:
    """A new tally with all of ``tallies``."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total
