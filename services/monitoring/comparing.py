"""Champion against challenger over all windows that both have: what `metrics.windows` says of it, window after window.

A window is one observation, whatever its traffic: events of one window share its weather, so they are worth far fewer than
their number. Sums are integers and windows are kept by their start, so neither the order in which windows come nor a repeat
of one changes a bit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Self

from schemas.events.monitoring import Comparison
from services.monitoring.book import Book, Page
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.checkpoints import Checkpoint, Content
from services.monitoring.knowledge import Watched
from services.monitoring.lanes.confidence import ALPHA, bounds, persistence
from services.monitoring.pairing import Difference, paired, unpaired
from services.monitoring.quality import LABELLED, metrics
from services.monitoring.tallies import significant

KEPT: Final = 100  # windows of a rivalry that are known one by one; older ones are in the sums
KEPT_RIVALRIES: Final = 3  # of a model and route: those that went on last
FINE: Final = 1_000_000_000  # fixed point of a window's mean difference

Fixed = tuple[int, int]  # a window's mean difference in fixed point, and its events


class Rivalry(NamedTuple):
    """Which challenger against which champion."""

    model: str
    champion: int
    challenger: int
    route: Literal["canary", "shadow"]

    def __str__(self) -> str:
        return f"{self.model}/{self.champion}/{self.challenger}/{self.route}"


@dataclass(slots=True)
class Sums:
    """Windows that are not known one by one any more: their number, sum, sum of squares and events."""

    count: int = 0
    total: int = 0
    squares: int = 0
    events: int = 0

    def plus(self, value: int, events: int) -> "Sums":
        """One window more."""
        return Sums(self.count + 1, self.total + value, self.squares + value * value, self.events + events)


@dataclass(slots=True)
class Course:
    """One metric of one rivalry: windows by start in microseconds."""

    settled: Sums = field(default_factory=Sums)
    settled_until: int | None = None  # the latest start among the settled
    windows: dict[int, Fixed] = field(default_factory=dict)

    def put(self, start: int, difference: Difference) -> None:
        """Take a window in, once; one that is older than all that are known one by one comes too late."""
        if self.settled_until is not None and start <= self.settled_until:
            return
        self.windows[start] = (round(difference.improvement * FINE), difference.events)
        if len(self.windows) > KEPT:
            oldest = min(self.windows)
            self.settled = self.settled.plus(*self.windows.pop(oldest))
            self.settled_until = oldest

    def sums(self) -> Sums:
        """All windows together."""
        found = self.settled
        for value, events in self.windows.values():
            found = found.plus(value, events)
        return found

    def comparison(self, rivalry: Rivalry, metric: str) -> Comparison:
        """How the rivalry stands after these windows."""
        sums = self.sums()
        mean = sums.total / sums.count / FINE
        scatter = max(sums.squares * sums.count - sums.total * sums.total, 0)
        variance = scatter / (sums.count * max(sums.count - 1, 1)) / FINE / FINE
        kept = [self.windows[start][0] / FINE for start in sorted(self.windows)]
        found = bounds(sums.count, mean, variance * persistence(kept), ALPHA)
        return Comparison(
            champion=rivalry.champion,
            challenger=rivalry.challenger,
            route=rivalry.route,
            metric=metric,
            windows=sums.count,
            events=sums.events,
            estimate=significant(mean),
            lower=None if found is None else significant(found.lower),
            upper=None if found is None else significant(found.upper),
            alpha=ALPHA,
        )

    def content(self) -> Content:
        """As JSON: numbers that may exceed 64 bits are strings, windows in order, so equal courses give equal bytes."""
        settled = self.settled
        return {
            "settled": [settled.count, str(settled.total), str(settled.squares), settled.events],
            "settled_until": self.settled_until,
            "windows": [[start, str(self.windows[start][0]), self.windows[start][1]] for start in sorted(self.windows)],
        }

    @classmethod
    def restored(cls, content: Content) -> Self:
        """The inverse of `content`."""
        count, total, squares, events = content["settled"]
        windows = {start: (int(value), of) for start, value, of in content["windows"]}
        return cls(Sums(count, int(total), int(squares), events), content["settled_until"], windows)


class Comparisons:
    """All rivalries, kept in ``checkpoint`` with one entry each."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Empty."""
        self._checkpoint = checkpoint
        self._held: dict[Rivalry, dict[str, Course]] = {}

    def add(self, page: Page, book: Book, watched: Watched) -> tuple[Comparison, ...]:
        """What the window of ``page``, published for the first time, adds where its rival's is published too; else ().

        So the evidence comes with the later of both windows: whoever has both has it.
        """
        found: list[Comparison] = []
        for champion, challenger in _rivals(page, book):
            model, version, route = challenger.window[:3]
            rivalry = Rivalry(model, champion.window.version, version, "canary" if route == "canary" else "shadow")
            differences = _differences(champion, challenger, watched)
            if differences:
                found += self._take(rivalry, page.window.start, differences)
        return tuple(found)

    def restore(self, entries: Mapping[str, Content]) -> None:
        """Take over the checkpoint."""
        for content in entries.values():
            courses = {metric: Course.restored(course) for metric, course in content["courses"].items()}
            self._held[Rivalry(*content["rivalry"])] = courses

    def _take(self, rivalry: Rivalry, start: int, differences: Mapping[str, Difference]) -> Iterator[Comparison]:
        courses = self._held.setdefault(rivalry, {})
        for metric, difference in differences.items():
            courses.setdefault(metric, Course()).put(start, difference)
        self._checkpoint.put(
            f"rivalry/{rivalry}",
            lambda: {
                "rivalry": list(rivalry),
                "courses": {metric: courses[metric].content() for metric in sorted(courses)},
            },
        )
        self._forget_beside(rivalry)
        return (courses[metric].comparison(rivalry, metric) for metric in sorted(differences))

    def _forget_beside(self, rivalry: Rivalry) -> None:
        """Drop the rivalries of the same model and route that `KEPT_RIVALRIES` others have outlived."""
        same = [each for each in self._held if (each.model, each.route) == (rivalry.model, rivalry.route)]
        same.sort(key=lambda each: (_latest(self._held[each]), each), reverse=True)
        for old in same[KEPT_RIVALRIES:]:
            del self._held[old]
            self._checkpoint.delete(f"rivalry/{old}")


