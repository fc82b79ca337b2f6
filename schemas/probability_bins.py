"""Probabilities that a model gave, counted in bins of their log-odds: what expected quality and calibration are computed from.

A classifier gives each class of a row a probability; here that is one case. A binary model's row has one case, that of the
positive class. Cases are counted apart by whether the class is the one that the model chose, and once more where the class is what
happened (``…:hit``). Bins are equal in log-odds, so that probabilities near 0 and 1 are told apart as well as those near ½.
Counts of the same bins add up, in training's test block and in windows of what was served.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

BINS: Final = 320
LARGEST: Final = 16.0  # log-odds; probabilities nearer to 0 or 1 than 1.1e-7 are in the outermost bins
STEP: Final = 2 * LARGEST / BINS
LOG_ODDS: Final[Floats] = np.arange(0.5, BINS) * STEP - LARGEST  # [BINS] at the middle of each bin
EDGES: Final[Floats] = 1 / (
    1 + np.exp(LARGEST - STEP * np.arange(1.0, BINS))
)  # [BINS - 1] inner edges, as probabilities
CHOSEN: Final = "chosen"
OTHER: Final = "other"
HIT: Final = ":hit"


def count_cases(probabilities: Floats, chosen: Mask, happened: Mask | None = None) -> dict[str, Integers]:
    """Counts [BINS] of cases called ``chosen`` and ``other``, with ``happened`` also ``chosen:hit`` and ``other:hit``.

    All [rows, classes], a binary model's [rows, 1]. A row without a probability for each class (NaN) counts nowhere; a value
    equal to an edge belongs to the bin above it.
    """
    known = ~np.isnan(probabilities).any(axis=1)
    bins, chosen = np.searchsorted(EDGES, probabilities[known], side="right"), chosen[known]
    found = {CHOSEN: _counts(bins[chosen]), OTHER: _counts(bins[~chosen])}
    if happened is not None:
        hit = happened[known]
        found |= {f"{CHOSEN}{HIT}": _counts(bins[chosen & hit]), f"{OTHER}{HIT}": _counts(bins[~chosen & hit])}
    return found


def _counts(bins: NDArray[np.intp]) -> Integers:
    return np.bincount(bins, minlength=BINS).astype(np.int64)
