"""Stage 2's book of windows: which partition has reported what, and how far each partition's event time is.

A window of predictions is final once every partition's event time is past its close: profiles come before the progress
that closes them, and a partition that has reported none holds no rows. A window's quality is final once its predictions
are and every partition with rows has reported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from schemas.events.monitoring import Profile, WindowBounds
from services.monitoring.channels import LEAST_ROWS
from services.monitoring.checkpoints import Content
from services.monitoring.entries import Entry
from services.monitoring.past_errors import PastError
from services.monitoring.tallies import Tally, merged
from services.monitoring.windows import micros, moment

Lane = Literal["performance", "quality"]


class Window(NamedTuple):
    """Which window of what. ``start`` in microseconds."""

    model: str
    version: int
    route: str
    lane: Lane
    start: int

    def __str__(self) -> str:
        return f"{self.model}/{self.version}/{self.route}/{self.lane}/{self.start}"

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """The window that ``profile`` is a share of."""
        return cls(profile.model, profile.version, profile.route, profile.lane, micros(profile.window.start))

    @property
    def predictions(self) -> "Window":
        """The same window in the performance lane."""
        return self._replace(lane="performance")

    @property
    def labels(self) -> "Window":
        """The same window in the quality lane."""
        return self._replace(lane="quality")


@dataclass(slots=True)
class Part:
    """A partition's latest report."""

    revision: int
    closed_at: int
    tally: Tally

    def content(self) -> Content:
        """As JSON."""
        return {"revision": self.revision, "closed_at": self.closed_at, "tally": self.tally.to_content()}

    @classmethod
    def restored(cls, content: Content) -> Self:
        """The inverse of `content`."""
        return cls(content["revision"], content["closed_at"], Tally.from_content(content["tally"]))


@dataclass(slots=True)
class Page:
    """A window: what was reported, and how often it was published (0 = not yet)."""

    window: Window
    end: int
    closes_at: int
    kept_until: int
    feature_set: str
    digest: str | None
    published: int = 0
    estimates: dict[str, float] = field(default_factory=dict)  # what was first said of quality, before labels
    variances: dict[str, float] = field(default_factory=dict)  # of ``estimates``, by chance
    errors: dict[str, PastError] = field(default_factory=dict)  # of a quality window: how wrong the estimates were
    parts: dict[int, Part] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """A page for the window of ``profile``, without its part."""
        content = profile.content
        return cls(
            Window.of(profile),
            micros(profile.window.end),
            content["closes_at"],
            content["kept_until"],
            content["feature_set"],
            content["digest"],
        )

    @classmethod
    def empty(cls, entry: Entry) -> Self:
        """A page for a window of which no partition has said anything."""
        window = Window(*entry.series, lane="performance", start=entry.start)
        return cls(window, entry.end, entry.closes_at, entry.kept_until, entry.feature_set, entry.digest)

    @property
    def bounds(self) -> WindowBounds:
        """Start and end for people."""
        return WindowBounds(start=moment(self.window.start), end=moment(self.end))

    @property
    def closed_at(self) -> int:
        """The event time that closed it in the last partition."""
        return max((part.closed_at for part in self.parts.values()), default=self.closes_at)

    def tally(self) -> Tally:
        """All partitions together."""
        return merged(self.parts[partition].tally for partition in sorted(self.parts))

    def content(self) -> Content:
        """As JSON, without the parts."""
        return {
            "window": list(self.window),
            "end": self.end,
            "closes_at": self.closes_at,
            "kept_until": self.kept_until,
            "feature_set": self.feature_set,
            "digest": self.digest,
            "published": self.published,
            "estimates": self.estimates,
            "variances": self.variances,
            "errors": {metric: list(error) for metric, error in self.errors.items()},
        }

    @classmethod
    def restored(cls, content: Content) -> Self:
        """The inverse of `content`."""
        errors = {metric: PastError(*error) for metric, error in content.get("errors", {}).items()}
        return cls(**{**content, "window": Window(*content["window"]), "errors": errors})


