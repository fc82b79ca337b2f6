"""What is said of a closed window against fixed limits: a result per channel, from tallies merged over all partitions."""

import math
from statistics import median
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri  # not scipy.stats: it alone doubles the time this service needs to start again

from schemas.events.monitoring import ChannelResult
from services.monitoring import latency, quality
from services.monitoring.artifacts import THROUGHPUT, Artifact
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.detectors import patience
from services.monitoring.fairness import gaps
from services.monitoring.knowledge import Watched
from services.monitoring.lanes.tolerances import tolerance
from services.monitoring.measurements import features, predictions, representation
from services.monitoring.rejections import rejected_events, rejected_labels
from services.monitoring.service_levels import (
    LEAST_HISTORY,
    USUAL,
    business_figures,
    errors,
    more_than_chance,
    throughput,
)
from services.monitoring.tallies import Floats, Tally, significant
from services.monitoring.window_values import WindowValues

SLOWDOWN: Final = 3.0  # times the slowest median seen: no queue does that by chance
LARGE: Final = 10**12  # rows of a reference without error of its own
NEVER_LABELLED: Final = 0.1
WORSE: Final = {"roc_auc": 0.05, "accuracy": 0.05, "r2": 0.1}  # absolute loss that matters
WORSE_SHARE: Final = 0.1  # relative growth of a loss that matters


def performance(
    tally: Tally,
    seconds: float,
    watched: Watched,
    artifact: Artifact | None,
    history: WindowValues,
    p99_limit_ms: float | None,
) -> list[ChannelResult]:
    """Features, predictions, latency, errors, throughput and KPIs. ``seconds``: the window's length."""
    alarms = watched.definition.spec.monitoring.false_alarms
    return [
        *features(tally, artifact),
        *representation(tally, artifact),
        *predictions(tally, artifact),
        *_latency(tally, p99_limit_ms, 1 / alarms.warn),
        *_slowdown(tally, history.of("latency:p50")),
        *errors(tally, 1 / alarms.page),
        *rejected_events(tally, history, 1 / alarms.page),
        throughput(tally, seconds, history.of(THROUGHPUT).tolist(), 1 / alarms.warn),
        *business_figures(tally, watched, 1 / alarms.page),
    ]


def _latency(tally: Tally, p99_limit_ms: float | None, alpha: float) -> list[ChannelResult]:
    found = []
    for part, prefix in (("e2e", "latency"), ("queue", "latency:queue"), ("inference", "latency:inference")):
        counts = tally.counts.get(f"latency:{part}")
        if counts is None:
            continue
        for share in latency.QUANTILES:
            value = latency.quantile(counts, share)
            name = f"p{share * 100:.0f}"
            limit = p99_limit_ms if part == "e2e" and name == "p99" else None
            alarming = limit is not None and value is not None and value > limit
            if alarming and limit is not None:  # one slow row of a few is their 99th percentile and no news
                alarming = more_than_chance(latency.slower(counts, limit), int(counts.sum()), 1 - share) <= alpha
            effect = value / limit - 1 if limit and value is not None else None
            found.append(
                ChannelResult(
                    channel=f"{prefix}:{name}",
                    statistic="ms",
                    value=value,
                    threshold=limit,
                    effect=effect,
                    alarming=alarming,
                )
            )
    return found


def _slowdown(tally: Tally, before: Floats) -> list[ChannelResult]:
    """The median against the slowest median of the windows before: breakage, whatever the limit."""
    counts = tally.counts.get("latency:e2e")
    now = latency.quantile(counts, 0.5) if counts is not None and counts.sum() >= LEAST_ROWS else None
    if now is None or len(before) < LEAST_HISTORY:
        return []
    times = now / float(before.max())
    return [
        ChannelResult(
            channel="latency:slowdown",
            statistic="times_the_slowest_before",
            value=significant(times),
            threshold=SLOWDOWN,
            effect=round(times - SLOWDOWN, 6),
            alarming=times > SLOWDOWN,
            method="gross",
        )
    ]


