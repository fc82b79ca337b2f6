"""Channels of features and predictions: one number a window each, from counts in the reference's bins.

Almost every channel is the mean of a score per bin: location, scale, and the share of a bin (missing, unseen, a category).
Correlation is the mean product of two features' location scores. Values are relative to the reference, whatever the unit.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.normal_scores import FINENESS, MOST_FEATURES, fine_scores, location_scores, scale_scores
from services.monitoring.binning import Binning, CategoricalBinning
from services.monitoring.lanes.gross import Comparison
from services.monitoring.lanes.tolerances import Reach, Tolerances, tolerances
from services.monitoring.tallies import Counts, Floats

LEAST_ROWS: Final = 50  # with fewer, a window's distribution says nothing
LEAST_SHARE: Final = 0.005  # of the reference: rarer categories have no channel of their own
MATERIAL_SHIFT: Final = 0.3  # standard deviations: less is no breakage
MATERIAL_SHARE: Final = 0.1
# Of the way from the largest effect seen to the end of the scale, what a tolerance may take. Whole days do lie in the coldest bin; but where
# half of a feature was missing at worst, three quarters are no weather.
ROOM_OF_SCORES: Final = 0.98
ROOM_OF_SHARES: Final = 0.5
PRODUCTS: Final = "products"
GROUP: Final = "group"


@dataclass(frozen=True, eq=False)
class Channel:
    """The mean of ``scores`` over the bins that are ``counted``, of the counts called ``source`` in a tally."""

    name: str
    source: str
    scores: Floats
    counted: NDArray[np.bool_]
    reference: Counts
    material: float
    statistic: str = "share"

    @cached_property
    def usual(self) -> float:
        """Its value over the reference."""
        return self.value(self.reference) or 0.0

    @cached_property
    def noise(self) -> float:
        """Variance of one row's score over the reference."""
        held = self.reference * self.counted
        total = max(int(held.sum()), 1)
        return float((self.scores**2 * held).sum()) / total - self.usual**2

    def value(self, counts: Counts) -> float | None:
        """Its value over ``counts`` [bins]; None where no bin that counts holds anything."""
        held = counts * self.counted
        total = int(held.sum())
        return float((self.scores * held).sum()) / total if total else None

    def comparison(self, counts: Counts, learnt: Floats, served: Floats) -> Comparison:
        """What the gross lane compares; ``learnt``, ``served``: the values of windows of the training data and of those since."""
        used, tolerated = self.counted, self._tolerances(learnt - self.usual, served - self.usual)
        return Comparison(self.reference[used], counts[used], self.scores[used], tolerated)

    def _tolerances(self, learnt: Floats, served: Floats) -> Tolerances:
        scores = self.scores[self.counted]
        room = ROOM_OF_SHARES if self.statistic == "share" else ROOM_OF_SCORES
        reach = Reach(self.usual - float(scores.min()), float(scores.max()) - self.usual, room)
        return tolerances(self.material, int(self.reference.sum()), learnt, served, reach)


def feature_channels(features: Mapping[str, Binning]) -> list[Channel]:
    """Channels of all ``features``, in their order."""
    return [channel for name, binning in features.items() for channel in _of_feature(name, binning)]


def group_channels(groups: Mapping[str, CategoricalBinning]) -> list[Channel]:
    """The share of each group of each of the features ``groups``: how it is represented against the training data."""
    return [
        _share(f"{GROUP}:{name}={label}", f"{GROUP}:{name}", binning.reference, place)
        for name, binning in groups.items()
        for place, label in enumerate(binning.labels[:-2])
    ]


def prediction_channels(binning: Binning | None) -> list[Channel]:
    """Location and scale of the prediction."""
    if binning is None:
        return []
    return _of_number("prediction:location", "prediction:scale", "prediction", binning.reference)


def correlated_features(features: Mapping[str, Binning]) -> dict[str, Floats]:
    """Features whose correlations are watched, with their location scores in 256ths, whole numbers [width]; missing is 0, the mean."""
    names = [name for name, binning in features.items() if not isinstance(binning, CategoricalBinning)]
    return {name: fine_scores(features[name].reference) for name in names[:MOST_FEATURES]}


def pair_names(features: Sequence[str]) -> list[str]:
    """Channel names of all pairs."""
    return [f"correlation:{one},{other}" for one, other in itertools.combinations(features, 2)]


def correlations(features: Sequence[str], found: Counts) -> dict[str, float]:
    """Mean products of standardised scores, from their sums: about the rank correlation over the reference's own spread."""
    names = pair_names(features)
    if len(found) != len(names) + 1 or found[-1] == 0:
        return {}
    return dict(zip(names, (found[:-1] / (float(found[-1]) * FINENESS**2)).tolist(), strict=True))


def _of_feature(name: str, binning: Binning) -> list[Channel]:
    source, reference = f"feature:{name}", binning.reference
    if not isinstance(binning, CategoricalBinning):
        number = _of_number(f"location:{name}", f"scale:{name}", source, reference)
        return [*number, _share(f"missing:{name}", source, reference, len(reference) - 1)]
    total = max(int(reference.sum()), 1)
    labels = dict(enumerate(binning.labels))
    known = [place for place in range(len(reference) - 2) if reference[place] / total > LEAST_SHARE]
    return [
        *(_share(f"category:{name}={labels[place]}", source, reference, place) for place in known),
        _share(f"missing:{name}", source, reference, len(reference) - 2),
        _share(f"unseen:{name}", source, reference, len(reference) - 1),
    ]


def _of_number(location: str, scale: str, source: str, reference: Counts) -> list[Channel]:
    present = np.append(np.ones(len(reference) - 1, dtype=np.bool_), False)  # missing has no score
    return [
        Channel(name, source, np.append(scores, 0.0), present, reference, MATERIAL_SHIFT, statistic)
        for name, statistic, scores in (
            (location, "mean_score", location_scores(reference[:-1])),
            (scale, "mean_square", scale_scores(reference[:-1])),
        )
    ]


def _share(name: str, source: str, reference: Counts, place: int) -> Channel:
    scores = np.zeros(len(reference))
    scores[place] = 1.0
    return Channel(name, source, scores, np.ones(len(reference), dtype=np.bool_), reference, MATERIAL_SHARE)
