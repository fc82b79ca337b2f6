"""Labels that never find a prediction: they leave by event time, by their own model's rule, and nothing depends on when."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from monitoring_stream import (
    MODEL,
    START,
    Partition,
    Rows,
    knowledge,
    model_definition,
    record,
    records,
    tick,
)

from schemas.events.registry import DefinitionRecord
from schemas.events.validation import ValidatedLabel
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.joins import JoinStore
from services.monitoring.knowledge import Knowledge
from services.monitoring.tallies import Tally
from shared.records import StoredRecord

MANY = 50_000
IDLE = "never-deployed"


def label(model: str, event_id: str = "e0", at: datetime = START) -> ValidatedLabel:
    return ValidatedLabel(
        model=model, event_id=event_id, event_source="tests", entity_id="x", observed_at=at, value=True
    )


def many(model: str) -> list[StoredRecord]:
    one = record(LABELS_VALIDATED, label(model), 0)
    assert one.value is not None
    return [
        StoredRecord(one.topic, 0, n, one.timestamp, one.key, one.value.replace(b'"e0"', b'"e%d"' % n), one.headers)
        for n in range(MANY)
    ]


def knowing(timeout: str = "6h") -> Knowledge:
    """The usual model, and one that is defined but never deployed."""
    known = knowledge()
    label_delay = {"expected": "1h", "timeout": timeout}
    definition = model_definition(target={"name": "late", "type": "binary", "label": label_delay})
    definition["metadata"]["name"] = IDLE
    known.apply_definition(DefinitionRecord(kind="Model", name=IDLE, major=1, revision=1, definition=definition))
    return known


def ticks_at(partition: Partition, at: datetime, offset: int) -> None:
    for topic in (PREDICTIONS, LABELS_VALIDATED):
        partition.process([record(topic, tick(at), offset)])


def labels_in(partition: Partition) -> int:
    (count,) = partition.profiling._store._connection.execute("SELECT count(*) FROM labels").fetchone()
    return int(count)


def test_fifty_thousand_labels_of_a_model_that_is_never_deployed_leave_after_their_time(tmp_path: Path) -> None:
    partition, stream = Partition(tmp_path, knowing()), many(IDLE)
    for place in range(0, MANY, 5_000):
        partition.process(stream[place : place + 5_000])
    ticks_at(partition, START + timedelta(days=2), MANY)
    assert labels_in(partition) == MANY
    ticks_at(partition, START + timedelta(days=4), MANY + 1)
    assert labels_in(partition) == 0
    assert partition.state.entries["positions"]["floor"] is None


def test_labels_of_an_undefined_model_leave_too(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    partition.process([record(LABELS_VALIDATED, label("nobody-knows"), 0)])
    ticks_at(partition, START + timedelta(days=89), 1)
    assert labels_in(partition) == 1
    ticks_at(partition, START + timedelta(days=91), 2)
    assert labels_in(partition) == 0


def test_labels_wait_for_predictions_that_are_read_later_than_they(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    prediction = rows.prediction(START)
    hurried = [rows.label(prediction), tick(START + timedelta(days=30))]
    partition.process(records(PREDICTIONS, [tick(START)]))
    partition.process(records(LABELS_VALIDATED, hurried))
    partition.process(records(PREDICTIONS, [prediction, tick(START + timedelta(hours=8))], first=1))
    [quality] = [profile for profile in partition.profiles if profile.lane == "quality"]
    assert Tally.from_content(quality.content["tally"]).total("labelled") == 1


def test_a_window_of_a_model_with_short_time_outs_takes_no_label_of_another_along(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path, knowing(timeout="45d")), Rows()
    partition.process(records(PREDICTIONS, [rows.prediction(START + timedelta(hours=1))]))
    partition.process(records(LABELS_VALIDATED, [label(IDLE)]))
    ticks_at(partition, START + timedelta(days=4), 9)
    assert [key for key in partition.state.entries if key.startswith(f"window/{MODEL}")] == []
    assert labels_in(partition) == 1


def test_what_has_left_is_not_back_after_the_file_was_lost(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path, knowing(timeout="45d")), Rows()
    stranger = rows.label(rows.prediction(START))
    partition.process(records(LABELS_VALIDATED, [label(IDLE), stranger]))
    ticks_at(partition, START + timedelta(days=4), 9)
    assert labels_in(partition) == 1
    partition.lose_file()
    assert stranger in [item for item in map(_label, partition.replayed) if item is not None]
    assert labels_in(partition) == 1


def test_a_file_of_an_older_schema_is_thrown_away(tmp_path: Path) -> None:
    file = tmp_path / "labels-0.sqlite"
    with sqlite3.connect(file) as old:
        old.execute("CREATE TABLE positions (topic TEXT PRIMARY KEY, next INTEGER NOT NULL)")
        old.execute("INSERT INTO positions VALUES ('predictions', 7)")
    old.close()
    assert JoinStore(file).positions() == {}


def _label(item: StoredRecord) -> ValidatedLabel | None:
    return ValidatedLabel.model_validate_json(item.value or b"") if b"observed_at" in (item.value or b"") else None
