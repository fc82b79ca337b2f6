"""Profiles: the rows of a segment counted per window, vectorised over rows.

Names in a tally: counts ``feature:<name>``, ``group:<name>``, ``products``, ``prediction``, ``probability:<chosen|other>``, ``class``,
``latency:<queue|inference|e2e>``; sums ``rows``, ``failed``, ``score`` (fixed point) and ``kpi:…``.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.normal_scores import products
from services.monitoring import latency
from services.monitoring.artifacts import Artifact
from services.monitoring.binning import Codes, numbers
from services.monitoring.channels import GROUP, PRODUCTS
from services.monitoring.inputs import Outputs, Prediction
from services.monitoring.knowledge import Watched
from services.monitoring.kpi_frames import kpi_frame
from services.monitoring.kpis import tally_parts
from services.monitoring.probabilities import tally_probabilities
from services.monitoring.tallies import Counts, Tally, fixed_sum
from services.monitoring.windows import micros


def tally_rows(
    rows: Sequence[Prediction], appended: Sequence[int], watched: Watched, artifact: Artifact | None
) -> dict[int, Tally]:
    """Profiles by window start of ``rows`` of one series; ``appended``: the broker's time of each, epoch milliseconds."""
    moments = np.fromiter((micros(row.occurred_at) for row in rows), dtype=np.int64, count=len(rows))
    starts, place = np.unique(watched.policy.start_of(moments), return_inverse=True)
    tallies = {int(start): Tally() for start in starts}
    served = np.fromiter(
        (row.status == "ok" and row.outputs is not None for row in rows), dtype=np.bool_, count=len(rows)
    )
    windows = list(tallies.values())
    for position, tally in enumerate(windows):
        mine = place == position
        tally.add("rows", int(mine.sum()))
        tally.add("failed", int((mine & ~served).sum()))
        tally.saw(int(moments[mine].min()), int(moments[mine].max()))
    if artifact is not None:
        _features(rows, artifact, place, windows)
    outputs = [row.outputs for row in rows if row.status == "ok" and row.outputs is not None]
    _predictions(outputs, artifact, place[served], windows)
    _probabilities(outputs, watched, artifact, place[served], windows)
    _latencies(rows, appended, place, windows)
    if watched.kpis:
        _kpis(rows, watched, place, served, windows)
    return tallies


def _features(rows: Sequence[Prediction], artifact: Artifact, place: Codes, windows: Sequence[Tally]) -> None:
    found: dict[str, Codes] = {}
    for name, binning in artifact.features.items():
        found[name] = binning.codes([row.features.get(name) for row in rows])
        _count(f"feature:{name}", found[name], binning.width, place, windows)
    for name, grouping in artifact.groups.items():
        codes = grouping.codes([row.features.get(name) for row in rows])
        _count(f"{GROUP}:{name}", codes, grouping.width, place, windows)
    if len(artifact.correlated) > 1:
        codes = np.stack([found[name] for name in artifact.correlated])
        for position, tally in enumerate(windows):
            tally.count(PRODUCTS, products(list(artifact.correlated.values()), codes[:, place == position]))


def _predictions(outputs: Sequence[Outputs], artifact: Artifact | None, where: Codes, windows: Sequence[Tally]) -> None:
    scores = numbers([output.score if output.score is not None else output.value for output in outputs])
    for position, tally in enumerate(windows):
        mine = scores[where == position]
        tally.add("score", fixed_sum(mine))
        tally.add("scored", int((~np.isnan(mine)).sum()))
    if artifact is None:
        return
    if artifact.prediction is not None:
        _count("prediction", artifact.prediction.codes(scores.tolist()), artifact.prediction.width, where, windows)
    if artifact.classes:
        known = {str(value): position for position, value in enumerate(artifact.classes)}
        codes = np.fromiter((known.get(str(o.label), len(known)) for o in outputs), dtype=np.int64, count=len(outputs))
        _count("class", codes, len(known) + 1, where, windows)


def _probabilities(
    outputs: Sequence[Outputs], watched: Watched, artifact: Artifact | None, where: Codes, windows: Sequence[Tally]
) -> None:
    target, classes = watched.definition.spec.target.type, artifact.classes if artifact is not None else ()
    if len(windows) == 1:
        tally_probabilities(target, classes, outputs, windows[0])
        return
    by_window: list[list[Outputs]] = [[] for _ in windows]
    for output, position in zip(outputs, where.tolist(), strict=True):
        by_window[position].append(output)
    for tally, mine in zip(windows, by_window, strict=True):
        tally_probabilities(target, classes, mine, tally)


def _latencies(rows: Sequence[Prediction], appended: Sequence[int], place: Codes, windows: Sequence[Tally]) -> None:
    queue = np.array([row.timing.queue_ms for row in rows], dtype=np.float64)
    inference = np.array([row.timing.inference_ms for row in rows], dtype=np.float64)
    predicted = np.fromiter((micros(row.predicted_at) for row in rows), dtype=np.int64, count=len(rows))
    publish = np.maximum(np.array(appended, dtype=np.int64) - predicted // 1000, 0)
    for name, values in (("queue", queue), ("inference", inference), ("e2e", queue + inference + publish)):
        for position, tally in enumerate(windows):
            tally.count(f"latency:{name}", latency.histogram(values[place == position]))


def _kpis(
    rows: Sequence[Prediction], watched: Watched, place: Codes, served: NDArray[np.bool_], windows: Sequence[Tally]
) -> None:
    frame = kpi_frame([row for row, ok in zip(rows, served, strict=True) if ok], watched.dtypes, watched.kpis)
    where = place[served]
    for position, tally in enumerate(windows):
        part = frame if len(windows) == 1 else frame.filter(pl.Series(where == position))
        tally_parts(watched.kpis, part, tally)


def _count(name: str, codes: Codes, width: int, place: Codes, windows: Sequence[Tally]) -> None:
    if len(windows) == 1:
        windows[0].count(name, np.bincount(codes, minlength=width).astype(np.int64))
        return
    table: Counts = (
        np.bincount(place * width + codes, minlength=len(windows) * width).reshape(-1, width).astype(np.int64)
    )
    for position, tally in enumerate(windows):
        tally.count(name, table[position])
