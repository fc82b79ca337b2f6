"""The forward split: train < validation < test in time, and no instant on both sides of a boundary."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.definitions import Split
from services.training.errors import RunError


@dataclass(frozen=True, slots=True)
class Blocks:
    """Row ranges of a table sorted by time: ``[0, train)``, ``[train, validation)``, ``[validation, rows)``."""

    train: int
    validation: int
    rows: int

    @property
    def train_rows(self) -> slice:
        """The rows to learn from."""
        return slice(0, self.train)

    @property
    def validation_rows(self) -> slice:
        """The rows to choose parameters on."""
        return slice(self.train, self.validation)

    @property
    def fitted_rows(self) -> slice:
        """Train and validation: what the final model learns from once its parameters are chosen."""
        return slice(0, self.validation)

    @property
    def test_rows(self) -> slice:
        """The rows on which the final model is judged; nothing else ever sees them."""
        return slice(self.validation, self.rows)


def forward(times: npt.NDArray[np.int64], split: Split) -> Blocks:
    """The blocks of rows whose ascending ``times`` (µs since the epoch) are given.

    A boundary that falls among rows of one instant moves to that instant's first row. Raises `RunError` (``too_few_rows``)
    when a block would be empty.
    """
    rows = len(times)
    validation = _boundary(times, rows - max(1, round(rows * split.test)))
    train = _boundary(times, min(validation, rows - max(1, round(rows * (split.test + split.validation)))))
    blocks = Blocks(train, validation, rows)
    sizes = {"train": train, "validation": validation - train, "test": rows - validation}
    empty = [name for name, size in sizes.items() if size <= 0]
    if empty:
        message = (
            f"{rows} labelled rows leave the {' and '.join(empty)} block empty: the forward split needs rows at different "
            "times. Collect more labelled rows, widen spec.dataset.window or change spec.dataset.split."
        )
        raise RunError("too_few_rows", message)
    return blocks


def _boundary(times: npt.NDArray[np.int64], position: int) -> int:
    if position <= 0 or position >= len(times):
        return max(0, min(position, len(times)))
    return int(np.searchsorted(times, times[position], side="left"))


def late_labels(observed: npt.NDArray[np.int64], occurred: npt.NDArray[np.int64], blocks: Blocks) -> dict[str, int]:
    """Rows of a block whose label was observed after the next block began: known at the cut-off, but not yet back then.

    They count for evaluation and are learned from (every label was known at the cut-off); the manifest tells how many.
    """
    starts = {"train": (blocks.train_rows, blocks.train), "validation": (blocks.validation_rows, blocks.validation)}
    return {name: int((observed[rows] > occurred[begin]).sum()) for name, (rows, begin) in starts.items()}
