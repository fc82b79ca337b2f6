import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.decoding import decode_event, decode_label, decode_strict, decode_tick
from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.reasons import MAX_REASONS, RefusedRecordError, Rule
from schemas.strict_json import MAX_NESTING, parse

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    [":", '":"', "\\", "\\u003a", '{"a":1}', "\x00", "é", "😀"]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=6)
STYLES = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 1]),
        "separators": st.sampled_from([(",", ":"), (" ,\n", " : ")]),
    }
)


def answered(error: RefusedRecordError) -> None:
    assert 0 < len(error.reasons) <= MAX_REASONS


def refusal(payload: bytes) -> set[str]:
    try:
        parse(payload)
    except RefusedRecordError as error:
        answered(error)
        return {each.rule for each in error.reasons}
    return set()


@given(OBJECTS, STYLES)
def test_every_json_object_in_every_notation_is_read_as_it_was_written(
    value: dict[str, Any], style: dict[str, Any]
) -> None:
    assert decode_strict(json.dumps(value, **style).encode()) == value


@given(OBJECTS, STYLES, st.data())
def test_a_repeated_key_is_found_wherever_it_stands(
    value: dict[str, Any], style: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(value)) if value else st.just("a"))
    text = json.dumps({**value, name: value.get(name)}, **style)
    again = json.dumps(name, ensure_ascii=data.draw(st.booleans()))
    repeated = f"{text.rstrip().removesuffix('}')}, {again}: {json.dumps(data.draw(JSON))}}}"
    assert refusal(repeated.encode()) == {Rule.DUPLICATE_KEY}
    assert refusal(f'{{"outer": [{repeated}]}}'.encode()) == {Rule.DUPLICATE_KEY}


@given(
    st.binary(max_size=200)
    | OBJECTS.map(lambda value: json.dumps(value).encode()).flatmap(
        lambda text: st.binary(max_size=3).map(lambda more: text + more)
    )
)
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":"\\ud800"}')
@example(b"[" * 10_000)
@example(b'{"a":' * 10_000)
def test_any_bytes_are_read_or_refused_with_a_reason(payload: bytes) -> None:
    for decode in (decode_strict, decode_event, decode_label, decode_tick):
        try:
            decode(payload)
        except RefusedRecordError as error:
            answered(error)


@given(OBJECTS)
def test_any_object_is_an_event_or_a_label_or_refused(value: dict[str, Any]) -> None:
    known = {"feature_set": "a@1", "entity_id": "e", "occurred_at": "2024-06-01T00:00:00Z", "features": {}, "value": 1}
    for decode in (decode_event, decode_label, decode_tick):
        try:
            decode(json.dumps({**known, **value}).encode())
        except RefusedRecordError as error:
            answered(error)


@given(depth=st.integers(1, 130), arrays=st.booleans())
def test_nesting_is_bounded_in_objects_and_arrays_alike(depth: int, *, arrays: bool) -> None:
    text = "[" * depth + "]" * depth if arrays else '{"a":' * depth + "1" + "}" * depth
    assert refusal(text.encode()) == ({Rule.NESTING} if depth > MAX_NESTING else set())


@given(st.integers(-(10**30), 10**30))
def test_an_integer_is_kept_exactly_or_refused(number: int) -> None:
    payload = f'{{"a":{number}}}'.encode()
    if -(2**63) <= number < 2**63:
        assert decode_strict(payload) == {"a": number}
    else:
        assert refusal(payload) == {Rule.NUMBER_TOO_LARGE}


IDS = st.from_regex(r"[A-Za-z0-9._:/-]{1,128}", fullmatch=True)


@given(
    IDS,
    IDS,
    st.none() | st.datetimes().map(lambda time: time.astimezone()),
    st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), TEXT, max_size=3),
)
@settings(max_examples=50)
def test_an_envelope_comes_back_from_its_headers(
    identifier: str, source: str, time: Any, extensions: dict[str, str]
) -> None:
    extensions = {
        name: value for name, value in extensions.items() if name not in {"id", "source", "type", "time", "specversion"}
    }
    envelope = Envelope(id=identifier, source=source, type="headrace.event.v1", time=time, extensions=extensions)
    assert decode_headers(encode_headers(envelope)) == envelope


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["ce_id", "ce_source", "ce_type", "ce_time", "ce_specversion", "content-type", "traceparent", "x"]
            ),
            st.none() | st.binary(max_size=20),
        ),
        max_size=80,
    )
)
def test_any_headers_are_read_or_refused(headers: list[tuple[str, bytes | None]]) -> None:
    try:
        decode_headers(headers)
    except RefusedRecordError as error:
        answered(error)
