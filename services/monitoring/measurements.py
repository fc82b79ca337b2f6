"""What a window's distributions are: one row a channel, without a verdict. `verdicts.py` adds what has limits, `judgement.py` the lanes."""

from collections.abc import Iterator, Sequence

from schemas.events.monitoring import ChannelResult
from services.monitoring.artifacts import Artifact
from services.monitoring.channels import LEAST_ROWS, PRODUCTS, Channel, correlations
from services.monitoring.lanes.anchor import psi
from services.monitoring.tallies import Tally, significant


def features(tally: Tally, artifact: Artifact | None) -> list[ChannelResult]:
    """Every feature's channels, and how far it is from the training data (``feature:<name>``)."""
    if artifact is None or not artifact.features:
        return [_untested("the version has no reference distribution")]
    if tally.total("rows") < LEAST_ROWS:
        return [_untested(f"fewer than {LEAST_ROWS} rows")]
    return [
        *_anchors(tally, artifact),
        *_measured(tally, artifact.feature_channels),
        *(_row(name, "mean_product", value) for name, value in _products(artifact, tally).items()),
    ]


def representation(tally: Tally, artifact: Artifact | None) -> list[ChannelResult]:
    """The share of each group by which fairness is measured, against the training data; the lanes judge those that are no input's."""
    if artifact is None or tally.total("rows") < LEAST_ROWS:
        return []
    judged = {channel.name for channel in artifact.judged_groups}
    return [
        row if row.channel in judged else row.model_copy(update={"method": "anchor"})
        for row in _measured(tally, artifact.group_channels)
    ]


def predictions(tally: Tally, artifact: Artifact | None) -> list[ChannelResult]:
    """Mean, distribution against the test rows, and the shares of predicted classes."""
    found = []
    if scored := tally.total("scored"):
        found.append(_row("prediction:mean", "mean", tally.real("score") / scored))
    if artifact is None or tally.total("rows") - tally.total("failed") < LEAST_ROWS:
        return found
    counts = tally.counts.get("prediction")
    if artifact.prediction is not None and counts is not None:
        found.append(_anchor("prediction", psi(artifact.prediction.reference, counts)))
        found += _measured(tally, artifact.prediction_channels)
    return [*found, *_classes(tally, artifact)]


def _products(artifact: Artifact, tally: Tally) -> dict[str, float]:
    found = tally.counts.get(PRODUCTS)
    return {} if found is None else correlations(list(artifact.correlated), found)


def _measured(tally: Tally, channels: Sequence[Channel]) -> Iterator[ChannelResult]:
    for channel in channels:
        counts = tally.counts.get(channel.source)
        value = channel.value(counts) if counts is not None else None
        if value is not None:
            yield _row(channel.name, channel.statistic, value, value - channel.usual)


def _anchors(tally: Tally, artifact: Artifact) -> Iterator[ChannelResult]:
    for name, binning in artifact.features.items():
        counts = tally.counts.get(f"feature:{name}")
        if counts is not None:
            yield _anchor(f"feature:{name}", psi(binning.reference, counts))


def _classes(tally: Tally, artifact: Artifact) -> Iterator[ChannelResult]:
    counts = tally.counts.get("class")
    if counts is not None and (total := int(counts.sum())):
        for label, count in zip(artifact.classes, counts.tolist(), strict=False):
            yield _row(f"prediction:class={label}", "share", count / total)


def _row(channel: str, statistic: str, value: float, effect: float | None = None) -> ChannelResult:
    shown = None if effect is None else round(effect, 6)
    return ChannelResult(channel=channel, statistic=statistic, value=significant(value), effect=shown)


def _anchor(channel: str, value: float) -> ChannelResult:
    shown = significant(value)
    return ChannelResult(channel=channel, statistic="psi", value=shown, effect=shown, method="anchor")


def _untested(why: str) -> ChannelResult:
    return ChannelResult(channel="drift", statistic=f"not tested: {why}", value=None)
