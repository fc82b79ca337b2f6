"""Channel values of windows that are over: of a candidate's training data, and of what was served."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.monitoring.tallies import Floats


@dataclass(frozen=True, slots=True, eq=False)
class WindowValues:
    """Windows, oldest first. ``starts`` in microseconds; ``table`` [windows, columns], NaN unknown."""

    starts: Sequence[int] = ()
    columns: Mapping[str, int] = field(default_factory=dict)
    table: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def of_rows(cls, starts: Sequence[int], columns: Mapping[str, int], rows: Sequence[Floats]) -> "WindowValues":
        """From rows that may be shorter than ``columns``: those of windows before a channel was first seen."""
        table = np.full((len(rows), len(columns)), np.nan)
        for place, row in enumerate(rows):
            table[place, : len(row)] = row
        return cls(starts, columns, table)

    @classmethod
    def of_windows(cls, windows: Mapping[int, Mapping[str, float]]) -> "WindowValues":
        """From values by channel of each window by its start."""
        starts = sorted(windows)
        columns = {
            name: place for place, name in enumerate(sorted({name for held in windows.values() for name in held}))
        }
        table = np.full((len(starts), len(columns)), np.nan)
        for row, start in enumerate(starts):
            for name, value in windows[start].items():
                table[row, columns[name]] = value
        return cls(starts, columns, table)

    def __len__(self) -> int:
        return len(self.starts)

    def last(self, count: int) -> "WindowValues":
        """The latest ``count`` windows."""
        first = max(len(self.starts) - count, 0)
        return WindowValues(self.starts[first:], self.columns, self.table[first:])

    def of(self, channel: str) -> Floats:
        """The known values of ``channel``, oldest first."""
        place = self.columns.get(channel)
        if place is None:
            return np.empty(0)
        values = self.table[:, place]
        return values[~np.isnan(values)]

    def matrix(self, channels: Sequence[str]) -> Floats:
        """Values [windows, channels]; NaN where unknown."""
        beyond = np.append(self.table, np.full((len(self.starts), 1), np.nan), axis=1)
        return beyond[:, [self.columns.get(channel, -1) for channel in channels]]
