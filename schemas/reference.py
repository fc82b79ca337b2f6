"""Reference distributions, and counts of later values in the same bins: what drift is measured with.

Numbers are counted between the reference's own quantiles, so each bin starts with about the same share; a value equal to
an edge belongs to the bin above it. Missing is None or NaN. Vectorised; nothing here depends on the order of the values.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import Dtype, Feature
from schemas.events.training import CategoricalReference, NumericReference

Reference = NumericReference | CategoricalReference
MAX_VALUES = 1000  # distinct strings a reference keeps, the most frequent ones; all others count as unseen


def describe(feature: Feature, values: Sequence[Any], bins: int = 20) -> Reference:
    """The distribution of a feature's canonical values (None = missing).

    A category keeps a count for each declared category, 0 included, in definition order; a bool for "false" and "true"; a
    string for its `MAX_VALUES` most frequent values.
    """
    if feature.dtype.numeric and feature.dtype is not Dtype.BOOL:
        return describe_numbers(numbers(values), bins)
    tally = Counter(map(name_of, values))
    missing = tally.pop(None, 0)
    known: tuple[str, ...]
    if feature.dtype is Dtype.CATEGORY:
        known = feature.categories or ()
    elif feature.dtype is Dtype.BOOL:
        known = ("false", "true")
    else:
        ranked = sorted(
            ((count, name) for name, count in tally.items() if name is not None), key=lambda item: (-item[0], item[1])
        )
        known = tuple(sorted(name for _, name in ranked[:MAX_VALUES]))
    counts = {name: tally.get(name, 0) for name in known}
    return CategoricalReference(counts=counts, missing=missing, unseen=tally.total() - sum(counts.values()))


def describe_numbers(values: NDArray[np.floating[Any]], bins: int = 20) -> NumericReference:
    """The distribution of ``values`` ([n], NaN = missing) over at most ``bins`` bins of about equal share.

    Without a single value there are no edges, and mean and sd are 0. ``sd`` is the population's.
    """
    array = np.asarray(values, dtype=np.float64)
    present = array[~np.isnan(array)]
    if present.size == 0:
        return NumericReference(edges=(), counts=(0,), missing=int(array.size), mean=0.0, sd=0.0)
    quantiles = np.quantile(present, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique(quantiles[quantiles > present.min()])
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=edges.size + 1)
    scale = max(1.0, float(np.abs(present).max()) / 1e100)  # so that squares of huge values stay finite
    ordered = np.sort(present) / scale  # sorted, so that the sums do not depend on the order in which values came
    return NumericReference(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        missing=int(array.size - present.size),
        mean=float(ordered.mean()) * scale,
        sd=float(ordered.std()) * scale,
    )


def count(reference: Reference, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """How many of ``values`` fall into each bin of ``reference``.

    Numeric: [bins + 1], the last is missing. Categorical: [values + 2] in the order of ``reference.counts``, then missing,
    then unseen. Adding two such arrays is counting both lots.
    """
    if isinstance(reference, NumericReference):
        return np.bincount(bins_of(reference, values), minlength=len(reference.counts) + 1).astype(np.int64)
    index: dict[str | None, int] = {name: position for position, name in enumerate(reference.counts)}
    size = len(index)
    index[None] = size
    codes = np.fromiter((index.get(name_of(value), size + 1) for value in values), dtype=np.int64, count=len(values))
    return np.bincount(codes, minlength=size + 2).astype(np.int64)


def bins_of(reference: NumericReference, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """The bin of each of ``values`` [n]; the number of bins for those that are missing."""
    array = numbers(values)
    cells = np.searchsorted(np.asarray(reference.edges, dtype=np.float64), array, side="right")
    return np.where(np.isnan(array), len(reference.counts), cells).astype(np.int64)


def counts_of(reference: Reference) -> NDArray[np.int64]:
    """The reference's own counts, in the layout of `count`."""
    if isinstance(reference, NumericReference):
        return np.array([*reference.counts, reference.missing], dtype=np.int64)
    return np.array([*reference.counts.values(), reference.missing, reference.unseen], dtype=np.int64)


def numbers(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    """Canonical numbers as float64 [n]; None becomes NaN, booleans 0 and 1."""
    return np.array(values, dtype=np.float64)


def name_of(value: object) -> str | None:
    """How a categorical value is counted: a bool as "true" or "false", None as None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value != value else str(value)  # noqa: PLR0124 - NaN
