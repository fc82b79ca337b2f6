"""Features broken on random days of the year of flights: what is told on that day, and whether it names the broken feature first."""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.drift.flights import FIRST_DAY, Flights
from bench.drift.year import Happened, Year
from schemas.events.monitoring import Alert

APART: Final = 12  # days between two breaks at least, so that each meets a monitor at rest
SETTLED: Final = 20  # days before the first
LONG_HAUL: Final = 2000  # miles; the definition's own derived feature

SEVERITIES: Final = ("page", "warn", "inform")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Break:
    """``feature`` is broken in the way of ``kind`` on the ``day``-th day from 1 March on."""

    day: int
    kind: str
    feature: str

    @property
    def start(self) -> datetime:
        """Where that day's window begins: days of monitoring are UTC."""
        return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(days=FIRST_DAY + self.day)

    def broken(self, row: Row) -> Row:
        """``row`` as it comes out of the broken producer. Features derived from it follow, as validation derives them."""
        changed = {**row, self.feature: KINDS[self.kind].value(row[self.feature])}
        if self.feature == "distance":
            changed["long_haul"] = changed["distance"] > LONG_HAUL
        return changed


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to break, and the features that it can happen to without validation refusing them all."""

    value: Callable[[Any], Any]
    features: Sequence[str]


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda value: None if value is None else value * factor


KINDS: Final[Mapping[str, Kind]] = {
    "unit × 1.6": Kind(_times(1.6), ("distance",)),
    "one value": Kind(lambda _: "EWR", ("origin",)),
    "all missing": Kind(lambda _: None, ("precip", "pressure", "wind_speed")),
    "stuck at 0": Kind(lambda value: value and 0.0, ("wind_dir", "humid", "visib")),
    "unit °F → °C": Kind(lambda value: None if value is None else (value - 32) / 1.8, ("temp", "dewp")),
}


def drawn(count: int, days: int, seed: int) -> list[Break]:
    """``count`` breaks on random days, `APART` from each other. Raises ValueError where they do not fit.

    No feature is broken twice; `bench.drift.breaks` tries what an earlier break in the training data changes.
    """
    chance = random.Random(seed)
    ways = [(kind, feature) for kind, each in KINDS.items() for feature in each.features]
    spare = days - SETTLED - 2 - (count - 1) * APART
    if spare < 1 or count > len(ways):
        message = f"{count} breaks, {APART} days apart, of {len(ways)} ways do not fit into {days} days"
        raise ValueError(message)
    shifts = sorted(chance.randrange(spare) for _ in range(count))
    return [
        Break(SETTLED + shift + place * APART, *way)
        for place, (shift, way) in enumerate(zip(shifts, chance.sample(ways, count), strict=True))
    ]


def measure(count: int, days: int, seed: int = 23) -> list[dict[str, Any]]:
    """One document a break: the severity of what was told of its day's inputs, and the channel that stood first in it."""
    breaks = drawn(count, days, seed)

    def broken(at: datetime, row: Row) -> Row:
        for each in breaks:
            if each.start <= at < each.start + timedelta(days=1):
                return each.broken(row)
        return row

    with tempfile.TemporaryDirectory() as name:
        flights = Flights(Path(name), FIRST_DAY + days)
        happened = Year(flights, Path(name), broken).run(days)
    return [_judged(each, happened) for each in breaks]


def _judged(one: Break, happened: Happened) -> dict[str, Any]:
    told = [
        alert for alert in happened.alerts
        if alert.window.start <= one.start < alert.window.end and alert.kind == "drift" and alert.state == "firing"
    ]  # fmt: skip
    loudest = min(told, key=lambda alert: SEVERITIES.index(alert.severity), default=None)
    named = _named(loudest)
    return {
        "day": f"{one.start:%Y-%m-%d}",
        "kind": one.kind,
        "feature": one.feature,
        "severity": loudest and loudest.severity,
        "named": named,
        "right": one.feature in named,
    }


def _named(alert: Alert | None) -> str:
    channels = [item.channel for item in alert.evidence] if alert is not None else []
    return next((channel for channel in channels if not channel.startswith("evidence:")), "")
