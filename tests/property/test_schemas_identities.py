from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.events.contract import decode, encode
from schemas.events.ingestion import Event, Label
from schemas.identities import SERVING, canary_position, derived_id, murmur2, partition_of, prediction_id
from schemas.reference import count, counts_of, describe_numbers

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
IDS = st.from_regex(r"[A-Za-z0-9._:/-]{1,40}", fullmatch=True)
TIMES = st.datetimes(timezones=st.timezones(no_cache=True))
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


@given(WORDS, WORDS, WORDS, WORDS)
def test_an_event_has_one_serving_prediction_per_model(source: str, event: str, model: str, slot: str) -> None:
    assume(slot != SERVING)
    assert prediction_id(source, event, model, SERVING) == prediction_id(source, event, model, SERVING)
    assert prediction_id(source, event, model, slot) != prediction_id(source, event, model, SERVING)


@given(st.binary(max_size=60), st.integers(1, 100))
def test_a_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
    assert 0 <= murmur2(key) < 2**32


@given(WORDS, WORDS)
def test_a_canary_position_lies_in_the_unit_interval(model: str, entity: str) -> None:
    assert 0 <= canary_position(model, entity) < 1


@given(IDS, TIMES, st.dictionaries(WORDS, VALUES, max_size=5))
def test_an_event_comes_back_from_its_bytes(entity: str, time: Any, features: dict[str, Any]) -> None:
    assume(1 < time.year < 9998)
    event = Event(feature_set="a@1", entity_id=entity, occurred_at=time, features=features)
    assert decode(Event, encode(event)) == event
    assert encode(decode(Event, encode(event))) == encode(event)


@given(IDS, st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS)
def test_a_label_keeps_the_type_of_its_value(identifier: str, value: Any) -> None:
    label = Label.model_validate(
        {
            "model": "m",
            "event_id": identifier,
            "event_source": "s",
            "entity_id": "e",
            "observed_at": "2024-06-01T00:00:00Z",
            "value": value,
        }
    )
    back = decode(Label, encode(label)).value
    assert (back, type(back)) == (value, type(value))


FLOATS = st.lists(st.floats(allow_infinity=False), max_size=60)


@given(FLOATS, FLOATS, st.randoms(use_true_random=False))
def test_counts_add_up_whatever_the_order_and_the_batches(
    reference: list[float], later: list[float], random: Any
) -> None:
    profile = describe_numbers(np.array(reference, dtype=np.float64))
    assert count(profile, reference).tolist() == counts_of(profile).tolist()
    shuffled = random.sample(later, len(later))
    half = len(later) // 2
    assert (count(profile, shuffled[:half]) + count(profile, shuffled[half:])).tolist() == count(
        profile, later
    ).tolist()
    assert describe_numbers(np.array(random.sample(reference, len(reference)), dtype=np.float64)) == profile
    assert np.isfinite([profile.mean, profile.sd]).all()
