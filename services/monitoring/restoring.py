"""What the label join's file lacks of what is committed in Kafka, and from where on that is read again.

A stop forgets the file's last batch, so it is a little behind at every opening: then only that stretch is read. A file that
is lost, or ahead, is begun anew from the oldest record that the windows and label time-outs still need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.topics import LABELS_VALIDATED, PREDICTIONS, Topic
from services.monitoring.checkpoints import under
from services.monitoring.joins import Place
from services.monitoring.knowledge import Series
from services.monitoring.replays import RETRY
from services.monitoring.windows import moment

JOINED: Final = (PREDICTIONS, LABELS_VALIDATED, RETRY)  # what the label join is made of


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records of ``topic`` between two offsets, the second exclusive."""

    topic: Topic
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Restoration:
    """``anew``: the file's content is thrown away first. ``since``: nothing that was appended before is needed."""

    anew: bool
    stretches: Sequence[Stretch] = ()
    since: datetime | None = None


def restoration(held: Mapping[str, int], wanted: Mapping[str, int], floor: int | None) -> Restoration | None:
    """How a file that stands at ``held`` gets to ``wanted`` (the next offset of each topic); None where it is there.

    ``floor``: when the oldest record that is still needed was appended, epoch milliseconds; None where none is.
    """
    if all(held.get(topic.name, 0) == wanted.get(topic.name, 0) for topic in JOINED):
        return None
    if floor is None:
        return Restoration(anew=True)
    behind = bool(held) and all(held.get(topic.name, 0) <= wanted.get(topic.name, 0) for topic in JOINED)
    places = [Stretch(topic, held.get(topic.name, 0) if behind else 0, wanted.get(topic.name, 0)) for topic in JOINED]
    return Restoration(
        anew=not behind,
        stretches=[stretch for stretch in places if stretch.first < stretch.end],
        since=moment(floor * 1000),
    )


def open_windows(entries: Mapping[str, dict[str, Any]]) -> set[Place]:
    """The windows of a checkpoint's ``entries`` that are not given up yet."""
    return {(Series(*content["series"]), content["start"]) for content in under(entries, "window").values()}
