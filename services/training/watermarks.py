"""Event time per feature set: the time that every partition has reached, by its ticks alone."""

from collections.abc import Mapping
from datetime import datetime

Reached = dict[str, dict[str, dict[int, datetime]]]  # feature set → topic → partition → latest tick


class Watermarks:
    """The latest tick of every partition. Ticks never run backwards; a tick of a bare name counts for every major of it."""

    def __init__(self, partitions: Mapping[str, int], reached: Reached | None = None) -> None:
        """``partitions``: topic → how many it has. ``reached``: what `reached` gave before a restart."""
        self._partitions = dict(partitions)
        self._reached: Reached = {
            name: {topic: dict(places) for topic, places in topics.items()} for name, topics in (reached or {}).items()
        }

    @property
    def reached(self) -> Reached:
        """The latest ticks, to be kept with the store."""
        return self._reached

    @property
    def feature_sets(self) -> list[str]:
        """Every name that ticked."""
        return sorted(self._reached)

    def advance(self, feature_set: str, topic: str, partition: int, time: datetime) -> None:
        """A tick of ``feature_set`` was read from ``partition`` of ``topic``."""
        places = self._reached.setdefault(feature_set, {}).setdefault(topic, {})
        if partition not in places or time > places[partition]:
            places[partition] = time

    def of(self, ref: str) -> datetime | None:
        """The time that every partition of every ticking topic has reached for ``name@major``; None before that.

        A topic that never ticked for the set does not hold its watermark back.
        """
        topics: dict[str, dict[int, datetime]] = {}
        for name in (ref, ref.partition("@")[0]):
            for topic, places in self._reached.get(name, {}).items():
                merged = topics.setdefault(topic, {})
                for partition, time in places.items():
                    merged[partition] = max(time, merged.get(partition, time))
        if not topics or any(len(places) < self._partitions[topic] for topic, places in topics.items()):
            return None
        return min(time for places in topics.values() for time in places.values())
