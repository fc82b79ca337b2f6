"""Preprocessing as numbers: what is learned from the training rows, applied here in numpy and in the graph by `graph`.

Both sides do the same float32 operations in the same order, so the estimator sees the same bits in training and serving.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]
UNSEEN: Final = -2


@dataclass(frozen=True, slots=True)
class Preparation:
    """From ``numeric`` [N, n] and ``categorical`` [N, k] to one matrix [N, width]: numbers, missing flags, one-hot columns.

    ``fill`` replaces NaN (None: NaN passes). ``flagged`` are the numeric columns that get a 0/1 column "was missing".
    ``shift`` and ``scale`` standardise (None: as they are). ``codes`` are, per categorical column, the codes that have a
    one-hot column; any other code, -2 (unseen) included, is all zeros.
    """

    columns: int
    fill: Floats | None
    flagged: tuple[int, ...]
    shift: Floats | None
    scale: Floats | None
    codes: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Columns of the prepared matrix."""
        return self.columns + len(self.flagged) + sum(map(len, self.codes))

    @property
    def one_hot(self) -> tuple[list[int], list[int]]:
        """For each one-hot column the categorical column it looks at, and its code."""
        pairs = [(column, code) for column, codes in enumerate(self.codes) for code in codes]
        return [column for column, _ in pairs], [code for _, code in pairs]

    def apply(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Floats:
        """The prepared matrix of ``arrays``, float32 [N, width]."""
        parts: list[Floats] = []
        if self.columns:
            parts.extend(self._numbers(arrays["numeric"].astype(np.float32, copy=False)))
        columns, codes = self.one_hot
        if columns:
            parts.append((arrays["categorical"][:, columns] == np.array(codes, np.int64)).astype(np.float32))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def _numbers(self, numeric: Floats) -> list[Floats]:
        missing = np.isnan(numeric)
        if self.fill is not None:
            numeric = np.where(missing, self.fill, numeric)
        if self.shift is not None and self.scale is not None:
            numeric = (numeric - self.shift) / self.scale
        parts = [numeric]
        if self.flagged:
            parts.append(missing[:, list(self.flagged)].astype(np.float32))
        return parts


def learn(arrays: Mapping[str, npt.NDArray[np.generic]], *, impute: bool, standardise: bool) -> Preparation:
    """What the training rows say: medians, means, standard deviations, and which codes there are."""
    numeric = arrays["numeric"].astype(np.float32, copy=False) if "numeric" in arrays else None
    codes = _codes(arrays["categorical"].astype(np.int64, copy=False)) if "categorical" in arrays else ()
    if numeric is None:
        return Preparation(0, None, (), None, None, codes)
    missing = np.isnan(numeric)
    fill = _medians(numeric, missing) if impute else None
    flagged = tuple(int(i) for i in np.flatnonzero(missing.any(axis=0))) if impute else ()
    shift = scale = None
    if standardise:
        filled = np.where(missing, fill, numeric) if fill is not None else numeric
        shift, scale = _moments(filled)
    return Preparation(numeric.shape[1], fill, flagged, shift, scale, codes)


def _medians(numeric: Floats, missing: npt.NDArray[np.bool_]) -> Floats:
    known = [numeric[~missing[:, i], i] for i in range(numeric.shape[1])]
    return np.array([np.median(column.astype(np.float64)) if len(column) else 0.0 for column in known], np.float32)


def _moments(numeric: Floats) -> tuple[Floats, Floats]:
    exact = numeric.astype(np.float64)
    deviation = exact.std(axis=0)
    deviation[~(deviation > np.finfo(np.float32).tiny)] = 1.0  # a constant column stays 0
    return exact.mean(axis=0).astype(np.float32), deviation.astype(np.float32)


def _codes(categorical: Codes) -> tuple[tuple[int, ...], ...]:
    columns: Sequence[Codes] = [np.unique(categorical[:, i]) for i in range(categorical.shape[1])]
    return tuple(tuple(int(code) for code in column if code != UNSEEN) for column in columns)
