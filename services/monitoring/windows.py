"""Event-time windows: which one a moment belongs to, when it closes, and when its labels are due. Microseconds since 1970."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import Model

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MINUTE: Final = 60_000_000


def micros(time: datetime) -> int:
    """``time`` as microseconds since 1970, exactly."""
    return (time - EPOCH) // MICROSECOND


def moment(microseconds: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """A model's windows, in microseconds. ``rows`` > 0: windows of that many rows instead, ``every`` is 0."""

    every: int
    lateness: int
    expected: int
    timeout: int
    rows: int = 0

    def start_of(self, moments: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start of the window of each of ``moments`` [n], aligned to 1970 UTC."""
        return moments - moments % self.every

    def end_of(self, start: int) -> int:
        """End of the window, exclusive."""
        return start + self.every

    def closes_at(self, start: int) -> int:
        """The watermark that closes the window of predictions."""
        return start + self.every + self.lateness

    def closing(self, before: int, now: int) -> Sequence[int]:
        """Starts of the windows that close after the watermark ``before`` and by ``now``."""
        after = self.every + self.lateness
        return range((before - after) // self.every * self.every + self.every, now - after + 1, self.every)

    @property
    def grain(self) -> int:
        """All moments at which a window can close are multiples of this."""
        return math.gcd(self.every, self.lateness, self.expected, self.timeout) or MINUTE


def policy_of(model: Model) -> WindowPolicy:
    """The windows that ``model`` asks for."""
    window, label = model.spec.monitoring.window, model.spec.target.label
    return WindowPolicy(
        every=(window.every or timedelta(0)) // MICROSECOND,
        lateness=window.lateness // MICROSECOND,
        expected=label.expected // MICROSECOND,
        timeout=label.timeout // MICROSECOND,
        rows=window.rows or 0,
    )


def common_grain(policies: Iterable[WindowPolicy]) -> int:
    """The coarsest grain that serves all of ``policies``; a minute without any."""
    return math.gcd(*(policy.grain for policy in policies)) or MINUTE
