"""What a process inherits of its predecessors' dead letters, so that restarts cannot drain a poisoned topic bit by bit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiokafka import TopicPartition

from schemas.topics import dead_letters
from shared.dead_letter_limit import Tally, tally_of
from shared.dead_letters import read_dead_letter
from shared.errors import PermanentError
from shared.settings import PlatformSettings
from shared.tables import last_records

TAIL: Final = 200  # offsets; the letter is the last of its stage, others may write behind it


async def inherited_tallies(
    settings: PlatformSettings, service: str, following: Mapping[TopicPartition, int], *, partition: int | None = None
) -> dict[TopicPartition, Tally]:
    """By place, the tally on its newest letter before ``following`` (the next offsets to process), the newest place last.

    The records since then were good: they end the row and dilute the share. ``partition``: the only one of the dead-letter
    topic in which the letters can stand.
    """
    found: dict[TopicPartition, Tally] = {}
    if not any(following.values()):
        return found
    for record in await last_records(settings, dead_letters(service), partition, TAIL):
        tally = tally_of(record)
        if tally is None:
            continue
        try:
            origin = read_dead_letter(record).origin
        except PermanentError:
            continue
        place = TopicPartition(origin.topic, origin.partition)
        since = following.get(place, 0) - origin.offset - 1
        if since >= 0:
            found.pop(place, None)
            found[place] = tally if since == 0 else replace(tally, row=0, total=tally.total + since)
    return found
