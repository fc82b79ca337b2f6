"""Records that nobody would send: strategies that damage good ones in every part, and make others up."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from shared.records import StoredRecord

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["", "2024-05-01T10:00:00Z", "0001-01-01T00:00:00Z", "rides@1", "-0", "1e999", "\0"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type", "traceparent", "ce_x", "other")
HEADER_VALUES = st.none() | st.binary(max_size=8) | st.sampled_from([b"1.0", b"application/json", b"headrace.tick.v1"])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value but the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, item in items for found in ((*path, name), *_paths(item, (*path, name)))]


def filled(record: StoredRecord, characters: int = 240_000) -> Iterator[StoredRecord]:
    """``record`` once for each text, list and object in its body, which takes about ``characters`` then, and with such headers."""
    for number, (*way, last) in enumerate(_paths(json.loads(record.value or b"{}"))):
        body = json.loads(record.value or b"{}")
        target = body
        for step in way:
            target = target[step]
        present = target[last]
        if isinstance(present, str):
            target[last] = "\x01" * (characters // 6) if number % 2 else "x" * characters
        elif isinstance(present, list):
            target[last] = present + [f"f{position}" for position in range(characters // 10)]
        elif isinstance(present, dict):
            target[last] = present | {f"k{position}": 1e15 for position in range(characters // 16)}
        else:
            continue
        yield replace(record, value=json.dumps(body).replace("1000000000000000.0", "1e15").encode())
    yield replace(record, headers=(*record.headers, ("traceparent", b"0" * 4 * characters)))
    yield replace(record, headers=(*record.headers, ("ce_model", b"\0" * 4 * characters)))


@st.composite
def damaged_bodies(draw: st.DrawFn, body: bytes) -> bytes | None:
    """``body`` with one place changed, removed or added, with other bytes in it, or something else altogether."""
    how = draw(st.sampled_from(["value", "value", "value", "remove", "add", "bytes", "cut", "other", "json", "none"]))
    if how == "none":
        return None
    if how == "other":
        return draw(st.binary(max_size=30))
    if how == "json":
        return json.dumps(draw(VALUES)).encode()
    if how == "cut":
        return body[: draw(st.integers(0, len(body)))]
    if how == "bytes":
        place = draw(st.integers(0, len(body)))
        return body[:place] + draw(st.binary(min_size=1, max_size=3)) + body[place + draw(st.integers(0, 3)) :]
    record = json.loads(body)
    *way, last = draw(st.sampled_from(_paths(record) or [("more",)]))
    target = record
    for step in way:
        target = target[step]
    if how == "remove":
        target.pop(last, None) if isinstance(target, dict) else target.pop(last)
    elif how == "add" and isinstance(target, dict):
        target[draw(st.text(max_size=4))] = draw(VALUES)
    else:
        target[last] = draw(VALUES)
    return json.dumps(record).encode()


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[StoredRecord], topics: Sequence[str]) -> StoredRecord:
    """One of ``good``, as it is or damaged in its body, key, headers or place."""
    record = draw(st.sampled_from(good))
    key, value, headers, topic = record.key, record.value, list(record.headers), record.topic
    for part in draw(
        st.sampled_from([(), ("body",), ("body",), ("key",), ("headers",), ("topic",), ("body", "headers")])
    ):
        if part == "key":
            key = draw(st.none() | st.binary(max_size=4))
        elif part == "topic":
            topic = draw(st.sampled_from(topics))
        elif part == "headers":
            changed = draw(st.lists(st.tuples(st.sampled_from(NAMES), HEADER_VALUES), max_size=3))
            dropped = draw(st.sets(st.sampled_from(NAMES), max_size=2)) | (
                {name for name, _ in changed} if draw(st.booleans()) else set()
            )
            headers = [*((name, old) for name, old in headers if name not in dropped), *changed]
        elif value is not None:
            value = draw(damaged_bodies(value))
    return StoredRecord(topic, record.partition, record.offset, record.timestamp, key, value, tuple(headers))


def batches(good: Sequence[StoredRecord], topics: Sequence[str]) -> st.SearchStrategy[list[StoredRecord]]:
    """A few records in order, at offsets of their own."""
    return st.lists(damaged(good, topics), min_size=1, max_size=6).map(
        lambda records: [
            StoredRecord(each.topic, each.partition, offset, each.timestamp, each.key, each.value, each.headers)
            for offset, each in enumerate(records)
        ]
    )
