"""What stage 1 keeps of each window of each series until it is too old to be corrected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from schemas.events.monitoring import Profile, WindowBounds
from services.monitoring.knowledge import Series
from services.monitoring.tallies import Tally
from services.monitoring.windows import WindowPolicy, moment

KEPT_WINDOWS: Final = 20  # windows a series keeps open to corrections after everything is due
KEPT_AT_LEAST: Final = 86_400_000_000  # and a day of event time, microseconds


def life(policy: WindowPolicy) -> int:
    """From a window's start until it is too old to be corrected, microseconds."""
    kept = max(policy.every * KEPT_WINDOWS, KEPT_AT_LEAST)
    return policy.every + max(policy.lateness, policy.timeout) + kept


@dataclass(slots=True)
class Entry:
    """One partition's share of one window. Moments in microseconds.

    ``reported`` and ``quality_reported``: the revision that was last published, None before the first. Revisions are sizes
    (rows counted, labels joined), so they grow with the content and do not depend on how batches were cut.
    """

    series: Series
    start: int
    feature_set: str
    digest: str | None
    end: int
    closes_at: int
    expected_at: int
    timeout_at: int
    tally: Tally
    reported: int | None = None
    quality_reported: int | None = None
    quality_final: bool = False  # the label time-out was over when the window was last looked at
    taken: dict[str, int] = field(
        default_factory=dict
    )  # by topic: records below this offset are in the tally or not its own

    @classmethod
    def opened(cls, series: Series, start: int, feature_set: str, policy: WindowPolicy) -> Self:
        """A window with nothing in it yet."""
        end = policy.end_of(start)
        return cls(
            series,
            start,
            feature_set,
            None,
            end,
            policy.closes_at(start),
            end + policy.expected,
            end + policy.timeout,
            Tally(),
        )

    @property
    def place(self) -> tuple[Series, int]:
        """Which window of which series."""
        return self.series, self.start

    @property
    def key(self) -> str:
        """Its key in the checkpoint."""
        return f"window/{self.series}/{self.start}"

    @property
    def kept_until(self) -> int:
        """The watermark from which it is too old to be corrected."""
        return max(self.closes_at, self.timeout_at) + max((self.end - self.start) * KEPT_WINDOWS, KEPT_AT_LEAST)

    @property
    def revision(self) -> int:
        """How much is counted."""
        return self.tally.total("rows") + self.tally.total("rejected")

    def content(self, positions: Mapping[str, int]) -> dict[str, Any]:
        """What the checkpoint keeps; ``positions``: the next offset of each topic after the batch."""
        self.taken = {topic: max(offset, self.taken.get(topic, 0)) for topic, offset in positions.items()}
        return {
            "series": list(self.series),
            "start": self.start,
            "feature_set": self.feature_set,
            "digest": self.digest,
            "end": self.end,
            "closes_at": self.closes_at,
            "expected_at": self.expected_at,
            "timeout_at": self.timeout_at,
            "tally": self.tally.to_content(),
            "reported": self.reported,
            "quality_reported": self.quality_reported,
            "quality_final": self.quality_final,
            "taken": self.taken,
        }

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`."""
        values = {**content, "series": Series(*content["series"]), "tally": Tally.from_content(content["tally"])}
        return cls(**values)

    def profile(self, partition: int) -> Profile:
        """The window as stage 2 gets it."""
        self.reported = self.revision
        return self._profile(partition, "performance", self.revision, self.tally, self.closes_at)

    def quality_profile(self, partition: int, tally: Tally, revision: int, closed_at: int) -> Profile:
        """The window's quality as stage 2 gets it."""
        self.quality_reported = revision
        return self._profile(partition, "quality", revision, tally, closed_at)

    def _profile(
        self, partition: int, lane: Literal["performance", "quality"], revision: int, tally: Tally, closed_at: int
    ) -> Profile:
        return Profile(
            model=self.series.model,
            version=self.series.version,
            route=self.series.route,
            partition=partition,
            lane=lane,
            window=WindowBounds(start=moment(self.start), end=moment(self.end)),
            revision=revision,
            complete=True,
            content={
                "feature_set": self.feature_set,
                "digest": self.digest,
                "closes_at": self.closes_at,
                "closed_at": closed_at,
                "kept_until": self.kept_until,
                "tally": tally.to_content(),
            },
        )
