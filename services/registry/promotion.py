"""Promotion on evidence: what champion and challenger did in the same quality windows, and what follows from it.

Where monitoring says how champion and challenger compare, with bounds that hold at every look, they decide: windows may then be
looked at one by one without more false promotions than α allows. Where it does not (windows of before, too few rows, or a
definition that lets one or two windows decide), means do, which has no such guarantee.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Final, Literal

from schemas.definitions import Model
from schemas.events.monitoring import ClosedWindow, Comparison
from services.registry.measures import improvement, preference, tolerance

CLEARLY: Final = 2.0  # standard errors: a challenger is clearly worse beyond them
PATIENCE: Final = 4  # times minWindows: then a challenger that has not shown itself ends
LEAST_WINDOWS: Final = 3  # of minWindows: no bounds are possible from fewer, so who asks for fewer wants means
UNDECIDED: Final = "not shown to be as good as the champion"
KEPT_WINDOWS: Final = 10_000  # per version; minWindows cannot ask for more

QUALITY: Final = "quality:"
Rivalry = tuple[str, int, int, str]  # model, champion, challenger, route
Pair = tuple[Mapping[str, float], Mapping[str, float]]  # metrics of the champion, of the challenger, in one window


Looks = Mapping[str, Sequence[Comparison]]  # what monitoring said by metric, one a window, oldest first


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence says; ``lines`` are the numbers, for people, ``why`` the reason of a stop."""

    verdict: Literal["promote", "stop", "wait"]
    lines: tuple[str, ...] = ()
    why: str = "worse than the champion"


def judge(model: Model, pairs: Sequence[Pair], looks: Looks = MappingProxyType({})) -> Judgement:
    """Compare by the preferred metric that at least minWindows shared windows have for both.

    By ``looks``: the first that decides, so that what is decided does not depend on how many are known already. Without any, by the
    means of ``pairs``.
    """
    needed = model.spec.rollout.min_windows
    if needed < LEAST_WINDOWS or not any(looks.values()):
        return _by_means(model, pairs, needed)
    for metric in preference(model):
        seen = looks.get(metric, ())
        if seen and seen[-1].windows >= needed:
            return _by_bounds(seen, needed, tolerance(model, metric), overdue=len(pairs) >= PATIENCE * needed)
    if len(pairs) >= PATIENCE * needed:
        return Judgement("stop", (f"{len(pairs)} windows, too few of them with enough labelled events",), UNDECIDED)
    return Judgement("wait")


def _by_bounds(looks: Sequence[Comparison], needed: int, slack: float, *, overdue: bool) -> Judgement:
    """Promote: the improvement is certainly above -``slack``. Stop: certainly below it, or undecided after 4 × minWindows."""
    lines: tuple[str, ...] = ()
    for number, look in enumerate(looks, 1):
        if look.windows < needed:
            continue
        lines = (_told(look), f"{slack:g} worse is tolerated")
        if look.lower is not None and look.lower > -slack:
            return Judgement("promote", lines)
        if look.upper is not None and look.upper < -slack:
            return Judgement("stop", lines)
        if number >= PATIENCE * needed:
            return Judgement("stop", lines, UNDECIDED)
    return Judgement("stop", lines, UNDECIDED) if overdue else Judgement("wait", lines)


def _told(look: Comparison) -> str:
    what = f"{look.metric} over {look.windows} windows, {look.events} labelled events: improvement {look.estimate:+.6g}"
    if look.lower is None or look.upper is None:
        return f"{what}, without bounds yet"
    return f"{what}, between {look.lower:+.6g} and {look.upper:+.6g} (at every look, alpha {look.alpha:g})"


def _by_means(model: Model, pairs: Sequence[Pair], needed: int) -> Judgement:
    """Promote: the mean difference is not worse than the tolerance.

    Stop: worse by more than two standard errors of the paired differences, or still worse after four times minWindows.
    """
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
        self._values: dict[tuple[str, int], dict[tuple[str, str], tuple[int, dict[str, float], datetime | None]]] = {}
        self._looks: dict[
            Rivalry, dict[str, dict[int, tuple[Comparison, datetime | None]]]
        ] = {}  # by metric, number of windows

    def observe(self, window: ClosedWindow, appended: datetime | None = None) -> bool:
        """Take a window in that Kafka has since ``appended``; False if it is not about quality, or an older revision.

        The same revision again is True: after a restart all windows are known before those that were not judged yet arrive.
        """
        if window.lane != "quality":
            return False
        self._compare(window, appended)
        of_version = self._values.setdefault((window.model, window.version), {})
        bounds = (window.window.start.isoformat(), window.window.end.isoformat())
        known = of_version.get(bounds)
        if known is not None and known[0] > window.revision:
            return False
        of_version[bounds] = (window.revision, _quality(window), appended)
        if len(of_version) > KEPT_WINDOWS:
            del of_version[min(of_version)]
        return True

    def pairs(self, model: str, champion: int, challenger: int, since: datetime | None = None) -> list[Pair]:
        """What both versions measured in the windows that both have, in time order; of those that came after ``since``."""
        old, new = self._values.get((model, champion), {}), self._values.get((model, challenger), {})
        shared = sorted(bounds for bounds in old.keys() & new.keys() if _after(since, new[bounds][2]))
        return [(old[bounds][1], new[bounds][1]) for bounds in shared]

    def looks(self, model: str, champion: int, challenger: int, route: str, since: datetime | None = None) -> Looks:
        """What monitoring said of champion and challenger after ``since``, by metric, in the order of windows."""
        held = self._looks.get((model, champion, challenger, route), {})
        return {
            metric: [seen[number][0] for number in sorted(seen) if _after(since, seen[number][1])]
            for metric, seen in held.items()
        }

    def _compare(self, window: ClosedWindow, appended: datetime | None) -> None:
        for found in window.comparisons:
            held = self._looks.setdefault((window.model, found.champion, found.challenger, found.route), {})
            seen = held.setdefault(found.metric, {})
            seen[found.windows] = (found, appended)
            if len(seen) > KEPT_WINDOWS:
                del seen[min(seen)]

    def keep(self, model: str, versions: Sequence[int]) -> None:
        """Forget the windows of all other versions of ``model``."""
        for rivalry in [each for each in self._looks if each[0] == model and not {*each[1:3]} <= {*versions}]:
            del self._looks[rivalry]
        for key in [key for key in self._values if key[0] == model and key[1] not in versions]:
            del self._values[key]


def _after(since: datetime | None, appended: datetime | None) -> bool:
    return since is None or appended is None or appended >= since


def _quality(window: ClosedWindow) -> dict[str, float]:
    return {
        channel.channel.removeprefix(QUALITY): channel.value
        for channel in window.channels
        if channel.channel.startswith(QUALITY) and channel.value is not None and math.isfinite(channel.value)
    }
