"""How often what a model gave a probability really happened: a curve fitted to labelled counts, with how unsure it is.

Log-odds are mapped by a line (Platt 1999; for log-odds Cox 1958), whose intercept and slope are drawn towards 0 and 1 as far as there
are few labels, or towards those of the test block: ``logit P(hit) = a + b · logit p``. It needs few labels and has a covariance. Isotonic regression was measured beside it
(docs/monitoring.md): it is worse with few labels, and better with 1,000 or more in ROC AUC only, where no line fits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

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
MOVED: Final = (0.5, 0.25)  # and of how far a line has moved between the test block and what is served
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


AS_IT_IS: Final = Curve()


class Prior(NamedTuple):
    """What is known of a line before its labels: ``middle`` [2] and ``precision`` [2, 2]."""

    middle: Floats
    precision: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A curve for each kind of case, ``chosen`` and ``other`` (a binary model has one for both), and of how many labelled ``rows``."""

    basis: Basis = "none"
    rows: int = 0
    curves: tuple[Curve, Curve] = (AS_IT_IS, AS_IT_IS)
    shared: bool = False


def calibration_of(target: TargetType, windows: Iterable[Tally], artifact: Artifact | None) -> Calibration:
    """From labelled ``windows`` of the version, after what its test block says; if either is too few rows from the other alone.

    If both are, what the model says stands as it is. The block is older than any window, so it is where the line was, not where it is.
    """
    published = artifact.probabilities if artifact is not None else {}
    tested = _summed([{f"{PROBABILITY}{name}": counts for name, counts in published.items()}])
    labelled = _summed(tally.counts for tally in windows)
    before = _refined(Calibration(shared=target is TargetType.BINARY), "test_block", tested)
    return _refined(before, "labels", labelled)


def fitted(cases: Counts, hits: Counts, before: Curve = AS_IT_IS) -> Curve:
    """The most probable line after ``hits`` [BINS] of ``cases`` [BINS]; its covariance is Laplace's, of independent cases.

    ``before``: where the line was when it was fitted last, which since then has moved by `MOVED`; without a covariance it never was, and `PRIOR` holds.
    """
    spread = np.diag([each**2 for each in PRIOR])
    if before.covariance is not None:
        spread = before.covariance + np.diag([each**2 for each in MOVED])
    prior = Prior(np.array(before.line), np.linalg.inv(spread))
    design = np.stack([np.ones(BINS), LOG_ODDS])
    line, hessian = prior.middle.copy(), prior.precision
    for _ in range(STEPS):
        chance = expit(line @ design)
        slope = design @ (hits - cases * chance) - prior.precision @ (line - prior.middle)
        hessian = (design * (cases * chance * (1 - chance))) @ design.T + prior.precision
        step = np.linalg.solve(hessian, slope)
        line = _climbed(line, step, design, cases, hits, prior)
        if float(np.abs(step).max()) < CLOSE:
            break
    return Curve((float(line[0]), float(line[1])), np.asarray(np.linalg.inv(hessian), dtype=np.float64))


def _climbed(line: Floats, step: Floats, design: Floats, cases: Counts, hits: Counts, prior: Prior) -> Floats:
    """Newton's step, halved until it goes uphill: far from the top a whole one may overshoot."""

    def height(at: Floats) -> float:
        odds, off = at @ design, at - prior.middle
        return float((hits * odds - cases * np.logaddexp(0, odds)).sum() - off @ prior.precision @ off / 2)

    now, share = height(line), 1.0
    while height(line + share * step) < now - ROUNDING * abs(now) and share > CLOSE:
        share /= 2
    found: Floats = line + share * step
    return found


def _refined(before: Calibration, basis: Basis, counts: Mapping[str, Counts]) -> Calibration:
    """``before`` and what ``counts`` say, if they are of enough rows."""
    served, hits = [counts[name] for name in SERVED], [counts[name] for name in HITS]
    rows = int((served[0] + served[1] if before.shared else served[0]).sum())
    if rows < LEAST_ROWS:
        return before
    chosen, other = before.curves
    if before.shared:
        curve = fitted(served[0] + served[1], hits[0] + hits[1], chosen)
        return Calibration(basis, rows, (curve, curve), shared=True)
    return Calibration(basis, rows, (fitted(served[0], hits[0], chosen), fitted(served[1], hits[1], other)))


def _summed(found: Iterable[Mapping[str, Counts]]) -> dict[str, Counts]:
    total = {name: np.zeros(BINS, dtype=np.int64) for name in (*SERVED, *HITS)}
    for counts in found:
        for name in total:
            total[name] += counted(counts, name)
    return total
