"""The same facts give the same data set, byte for byte, however they arrived and wherever they were cut into segments."""

import random
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_scene import (
    PARTITIONS,
    SET,
    START,
    event_body,
    feature_set,
    filled,
    label,
    label_body,
    model,
    record,
    rows,
)

from services.training import dataset_files, selection
from services.training.dataset import Dataset, build
from services.training.segments import EVENTS, LABELS
from services.training.store import RecordStore
from shared.records import Record

COUNT = 80
AS_OF = START + timedelta(hours=COUNT + 2)
MODEL = model()
Fact = tuple[str, Any, str]


def facts() -> list[Fact]:
    """Events, labels, revisions of labels, labels that are observed after the cut-off, events outside the window."""
    rng = np.random.default_rng(5)
    found: list[Fact] = []
    for number, row in enumerate(rows(COUNT, seed=5)):
        at = START + timedelta(hours=number // 2)  # two of each instant
        found.append(("events.validated", event_body(row, at), f"e{number}"))
        value = bool(label("binary", row, rng))
        found.append(
            ("labels.validated", label_body("binary", f"e{number}", value, at + timedelta(hours=1)), f"l{number}")
        )
        if number % 9 == 0:
            revised = label_body("binary", f"e{number}", not value, at + timedelta(hours=2), version=2)
            found.append(("labels.validated", revised, f"r{number}"))
        if number % 11 == 0:
            late = label_body("binary", f"e{number}", not value, AS_OF + timedelta(seconds=1), version=3)
            found.append(("labels.validated", late, f"x{number}"))
    found.append(("events.validated", event_body(rows(1)[0], AS_OF), "too-late"))
    found.append(("labels.validated", label_body("binary", "too-late", True, AS_OF), "too-late"))
    found.append(("labels.validated", label_body("binary", "unheard-of", True, START), "orphan"))
    return found


FACTS = facts()


def stood(order: list[Fact], seed: int) -> list[tuple[str, Record]]:
    """The facts as records, each in a partition by chance, offsets in order of arrival with gaps as markers leave them."""
    chance = random.Random(seed)
    offsets: dict[tuple[str, int], int] = {}
    found: list[tuple[str, Record]] = []
    for topic, body, identity in order:
        partition = chance.randrange(PARTITIONS[topic])
        offset = offsets.get((topic, partition), 0) + chance.randrange(3)
        offsets[topic, partition] = offset + 1
        found.append((topic, record(topic, partition, offset, body, identity)))
    return found


def dataset_of(store: RecordStore) -> Dataset:
    start = AS_OF - MODEL.spec.dataset.window
    chosen = selection.select(
        store.select(EVENTS, SET, start, AS_OF),
        store.select(LABELS, MODEL.metadata.name, None, AS_OF),
        start=start,
        as_of=AS_OF,
    )
    return build(chosen, MODEL, feature_set(), AS_OF)


def written(order: list[Fact], seed: int, flush_every: int) -> tuple[Dataset, bytes]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        found = dataset_of(filled(root, stood(order, seed), flush_every=flush_every))
        return found, dataset_files.materialize(found, MODEL.metadata.name, root).parquet.read_bytes()


@cache
def plain() -> tuple[Dataset, bytes]:
    return written(FACTS, 0, 10_000)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.permutations(FACTS),
    repeated=st.lists(st.sampled_from(FACTS), max_size=30),
    seed=st.integers(0, 10_000),
    flush_every=st.integers(5, 200),
)
def test_order_of_arrival_segments_and_duplicates_change_neither_digest_nor_bytes(
    order: list[Fact], repeated: list[Fact], seed: int, flush_every: int
) -> None:
    expected, content = plain()
    found, bytes_found = written([*order, *repeated], seed, flush_every)
    assert found.version.version == expected.version.version
    assert bytes_found == content
    assert found.version.labelled == COUNT


@settings(max_examples=15, deadline=None)
@given(position=st.integers(0, COUNT - 1))
def test_a_single_changed_label_is_another_version(position: int) -> None:
    changed = list(FACTS)
    identity = f"e{position}"
    where = next(i for i, (_, body, _) in enumerate(changed) if getattr(body, "event_id", "") == identity)
    topic, body, name = changed[where]
    changed[where] = (
        topic,
        body.model_copy(update={"value": not body.value, "label_version": 2, "observed_at": AS_OF}),
        name,
    )
    found, _ = written(changed, 0, 10_000)
    assert found.version.version != plain()[0].version.version


def test_the_revised_label_known_at_the_cut_off_wins_and_a_later_one_does_not_exist_yet() -> None:
    found, _ = plain()
    versions = dict(
        zip(found.table.column("event.id").to_pylist(), found.table.column("label.version").to_pylist(), strict=True)
    )
    assert versions["e9"] == 2
    assert versions["e11"] == 1
    assert versions["e0"] == 2
    assert set(versions.values()) == {1, 2}
    assert found.table.num_rows == COUNT


def test_rows_stand_by_time_source_and_id_and_the_blocks_follow_each_other() -> None:
    table = plain()[0].table
    keys = list(
        zip(
            *(table.column(name).to_pylist() for name in ("event.occurred_at", "event.source", "event.id")), strict=True
        )
    )
    assert keys == sorted(keys)
    blocks = table.column("split").to_pylist()
    assert blocks == sorted(blocks, key=["train", "validation", "test"].index)
