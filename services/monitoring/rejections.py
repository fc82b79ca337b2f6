"""What validation refuses, by the rule that was broken: the events and the labels of a window, judged alike."""

from typing import Final

import numpy as np

from schemas.events.monitoring import ChannelResult
from services.monitoring.label_counts import ACCEPTED
from services.monitoring.refusals import REFUSED, REJECTED_BY
from services.monitoring.service_levels import LEAST_HISTORY, REJECTED_SHARE, USUAL, share_row
from services.monitoring.tallies import Floats, Tally
from services.monitoring.window_values import WindowValues

REJECTED_EVENTS: Final = "errors:rejected:"  # channels that begin so: the share of one rule
REJECTED_LABELS: Final = "labels:rejected:"
REJECTED: Final = (REJECTED_EVENTS, REJECTED_LABELS)
NEW_REASON: Final = 0.05  # share rejected by a rule that usually rejects fewer
HABIT: Final = 3.0  # times the usual share of a rule that rejects some all the time
REASONS: Final = "reasons"  # in the history: 1 for a window whose rejections were counted by rule


def rejected_events(tally: Tally, history: WindowValues, alpha: float) -> list[ChannelResult]:
    """The share of the window's events that each rule rejects; a rule that was seen in the windows before is said with 0.

    A new reason is found in one window: from `NEW_REASON` on, where the windows before say that it is new. A rule that always
    rejects some has `HABIT` times its usual share, but never more than all rules together may.
    """
    return _rejections(REJECTED_EVENTS, tally, tally.total("rows"), history, alpha)


def rejected_labels(tally: Tally, history: WindowValues, alpha: float) -> list[ChannelResult]:
    """The same of the labels of the window's time (`label_counts`); nothing where none was observed then."""
    return _rejections(REJECTED_LABELS, tally, tally.total(ACCEPTED), history, alpha)


def rejected_before(history: WindowValues, channel: str) -> Floats:
    """The share of a rule in each window of which reasons were counted: 0 where it is not said."""
    shares = history.matrix([channel, REASONS])
    return np.asarray(np.nan_to_num(shares[~np.isnan(shares[:, 1]), 0]), dtype=np.float64)


def _rejections(prefix: str, tally: Tally, accepted: int, history: WindowValues, alpha: float) -> list[ChannelResult]:
    of = accepted + tally.total(REFUSED)
    if of == 0:
        return []
    counts = {name.removeprefix(REJECTED_BY): held for name, held in tally.sums.items() if name.startswith(REJECTED_BY)}
    known = {name.removeprefix(prefix) for name in history.columns if name.startswith(prefix)}
    before = {rule: rejected_before(history, f"{prefix}{rule}") for rule in sorted({*counts, *known})}
    told = [rule for rule, shares in before.items() if counts.get(rule) or shares.any()]
    return [_reason(f"{prefix}{rule}", counts.get(rule, 0), of, before[rule], alpha / len(told)) for rule in told]


def _reason(channel: str, count: int, of: int, before: Floats, alpha: float) -> ChannelResult:
    usual = float(np.median(before)) if len(before) else 0.0
    limit = min(REJECTED_SHARE, max(NEW_REASON, HABIT * usual)) if len(before) >= LEAST_HISTORY else REJECTED_SHARE
    return share_row(channel, count, of, limit, alpha, max(USUAL * limit, usual))
