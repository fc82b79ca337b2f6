import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.decoding import check_type, decode_event, decode_label, decode_tick
from schemas.reasons import RefusedRecordError, Rule

EVENT: dict[str, Any] = {
    "feature_set": "machines@1",
    "entity_id": "m-1",
    "occurred_at": "2024-06-01T12:00:00+02:00",
    "features": {"load": 1.5},
}
NOW = datetime(2024, 6, 1, 10, tzinfo=UTC)


def faults(decode: Any, record: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(RefusedRecordError) as refused:
        decode(json.dumps(record).encode(), **options)
    return [(each.field, each.rule) for each in refused.value.reasons]


def test_an_event_is_read_with_its_time_in_utc() -> None:
    event = decode_event(json.dumps(EVENT).encode(), now=NOW)
    assert event.occurred_at == NOW
    assert event.occurred_at.utcoffset() == timedelta(0)
    assert event.features == {"load": 1.5}


def test_every_fault_of_an_event_is_given() -> None:
    found = faults(decode_event, {"feature_set": 1, "entity_id": "", "occurred_at": 0, "features": None, "more": 1})
    assert found == [
        ("more", Rule.EXTRA_FIELD),
        ("feature_set", Rule.TYPE),
        ("entity_id", Rule.ID_FORMAT),
        ("occurred_at", Rule.TIME_FORMAT),
        ("features", Rule.TYPE),
    ]


def test_a_missing_field_beside_an_extra_one_is_seen() -> None:
    record = {**EVENT, "feature": {}}
    del record["features"]
    assert faults(decode_event, record) == [("features", Rule.MISSING_FIELD), ("feature", Rule.EXTRA_FIELD)]


def test_an_empty_object_misses_every_field() -> None:
    assert [rule for _, rule in faults(decode_label, {})] == [Rule.MISSING_FIELD] * 6


@pytest.mark.parametrize(("seconds", "accepted"), [(300, True), (301, False), (-(10**8), True)])
def test_five_minutes_ahead_of_now_are_tolerated(seconds: int, *, accepted: bool) -> None:
    record = {**EVENT, "occurred_at": (NOW + timedelta(seconds=seconds)).isoformat()}
    if accepted:
        decode_event(json.dumps(record).encode(), now=NOW)
    else:
        assert faults(decode_event, record, now=NOW) == [("occurred_at", Rule.TIME_RANGE)]


def test_without_a_now_the_future_is_not_judged() -> None:
    decode_event(json.dumps({**EVENT, "occurred_at": "2200-01-01T00:00:00Z"}).encode())


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-01",
        "2024-06-01T12:00:00",
        "2024-06-01 12:00:00Z",
        "2024-02-30T12:00:00Z",
        "2024-06-01T25:00:00Z",
        "2024-06-01T12:00:60Z",
        "2024-06-01T12:00:00+24:00",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "1717236000",
        "now",
        "",
        "٢٠٢٤-06-01T12:00:00Z",
    ],
)
def test_a_time_without_offset_or_out_of_the_calendar_is_refused(text: str) -> None:
    assert faults(decode_event, {**EVENT, "occurred_at": text}) == [("occurred_at", Rule.TIME_FORMAT)]


def test_lower_case_letters_in_a_time_are_legal() -> None:
    assert (
        decode_event(json.dumps({**EVENT, "occurred_at": "2024-06-01t10:00:00.5z"}).encode()).occurred_at.microsecond
        == 500_000
    )


def test_a_tick_may_lie_anywhere_after_1970() -> None:
    assert decode_tick(b'{"feature_set":"machines@1","time":"2013-01-01T00:00:00Z"}').time.year == 2013


@pytest.mark.parametrize(
    ("ce_type", "rule"),
    [
        ("headrace.event.v2", Rule.UNKNOWN_VERSION),
        ("headrace.event.v0", Rule.UNKNOWN_VERSION),
        ("headrace.event", Rule.UNKNOWN_TYPE),
        ("headrace.event.v1.1", Rule.UNKNOWN_TYPE),
        ("headrace.label.v1", Rule.UNKNOWN_TYPE),
        ("HEADRACE.EVENT.V1", Rule.UNKNOWN_TYPE),
    ],
)
def test_a_type_that_is_not_known_is_never_guessed(ce_type: str, rule: Rule) -> None:
    (found,) = check_type(ce_type, ("headrace.event.v1", "headrace.tick.v1"))
    assert found.rule == rule


def test_a_known_type_is_accepted() -> None:
    assert check_type("headrace.tick.v1", ("headrace.event.v1", "headrace.tick.v1")) == ()
