"""Windows whose truth is known: 20 features, 17 numeric and 3 categorical, of which two are correlated, what a model said of them and
how long that took; and what may happen to them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NUMERIC: Final = 17
CATEGORICAL: Final = 3
CATEGORIES: Final = ("a", "b", "c", "d", "e")
SHARES: Final = (0.40, 0.30, 0.15, 0.10, 0.05)
UNSEEN: Final = len(CATEGORIES)  # the code of a category that the reference never saw
MOVING: Final = 9  # features whose mean moves between windows, where it does
WOBBLE: Final = 0.06  # of what standard deviation
CORRELATION: Final = 0.5  # of n0 and n1
PERSISTENCE: Final = 0.6  # lag-1 correlation of the moves, where they persist
TYPICAL_MS: Final = 20.0  # median latency
SCATTER: Final = 0.5  # of the logarithm of a latency


@dataclass(frozen=True, slots=True)
class Rows:
    """``numbers`` [rows, NUMERIC], NaN missing; ``codes`` [rows, CATEGORICAL], `UNSEEN` is new.

    ``scores`` [rows], probabilities, and ``milliseconds`` [rows] from event to prediction; empty where only inputs are looked at.
    """

    numbers: Floats
    codes: Integers
    scores: Floats = field(default_factory=lambda: np.empty(0))
    milliseconds: Floats = field(default_factory=lambda: np.empty(0))


Change = Callable[[Rows, np.random.Generator], Rows]


class Stream:
    """Windows of one world; ``moves`` is how features move between windows: not, freely, or with persistence."""

    def __init__(self, seed: int, moves: str = "independent") -> None:
        self.random = np.random.default_rng(seed)
        self._moves = moves
        self._level = np.zeros(NUMERIC)

    def window(self, rows: int = 1000, change: Change | None = None) -> Rows:
        """The next window."""
        random = self.random
        numbers = random.normal(size=(rows, NUMERIC))
        numbers[:, 1] = CORRELATION * numbers[:, 0] + np.sqrt(1 - CORRELATION**2) * numbers[:, 1]
        level = self._moved()
        numbers += level
        found = Rows(
            numbers,
            random.choice(len(CATEGORIES), size=(rows, CATEGORICAL), p=SHARES),
            scores=1 / (1 + np.exp(-numbers[:, 5] - numbers[:, 10])),  # of features that no change touches
            milliseconds=TYPICAL_MS * np.exp(level[0] + SCATTER * random.normal(size=rows)),
        )
        return found if change is None else change(found, random)

    def _moved(self) -> Floats:
        if self._moves == "independent":
            return self._level
        new = self.random.normal(0, WOBBLE, NUMERIC) * (np.arange(NUMERIC) < MOVING)
        keep = PERSISTENCE if self._moves == "autocorrelated" else 0.0
        self._level = keep * self._level + np.sqrt(1 - keep**2) * new
        return self._level


def shifted(by: float) -> Change:
    """n3 moves by so many standard deviations."""

    def change(rows: Rows, random: np.random.Generator) -> Rows:
        del random
        return _with(rows, rows.numbers[:, 3] + by)

    return change


def spread(rows: Rows, random: np.random.Generator) -> Rows:
    """n3's variance is half as large again."""
    del random
    return _with(rows, rows.numbers[:, 3] * np.sqrt(1.5))


def rebalanced(rows: Rows, random: np.random.Generator) -> Rows:
    """Five points of c0's rows turn from the first category to the second."""
    codes = rows.codes.copy()
    turned = (codes[:, 0] == 0) & (random.random(len(codes)) < 0.05 / SHARES[0])
    codes[turned, 0] = 1
    return replace(rows, codes=codes)


def gaps(share: float) -> Change:
    """A share of n3 is missing."""

    def change(rows: Rows, random: np.random.Generator) -> Rows:
        return _with(rows, np.where(random.random(len(rows.numbers)) < share, np.nan, rows.numbers[:, 3]))

    return change


def novel(share: float) -> Change:
    """A share of c0 is a category that was never seen."""

    def change(rows: Rows, random: np.random.Generator) -> Rows:
        codes = rows.codes.copy()
        codes[random.random(len(codes)) < share, 0] = UNSEEN
        return replace(rows, codes=codes)

    return change


def loosened(rows: Rows, random: np.random.Generator) -> Rows:
    """The correlation of n0 and n1 falls from 0.5 to 0.2."""
    numbers = rows.numbers.copy()
    numbers[:, 1] = 0.2 * numbers[:, 0] + np.sqrt(1 - 0.2**2) * random.normal(size=len(numbers))
    return replace(rows, numbers=numbers)


def rescaled(rows: Rows, random: np.random.Generator) -> Rows:
    """n3 comes in another unit, 1.6 times the number."""
    del random
    return _with(rows, rows.numbers[:, 3] * 1.6)


def constant(rows: Rows, random: np.random.Generator) -> Rows:
    """n3 is 0 in every row."""
    del random
    return _with(rows, np.zeros(len(rows.numbers)))


def silenced(rows: Rows, random: np.random.Generator) -> Rows:
    """The model says the same of every row: what it said most often."""
    del random
    return replace(rows, scores=np.full(len(rows.scores), 0.5))


def slowed(rows: Rows, random: np.random.Generator) -> Rows:
    """Every prediction takes five times as long."""
    del random
    return replace(rows, milliseconds=rows.milliseconds * 5)


SMALL: Final[dict[str, Change]] = {
    "+0.1 sd": shifted(0.1),
    "+0.25 sd": shifted(0.25),
    "+0.5 sd": shifted(0.5),
    "variance × 1.5": spread,
    "5 points between categories": rebalanced,
    "5 % missing": gaps(0.05),
    "1 % new category": novel(0.01),
    "correlation 0.5 → 0.2": loosened,
}
GROSS: Final[dict[str, Change]] = {
    "feature all missing": gaps(1.0),
    "unit × 1.6": rescaled,
    "categories renamed": novel(1.0),
    "feature constant": constant,
    "model returns a constant": silenced,
    "latency × 5": slowed,
}
INPUTS: Final = frozenset({"n3", "c0", "n0,n1"})
CHANGED: Final[
    dict[str, frozenset[str]]
] = {  # which channels, or whose, a change is about; `INPUTS` where nothing is said
    "model returns a constant": frozenset({"prediction"}),
    "latency × 5": frozenset({"latency"}),
}


def _with(rows: Rows, column: Floats) -> Rows:
    numbers = rows.numbers.copy()
    numbers[:, 3] = column
    return replace(rows, numbers=numbers)
