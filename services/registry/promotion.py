"""Promotion on evidence: what champion and challenger did in the same quality windows, and what follows from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final, Literal

from schemas.definitions import Model
from schemas.events.monitoring import ClosedWindow
from services.registry.measures import improvement, preference, tolerance

CLEARLY: Final = 2.0  # standard errors: a challenger is clearly worse beyond them
PATIENCE: Final = 4  # times minWindows: then a challenger that has not shown itself ends
KEPT_WINDOWS: Final = 10_000  # per version; minWindows cannot ask for more

QUALITY: Final = "quality:"
Pair = tuple[Mapping[str, float], Mapping[str, float]]  # metrics of the champion, of the challenger, in one window


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence says; ``lines`` are the numbers, for people."""

    verdict: Literal["promote", "stop", "wait"]
    lines: tuple[str, ...] = ()


def judge(model: Model, pairs: Sequence[Pair]) -> Judgement:
    """Compare by the preferred metric that at least minWindows shared windows have for both.

    Promote: the mean difference is not worse than the tolerance. Stop: worse by more than two standard errors of the
    paired differences, or still worse after four times minWindows.
    """
    needed = model.spec.rollout.min_windows
    for metric in preference(model):
        values = [(old[metric], new[metric]) for old, new in pairs if metric in old and metric in new]
        if len(values) >= needed:
            return _verdict(metric, values, needed, tolerance(model, metric))
    return Judgement("wait")


def _verdict(metric: str, values: Sequence[tuple[float, float]], needed: int, slack: float) -> Judgement:
    differences = [improvement(metric, new, old) for old, new in values]
    mean = fmean(differences)
    error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    lines = (
        (
            f"{metric} over {len(values)} windows: champion {fmean(old for old, _ in values):.6g}, "
            f"challenger {fmean(new for _, new in values):.6g}"
        ),
        f"mean improvement {mean:+.6g} ± {error:.2g}, {slack:g} worse is tolerated",
    )
    if mean >= -slack:
        return Judgement("promote", lines)
    if mean + CLEARLY * error < -slack or len(values) >= PATIENCE * needed:
        return Judgement("stop", lines)
    return Judgement("wait", lines)


class QualityWindows:
    """The latest revision of each quality window per model and version; bounded, rebuilt from metrics.windows."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], dict[tuple[str, str], tuple[int, dict[str, float]]]] = {}

    def observe(self, window: ClosedWindow) -> bool:
        """Take a window in; False if it is not about quality, or an older revision.

        The same revision again is True: after a restart all windows are known before those that were not judged yet arrive.
        """
        if window.lane != "quality":
            return False
        of_version = self._values.setdefault((window.model, window.version), {})
        bounds = (window.window.start.isoformat(), window.window.end.isoformat())
        known = of_version.get(bounds)
        if known is not None and known[0] > window.revision:
            return False
        of_version[bounds] = (window.revision, _quality(window))
        if len(of_version) > KEPT_WINDOWS:
            del of_version[min(of_version)]
        return True

    def pairs(self, model: str, champion: int, challenger: int) -> list[Pair]:
        """What both versions measured in the windows that both have, in time order."""
        old, new = self._values.get((model, champion), {}), self._values.get((model, challenger), {})
        return [(old[bounds][1], new[bounds][1]) for bounds in sorted(old.keys() & new.keys())]

    def keep(self, model: str, versions: Sequence[int]) -> None:
        """Forget the windows of all other versions of ``model``."""
        for key in [key for key in self._values if key[0] == model and key[1] not in versions]:
            del self._values[key]


def _quality(window: ClosedWindow) -> dict[str, float]:
    return {
        channel.channel.removeprefix(QUALITY): channel.value
        for channel in window.channels
        if channel.channel.startswith(QUALITY) and channel.value is not None and math.isfinite(channel.value)
    }
