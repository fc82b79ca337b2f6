"""What the windows before a window said: channel values per series and lane, the last `KEPT` windows of each."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from services.monitoring.book import Lane, Window
from services.monitoring.checkpoints import Checkpoint, Content
from services.monitoring.tallies import Floats
from services.monitoring.window_values import WindowValues

KEPT: Final = 100
KEPT_VERSIONS: Final = 3  # of a model, route and lane: those that served last

Place = tuple[str, int, str, Lane]  # model, version, route, lane


def superseded(starts: Mapping[Place, Collection[int]], place: Place) -> list[Place]:
    """Series of the model, route and lane of ``place`` that `KEPT_VERSIONS` others have outlived; ``starts``: each one's windows."""
    model, _, route, lane = place
    same = [each for each in starts if (each[0], each[2], each[3]) == (model, route, lane) and starts[each]]
    same.sort(key=lambda each: (max(starts[each]), each[1]), reverse=True)
    return same[KEPT_VERSIONS:]


class Change(NamedTuple):
    """The windows of the version before, and those of the present one since it took over; none of a window that both served."""

    before: WindowValues
    after: WindowValues


@dataclass(slots=True)
class Remembered:
    """Windows of one series by start in microseconds; one row each, a column per channel ever seen, NaN unknown."""

    columns: dict[str, int] = field(default_factory=dict)
    rows: dict[int, Floats] = field(default_factory=dict)

    def put(self, start: int, values: Mapping[str, float]) -> None:
        """Remember a window."""
        for name in values:
            self.columns.setdefault(name, len(self.columns))
        row = np.full(len(self.columns), np.nan)
        row[[self.columns[name] for name in values]] = list(values.values())
        self.rows[start] = row


class Histories:
    """Histories of all series, kept in ``checkpoint`` with one entry a window."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Empty."""
        self._checkpoint = checkpoint
        self._series: dict[Place, Remembered] = {}

    def of(self, window: Window) -> WindowValues:
        """The windows of the same series and lane that began before ``window``."""
        held = self._series.get(window[:4], Remembered())
        return self._values(held, [start for start in held.rows if start < window.start])

    @staticmethod
    def _values(held: Remembered, starts: Iterable[int]) -> WindowValues:
        ordered = sorted(starts)
        return WindowValues.of_rows(ordered, held.columns, [held.rows[start] for start in ordered])

    def change(self, window: Window) -> Change | None:
        """The last change of version before ``window`` of its model, route and lane; None where none is remembered."""
        here = self._series.get(window[:4], Remembered())
        own = {start for start in here.rows if start < window.start}
        others = {
            place: [start for start in series.rows if start < window.start]
            for place, series in self._series.items()
            if place != window[:4] and (place[0], *place[2:]) == (window.model, window.route, window.lane)
        }
        last, place = max(((max(starts), place) for place, starts in others.items() if starts), default=(0, None))
        if place is None:
            return None
        before = [start for start in others[place] if start not in own]
        return Change(self._values(self._series[place], before), self._values(here, [s for s in own if s > last]))

    def add(self, window: Window, values: Mapping[str, float]) -> None:
        """Remember a window, forget the oldest."""
        held = self._series.setdefault(window[:4], Remembered())
        held.put(window.start, values)
        self._checkpoint.put(f"history/{window}", lambda: {"window": list(window), "values": dict(values)})
        if len(held.rows) > KEPT:
            oldest = min(held.rows)
            del held.rows[oldest]
            self._checkpoint.delete(f"history/{window._replace(start=oldest)}")
        for place in superseded({each: series.rows for each, series in self._series.items()}, window[:4]):
            for start in self._series.pop(place).rows:
                self._checkpoint.delete(f"history/{Window(*place, start)}")

    def restore(self, entries: Mapping[str, Content]) -> None:
        """Take over the checkpoint."""
        for content in entries.values():
            window = Window(*content["window"])
            self._series.setdefault(window[:4], Remembered()).put(window.start, content["values"])
