import json
import time
from collections.abc import Callable

import pytest

from schemas.decoding import decode_event, decode_label, decode_strict, decode_tick
from schemas.reasons import MAX_REASONS, OBSERVED_LIMIT, RefusedRecordError, Rule
from schemas.topics import EDGE_RECORD_BYTES


def rules(payload: bytes) -> list[tuple[str, str]]:
    with pytest.raises(RefusedRecordError) as refused:
        decode_strict(payload)
    return [(each.field, each.rule) for each in refused.value.reasons]


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"", Rule.EMPTY),
        (b" \n", Rule.EMPTY),
        (b"\xef\xbb\xbf{}", Rule.ENCODING),
        ('{"a":"é"}'.encode("latin-1"), Rule.ENCODING),
        ('{"a":1}'.encode("utf-16"), Rule.ENCODING),
        ('{"a":1}'.encode("utf-16-be"), Rule.ENCODING),
        (b'{"a":"\xed\xa0\x80"}', Rule.ENCODING),
        (b'{"a":"\x00"}', Rule.ENCODING),
        (b'{"a":1} x', Rule.TRAILING_DATA),
        (b"{}{}", Rule.TRAILING_DATA),
        (b'{"a":1', Rule.JSON_SYNTAX),
        (b'{"a":01}', Rule.JSON_SYNTAX),
        (b"{'a':1}", Rule.JSON_SYNTAX),
        (b'{"a":"\x01"}', Rule.JSON_SYNTAX),
        (b'{"a":' * 65 + b"1" + b"}" * 65, Rule.NESTING),
        (b"[" * 100_000 + b"]" * 100_000, Rule.NESTING),
        (b"[" * 100_000, Rule.NESTING),
        (b"[]", Rule.NOT_AN_OBJECT),
        (b"null", Rule.NOT_AN_OBJECT),
        (b'"a"', Rule.NOT_AN_OBJECT),
        (b" " * (EDGE_RECORD_BYTES + 1), Rule.TOO_LARGE),
    ],
)
def test_bytes_that_are_no_json_object_break_the_rule_that_fits(payload: bytes, rule: Rule) -> None:
    assert rules(payload) == [("(record)", rule)]


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"a":NaN}', [("a", Rule.NOT_FINITE)]),
        (b'{"a":[1,-Infinity]}', [("a[1]", Rule.NOT_FINITE)]),
        (b'{"a":{"b":1e999}}', [("a.b", Rule.NUMBER_TOO_LARGE)]),
        (b'{"a":9223372036854775808}', [("a", Rule.NUMBER_TOO_LARGE)]),
        (b'{"a":-9223372036854775809}', [("a", Rule.NUMBER_TOO_LARGE)]),
        (b'{"a":' + b"9" * 5000 + b"}", [("a", Rule.NUMBER_TOO_LARGE)]),
        (b'{"a":1,"a":1}', [("a", Rule.DUPLICATE_KEY)]),
        (b'{"a":1,"\\u0061":1}', [("a", Rule.DUPLICATE_KEY)]),
        (b'{"x":{"a":1,"a":2}}', [("x.a", Rule.DUPLICATE_KEY)]),
        (b'{"a":[{"b":1,"b":2}]}', [("a[0].b", Rule.DUPLICATE_KEY)]),
        (b'{"a":1,"a":"::"}', [("a", Rule.DUPLICATE_KEY)]),
        (b'{"a":"x","a":"\\u003a"}', [("a", Rule.DUPLICATE_KEY)]),
        (b'{"a":"x","a":"\\u003A"}', [("a", Rule.DUPLICATE_KEY)]),
        (b'{"a":"\\ud800"}', [("a", Rule.LONE_SURROGATE)]),
        (b'{"a":"\\udc00\\ud800"}', [("a", Rule.LONE_SURROGATE)]),
        (b'{"\\ud800":1}', [("(record)", Rule.LONE_SURROGATE)]),
        (
            b'{"a":NaN,"b":NaN,"b":1e999}',
            [("b", Rule.DUPLICATE_KEY), ("a", Rule.NOT_FINITE), ("b", Rule.NUMBER_TOO_LARGE)],
        ),
    ],
)
def test_every_fault_inside_is_named_with_its_path(payload: bytes, found: list[tuple[str, Rule]]) -> None:
    assert rules(payload) == found


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":9223372036854775807,"b":-9223372036854775808}',
        b'{"a":"\\ud83d\\ude00","b":"\xf0\x9f\x98\x80"}',
        b'{"a:b":"c:d","e":[":",{"f":":"}]}',
        b'{"a":"\\u003a","b":"\\\\u003a"}',
        b'{"a":"\\u0000"}',
        b'{"a": {"b" : 1e-400 }, "c" :\n-0}',
        b'{"a":' * 63 + b"{}" + b"}" * 63,
    ],
)
def test_what_is_legal_is_read_as_json_reads_it(payload: bytes) -> None:
    assert decode_strict(payload) == json.loads(payload)


def test_sixty_four_levels_are_accepted_and_one_more_is_not() -> None:
    assert decode_strict(b'{"a":' * 63 + b"[1]" + b"}" * 63)
    assert rules(b'{"a":' * 64 + b"[1]" + b"}" * 64) == [("(record)", Rule.NESTING)]


def test_brackets_inside_strings_do_not_nest() -> None:
    assert rules(b'{"a":"' + b"[" * 100 + b'\\"","b":NaN}') == [("b", Rule.NOT_FINITE)]


def test_a_record_with_endless_faults_gives_a_bounded_answer() -> None:
    fields = ",".join(f'"{i:0300}":NaN' for i in range(500))
    with pytest.raises(RefusedRecordError) as refused:
        decode_strict(f"{{{fields}}}".encode())
    assert len(refused.value.reasons) == MAX_REASONS
    assert "300 more faults" in refused.value.reasons[-1].observed
    assert all(len(each.field) < OBSERVED_LIMIT + 30 for each in refused.value.reasons)


@pytest.mark.parametrize("decode", [decode_event, decode_label, decode_tick])
def test_a_contract_is_decoded_by_the_letter_too(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(RefusedRecordError) as refused:
        decode(b'{"feature_set":"a@1","feature_set":"b@1"}')
    assert [each.rule for each in refused.value.reasons] == [Rule.DUPLICATE_KEY]


def test_a_big_object_with_a_repeated_key_is_refused_in_good_time() -> None:
    fields = ",".join(f'"k{i}":0' for i in range(20_000))
    started = time.process_time()
    assert rules(f'{{{fields},"k7":1}}'.encode()) == [("k7", Rule.DUPLICATE_KEY)]
    assert time.process_time() - started < 2
