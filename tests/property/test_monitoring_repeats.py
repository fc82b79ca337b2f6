"""Delivered at least once: wherever a process dies between what it said, its state and its offsets, nothing counts twice."""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_stream import NAMES, Partition, Rows, Verdicts, hours, knowledge, records

from schemas.topics import LABELS_VALIDATED, MONITORING_PROFILES, MONITORING_STATE, PREDICTIONS
from shared.records import Outgoing, StoredRecord

PREDICTED, LABELLED = hours(8, Rows(), per_hour=40)
STREAMS = [*records(PREDICTIONS, PREDICTED), *records(LABELS_VALIDATED, LABELLED)]


class Dying(Partition):
    """Stage 1 that dies before its offsets are committed."""

    def crash_before_commit(self, batch: Sequence[StoredRecord], written: float) -> None:
        """All was said; of the state records a share was written."""
        outgoing = self.profiling.process(batch)
        state = [item for item in outgoing if item.topic is MONITORING_STATE]
        count = round(written * len(state))
        self.published += [item for item in outgoing if item.topic is not MONITORING_STATE]
        for item in state[:count]:
            self.state.apply(StoredRecord("", self.number, 0, 0, item.key, item.value))
        held = list(self.read)
        if count == len(
            state
        ):  # the checkpoint's positions are ahead of the group's, so the join is brought up to them
            self.read += batch
        self.kill()
        self.read = held


def run(directory: Path, cuts: Sequence[int], crashes: dict[int, float]) -> Dying:
    partition = Dying(directory, knowledge())
    for place, (first, last) in enumerate(itertools.pairwise(sorted({0, len(STREAMS), *cuts}))):
        batch = STREAMS[first:last]
        if place in crashes:
            partition.crash_before_commit(batch, crashes[place])
            middle = len(batch) // 2  # and the next process takes it in other pieces
            for piece in (batch[:middle], batch[middle:]):
                if piece:
                    partition.process(piece)
        else:
            partition.process(batch)
    partition.profiling.close()
    return partition


CUTS = list(range(0, len(STREAMS), 61))
with tempfile.TemporaryDirectory() as _directory:
    EXPECTED = run(Path(_directory), CUTS, {})

shares = st.floats(0, 1)


@given(crashes=st.dictionaries(st.integers(0, len(CUTS)), shares, min_size=1, max_size=5))
@settings(max_examples=20, deadline=None)
def test_profiles_end_the_same_wherever_the_process_dies(crashes: dict[int, float]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        found = run(Path(directory), CUTS, crashes)
    for lane in ("performance", "quality"):
        assert found.last(lane) == EXPECTED.last(lane)
        assert len(EXPECTED.last(lane)) > 3


class DyingVerdicts(Verdicts):
    """Stage 2 that dies before its offsets are committed."""

    def crash_before_commit(self, outgoing: Sequence[Outgoing], written: float) -> None:
        batch = [
            StoredRecord(
                NAMES.name(MONITORING_PROFILES), 0, self.offset + n, 0, item.key, item.value, list(item.headers)
            )
            for n, item in enumerate(outgoing)
        ]
        found = self.judging.process(batch)
        state = [item for item in found if item.topic is MONITORING_STATE]
        self.published += [item for item in found if item.topic is not MONITORING_STATE]
        for item in state[: round(written * len(state))]:
            self.state.apply(StoredRecord("", 0, 0, 0, item.key, item.value))
        self.kill()


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=10),
    crashes=st.dictionaries(st.integers(0, 12), shares, min_size=1, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_windows_and_alerts_are_said_again_with_their_ids_or_not_at_all(
    sizes: list[int], crashes: dict[int, float]
) -> None:
    whole = Verdicts()
    whole.process(EXPECTED.published)
    pieces, place, step = DyingVerdicts(), 0, 0
    while place < len(EXPECTED.published):
        part = EXPECTED.published[place : place + sizes[step % len(sizes)]]
        if step in crashes:
            pieces.crash_before_commit(part, crashes[step])
        pieces.process(part)
        place, step = place + len(part), step + 1
    assert len(whole.windows) > 5
    assert _by_id(pieces.published) == _by_id(whole.published)


def _by_id(published: Sequence[Outgoing]) -> dict[bytes, bytes | None]:
    return {dict(item.headers)["ce_id"]: item.value for item in published}
