"""How fast windows are profiled and judged, in CPU time (machines are shared), and in how much memory."""

import resource
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from bench.drift.ours import WATCHED, Monitor, artifact, profile
from bench.drift.streams import NUMERIC, Rows, Stream
from schemas.reference import bins_of, describe_numbers
from services.monitoring.inputs import Outputs, Prediction, Timing
from services.monitoring.profiles import tally_rows

BATCH: Final = 10_000
WIDE: Final = 1000  # features


def measure(rows: int = 1_000_000, wide_rows: int = 3_000_000) -> dict[str, Any]:
    """Rows a second of 20 features as arrays and as prediction records, milliseconds a window judged, and memory."""
    stream = Stream(3)
    known = artifact(stream, 40)
    window = stream.window(BATCH)
    begun = time.process_time()
    for _ in range(rows // BATCH):
        profile(window, known)
    as_arrays = rows / (time.process_time() - begun)

    monitor = Monitor(known)
    for _ in range(120):
        monitor.judge(profile(stream.window(), known))
    return {
        "rows_per_second": round(as_arrays),
        "records_per_second": round(_records(known, window)),
        "judge_ms": round(monitor.seconds / 120 * 1000, 2),
        "state_bytes": monitor.state_bytes(),
        **_wide(wide_rows),
    }


def _records(known: Any, window: Rows) -> float:
    """The same from prediction records, as stage 1 has them after decoding."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    names = np.array([*"abcde", "new"], dtype=object)
    columns = [(f"n{place}", window.numbers[:, place].tolist()) for place in range(NUMERIC)]
    columns += [(f"c{place}", names[window.codes[:, place]].tolist()) for place in range(3)]
    rows = [
        Prediction(
            event_id=str(place),
            event_source="bench",
            feature_set="bench@1",
            model="bench",
            version=1,
            route="champion",
            status="ok",
            features={name: values[place] for name, values in columns},
            occurred_at=at + timedelta(microseconds=place),
            predicted_at=at,
            timing=Timing(1.0, 0.1),
            outputs=Outputs(label=True, score=0.7),
        )
        for place in range(len(window.numbers))
    ]
    begun = time.process_time()
    for _ in range(10):
        tally_rows(rows, [0] * len(rows), WATCHED, known)
    return 10 * len(rows) / (time.process_time() - begun)


def _wide(rows: int) -> dict[str, Any]:
    """Counts of `WIDE` numeric features: the process's peak memory after a tenth of the rows and after all of them."""
    random = np.random.default_rng(4)
    references = [describe_numbers(random.normal(size=10_000)) for _ in range(WIDE)]
    batch = random.normal(size=(WIDE, BATCH))
    counts = np.zeros((WIDE, 21), dtype=np.int64)
    peak_early, begun = 0.0, time.process_time()
    for done in range(0, rows, BATCH):
        for place, reference in enumerate(references):
            counts[place] += np.bincount(bins_of(reference, batch[place]), minlength=21)
        if done == rows // 10 // BATCH * BATCH:
            peak_early = _peak()
    seconds = time.process_time() - begun
    return {
        "wide_rows": rows,
        "wide_seconds": round(seconds, 1),
        "wide_peak_mb_early": round(peak_early),
        "wide_peak_mb": round(_peak()),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
