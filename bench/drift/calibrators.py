"""Which calibration an estimate needs: a line in log-odds, isotonic regression or none, after how many labels.

Streams are simulated, so the true chance of every row is known: scores that are right, too sure (log-odds × 2), too timid (× ½),
shifted (log-odds + 1), or bent (no line mends them). Each calibration is fitted to labelled rows and estimates the quality of 20,000
other rows; the error is that against the expectation under the true chances, so no chance of labels is in it. The line is also
fitted after a test block from when the chances were others.
"""

from typing import Any, Final

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from schemas.probability_bins import BINS, LOG_ODDS, STEP
from services.monitoring.calibration import fitted
from services.monitoring.estimates import Cases, binary
from services.monitoring.tallies import Counts, Floats

LABELS: Final = (50, 200, 1_000, 5_000, 20_000)
ROWS: Final = 20_000
TESTED: Final = 2_000  # rows of the test block
MOVED: Final = 0.3  # log-odds: how far the chances were from those of now when the test block was taken
METRICS: Final = ("roc_auc", "log_loss")
WAYS: Final = ("none", "line", "line after a test block", "isotonic")
GIVEN: Final = {
    "calibrated": lambda odds: odds,
    "too sure": lambda odds: 2 * odds,
    "too timid": lambda odds: odds / 2,
    "shifted": lambda odds: odds + 1,
    "bent": lambda odds: np.where(odds < -1, odds, -1 + 3 * (odds + 1)),  # too sure of positives alone
}


def measure(repeats: int) -> list[dict[str, Any]]:
    """Root mean square errors over ``repeats`` streams of each kind, by number of labels; seeded."""
    found = []
    for kind, of in GIVEN.items():
        for labels in LABELS:
            errors: dict[str, list[list[float]]] = {way: [] for way in WAYS}
            for repeat in range(repeats):
                random = np.random.default_rng([len(kind), labels, repeat])
                for name, missed in _missed(random, of, labels).items():
                    errors[name].append(missed)
            squares = {name: np.sqrt((np.array(missed) ** 2).mean(axis=0)) for name, missed in errors.items()}
            found.append(
                {"kind": kind, "labels": labels}
                | {name: dict(zip(METRICS, each.round(4).tolist(), strict=True)) for name, each in squares.items()}
            )
    return found


def _missed(random: np.random.Generator, of: Any, labels: int) -> dict[str, list[float]]:
    known = random.normal(-1, 1, labels)
    hit = random.random(labels) < expit(known)
    cases, hits = _counts(of(known)), _counts(of(known)[hit])
    served = random.normal(-1, 1, ROWS)
    given = _bins(of(served))
    count = np.bincount(given, minlength=BINS).astype(np.int64)
    true = np.bincount(given, weights=expit(served), minlength=BINS) / np.maximum(count, 1)
    curve = fitted(cases, hits)
    truth = binary(Cases(count, np.zeros_like(count)), true)
    tested = random.normal(-1, 1, TESTED)
    outcome = random.random(TESTED) < expit(tested + MOVED)
    after = fitted(cases, hits, fitted(_counts(of(tested)), _counts(of(tested)[outcome])))
    curves = {
        "none": expit(LOG_ODDS),
        "line": curve.at(curve.line),
        "line after a test block": after.at(after.line),
        "isotonic": _isotonic(cases, hits),
    }
    found = {}
    for name, chance in curves.items():
        estimated = binary(Cases(count, np.zeros_like(count)), chance)
        # one class alone has no ROC AUC: then nothing better than ½ is known
        found[name] = [(estimated[m].value if m in estimated else 0.5) - truth[m].value for m in METRICS]
    return found


def _isotonic(cases: Counts, hits: Counts) -> Floats:
    held = cases > 0
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    model.fit(LOG_ODDS[held], hits[held] / cases[held], sample_weight=cases[held])
    found: Floats = model.predict(LOG_ODDS)
    return found


def _bins(odds: Floats) -> Any:
    return np.clip((odds / STEP + BINS / 2).astype(np.int64), 0, BINS - 1)


def _counts(odds: Floats) -> Counts:
    return np.bincount(_bins(odds), minlength=BINS).astype(np.int64)
