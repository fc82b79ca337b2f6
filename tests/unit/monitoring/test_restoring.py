"""The label join's file after a stop, a hand-over and a loss: what is read again, and that it is not more than that."""

from datetime import timedelta
from pathlib import Path

from monitoring_stream import START, Partition, Rows, hours, records, tick

from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.restoring import Stretch, restoration
from services.monitoring.windows import micros, moment

DEEP = {PREDICTIONS.name: 30_000_000, LABELS_VALIDATED.name: 90_000_000}
FLOOR = micros(START) // 1000
PREDICTED, LABELLED = hours(9, Rows(), per_hour=30)
OURS, THEIRS = records(PREDICTIONS, PREDICTED), records(LABELS_VALIDATED, LABELLED)


def test_a_file_that_is_one_batch_behind_is_read_on_from_where_it_stands() -> None:
    held = {**DEEP, PREDICTIONS.name: 29_998_000}
    plan = restoration(held, DEEP, FLOOR)
    assert plan is not None
    assert not plan.anew
    assert plan.stretches == [Stretch(PREDICTIONS, 29_998_000, 30_000_000)]
    assert plan.since == START


def test_a_lost_file_is_rebuilt_from_the_oldest_record_that_is_still_needed() -> None:
    plan = restoration({}, DEEP, FLOOR)
    assert plan is not None
    assert plan.anew
    assert [stretch.first for stretch in plan.stretches] == [0, 0]
    assert plan.since == moment(FLOOR * 1000)


def test_a_file_that_is_ahead_is_rebuilt() -> None:
    plan = restoration({**DEEP, PREDICTIONS.name: 30_000_001}, DEEP, FLOOR)
    assert plan is not None
    assert plan.anew


def test_nothing_is_read_where_nothing_is_needed_any_more() -> None:
    plan = restoration({}, DEEP, None)
    assert plan is not None
    assert plan.anew
    assert plan.stretches == ()


def test_nothing_is_done_where_the_file_is_up_to_date() -> None:
    assert restoration(DEEP, DEEP, FLOOR) is None


def test_a_stop_reads_one_batch_again_however_long_the_topics_are(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    for place in range(0, len(OURS), 20):
        partition.process([*OURS[place : place + 20], *THEIRS[place : place + 20]])
    last = partition.read[-len(OURS[place : place + 20]) - len(THEIRS[place : place + 20]) :]
    partition.kill()
    assert partition.replayed == last


def test_what_another_process_gave_up_meanwhile_leaves_a_file_that_lay_still(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    here, there = Partition(tmp_path), Partition(tmp_path / "elsewhere")
    for partition in (here, there):
        partition.process([*OURS, *THEIRS])
    here.profiling._store.commit()
    far = [tick(START + timedelta(days=3)), tick(START + timedelta(days=4))]
    later = [*records(PREDICTIONS, far, first=len(OURS)), *records(LABELS_VALIDATED, far, first=len(THEIRS))]
    there.process(later)
    here.state, here.read = there.state, there.read
    here.kill()
    assert _predictions(here) == _predictions(there) == 0


def _predictions(partition: Partition) -> int:
    (count,) = partition.profiling._store._connection.execute("SELECT count(*) FROM predictions").fetchone()
    return int(count)
