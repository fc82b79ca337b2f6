"""What stands on the output topics of a partition although its raw records are not committed."""

from typing import Final

from schemas.topics import (
    EVENTS_DUPLICATES,
    EVENTS_RAW,
    EVENTS_REJECTED,
    EVENTS_VALIDATED,
    LABELS_RAW,
    LABELS_REJECTED,
    LABELS_VALIDATED,
    Topic,
    dead_letters,
    retry,
)
from services.validation.processing import SERVICE
from services.validation.resuming import Place, Resumption, origin_of
from shared.group_offsets import resume_points
from shared.settings import PlatformSettings
from shared.tables import last_records

STAGE: Final = "judge"
JUDGED: Final[tuple[Topic, ...]] = (EVENTS_RAW, LABELS_RAW, retry(SERVICE))
OUTCOMES: Final[tuple[Topic, ...]] = (
    EVENTS_VALIDATED,
    LABELS_VALIDATED,
    EVENTS_REJECTED,
    LABELS_REJECTED,
    EVENTS_DUPLICATES,
    dead_letters(SERVICE),
)


async def resumption(settings: PlatformSettings, partition: int, *, max_records: int) -> Resumption:
    """How far the group is, and which outcomes stand beyond it. A batch of ``max_records`` at most is in question."""
    resume_at = await resume_points(settings, f"{SERVICE}.{STAGE}", JUDGED, partition)
    published: set[tuple[str, Place]] = set()
    for topic in OUTCOMES:
        for record in await last_records(settings, topic, partition, 2 * max_records):
            place = origin_of(record)
            if place is not None and place.offset >= resume_at.get(place.topic, place.offset + 1):
                published.add((topic.name, place))
    return Resumption(resume_at, published)
