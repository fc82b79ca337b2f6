"""How many labels a window's time has brought, and how many were refused by which rule: of a model, whichever version served.

A refused label need not say which prediction it answers, so none is counted by its prediction, accepted ones neither: a label counts
by when it was observed, in the window whose own labels are expected then (``label.expected`` earlier). So all that is observed by the
time that a window's quality is first looked at is told with it, and a share is of labels of the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from services.monitoring.checkpoints import Checkpoint
from services.monitoring.entries import life
from services.monitoring.joins import Place
from services.monitoring.knowledge import Knowledge
from services.monitoring.refusals import REFUSED, Refusal
from services.monitoring.tallies import Tally

ACCEPTED: Final = "labels"  # a sum in a tally: labels that validation let pass
KIND: Final = "labels"  # of the checkpoint's entries
CHAMPION: Final = "champion"  # whose windows tell it; a canary's or a shadow's labels are the same ones


def size(tally: Tally) -> int:
    """How many labels ``tally`` has counted, refused ones too."""
    return tally.total(ACCEPTED) + tally.total(REFUSED)


@dataclass(slots=True)
class LabelCount:
    """One partition's labels of one window's time. Moments in microseconds; ``taken`` as of `entries.Entry`."""

    model: str
    start: int
    feature_set: str
    kept_until: int
    tally: Tally = field(default_factory=Tally)
    taken: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its key in the checkpoint."""
        return f"{KIND}/{self.model}/{self.start}"

    def content(self, positions: Mapping[str, int]) -> dict[str, Any]:
        """What the checkpoint keeps; ``positions``: the next offset of each topic after the batch."""
        self.taken = {topic: max(offset, self.taken.get(topic, 0)) for topic, offset in positions.items()}
        return {
            "model": self.model,
            "start": self.start,
            "feature_set": self.feature_set,
            "kept_until": self.kept_until,
            "tally": self.tally.to_content(),
            "taken": self.taken,
        }

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`."""
        return cls(**{**content, "tally": Tally.from_content(content["tally"])})


class LabelCounts:
    """The counts of one partition, each kept in ``checkpoint`` with how far the topics are counted, as long as its window."""

    def __init__(self, knowledge: Knowledge, checkpoint: Checkpoint, positions: Mapping[str, int]) -> None:
        """``positions``: the next offset of each topic, looked at when a batch is written."""
        self._knowledge = knowledge
        self._checkpoint = checkpoint
        self._positions = positions
        self._held: dict[tuple[str, int], LabelCount] = {}

    def restore(self, content: dict[str, Any]) -> None:
        """Take over one entry of the checkpoint."""
        count = LabelCount.restored(content)
        self._held[count.model, count.start] = count

    def accept(self, model: str, observed: int, topic: str, offset: int) -> None:
        """Count a label that stands at ``offset`` of ``topic``; ``observed`` in microseconds."""
        count = self._count(model, observed, topic, offset)
        if count is not None:
            count.tally.add(ACCEPTED, 1)

    def refuse(self, model: str, refusal: Refusal, topic: str, offset: int) -> None:
        """Count a label of ``model`` that was refused."""
        count = self._count(model, refusal.occurred, topic, offset)
        if count is not None:
            refusal.add_to(count.tally)

    def of(self, place: Place) -> Tally:
        """The labels of a window's time; nothing where the window is not a champion's."""
        series, start = place
        count = self._held.get((series.model, start)) if series.route == CHAMPION else None
        return count.tally if count is not None else Tally()

    def forget(self, feature_set: str, due: int) -> None:
        """Drop what belongs to windows that were too old to be corrected at the watermark ``due``."""
        over = [
            place for place, count in self._held.items() if count.feature_set == feature_set and due >= count.kept_until
        ]
        for place in over:
            self._checkpoint.delete(self._held.pop(place).key)

    def _count(self, model: str, observed: int, topic: str, offset: int) -> LabelCount | None:
        """Where a label counts; None where the model is not watched, and where the checkpoint has the label already."""
        watched = self._knowledge.watched(model)
        if watched is None or not watched.policy.every:
            return None
        policy, moment = watched.policy, observed - watched.policy.expected
        start = moment - moment % policy.every
        count = self._held.get((model, start))
        if count is None:
            count = LabelCount(model, start, watched.definition.spec.feature_set, start + life(policy))
            self._held[model, start] = count
        elif offset < count.taken.get(topic, 0):
            return None
        self._checkpoint.put(count.key, lambda: count.content(self._positions))
        return count
