"""How the evidence of each series stands after its last windows, kept in the checkpoint with one entry a window.

Evidence is kept by window and not by series, so that a window that is judged again, because a crash came between two records of
a batch delivered at least once, starts from what stood before it. Older entries go with the batch that made them superfluous.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from services.monitoring.book import Window
from services.monitoring.checkpoints import Checkpoint, Content
from services.monitoring.history import Place, superseded
from services.monitoring.lanes.calibrated import Lane
from services.monitoring.lanes.gross import GrossLane

KEPT: Final = 2


@dataclass(slots=True)
class Standing:
    """Both lanes after a window."""

    calibrated: Lane = field(default_factory=Lane)
    gross: GrossLane = field(default_factory=GrossLane)

    def content(self) -> Content:
        """As JSON."""
        return {"calibrated": self.calibrated.content(), "gross": self.gross.content()}

    @classmethod
    def restored(cls, content: Content) -> Self:
        """The inverse of `content`."""
        return cls(Lane.restored(content["calibrated"]), GrossLane.restored(content["gross"]))

    def copy(self) -> "Standing":
        """One that may be taken further; arrays are replaced, never changed."""
        return Standing(Lane(dict(self.calibrated.evidence)), GrossLane(dict(self.gross.evidence)))


class Standings:
    """The last `KEPT` standings of every series and lane."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Empty."""
        self._checkpoint = checkpoint
        self._held: dict[Place, dict[int, Standing]] = {}

    def before(self, window: Window) -> Standing:
        """A copy of what stood before ``window``; nothing if it is the first."""
        held = self._held.get(window[:4], {})
        earlier = [start for start in held if start < window.start]
        return held[max(earlier)].copy() if earlier else Standing()

    def add(self, window: Window, standing: Standing) -> None:
        """What stands after ``window``."""
        held = self._held.setdefault(window[:4], {})
        held[window.start] = standing
        self._checkpoint.put(f"standing/{window}", lambda: {"window": list(window), **standing.content()})
        while len(held) > KEPT:
            oldest = min(held)
            del held[oldest]
            self._checkpoint.delete(f"standing/{window._replace(start=oldest)}")
        for place in superseded(self._held, window[:4]):
            for start in self._held.pop(place):
                self._checkpoint.delete(f"standing/{Window(*place, start)}")

    def restore(self, entries: Mapping[str, Content]) -> None:
        """Take over the checkpoint."""
        for content in entries.values():
            window = Window(*content["window"])
            self._held.setdefault(window[:4], {})[window.start] = Standing.restored(content)
