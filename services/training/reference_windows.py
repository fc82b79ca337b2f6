"""The training data once more, window by window as monitoring will see it: what is usual between windows, not only within."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.definitions import Model
from schemas.events.training import NumericReference, ReferenceWindow
from schemas.normal_scores import MOST_FEATURES, fine_scores, products
from schemas.reference import Reference, bins_of, count, counts_of
from services.training.dataset import Dataset

MOST_WINDOWS: Final = 100
MOST_COUNTS: Final = 60_000  # over all windows, about 200 kB: a candidate is one record
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

Quality = Callable[[slice], dict[str, float | None]]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of length ``every``, aligned to 1970 UTC as monitoring's are, that end by ``until``.

    ``quality``: the metrics of a range of test rows, counted from the first test row.
    """

    every: timedelta
    until: datetime
    quality: Quality

    def described(
        self,
        dataset: Dataset,
        features: Mapping[str, Reference],
        prediction: NumericReference,
        predicted: npt.NDArray[np.float64],
        groups: Mapping[str, Reference],
    ) -> tuple[ReferenceWindow, ...]:
        """The latest whole windows of ``dataset``. ``predicted``: one number per test row."""
        times = dataset.table.column("event.occurred_at").cast("int64").to_numpy()
        columns = {name: dataset.table.column(name).to_pylist() for name in {*features, *groups}}
        counted = (*features.values(), prediction, *groups.values())
        cells = sum(len(reference.counts) + 2 for reference in counted)
        multiplied = _multiplied(features, columns)
        ranges = self._ranges(times)[-min(MOST_WINDOWS, MOST_COUNTS // cells) :]
        first_test = dataset.blocks.validation
        found = []
        for start, rows in ranges:
            tested = rows.start >= first_test
            held = slice(rows.start - first_test, rows.stop - first_test)
            found.append(
                ReferenceWindow(
                    start=EPOCH + start * MICROSECOND,
                    rows=rows.stop - rows.start,
                    features={name: _counts(reference, columns[name][rows]) for name, reference in features.items()},
                    products=tuple(products(multiplied.scores, multiplied.bins[:, rows]).tolist())
                    if multiplied
                    else (),
                    prediction=_counts(prediction, predicted[held]) if tested else (),
                    quality=self.quality(held) if tested else {},
                    groups={name: _counts(reference, columns[name][rows]) for name, reference in groups.items()},
                )
            )
        return tuple(found)

    def _ranges(self, times: npt.NDArray[np.int64]) -> list[tuple[int, slice]]:
        """Start in microseconds and rows of every window with rows that lies between the first row and ``until``."""
        every = self.every // MICROSECOND
        first, last = -(-int(times[0]) // every) * every, (self.until - EPOCH) // MICROSECOND
        edges = np.arange(first, last + 1, every)
        places = np.searchsorted(times, edges).tolist()
        return [
            (int(start), slice(low, high))
            for start, low, high in zip(edges[:-1], places[:-1], places[1:], strict=True)
            if high > low
        ]


def windows_of(model: Model, as_of: datetime, quality: Quality) -> Windows | None:
    """The windows that ``model`` is monitored by; None if those are no windows of time.

    Only those whose labels were due at ``as_of``: before that the rows that have a label are not like the others.
    """
    every = model.spec.monitoring.window.every
    return None if every is None else Windows(every, as_of - model.spec.target.label.expected, quality)


@dataclass(frozen=True, slots=True)
class _Multiplied:
    """Features whose products are summed: the scores of each one's bins, and each row's bin [features, rows]."""

    scores: Sequence[npt.NDArray[np.float64]]
    bins: npt.NDArray[np.int64]


def _multiplied(features: Mapping[str, Reference], columns: Mapping[str, Any]) -> _Multiplied | None:
    """None with fewer than two numeric features."""
    numeric = {name: item for name, item in features.items() if isinstance(item, NumericReference)}
    chosen = dict(list(numeric.items())[:MOST_FEATURES])
    if len(chosen) < 2:  # noqa: PLR2004 - a pair
        return None
    scores = [fine_scores(counts_of(reference)) for reference in chosen.values()]
    return _Multiplied(scores, np.stack([bins_of(reference, columns[name]) for name, reference in chosen.items()]))


def _counts(reference: Reference, values: Any) -> tuple[int, ...]:
    return tuple(count(reference, values).tolist())
