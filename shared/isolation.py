"""Finding the one record that breaks the code: the batch is halved, each time with a processor that knows only what is committed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aiokafka import TopicPartition

from shared.partition_slot import ByPlace


@dataclass(frozen=True, slots=True)
class _Search:
    size: int  # records at a time
    until: Mapping[TopicPartition, int]  # the next offsets after the batch that broke


class Isolation:
    """By partition, in what portions its batches are to be processed."""

    def __init__(self) -> None:
        self._searches: dict[int, _Search] = {}

    def portions(self, number: int, places: ByPlace) -> Iterator[ByPlace]:
        """``places`` in order: as a whole, or in small portions while a record is looked for."""
        search = self._searches.get(number)
        if search is None:
            yield places
            return
        portion: ByPlace = {}
        count = 0
        for place, records in places.items():
            for record in records:
                portion.setdefault(place, []).append(record)
                count += 1
                if count == search.size:
                    yield portion
                    portion, count = {}, 0
        if portion:
            yield portion

    def broke(self, number: int, places: ByPlace) -> bool:
        """Processing ``places`` raised: smaller portions from now on. True where a single record is left, which is guilty."""
        count = sum(map(len, places.values()))
        if count == 1:
            return True
        search = self._searches.get(number)
        until = {place: records[-1].offset + 1 for place, records in places.items()}
        if search is not None:
            until = {**search.until, **{p: max(o, search.until.get(p, 0)) for p, o in until.items()}}
        self._searches[number] = _Search(count // 2, until)
        return False

    def searching(self, number: int) -> bool:
        """Whether a record of the partition is looked for."""
        return number in self._searches

    def passed(self, number: int, following: Mapping[TopicPartition, int]) -> None:
        """``following``, of some places, is committed; behind the batch that broke the search ends."""
        search = self._searches.get(number)
        if search is None:
            return
        left = {place: offset for place, offset in search.until.items() if following.get(place, 0) < offset}
        if left:
            self._searches[number] = replace(search, until=left)
        else:
            del self._searches[number]
