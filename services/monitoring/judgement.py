"""What the lanes say of a window: evidence beside every measured channel, and a row for every group and every channel named."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.definitions import TargetType
from schemas.events.monitoring import ChannelResult
from services.monitoring.artifacts import ROWS, Artifact
from services.monitoring.book import Window
from services.monitoring.channels import LEAST_ROWS, Channel
from services.monitoring.detectors import BOUNDED, group_of, groups, patience
from services.monitoring.history import KEPT
from services.monitoring.knowledge import Watched
from services.monitoring.label_counts import size as labels_seen
from services.monitoring.lanes.calibrated import RECENT, Group, Past, Verdict
from services.monitoring.lanes.gross import Comparison, GrossVerdict
from services.monitoring.quality import LABELLED
from services.monitoring.rejections import REASONS, REJECTED
from services.monitoring.standing import Standing
from services.monitoring.tallies import Floats, Tally
from services.monitoring.window_values import WindowValues

SUMMARY: Final = "evidence"
SUSPECT: Final = (
    "suspect:"  # in the history, before a channel: 1 for a window that does not count as seen in the gross lane
)
NATURAL: Final = math.log(10)
SMALLEST: Final = 1e-6  # what the logarithm of a rate or a latency takes for 0
UNKNOWN: Final = Artifact("", TargetType.BINARY)  # what is known of a version without a candidate
LOGARITHMIC: Final = frozenset({"latency", "throughput"})


@dataclass(frozen=True, slots=True)
class Case:
    """A window to be judged: its counts, and what is known beside it."""

    window: Window
    tally: Tally
    watched: Watched
    artifact: Artifact | None
    history: WindowValues

    @property
    def rows(self) -> int:
        """How many rows the window's values are of."""
        return self.tally.total(LABELLED) if self.window.lane == "quality" else self.tally.total("rows")


def judge(case: Case, measured: Sequence[ChannelResult], standing: Standing) -> list[ChannelResult]:
    """``measured`` with the evidence of its channels, then the rows of both lanes. ``standing`` is taken on to after the window."""
    gross = list(_gross(case, standing))
    values = accepted([*measured, *gross])
    past = _past(case, values)
    verdicts = standing.calibrated.judge(past, _groups(case, values), str(case.window))
    evidence = {channel: found for verdict in verdicts.values() for channel, found in verdict.channels.items()}
    rows = [
        row.model_copy(update={"evidence": _decimal(evidence[row.channel])})
        if row.method is None and row.channel in evidence
        else row
        for row in measured
    ]
    plain = {row.channel: row for row in measured if row.method is None}
    for name, verdict in verdicts.items():
        rows += _calibrated(name, verdict, plain, past)
    return [*rows, *gross]


def remembered(case: Case, rows: Sequence[ChannelResult], standing: Standing) -> dict[str, float]:
    """What of a window becomes history: what is `accepted`, of how many rows it is, and in which channels it is a suspect."""
    counted = case.window.lane == "performance" or labels_seen(case.tally) > 0  # of no labels at all nothing is known
    suspects = dict.fromkeys((f"{SUSPECT}{name}" for name in standing.gross.suspects), 1.0)
    return {**accepted(rows), **({REASONS: 1.0} if counted else {}), **suspects, ROWS: float(case.rows)}


def accepted(rows: Sequence[ChannelResult]) -> dict[str, float]:
    """What of a window is weighed against those before: what no limit and no gross lane has called broken.

    A group with something broken in it is left out as a whole, and with the inputs also the predictions that follow from them.
    """
    limits = {row.channel for row in rows if row.alarming and row.method is None}
    broken = {group_of(row.channel) for row in rows if row.alarming and row.method == "gross"}
    if "drift" in broken:
        broken.add("prediction_drift")
    return {
        row.channel: _within(row)
        for row in rows
        if row.value is not None
        and row.method is None
        and (row.channel not in limits or row.channel.startswith(REJECTED))
        and (group := group_of(row.channel)) is not None
        and group not in broken | BOUNDED
    }


def _within(row: ChannelResult) -> float:
    """A value, at most its limit where that was passed: a rule that rejects more and more must not be remembered as one that rejects
    nothing, or it would be news for ever.
    """
    assert row.value is not None  # noqa: S101 - only those are asked for
    return min(row.value, row.threshold) if row.alarming and row.threshold is not None else row.value


# ---- the calibrated lane


def _groups(case: Case, values: Mapping[str, float]) -> list[Group]:
    known = case.artifact or UNKNOWN
    alarms = case.watched.definition.spec.monitoring.false_alarms
    return groups(list(values), alarms, known.importance, known.expected if case.window.lane == "performance" else ())


def _past(case: Case, values: Mapping[str, float]) -> Past:
    """Windows of the training data, as far as there is room, then those served, then this one."""
    channels = list(values)
    room = KEPT - len(case.history.starts)
    seen = _training(case).last(room)
    now = np.array([list(values.values())], dtype=np.float64)
    known = np.vstack([seen.matrix(channels), _served(case.history, channels), now])
    starts = np.array([*seen.starts, *case.history.starts, case.window.start], dtype=np.int64)
    follows = np.append(np.bool_(0), np.diff(starts) == case.watched.policy.every)
    logarithmic = [place for place, name in enumerate(channels) if name.partition(":")[0] in LOGARITHMIC]
    known[:, logarithmic] = np.log(np.maximum(known[:, logarithmic], SMALLEST))
    seasons = np.array([case.watched.season(int(start)) for start in starts], dtype=np.int64)
    sizes = np.concatenate([seen.matrix([ROWS])[:, 0], case.history.matrix([ROWS])[:, 0], [float(case.rows)]])
    noise = np.array([(case.artifact or UNKNOWN).noise(channel) for channel in channels])
    return Past(channels, known, seasons, follows, sizes, noise)


