"""What monitoring keeps of a candidate: the bins and channels of its reference, and what its training windows looked like."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.definitions import TargetType
from schemas.events.training import Candidate, ReferenceProfile, ReferenceWindow
from services.monitoring.binning import Binning, CategoricalBinning, binning_of, grouping_of
from services.monitoring.channels import (
    GROUP,
    LEAST_ROWS,
    LEAST_SHARE,
    Channel,
    correlated_features,
    correlations,
    feature_channels,
    group_channels,
    pair_names,
    prediction_channels,
)
from services.monitoring.tallies import Counts, Floats, significant
from services.monitoring.window_values import WindowValues
from services.monitoring.windows import micros

ROWS = "rows"
THROUGHPUT = "throughput"
BASE_RATE = "base_rate"
MEAN_SCORE = "mean_score"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is known of a candidate by its digest. ``windows`` are those of its training data."""

    digest: str
    target_type: TargetType
    classes: tuple[bool | int | str, ...] = ()
    features: Mapping[str, Binning] = field(default_factory=dict)
    prediction: Binning | None = None
    quality: Mapping[str, float | None] = field(default_factory=dict)
    correlated: Mapping[str, Floats] = field(default_factory=dict)
    feature_channels: tuple[Channel, ...] = ()
    noises: Mapping[str, float] = field(default_factory=dict)
    prediction_channels: tuple[Channel, ...] = ()
    windows: WindowValues = field(default_factory=WindowValues)
    groups: Mapping[str, CategoricalBinning] = field(default_factory=dict)
    group_channels: tuple[Channel, ...] = ()  # of all groups
    probabilities: Mapping[str, Counts] = field(default_factory=dict)  # of its test rows, with what happened
    importance: Mapping[str, float] = field(default_factory=dict)  # of features, shares
    expected: tuple[str, ...] = ()  # channels of inputs and predictions, whether or not a window has a value of them
    judged_groups: tuple[Channel, ...] = ()  # of those that are no category of an input anyway, and not rare

    def noise(self, channel: str) -> float:
        """Variance of one row's part in ``channel``: 0 of throughput, about 1 of a product of scores, NaN where it is not known."""
        if channel == THROUGHPUT:
            return 0.0
        return 1.0 if channel.startswith("correlation:") else self.noises.get(channel, math.nan)


def artifact_of(candidate: Candidate) -> Artifact:
    """What monitoring keeps of ``candidate``."""
    reference = candidate.reference or ReferenceProfile(rows=0, features={})
    features = {name: binning_of(item) for name, item in reference.features.items()}
    prediction = binning_of(reference.prediction) if reference.prediction is not None else None
    correlated = correlated_features(features)
    inputs, outputs = tuple(feature_channels(features)), tuple(prediction_channels(prediction))
    groups = {name: grouping_of(item) for name, item in reference.groups.items()}
    shares = tuple(group_channels(groups))
    categories = {name for name, binning in features.items() if isinstance(binning, CategoricalBinning)}
    judged = tuple(
        each for each in shares if each.source.removeprefix(f"{GROUP}:") not in categories and each.usual > LEAST_SHARE
    )
    return Artifact(
        digest=candidate.digest,
        target_type=candidate.target_type,
        classes=candidate.classes,
        features=features,
        prediction=prediction,
        quality={**candidate.metrics, **reference.quality},
        correlated=correlated,
        feature_channels=inputs,
        noises={channel.name: channel.noise for channel in (*inputs, *outputs, *judged)},
        prediction_channels=outputs,
        groups=groups,
        group_channels=shares,
        judged_groups=judged,
        importance=reference.importance,
        expected=(*(channel.name for channel in (*inputs, *judged, *outputs)), *pair_names(list(correlated))),
        probabilities={name: np.array(held, dtype=np.int64) for name, held in reference.probabilities.items()},
        windows=WindowValues.of_windows(
            {
                micros(window.start): _seen(window, (*inputs, *outputs, *judged), list(correlated))
                for window in reference.windows
                if window.rows >= LEAST_ROWS
            }
        ),
    )


def _seen(window: ReferenceWindow, channels: Sequence[Channel], correlated: Sequence[str]) -> dict[str, float]:
    counts = {f"feature:{name}": np.array(held, dtype=np.int64) for name, held in window.features.items()}
    counts |= {f"{GROUP}:{name}": np.array(held, dtype=np.int64) for name, held in window.groups.items()}
    counts["prediction"] = np.array(window.prediction, dtype=np.int64)
    values = {
        channel.name: value
        for channel in channels
        if len(counts.get(channel.source, ())) == len(channel.scores)
        and (value := channel.value(counts[channel.source])) is not None
    }
    values |= correlations(correlated, np.array(window.products, dtype=np.int64))
    values |= {f"quality:{name}": value for name, value in window.quality.items() if value is not None}
    rate, score = window.quality.get(BASE_RATE), window.quality.get(MEAN_SCORE)
    if rate is not None and score is not None:
        values |= {"labels:positive_rate": rate, "quality:calibration": rate - score}
    return {**{name: significant(value) for name, value in values.items()}, ROWS: float(window.rows)}
