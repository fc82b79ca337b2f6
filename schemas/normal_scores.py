"""Scores of reference bins: what a value counts for, by its rank in the reference and whatever its unit.

A bin's score is the normal quantile of its mid-rank (van der Waerden), standardised over the reference, so a window's mean
score is the shift in standard deviations, robust to outliers and equal for every monotone change of unit. Training and
monitoring sum the same products of them.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FINENESS: Final = 256  # products are of whole numbers, so that sums are exact in any order
MOST_FEATURES: Final = 24  # whose products are summed, the first ones: pairs grow with the square
BLOCK: Final = (
    256  # rows: small enough that BLAS starts no threads, which spin where cores are shared (60 to 700 µs, not 22)
)
NORMAL: Final = NormalDist()


def location_scores(reference: Integers) -> Floats:
    """A score per bin for ``reference`` [bins], mean 0 and variance 1 over it; zeros where one bin holds everything."""
    total = int(reference.sum())
    if total == 0:
        return np.zeros(len(reference))
    below = np.cumsum(reference) - reference
    middle = np.clip((below + reference / 2) / total, 0.5 / (total + 1), 1 - 0.5 / (total + 1))
    return _standardised(np.array([NORMAL.inv_cdf(share) for share in middle.tolist()]), reference)


def scale_scores(reference: Integers) -> Floats:
    """The squares of `location_scores`, standardised: their mean rises where values spread."""
    return _standardised(location_scores(reference) ** 2, reference)


def fine_scores(reference: Integers) -> Floats:
    """Location scores of ``reference`` [bins, then missing] in 256ths, whole numbers; missing is 0, the mean."""
    return np.append(np.rint(location_scores(reference[:-1]) * FINENESS), 0.0)


def products(scores: Sequence[Floats], bins: Sequence[Integers] | Integers) -> Integers:
    """Sums over rows of the product of every two features' scores, then the number of rows.

    ``scores``: `fine_scores` of each feature; ``bins``: each feature's bin by row. Pairs as `itertools.combinations` gives them.
    """
    matrix = np.stack([table[places] for table, places in zip(scores, bins, strict=True)], axis=1)
    sums = np.zeros((matrix.shape[1], matrix.shape[1]))
    for first in range(0, len(matrix), BLOCK):
        block = matrix[first : first + BLOCK]
        sums += block.T @ block
    return np.append(sums[np.triu_indices(len(sums), 1)], len(matrix)).astype(np.int64)


def _standardised(scores: Floats, reference: Integers) -> Floats:
    total = int(reference.sum())
    if total == 0:
        return np.zeros(len(scores))
    centred = scores - (scores * reference).sum() / total
    deviation = float(np.sqrt((centred**2 * reference).sum() / total))
    return centred / deviation if deviation > 0 else np.zeros(len(scores))
