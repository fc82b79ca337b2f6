"""Bodies of events and labels with one defect each: the status at HTTP, and the reason code that is the same everywhere."""

import gzip
from dataclasses import dataclass
from typing import Final, Literal

from rides import FEATURES, event_body, label_body

from schemas.topics import EDGE_RECORD_BYTES

Kind = Literal["event", "label"]


@dataclass(frozen=True, slots=True)
class BadBody:
    """A body that HTTP answers with ``status``, and that Kafka's way quarantines; ``code`` is that of its first reason."""

    name: str
    body: bytes
    status: int
    code: str
    kind: Kind = "event"


def _features(**changes: object) -> bytes:
    return event_body(features={**FEATURES, **changes})


def _number(text: bytes) -> bytes:
    """An event whose distance is ``text``, whatever that is."""
    return event_body().replace(b"12.5", text)


BYTES_AND_JSON: Final = (
    BadBody("not-a-number", _number(b"NaN"), 422, "not_finite"),
    BadBody("infinity", _number(b"-Infinity"), 422, "not_finite"),
    BadBody("beyond-a-double", _number(b"1e999"), 422, "number_too_large"),
    BadBody("integer-of-5000-digits", _number(b"9" * 5000), 422, "number_too_large"),
    BadBody(
        "integer-of-64-bits-and-one", event_body().replace(b": 7", b": 9223372036854775808"), 422, "number_too_large"
    ),
    BadBody("integer-below-64-bits", event_body().replace(b": 7", b": -9223372036854775809"), 422, "number_too_large"),
    BadBody("arrays-nested-too-deep", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", 422, "nesting"),
    BadBody("objects-nested-too-deep", b'{"a":' * 65 + b"1" + b"}" * 65, 422, "nesting"),
    BadBody("never-closed-brackets", b"[" * 100_000, 422, "nesting"),
    BadBody(
        "repeated-key", event_body().replace(b'"features"', b'"entity_id": "e2", "features"'), 422, "duplicate_key"
    ),
    BadBody(
        "repeated-key-escaped",
        event_body().replace(b'"features"', b'"\\u0065ntity_id": "e2", "features"'),
        422,
        "duplicate_key",
    ),
    BadBody("repeated-feature", event_body().replace(b'"hour": 7', b'"hour": 7, "hour": 7'), 422, "duplicate_key"),
    BadBody("latin-1", event_body().replace(b'"A"', '"é"'.encode("latin-1")), 400, "encoding"),
    BadBody("utf-16", event_body().decode().encode("utf-16"), 400, "encoding"),
    BadBody("utf-16-without-mark", event_body().decode().encode("utf-16-le"), 400, "encoding"),
    BadBody("byte-order-mark", b"\xef\xbb\xbf" + event_body(), 400, "encoding"),
    BadBody("surrogate-in-utf-8", event_body().replace(b'"A"', b'"\xed\xa0\x80"'), 400, "encoding"),
    BadBody("gzip", gzip.compress(event_body(), mtime=0), 400, "encoding"),
    BadBody("raw-nul-byte", event_body().replace(b'"A"', b'"\x00"'), 400, "encoding"),
    BadBody("lone-surrogate", event_body().replace(b'"A"', b'"\\ud800"'), 422, "lone_surrogate"),
    BadBody("lone-surrogate-in-an-id", event_body().replace(b'"e1"', b'"\\ud800"'), 422, "lone_surrogate"),
    BadBody("nul-in-an-id", event_body("e\0"), 422, "id_format"),
    BadBody("empty", b"", 400, "empty"),
    BadBody("blank", b" \r\n\t", 400, "empty"),
    BadBody("cut-off", event_body()[:-2], 400, "json_syntax"),
    BadBody("single-quotes", event_body().replace(b'"', b"'"), 400, "json_syntax"),
    BadBody("comment", b"/* */" + event_body(), 400, "json_syntax"),
    BadBody("trailing-comma", event_body()[:-1] + b",}", 400, "json_syntax"),
    BadBody("trailing-junk", event_body() + b"x", 400, "trailing_data"),
    BadBody("two-records", event_body() + event_body(), 400, "trailing_data"),
    BadBody("array", b"[1]", 422, "not_an_object"),
    BadBody("array-of-records", b"[" + event_body() + b"]", 422, "not_an_object"),
    BadBody("null", b"null", 422, "not_an_object"),
    BadBody("string", b'"event"', 422, "not_an_object"),
    BadBody("larger-than-a-record", event_body().ljust(EDGE_RECORD_BYTES + 1), 413, "too_large"),
)

SCHEMA_AND_TIME: Final = (
    BadBody("empty-object", b"{}", 422, "missing_field"),
    BadBody("missing-field", event_body().replace(b'"feature_set"', b'"featureSet"'), 422, "missing_field"),
    BadBody("extra-field", event_body(extra=1), 422, "extra_field"),
    BadBody("dunder-field", event_body(__class__="x"), 422, "extra_field"),
    BadBody("body-of-another-contract", label_body(), 422, "missing_field"),
    BadBody("structured-event-in-the-body", b'{"specversion":"0.3","id":"a","data":' + event_body() + b"}", 422, "missing_field"),
    BadBody("features-are-a-list", event_body(features=[1]), 422, "type"),
    BadBody("features-are-null", event_body(features=None), 422, "type"),
    BadBody("numeric-string", _features(distance="12"), 422, "type"),
    BadBody("bool-for-a-number", _features(distance=True), 422, "type"),
    BadBody("bool-for-an-integer", _features(hour=False), 422, "type"),
    BadBody("float-for-an-integer", _features(hour=1.0), 422, "type"),
    BadBody("object-for-a-number", _features(distance={"$gt": 0}), 422, "type"),
    BadBody("number-for-a-category", _features(city=1), 422, "type"),
    BadBody("null-where-none-may-be", _features(distance=None), 422, "null"),
    BadBody("out-of-range", _features(distance=-0.1), 422, "range"),
    BadBody("beyond-float32", _features(distance=1e39), 422, "number_too_large"),
    BadBody("unseen-category", _features(city="C"), 422, "category"),
    BadBody("category-in-another-case", _features(city="a"), 422, "category"),
    BadBody("category-with-a-blank", _features(city="A "), 422, "category"),
    BadBody("pattern", _features(phone="+49"), 422, "pattern"),
    BadBody("pattern-then-newline", _features(phone="49\n"), 422, "pattern"),
    BadBody("rule-across-features", _features(distance=95.0, hour=3), 422, "rule"),
    BadBody("missing-feature", event_body(features={"distance": 1.0, "hour": 1, "city": "A"}), 422, "missing_feature"),
    BadBody("extra-feature", _features(colour="red"), 422, "extra_field"),
    BadBody("derived-feature-sent", _features(far=True), 422, "extra_field"),
    BadBody("homoglyph-name", event_body(features={"dіstance" if name == "distance" else name: value for name, value in FEATURES.items()}), 422, "missing_feature"),
    BadBody("homoglyph-category", _features(city="А"), 422, "category"),
    BadBody("unknown-feature-set", event_body(feature_set="nobody@1"), 422, "unknown_feature_set"),
    BadBody("unknown-major", event_body(feature_set="rides@2"), 422, "unknown_feature_set"),
    BadBody("feature-set-is-a-path", event_body(feature_set="../rides@1"), 422, "unknown_feature_set"),
    BadBody("feature-set-is-a-number", event_body(feature_set=1), 422, "type"),
    BadBody("naive-time", event_body(occurred_at="2024-05-01T10:00:00"), 422, "time_format"),
    BadBody("date-alone", event_body(occurred_at="2024-05-01"), 422, "time_format"),
    BadBody("epoch-number", event_body(occurred_at=1714557600), 422, "time_format"),
    BadBody("epoch-text", event_body(occurred_at="1714557600"), 422, "time_format"),
    BadBody("no-such-day", event_body(occurred_at="2023-02-29T10:00:00Z"), 422, "time_format"),
    BadBody("beyond-the-calendar", event_body(occurred_at="9999-12-31T23:59:59-23:59"), 422, "time_format"),
    BadBody("in-the-future", event_body(occurred_at="2999-01-01T00:00:00Z"), 422, "time_range"),
    BadBody("before-1970", event_body(occurred_at="1969-12-31T23:59:59Z"), 422, "time_range"),
    BadBody("empty-id", event_body(""), 422, "id_format"),
    BadBody("id-too-long", event_body("x" * 129), 422, "id_format"),
    BadBody("id-with-a-blank", event_body("e 1"), 422, "id_format"),
    BadBody("id-with-a-newline", event_body("e1\n"), 422, "id_format"),
    BadBody("id-homoglyph", event_body("е1"), 422, "id_format"),
    BadBody("id-with-markup", event_body("<script>"), 422, "id_format"),
    BadBody("id-is-a-number", event_body().replace(b'"e1"', b"1"), 422, "type"),
)  # fmt: skip

LABELS: Final = (
    BadBody("label-of-an-unknown-model", label_body(model="nobody"), 422, "unknown_model", "label"),
    BadBody("label-that-is-no-class", label_body(value=2), 422, "label_value", "label"),
    BadBody("label-as-text", label_body(value="yes"), 422, "label_value", "label"),
    BadBody("label-is-null", label_body(value=None), 422, "type", "label"),
    BadBody("label-is-a-list", label_body(value=[True]), 422, "type", "label"),
    BadBody("label-not-a-number", label_body().replace(b"true", b"NaN"), 422, "not_finite", "label"),
    BadBody("label-version-zero", label_body(label_version=0), 422, "range", "label"),
    BadBody("label-version-bool", label_body(label_version=True), 422, "type", "label"),
    BadBody("label-version-huge", label_body(label_version=2**31), 422, "range", "label"),
    BadBody("label-observed-yesterday", label_body(observed_at="yesterday"), 422, "time_format", "label"),
    BadBody("label-observed-in-the-future", label_body(observed_at="2999-01-01T00:00:00Z"), 422, "time_range", "label"),
    BadBody("label-of-an-id-with-blanks", label_body(event_id="an id"), 422, "id_format", "label"),
    BadBody("label-with-an-event-body", event_body(), 422, "missing_field", "label"),
)

BODIES: Final = (*BYTES_AND_JSON, *SCHEMA_AND_TIME, *LABELS)