class Book:
    """All open pages and the partitions' progress."""

    def __init__(self, partitions: int) -> None:
        """``partitions``: how many partitions must report."""
        self._partitions = partitions
        self.pages: dict[Window, Page] = {}
        self.progress: dict[str, dict[int, int]] = {}

    def report(self, profile: Profile) -> Page | None:
        """Take a partition's share; the page if it says something new."""
        window = Window.of(profile)
        page = self.pages.get(window)
        if page is None:
            page = self.pages[window] = Page.of(profile)
        page.digest = page.digest or profile.content["digest"]
        held = page.parts.get(profile.partition)
        if held is not None and held.revision >= profile.revision:
            return None
        content: dict[str, Any] = profile.content
        page.parts[profile.partition] = Part(
            profile.revision, content["closed_at"], Tally.from_content(content["tally"])
        )
        return page

    def advance(self, feature_set: str, partition: int, watermark: int) -> None:
        """A partition's event time has reached ``watermark``."""
        marks = self.progress.setdefault(feature_set, {})
        marks[partition] = max(watermark, marks.get(partition, watermark))

    def watermark(self, feature_set: str) -> int | None:
        """The event time that every partition has reached; None while one has not said anything."""
        marks = self.progress.get(feature_set, {})
        reported = [marks[number] for number in range(self._partitions) if number in marks]
        return min(reported) if len(reported) == self._partitions else None

    def closing(self, feature_set: str, watermark: int) -> Sequence[Page]:
        """Unpublished windows of predictions that are final at ``watermark``, in order of event time."""
        return [
            page
            for page in self._in_order(feature_set)
            if page.window.lane == "performance" and not page.published and page.closes_at <= watermark
        ]

    def served(self, window: Window) -> bool:
        """Whether any version has a page for the window of this model and route."""
        return any(
            (w.model, w.route, w.lane, w.start) == (window.model, window.route, window.lane, window.start)
            for w in self.pages
        )

    def speaker(self, window: Window) -> int:
        """The version that alerts about ``window``: of those that served its model and route then, the newest with enough rows.

        Where none has enough, the one with most.
        """
        rows = {
            w.version: page.tally().total("rows")
            for w, page in self.pages.items()
            if (w.model, w.route, w.lane, w.start) == (window.model, window.route, "performance", window.start)
        }
        enough = [version for version, count in rows.items() if count >= LEAST_ROWS]
        return (
            max(enough) if enough else max(rows, key=lambda version: (rows[version], version), default=window.version)
        )

    def due(self, page: Page) -> list[Page]:
        """Published quality windows of the model of ``page`` before it, in order of event time, that were due when it closed."""
        here = page.window
        found = [
            other
            for window, other in self.pages.items()
            if window.model == here.model
            and window.lane == "quality"
            and window.start < here.start
            and other.published
            and other.closed_at <= page.closes_at
        ]
        return sorted(found, key=lambda each: (each.end, each.window))

    def quality_ready(self, page: Page) -> bool:
        """Whether every partition with rows has reported the quality of ``page``'s window."""
        performance = self.pages.get(page.window.predictions)
        if performance is None or not performance.published:
            return False
        with_rows = {
            p for p, part in performance.parts.items() if part.tally.total("rows") > part.tally.total("failed")
        }
        return with_rows <= page.parts.keys()

    def outdated(self, feature_set: str, watermark: int) -> Sequence[Page]:
        """Pages that no partition will correct any more."""
        return [
            page
            for page in self._in_order(feature_set)
            if page.kept_until + (page.end - page.window.start) <= watermark
        ]

    def _in_order(self, feature_set: str) -> Iterator[Page]:
        pages = [page for page in self.pages.values() if page.feature_set == feature_set]
        return iter(sorted(pages, key=lambda page: (page.end, page.window)))


def labelled(due: Sequence[Page], version: int, count: int) -> list[Tally]:
    """Of the last ``count`` windows of ``version`` among those `Book.due`, on whichever route: a tally for each partition of each."""
    own = [page for page in due if page.window.version == version]
    return [part.tally for page in own[-count:] for part in page.parts.values()]


def past_errors(due: Sequence[Page], version: int, count: int) -> dict[str, list[PastError]]:
    """By metric, how wrong estimates were in the last ``count`` windows among those `Book.due`.

    A window counts once: by ``version`` if it served then, else by another, the champion first. Most of an error is the window's and
    not the version's, and a new version has none of its own.
    """
    known = [page for page in due if page.errors]
    latest = sorted({page.window.start for page in known})[-count:]
    recent = [page for page in known if page.window.start >= latest[0]]
    found: dict[str, dict[int, PastError]] = {}
    for page in sorted(recent, key=lambda each: _nearness(each.window, version)):
        for metric, error in page.errors.items():
            found.setdefault(metric, {})[page.window.start] = error
    return {metric: [held[start] for start in sorted(held)] for metric, held in found.items()}


def _nearness(window: Window, version: int) -> tuple[bool, bool, int]:
    """Greatest for the window that says most about ``version``."""
    return window.version == version, window.route == "champion", window.version
