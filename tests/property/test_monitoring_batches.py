"""However a topic is cut into batches, and however often monitoring dies, the same profiles and windows come out."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_stream import Partition, Rows, Verdicts, hours, knowledge, records

from schemas.topics import LABELS_VALIDATED, PREDICTIONS

PREDICTED, LABELLED = hours(8, Rows(), per_hour=40)
OURS, THEIRS = records(PREDICTIONS, PREDICTED), records(LABELS_VALIDATED, LABELLED)


def _run(directory: Path, cuts: list[int], kills: set[int]) -> Partition:
    partition = Partition(directory, knowledge())
    bounds = sorted({0, len(OURS), *cuts})
    for place, (first, last) in enumerate(itertools.pairwise(bounds)):
        if place in kills:
            partition.crash_during(OURS[first:last])
        partition.process(OURS[first:last])
    for place in range(0, len(THEIRS), 97):
        if place // 97 in kills:
            partition.kill()
        partition.process(THEIRS[place : place + 97])
    return partition


with tempfile.TemporaryDirectory() as _directory:
    EXPECTED = _run(Path(_directory), [], set())
    EXPECTED.profiling.close()


@given(
    cuts=st.lists(st.integers(0, len(OURS)), max_size=12),
    kills=st.sets(st.integers(0, 8), max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_profiles_do_not_depend_on_batches_or_kills(cuts: list[int], kills: set[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        partition = _run(Path(directory), cuts, kills)
        assert [item.value for item in partition.published] == [item.value for item in EXPECTED.published]
        partition.profiling.close()


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=10), kills=st.sets(st.integers(0, 20), max_size=6))
@settings(max_examples=25, deadline=None)
def test_windows_and_alerts_do_not_depend_on_batches_or_kills(sizes: list[int], kills: set[int]) -> None:
    whole = Verdicts()
    whole.process(EXPECTED.published)
    pieces, place, step = Verdicts(), 0, 0
    while place < len(EXPECTED.published):
        size = sizes[step % len(sizes)]
        if step in kills:
            pieces.kill()
        pieces.process(EXPECTED.published[place : place + size])
        place, step = place + size, step + 1
    assert len(whole.windows) > 5
    assert [item.value for item in pieces.published] == [item.value for item in whole.published]
