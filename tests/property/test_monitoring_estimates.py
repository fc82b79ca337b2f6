"""Estimates follow from counts and published windows: not from how partitions merge, batches are cut or processes die."""

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from monitoring_stream import Partition, Rows, Verdicts, hours, records

from schemas.definitions import TargetType
from schemas.events.monitoring import ChannelResult
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.calibration import Calibration, calibration_of
from services.monitoring.estimates import estimates, expectations
from services.monitoring.inputs import Outputs
from services.monitoring.joins import Pair
from services.monitoring.probabilities import tally_outcomes, tally_probabilities
from services.monitoring.tallies import Tally, merged
from shared.records import Outgoing

scores = st.one_of(st.floats(0, 1), st.floats(allow_nan=True, allow_infinity=True), st.none())
rows = st.lists(st.tuples(scores, st.booleans(), st.booleans()), min_size=60, max_size=120)


def _tally(part: list[tuple[float | None, bool, bool]]) -> Tally:
    tally = Tally()
    tally_probabilities(TargetType.BINARY, (), [Outputs(label=label, score=score) for score, label, _ in part], tally)
    return tally


def _labelled(part: list[tuple[float | None, bool, bool]]) -> Tally:
    tally = Tally()
    tally_outcomes(TargetType.BINARY, (), [Pair(score, label, None, value, 1) for score, label, value in part], tally)
    return tally


def _told(tally: Tally, calibration: Calibration) -> list[ChannelResult]:
    expected = expectations(TargetType.BINARY, tally, calibration)
    return estimates(TargetType.BINARY, expected, calibration)


@given(found=rows, seed=st.integers(0, 2**32 - 1), parts=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_whichever_partition_a_row_is_in_and_however_partitions_merge_the_estimates_have_the_same_bits(
    found: list[tuple[float | None, bool, bool]], seed: int, parts: int
) -> None:
    random = np.random.default_rng(seed)
    dealt: list[list[tuple[float | None, bool, bool]]] = [[] for _ in range(parts)]
    for row, part in zip(found, random.integers(0, parts, len(found)).tolist(), strict=True):
        dealt[part].append(row)
    order = random.permutation(parts).tolist()
    kept = [Tally.from_content(json.loads(json.dumps(_tally(dealt[part]).to_content()))) for part in order]
    past = [_labelled(dealt[part]) for part in order]
    whole = _told(_tally(found), calibration_of(TargetType.BINARY, [_labelled(found)], None))
    assert _told(merged(kept), calibration_of(TargetType.BINARY, past, None)) == whole
    assert all(row.value is None or np.isfinite(row.value) for row in whole)


HOURS = 9  # the last windows have five errors before them


def _profiles() -> list[Outgoing]:
    """What stage 1 says of nine hours whose labels come in while further predictions do."""
    predicted, labelled = hours(HOURS, Rows(), per_hour=60)
    ours, theirs = records(PREDICTIONS, predicted), records(LABELS_VALIDATED, labelled)
    with tempfile.TemporaryDirectory() as directory:
        partition = Partition(Path(directory))
        for place in range(HOURS):
            batch = [part[place * len(part) // HOURS : (place + 1) * len(part) // HOURS] for part in (ours, theirs)]
            partition.process([*batch[0], *batch[1]])
        partition.profiling.close()
    return partition.published


PROFILES = _profiles()
WHOLE = Verdicts()
WHOLE.process(PROFILES)


@given(sizes=st.lists(st.integers(2, 15), min_size=1, max_size=8), kills=st.sets(st.integers(0, 9), max_size=4))
@settings(max_examples=6, deadline=None)
def test_estimates_and_their_errors_do_not_depend_on_batches_or_kills(sizes: list[int], kills: set[int]) -> None:
    pieces, place, step = Verdicts(), 0, 0
    while place < len(PROFILES):
        if step in kills:
            pieces.kill()
        pieces.process(PROFILES[place : place + sizes[step % len(sizes)]])
        place, step = place + sizes[step % len(sizes)], step + 1
    told = [row for window in WHOLE.windows for row in window.channels if row.channel.startswith("estimate")]
    assert {row.statistic for row in told if row.channel == "estimate:calibration"} == {"none", "labels"}
    assert any(row.channel == "estimate_error:roc_auc" for row in told)
    intervals = {row.statistic for row in told if row.channel.startswith("estimate_interval:")}
    assert intervals == {"chance", "past_errors"}
    assert [item.value for item in pieces.published] == [item.value for item in WHOLE.published]
