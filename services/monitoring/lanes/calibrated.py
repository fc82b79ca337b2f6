"""The calibrated lane: small changes that last, with a rate of false alarms that is a setting.

Each channel's window is ranked among the windows before, less season and persistence; ranks feed e-processes; one detector
a group of channels alarms at most once in ``patience`` windows on average while nothing changes, and names the channels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from services.monitoring.lanes.evidence import BETS, attribution, log_mean, per_channel, step
from services.monitoring.lanes.innovations import Integers, innovations, rounded
from services.monitoring.lanes.ranks import dice_of, normal, ranks
from services.monitoring.lanes.sampling import evened
from services.monitoring.tallies import Floats

LEAST_HISTORY: Final = 20  # known windows of a channel before its ranks say anything
RECENT: Final = 5  # the last windows, which no window is ranked among: a change must not become the reference at once


@dataclass(frozen=True, slots=True)
class Past:
    """Windows before, oldest first, and the one to be judged as the last row.

    ``values`` [windows, channels], NaN unknown; ``seasons`` and ``follows`` [windows] as in `innovations`, ``sizes`` [windows]
    and ``noise`` [channels] as in `evened`.
    """

    channels: Sequence[str]
    values: Floats
    seasons: Integers
    follows: NDArray[np.bool_]
    sizes: Floats
    noise: Floats


@dataclass(frozen=True, slots=True)
class Group:
    """Channels with one budget. ``weights`` sum to 1, to less where a window lacks channels; ``directions``: 1 only a rise alarms, -1 only a fall, 0 both."""

    name: str
    channels: Sequence[str]
    weights: Sequence[float]
    directions: Sequence[int]
    patience: float  # windows between two false alarms, on average at least


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a group's detector says of a window. ``evidence`` and ``limit`` are natural logarithms."""

    evidence: float
    limit: float
    named: tuple[str, ...]  # strongest first; empty unless alarming
    channels: Mapping[str, float]  # evidence of each channel
    tested: bool

    @property
    def alarming(self) -> bool:
        """Whether the budget of evidence is reached."""
        return bool(self.named)


@dataclass(slots=True)
class Lane:
    """Evidence by channel: a column of one number per bet. What was never seen has none, which counts as 1."""

    evidence: dict[str, Floats] = field(default_factory=dict)

    def judge(self, past: Past, groups: Sequence[Group], identity: str) -> dict[str, Verdict]:
        """Verdicts by group name; evidence that raised an alarm starts again. ``identity`` seeds the ties of this window."""
        if not len(past.channels):
            return {}
        found = innovations(past.values, past.seasons, past.follows, RECENT + 1)
        new = rounded(evened(found.values, past.sizes, past.noise / found.unit / found.unit, RECENT + 1))
        earlier = new[: -RECENT - 1]
        known = (~np.isnan(earlier)).sum(axis=0)
        quantiles = normal(ranks(new[-1], earlier, dice_of(identity, len(past.channels))))
        quantiles = np.where(known >= LEAST_HISTORY, quantiles, np.nan)
        after = step(self._matrix(past.channels), quantiles, 1 + 2 * RECENT / np.maximum(known, 1))
        for place, channel in enumerate(past.channels):
            if not math.isnan(quantiles[place]):
                self.evidence[channel] = after[:, place]
        places = {channel: place for place, channel in enumerate(past.channels)}
        return {group.name: self._decide(group, quantiles, places) for group in groups if group.channels}

    def _decide(self, group: Group, quantiles: Floats, places: Mapping[str, int]) -> Verdict:
        found = per_channel(self._matrix(group.channels), np.array(group.directions, dtype=np.float64))
        weights = np.array(group.weights)
        mean, limit = float(log_mean(found, weights)), math.log(group.patience)
        tested = any(not math.isnan(quantiles[places[channel]]) for channel in group.channels)
        named: tuple[str, ...] = ()
        if tested and mean >= limit:
            named = tuple(group.channels[place] for place in attribution(found, weights, limit))
            for channel in group.channels:
                self.evidence.pop(channel, None)
        by_channel = dict(zip(group.channels, (float(value) for value in found), strict=True))
        return Verdict(mean, limit, named, by_channel, tested)

    def _matrix(self, channels: Sequence[str]) -> Floats:
        nothing = np.zeros(len(BETS))
        return np.stack([self.evidence.get(channel, nothing) for channel in channels], axis=1)

    def content(self) -> dict[str, list[float]]:
        """As JSON, by channel; channels without evidence are left out."""
        return {channel: self.evidence[channel].tolist() for channel in sorted(self.evidence)}

    @classmethod
    def restored(cls, content: Mapping[str, Sequence[float]]) -> Self:
        """The inverse of `content`."""
        return cls({channel: np.array(column, dtype=np.float64) for channel, column in content.items()})
