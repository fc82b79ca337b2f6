"""The record that breaks the code is found by halving, and every other record is processed once."""

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from shared.isolation import Isolation
from shared.partition_slot import ByPlace
from shared.records import Record, StoredRecord

EVENTS, LABELS = TopicPartition("events", 0), TopicPartition("labels", 0)


def records(place: TopicPartition, count: int) -> list[Record]:
    return [StoredRecord(place.topic, 0, offset, 0, None, b"") for offset in range(count)]


@given(events=st.integers(1, 60), labels=st.integers(0, 20), bad=st.sets(st.integers(0, 79), max_size=3))
def test_exactly_the_bad_records_stand_alone_at_the_end(events: int, labels: int, bad: set[int]) -> None:
    isolation = Isolation()
    everything = [*records(EVENTS, events), *records(LABELS, labels)]
    guilty = {(r.topic, r.offset) for number, r in enumerate(everything) if number in bad}
    done: list[tuple[str, int]] = []
    letters: set[tuple[str, int]] = set()
    following = {EVENTS: 0, LABELS: 0}

    def meet(portion: ByPlace) -> bool:
        found = [(r.topic, r.offset) for some in portion.values() for r in some]
        broken = guilty.intersection(found) - letters
        if broken and not isolation.broke(0, portion):
            return False
        letters.update(broken)
        done.extend(found)
        following.update({place: some[-1].offset + 1 for place, some in portion.items()})
        isolation.passed(0, following)
        return not broken

    for _ in range(200):  # fetched again from what is committed
        places = {
            EVENTS: records(EVENTS, events)[following[EVENTS] :],
            LABELS: records(LABELS, labels)[following[LABELS] :],
        }
        left = {place: some for place, some in places.items() if some}
        if not left:
            break
        for portion in isolation.portions(0, left):
            if not meet(portion):
                break
    assert letters == guilty
    assert sorted(done) == sorted((r.topic, r.offset) for r in everything)
    assert isolation.portions(0, {EVENTS: records(EVENTS, 5)}).__next__() == {EVENTS: records(EVENTS, 5)}