def _served(history: WindowValues, channels: Sequence[str]) -> Floats:
    """The windows served, by channel. A rule that rejected nothing is not said in a window, but that is known of it."""
    values = history.matrix(channels)
    reasons = [place for place, name in enumerate(channels) if name.startswith(REJECTED)]
    counted = ~np.isnan(history.matrix([REASONS]))
    values[:, reasons] = np.where(counted, np.nan_to_num(values[:, reasons]), np.nan)
    return values


def _training(case: Case) -> WindowValues:
    return case.artifact.windows if case.artifact is not None else WindowValues()


def _calibrated(
    name: str, verdict: Verdict, measured: Mapping[str, ChannelResult], past: Past
) -> Iterator[ChannelResult]:
    for channel in verdict.named:
        row = measured[channel]
        usual = _usual(channel, past)
        yield ChannelResult(
            channel=channel,
            statistic=row.statistic,
            value=row.value,
            effect=None if row.value is None or math.isnan(usual) else round(row.value - usual, 6),
            alarming=True,
            method="calibrated",
            evidence=_decimal(verdict.channels[channel]),
        )
    yield _summary(name, verdict.evidence, verdict.limit if verdict.tested else None, alarming=verdict.alarming)


def _usual(channel: str, past: Past) -> float:
    """The median of the windows that this one was ranked among."""
    before = past.values[: -RECENT - 1, list(past.channels).index(channel)]
    middle = float(np.median(before[~np.isnan(before)]))
    return math.exp(middle) if channel.partition(":")[0] in LOGARITHMIC else middle


# ---- the gross lane


def _gross(case: Case, standing: Standing) -> Iterator[ChannelResult]:
    served = case.tally.total("rows") - case.tally.total("failed")
    if case.artifact is None or case.window.lane != "performance" or served < LEAST_ROWS:
        return
    for name, channels in (
        ("broken_inputs", (*case.artifact.feature_channels, *case.artifact.judged_groups)),
        ("broken_predictions", case.artifact.prediction_channels),
    ):
        compared = {channel.name: comparison for channel in channels if (comparison := _compared(case, channel))}
        alarms = case.watched.definition.spec.monitoring.false_alarms
        group = groups(list(compared), alarms, case.artifact.importance, [channel.name for channel in channels])
        weights = {
            channel: weight for each in group for channel, weight in zip(each.channels, each.weights, strict=True)
        }
        limit = patience(name, alarms)
        verdict = standing.gross.judge(compared, weights, limit)
        if verdict is not None:
            yield from _named(verdict, compared, {channel.name: channel for channel in channels}, case)
            suspected = not verdict.named and not compared.keys().isdisjoint(standing.gross.suspects)
            # A suspicion neither alarms nor calms: a break in small windows takes some until it is told again.
            yield _summary(
                name, verdict.evidence, None if suspected else verdict.limit, alarming=bool(verdict.named), gross=True
            )


def _compared(case: Case, channel: Channel) -> Comparison | None:
    counts = case.tally.counts.get(channel.source)
    if counts is None or len(counts) != len(channel.scores):
        return None
    return channel.comparison(counts, _training(case).of(channel.name), _unsuspected(case.history, channel.name))


def _unsuspected(history: WindowValues, channel: str) -> Floats:
    """Its values in the windows served that are not suspected there of being broken.

    A break may take some small windows until it is told. If those counted as seen, the first would excuse the next.
    """
    suspect = f"{SUSPECT}{channel}"
    if suspect not in history.columns:
        return history.of(channel)
    values, suspected = history.matrix([channel, suspect]).T
    return np.asarray(values[~np.isnan(values) & np.isnan(suspected)], dtype=np.float64)


def _named(
    verdict: GrossVerdict,
    compared: Mapping[str, Comparison],
    channels: Mapping[str, Channel],
    case: Case,
) -> Iterator[ChannelResult]:
    for named in verdict.named:
        channel = channels[named]
        value = channel.value(case.tally.counts[channel.source]) or 0.0
        effect = round(value - channel.usual, 6)
        yield ChannelResult(
            channel=named,
            statistic=channel.statistic,
            value=value,
            threshold=round(channel.usual + math.copysign(compared[named].tolerance.of(effect), effect), 6),
            effect=effect,
            alarming=True,
            method="gross",
            evidence=_decimal(verdict.channels[named]),
        )


def _summary(name: str, evidence: float, limit: float | None, *, alarming: bool, gross: bool = False) -> ChannelResult:
    return ChannelResult(
        channel=f"{SUMMARY}:{name}",
        statistic="log10_e",
        value=_decimal(evidence),
        threshold=None if limit is None else _decimal(limit),
        alarming=alarming,
        method="gross" if gross else "calibrated",
    )


def _decimal(natural: float) -> float:
    return round(natural / NATURAL, 4)
