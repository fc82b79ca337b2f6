"""How often what a model gave a probability really happened: a curve fitted to labelled counts, with how unsure it is.

Log-odds are mapped by a line (Platt 1999; for log-odds Cox 1958), whose intercept and slope are drawn towards 0 and 1 as far as there
are few labels: ``logit P(hit) = a + b · logit p``. It needs few labels and has a covariance. Isotonic regression was measured beside it
(docs/monitoring.md): it is worse with few labels, and better with 1,000 or more in ROC AUC only, where no line fits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import expit

from schemas.definitions import TargetType
from schemas.probability_bins import BINS, LOG_ODDS
from services.monitoring.artifacts import Artifact
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.probabilities import HITS, PROBABILITY, SERVED, counted
from services.monitoring.tallies import Counts, Floats, Tally

WINDOWS: Final = 20  # labelled windows that a calibration is fitted to, the latest
PRIOR: Final = (1.0, 0.5)  # standard deviations of intercept and slope around 0 and 1, before any label
STEPS: Final = 25  # Newton's; fewer than ten are needed
CLOSE: Final = 1e-9
ROUNDING: Final = 1e-12  # relative, of a likelihood

Basis = Literal["labels", "test_block", "none"]
Line = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """``line``: intercept and slope in log-odds; ``covariance`` [2, 2] of both."""

    line: Line = (0.0, 1.0)
    covariance: Floats | None = None

    def at(self, line: Line) -> Floats:
        """The probabilities [BINS] that ``line`` gives."""
        found: Floats = expit(line[0] + line[1] * LOG_ODDS)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A curve for each kind of case, ``chosen`` and ``other`` (a binary model has one for both), and of how many labelled ``rows``."""

    basis: Basis = "none"
    rows: int = 0
    curves: tuple[Curve, Curve] = (Curve(), Curve())
    shared: bool = False


def calibration_of(target: TargetType, windows: Iterable[Tally], artifact: Artifact | None) -> Calibration:
    """From labelled ``windows`` of the version; if they are too few rows from its test block; else what the model says stands as it is."""
    labelled = _summed(tally.counts for tally in windows)
    published = artifact.probabilities if artifact is not None else {}
    tested = _summed([{f"{PROBABILITY}{name}": counts for name, counts in published.items()}])
    candidates: tuple[tuple[Basis, Mapping[str, Counts]], ...] = (("labels", labelled), ("test_block", tested))
    for basis, counts in candidates:
        served, hits = [counts[name] for name in SERVED], [counts[name] for name in HITS]
        rows = int((served[0] + served[1] if target is TargetType.BINARY else served[0]).sum())
        if rows < LEAST_ROWS:
            continue
        if target is TargetType.BINARY:
            curve = fitted(served[0] + served[1], hits[0] + hits[1])
            return Calibration(basis, rows, (curve, curve), shared=True)
        return Calibration(basis, rows, (fitted(served[0], hits[0]), fitted(served[1], hits[1])))
    return Calibration(shared=target is TargetType.BINARY)


def fitted(cases: Counts, hits: Counts) -> Curve:
    """The most probable line after ``hits`` [BINS] of ``cases`` [BINS]; its covariance is Laplace's, of independent cases."""
    weights = np.array([1 / spread**2 for spread in PRIOR])
    middle = np.array([0.0, 1.0])
    design = np.stack([np.ones(BINS), LOG_ODDS])
    line, hessian = middle.copy(), np.diag(weights)
    for _ in range(STEPS):
        chance = expit(line @ design)
        slope = design @ (hits - cases * chance) - weights * (line - middle)
        hessian = (design * (cases * chance * (1 - chance))) @ design.T + np.diag(weights)
        step = np.linalg.solve(hessian, slope)
        line = _climbed(line, step, design, cases, hits, weights, middle)
        if float(np.abs(step).max()) < CLOSE:
            break
    return Curve((float(line[0]), float(line[1])), np.linalg.inv(hessian))


def _climbed(
    line: Floats, step: Floats, design: Floats, cases: Counts, hits: Counts, weights: Floats, middle: Floats
) -> Floats:
    """Newton's step, halved until it goes uphill: far from the top a whole one may overshoot."""

    def height(at: Floats) -> float:
        odds = at @ design
        return float((hits * odds - cases * np.logaddexp(0, odds)).sum() - (weights * (at - middle) ** 2).sum() / 2)

    now, share = height(line), 1.0
    while height(line + share * step) < now - ROUNDING * abs(now) and share > CLOSE:
        share /= 2
    found: Floats = line + share * step
    return found


def _summed(found: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    total = {name: np.zeros(BINS, dtype=np.int64) for name in (*SERVED, *HITS)}
    for counts in found:
        for name in total:
            total[name] += counted(counts, name)
    return total
