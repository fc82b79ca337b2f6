"""The label join's file on a disk that is full, locked or damaged: the partition waits, nothing is lost."""

import sqlite3
from pathlib import Path

import pytest
from monitoring_stream import Partition, Rows, hours, knowledge, records

from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.joins import JoinStore
from shared.errors import TransientError

PREDICTED, LABELLED = hours(4, Rows(), per_hour=30)
OURS, THEIRS = records(PREDICTIONS, PREDICTED), records(LABELS_VALIDATED, LABELLED)


def test_a_full_disk_is_said_in_a_sentence_and_the_windows_are_equal_once_there_is_space(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    fine, full = Partition(tmp_path), Partition(tmp_path / "full", knowledge())
    for partition in (fine, full):
        partition.process(OURS[:40])
    pages = full.profiling._store._connection.execute("PRAGMA page_count").fetchone()[0]
    full.profiling._store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be full
    with pytest.raises(TransientError, match=r"database or disk is full.*nothing is lost"):
        full.profiling.process(OURS[40:])
    full.kill()
    for partition in (fine, full):
        partition.process(OURS[40:])
        partition.process(THEIRS)
    assert [item.value for item in full.published] == [item.value for item in fine.published]
    assert len(fine.profiles) > 3


def test_a_lock_passes(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    partition.process(OURS[:10])
    other = sqlite3.connect(partition.file, isolation_level=None)
    partition.profiling._store.commit()
    partition.profiling._store._connection.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="cannot be used: database is locked"):
        partition.profiling.process(OURS[10:20])
    other.execute("ROLLBACK")
    other.close()
    partition.kill()
    partition.process(OURS[10:20])
    assert partition.read == OURS[:20]


def test_a_damaged_file_is_removed_to_be_rebuilt(tmp_path: Path) -> None:
    file = tmp_path / "labels-0.sqlite"
    store = JoinStore(file)
    trouble = store.trouble(sqlite3.DatabaseError("database disk image is malformed"))
    assert isinstance(trouble, TransientError)
    store.close()
    assert not file.exists()
    assert JoinStore(file).positions() == {}


def test_a_bug_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    bug = sqlite3.ProgrammingError("wrong number of bindings")
    assert JoinStore(tmp_path / "labels-0.sqlite").trouble(bug) is bug
