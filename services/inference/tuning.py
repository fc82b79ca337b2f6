"""Which session options answer fastest: measured once, while a version is loaded off the path of events, for a bounded time.

The default stays unless another is clearly faster, twice, and answers the same: what a model says must not hang on a stopwatch.
At most two sessions are open besides the default's: the best so far and the one that is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.inference.errors import ScoringError, VersionRefusedError
from services.inference.execution import Tuning, variants
from services.inference.serving_plan import Runnable

CLEARLY: Final = 0.9  # of the default's time, as the geometric mean over the batches
LOSS_SECONDS: Final = 50e-6  # more than that no batch may lose, however much another one wins
TOLERANCE: Final = 1e-5  # absolute and relative: threads add up in another order
SLICE_SECONDS: Final = 0.05  # for one measurement; more would tell no more
ARTIFACT_BYTES: Final = (
    32 * 1024 * 1024
)  # opening more, and holding it twice more, is no small thing beside what serves
RUN_SECONDS: Final = 1.0  # deadline of one run
RUNS_IN_A_SLICE: Final = 4  # of all batches; a model that is slower cannot be measured in the time

Batch = Mapping[str, NDArray[Any]]
Times = Sequence[float]  # the shortest run of each batch, seconds: whatever disturbs a run makes it longer


@dataclass(frozen=True, slots=True)
class Tuned:
    """The session to serve with, and for people how it was found."""

    session: Runnable
    about: str


@dataclass(frozen=True, slots=True)
class _Rival:
    tuning: Tuning
    session: Runnable
    ratio: float  # of the default's time


class Tuner:
    """Measures the variants of ``default`` for about ``seconds`` in all, on the thread that calls it."""

    def __init__(
        self,
        default: Tuning,
        open_session: Callable[[bytes, Tuning], Runnable],
        *,
        seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """``open_session`` raises `VersionRefusedError`. ``monotonic`` gives seconds."""
        self._default = default
        self._open = open_session
        self._seconds = seconds
        self._monotonic = monotonic
        self._variants = variants(default)
        self._slice = min(SLICE_SECONDS, seconds / (len(self._variants) + 4))  # default and winner twice, and openings

    def tune(self, artifact: bytes, default: Runnable, batches: Sequence[Batch], outputs: Sequence[str]) -> Tuned:
        """``default``, opened from ``artifact``, or what is clearly faster and gives the same ``outputs`` for ``batches``."""
        if len(artifact) > ARTIFACT_BYTES:
            return Tuned(default, f"{self._default} (not measured: the model is too large to be opened again for that)")
        until = self._monotonic() + self._seconds
        trial = _Trial(batches, outputs, self._monotonic, self._slice)
        try:
            began = self._monotonic()
            expected = trial.answers(default)
            if (self._monotonic() - began) * RUNS_IN_A_SLICE > self._slice:
                return Tuned(default, f"{self._default} (not measured: a run takes too long for that)")
            own = trial.times(default)
            best, measured = self._best(artifact, trial, expected, own, until)
            if best is not None:
                own = list(map(min, own, trial.times(default)))  # perhaps something was in the way the first time
                ratio = gain(own, trial.times(best.session))
                if ratio <= CLEARLY:
                    return Tuned(best.session, f"{best.tuning} ({ratio:.0%} of the time of {self._default})")
        except ScoringError as error:
            return Tuned(default, f"{self._default} (not measured: {error})")
        return Tuned(
            default, f"{self._default} ({measured} of {len(self._variants)} variants tried, none clearly faster)"
        )

    def _best(
        self, artifact: bytes, trial: "_Trial", expected: Sequence[Mapping[str, Any]], own: Times, until: float
    ) -> tuple[_Rival | None, int]:
        best, tried = None, 0
        for tuning in self._variants:
            if self._monotonic() + 3 * self._slice > until:  # this one, and what follows a winner
                break
            tried += 1
            best = _faster(best, self._rival(artifact, tuning, trial, expected, own))  # the loser ends here
        return best, tried

    def _rival(
        self, artifact: bytes, tuning: Tuning, trial: "_Trial", expected: Sequence[Mapping[str, Any]], own: Times
    ) -> _Rival | None:
        """None for what cannot be opened, fails, or answers something else."""
        try:
            session = self._open(artifact, tuning)
            if not all(map(same, expected, trial.answers(session))):
                return None
            return _Rival(tuning, session, gain(own, trial.times(session)))
        except (VersionRefusedError, ScoringError):
            return None


def _faster(best: _Rival | None, rival: _Rival | None) -> _Rival | None:
    if rival is None or rival.ratio > CLEARLY:
        return best
    return rival if best is None or rival.ratio < best.ratio else best


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is run on every session, and for how long."""

    batches: Sequence[Batch]
    outputs: Sequence[str]
    monotonic: Callable[[], float]
    seconds: float

    def answers(self, session: Runnable) -> list[Mapping[str, Any]]:
        """One run of each batch. Raises `ScoringError`."""
        return [session.run(batch, self.outputs, RUN_SECONDS) for batch in self.batches]

    def times(self, session: Runnable) -> Times:
        """The batches in turn, again and again. Raises `ScoringError`."""
        best = [float("inf")] * len(self.batches)
        until = self.monotonic() + self.seconds
        while True:
            for place, batch in enumerate(self.batches):
                began = self.monotonic()
                session.run(batch, self.outputs, RUN_SECONDS)
                best[place] = min(best[place], self.monotonic() - began)
            if self.monotonic() >= until:
                return best


def gain(own: Times, other: Times) -> float:
    """How long ``other`` takes, of the time that ``own`` takes: the geometric mean over the batches; infinite if one loses much."""
    if any(after - before > LOSS_SECONDS for before, after in zip(own, other, strict=True)):
        return float("inf")
    return geometric_mean([max(after, 1e-9) / max(before, 1e-9) for before, after in zip(own, other, strict=True)])


def same(expected: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether two runs say the same: labels by the letter, numbers within `TOLERANCE`, NaN where NaN was."""
    return all(_same(expected[name], found[name]) for name in expected)


def _same(expected: Any, found: Any) -> bool:
    one, other = np.asarray(expected), np.asarray(found)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if np.issubdtype(one.dtype, np.floating):
        return bool(np.allclose(other, one, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    return bool(np.array_equal(one, other))
