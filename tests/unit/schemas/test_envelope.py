from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.envelope import (
    MAX_HEADERS,
    Envelope,
    RawHeaders,
    decode_headers,
    encode_headers,
    format_time,
    header,
    parse_time,
)
from schemas.reasons import RefusedRecordError, Rule
from schemas.topics import HEADERS_BYTES

ENVELOPE = Envelope(id="e-1", source="floor/1", type="headrace.event.v1", time=datetime(2024, 6, 1, tzinfo=UTC))


def faults(headers: RawHeaders) -> list[tuple[str, str]]:
    with pytest.raises(RefusedRecordError) as refused:
        decode_headers(headers)
    return [(each.field, each.rule) for each in refused.value.reasons]


def test_an_envelope_comes_back_from_its_headers() -> None:
    full = Envelope(
        **{
            **{name: getattr(ENVELOPE, name) for name in ("id", "source", "type", "time")},
            "traceparent": "00-a-b-01",
            "extensions": {"model": "m"},
        }
    )
    assert decode_headers(encode_headers(full)) == full
    assert decode_headers(encode_headers(ENVELOPE)) == ENVELOPE


def test_foreign_headers_are_ignored() -> None:
    assert decode_headers([*encode_headers(ENVELOPE), ("x", None), ("y", b"\xff")]) == ENVELOPE


def test_no_headers_at_all_miss_the_four_required_ones() -> None:
    assert [rule for _, rule in faults([])] == [Rule.MISSING_HEADER] * 4


def test_too_many_headers_are_refused_before_any_is_read() -> None:
    assert faults([("x", b"1")] * (MAX_HEADERS + 1)) == [("headers", Rule.TOO_MANY_HEADERS)]


def test_headers_are_bounded_in_bytes_too() -> None:
    assert faults([("x", b"1" * HEADERS_BYTES)]) == [("headers", Rule.TOO_MANY_HEADERS)]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("ce_specversion", b"0.3", Rule.SPECVERSION),
        ("ce_id", b"a b", Rule.ID_FORMAT),
        ("ce_id", b"a" * 129, Rule.ID_FORMAT),
        ("ce_id", b"a\x00", Rule.ID_FORMAT),
        ("ce_source", "fl\u043eor".encode(), Rule.ID_FORMAT),
        ("ce_time", b"yesterday", Rule.TIME_FORMAT),
        ("ce_time", b"9999-12-31T23:59:59-01:00", Rule.TIME_FORMAT),
        ("content-type", b"text/plain", Rule.CONTENT_TYPE),
        ("traceparent", b"\xff", Rule.BAD_HEADER),
    ],
)
def test_a_bad_attribute_breaks_the_rule_that_fits(name: str, value: bytes, rule: Rule) -> None:
    headers = [*((key, old) for key, old in encode_headers(ENVELOPE) if key != name), (name, value)]
    assert faults(headers) == [(f"headers.{name}", rule)]


def test_a_content_type_may_name_its_charset() -> None:
    headers = [
        *((key, old) for key, old in encode_headers(ENVELOPE) if key != "content-type"),
        ("content-type", b"Application/JSON; charset=utf-8"),
    ]
    assert decode_headers(headers) == ENVELOPE


def test_one_header_is_found_where_it_is_text() -> None:
    assert header([("a", b"1"), ("b", b"\xff"), ("c", None)], "a") == "1"
    assert header([("b", b"\xff"), ("c", None)], "b") is header([("c", None)], "c") is None


def test_times_are_written_in_utc() -> None:
    assert format_time(parse_time("2024-06-01T12:00:00.250000+02:00")) == "2024-06-01T10:00:00.250000Z"


@pytest.mark.parametrize("offset", [UTC, timezone(timedelta(hours=-5, minutes=-30)), timezone(timedelta(hours=14))])
@pytest.mark.parametrize("microseconds", [0, 1, 250_000, 999_999])
@pytest.mark.parametrize("year", [1970, 2024, 9998, 2, 999])
def test_a_time_is_written_as_isoformat_writes_it_in_utc(year: int, microseconds: int, offset: timezone) -> None:
    time = datetime(year, 2, 28, 23, 59, 59, microseconds, offset)
    assert format_time(time) == time.astimezone(UTC).isoformat().replace("+00:00", "Z")