def _latest(courses: Mapping[str, Course]) -> int:
    return max(max(course.windows) for course in courses.values())


def _rivals(page: Page, book: Book) -> Iterator[tuple[Page, Page]]:
    """Champion's and challenger's pages of the same window, one of which is ``page`` and the other is published."""
    here = page.window
    place = (here.model, "quality", here.start)
    same = [
        (window, other) for window, other in book.pages.items() if (window.model, window.lane, window.start) == place
    ]
    for window, other in sorted(same, key=lambda each: each[0]):
        if (
            not other.published or window.version == here.version
        ):  # a canary promoted in this window has pages of both routes
            continue
        if here.route != "champion" and window.route == "champion":
            yield other, page
        elif here.route == "champion" and window.route != "champion":
            yield page, other


def _differences(champion: Page, challenger: Page, watched: Watched) -> dict[str, Difference]:
    """By metric, positive where the challenger is better; of those with enough events only.

    A shadow's losses are compared event by event, everything else window by window.
    """
    target = watched.definition.spec.target.type
    old, new = champion.tally(), challenger.tally()
    events = min(old.total(LABELLED), new.total(LABELLED))
    found = unpaired(metrics(target, old), metrics(target, new), events)
    if challenger.window.route == "shadow":
        found |= paired(new, champion.window.version)
    return {name: difference for name, difference in found.items() if difference.events >= LEAST_ROWS}