def labelled_quality(
    tally: Tally, watched: Watched, artifact: Artifact | None, history: WindowValues
) -> list[ChannelResult]:
    """Quality against the reference quality on the test block, calibration, fairness, the share that never got a label, and of the
    labels of the time the shares that were refused.
    """
    target, alarms = watched.definition.spec.target.type, watched.definition.spec.monitoring.false_alarms
    measured = quality.metrics(target, tally)
    references = artifact.quality if artifact is not None else {}
    known = [name for name in measured if references.get(name) is not None]
    alpha = 1 / alarms.page
    tests = max(len(known), 1)
    enough = tally.total(quality.LABELLED) >= LEAST_ROWS
    found = [
        _against(
            name,
            metric,
            references.get(name),
            alpha / tests,
            _wobble(name, metric, references.get(name), artifact, history),
            enough=enough,
        )
        for name, metric in measured.items()
    ]
    rate = quality.positive_rate(tally)
    if rate is not None and (scored := tally.total("scored")):
        found.append(ChannelResult(channel="labels:positive_rate", statistic="share", value=round(rate, 6)))
        residual = round(rate - tally.real("scores") / scored, 6)
        found.append(ChannelResult(channel="quality:calibration", statistic="mean_residual", value=residual))
    if artifact is not None:
        share = 1 / patience("fairness", alarms)
        found += gaps(target, tally, artifact.groups, watched.definition.spec.gates, share)
    return [
        *found,
        _never_labelled(tally, history, 1 / alarms.warn),
        *rejected_labels(tally, history, 1 / alarms.warn),
    ]


def _wobble(
    name: str, metric: quality.Metric, reference: float | None, artifact: Artifact | None, history: WindowValues
) -> float:
    """The largest loss of a window that was not called worse: of the training data's test block, and of those served."""
    channel, training = f"quality:{name}", artifact.windows if artifact is not None else WindowValues()
    seen = np.append(training.of(channel), history.of(channel))
    if reference is None or len(seen) < LEAST_HISTORY:
        return 0.0
    return tolerance(0.0, LARGE, np.maximum((reference - seen) * metric.better, 0.0))


def _against(
    name: str, metric: quality.Metric, reference: float | None, alpha: float, wobble: float, *, enough: bool
) -> ChannelResult:
    """One-sided: only worse than the reference alarms, by more than matters, than chance explains and than windows ``wobble``."""
    if reference is None:
        return ChannelResult(channel=f"quality:{name}", statistic=name, value=metric.value)
    if not enough:
        return ChannelResult(channel=f"quality:{name}", statistic=name, value=metric.value)  # not tested
    error = metric.error * quality.OVERDISPERSION
    loss = (reference - metric.value) * metric.better
    p = float(ndtr(-loss / error)) if error > 0 else float(loss <= 0)
    matters = WORSE.get(name, WORSE_SHARE * abs(reference))
    margin = max(matters, float(-ndtri(alpha)) * error, wobble)
    return ChannelResult(
        channel=f"quality:{name}",
        statistic=name,
        value=metric.value,
        threshold=reference - metric.better * margin,
        p_value=p,
        effect=-loss,
        alarming=math.isfinite(loss) and loss >= margin,
    )


def _never_labelled(tally: Tally, history: WindowValues, alpha: float) -> ChannelResult:
    rows, labelled = tally.total(quality.ROWS), tally.total(quality.LABELLED)
    missing = rows - labelled
    share = missing / rows if rows else 0.0
    usual = history.of("labels:never_labelled").tolist()
    limit = max(NEVER_LABELLED, 3 * median(usual)) if usual else NEVER_LABELLED
    p = more_than_chance(missing, rows, max(USUAL * NEVER_LABELLED, median(usual) if usual else 0.0))
    expected = labelled > 0 or any(
        value < 1 for value in usual
    )  # a model that never gets labels is none to complain about
    return ChannelResult(
        channel="labels:never_labelled",
        statistic="share",
        value=round(share, 6),
        threshold=round(limit, 6),
        p_value=p,
        effect=round(share - limit, 6),
        alarming=expected and share > limit and p <= alpha,
    )
