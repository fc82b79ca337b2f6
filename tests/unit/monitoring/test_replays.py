"""Replayed dead letters of both stages."""

from datetime import timedelta
from pathlib import Path

from monitoring_stream import NAMES, START, Partition, Rows, bodies, hours, records, tick

from schemas.events.monitoring import AlertCommand
from schemas.topics import ALERTS_COMMANDS, LABELS_VALIDATED, PREDICTIONS, dead_letters
from services.monitoring.replays import RETRY
from shared.clock import FixedClock
from shared.dead_letters import dead_letter, replay
from shared.records import Outgoing, StoredRecord, message


def again(record: StoredRecord, offset: int = 0) -> StoredRecord:
    letter = dead_letter(record, service="monitoring", code="c", message="m", clock=FixedClock(START))
    sent = replay(StoredRecord("d", 0, 0, 0, letter.key, letter.value, letter.headers))
    return StoredRecord(NAMES.name(RETRY), 0, offset, record.timestamp, sent.key, sent.value, sent.headers)


def test_replayed_predictions_and_labels_count_as_the_originals_would(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    predicted, labelled = hours(3, Rows(), per_hour=20)
    whole, mended = Partition(tmp_path), Partition(tmp_path / "a")
    ours, theirs = records(PREDICTIONS, predicted), records(LABELS_VALIDATED, labelled)
    for partition, lost in ((whole, ()), (mended, (3, 5))):
        partition.process([item for place, item in enumerate(ours[:20]) if place not in lost])
        for offset, place in enumerate(lost):
            partition.process([again(ours[place], offset)])
        partition.process(ours[20:])
        partition.process([item for place, item in enumerate(theirs[:10]) if place not in lost])
        for offset, place in enumerate(lost):
            partition.process([again(theirs[place], 10 + offset)])
        partition.process(theirs[10:])
    assert {key: p.content["tally"] for key, p in mended.last("performance").items()} == {
        key: p.content["tally"] for key, p in whole.last("performance").items()
    }
    assert {key: p.content["tally"] for key, p in mended.last("quality").items()} == {
        key: p.content["tally"] for key, p in whole.last("quality").items()
    }
    assert len(whole.last("performance")) == len(whole.last("quality")) == 2


def test_a_replayed_tick_moves_the_event_time_of_its_own_topic(tmp_path: Path) -> None:
    partition, rows = Partition(tmp_path), Rows()
    partition.process(records(PREDICTIONS, [rows.prediction(START)]))
    partition.process([again(records(PREDICTIONS, [tick(START + timedelta(hours=3))], first=9)[0])])
    assert len(partition.profiles) == 1


def test_what_the_second_stage_could_not_take_is_passed_on_to_it(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    order = AlertCommand(command_id="c1", fingerprint="f", action="acknowledge", actor="alex", issued_at=START)
    sent = message(ALERTS_COMMANDS, order, key="f", source="tests")
    original = StoredRecord(NAMES.name(ALERTS_COMMANDS), 0, 4, 0, sent.key, sent.value, sent.headers)
    partition.process([again(original)])
    assert bodies(partition.published, ALERTS_COMMANDS, AlertCommand) == [order]


def test_what_neither_stage_reads_is_a_dead_letter_again(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    headers = [("ce_type", b"headrace.event.v1")]
    partition.process([again(StoredRecord(NAMES.prefix + "elsewhere", 0, 4, 0, b"k", b"{}", headers))])
    (letter,) = partition.published
    assert isinstance(letter, Outgoing)
    assert (letter.topic, dict(letter.headers)["ce_code"]) == (dead_letters("monitoring"), b"unknown_type")
