"""Which stored records make a data set: events of a window, each with the label that was known at the cut-off.

Nothing depends on the order of arrival or on segment boundaries: every choice is by content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from schemas.topics import EVENTS_VALIDATED, LABELS_VALIDATED

Offsets = dict[str, dict[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Labelled rows sorted by (occurred_at, source, id), and how many events the window held, labelled or not.

    Columns of ``rows``: source, id, entity_id, occurred_at, features (JSON bytes), observed_at, label_version, value (JSON
    bytes). ``offsets``: topic → partition → first and last offset that took part.
    """

    rows: pl.DataFrame
    events: int
    offsets: Offsets


def select(events: Sequence[Path], labels: Sequence[Path], *, start: datetime, as_of: datetime) -> Selection:
    """Events with ``start <= occurred_at < as_of`` joined with labels of ``observed_at <= as_of``.

    ``events`` and ``labels`` are segment files of one feature set and of one model. Of records that repeat (source, id) one
    stays; of labels of one event the highest ``label_version``, then the latest observed.
    """
    happened = _events(events, start, as_of)
    known = _labels(labels, as_of)
    rows = happened.join(
        known, left_on=["source", "id"], right_on=["event_source", "event_id"], how="inner", suffix="_label"
    ).sort(["occurred_at", "source", "id"])
    offsets: Offsets = {
        EVENTS_VALIDATED.name: _ranges(rows, "partition", "offset"),
        LABELS_VALIDATED.name: _ranges(rows, "partition_label", "offset_label"),
    }
    return Selection(rows.drop("partition", "offset", "partition_label", "offset_label"), happened.height, offsets)


def _events(files: Sequence[Path], start: datetime, as_of: datetime) -> pl.DataFrame:
    columns = ["source", "id", "entity_id", "occurred_at", "features", "partition", "offset"]
    if not files:
        return pl.DataFrame(schema=dict(zip(columns, _EVENT_TYPES, strict=True)))
    found = pl.scan_parquet(list(files), glob=False).select(columns)
    found = found.filter((pl.col("occurred_at") >= start) & (pl.col("occurred_at") < as_of))
    ordered = found.collect().sort(["occurred_at", "source", "id", "features", "partition", "offset"])
    return ordered.unique(["source", "id"], keep="first", maintain_order=True)


def _labels(files: Sequence[Path], as_of: datetime) -> pl.DataFrame:
    columns = ["event_source", "event_id", "observed_at", "label_version", "value", "partition", "offset"]
    if not files:
        return pl.DataFrame(schema=dict(zip(columns, _LABEL_TYPES, strict=True)))
    found = pl.scan_parquet(list(files), glob=False).select(columns).filter(pl.col("observed_at") <= as_of)
    ordered = found.collect().sort(
        ["event_source", "event_id", "label_version", "observed_at", "value", "partition", "offset"],
        descending=[False, False, True, True, True, False, False],
    )
    return ordered.unique(["event_source", "event_id"], keep="first", maintain_order=True)


def _ranges(rows: pl.DataFrame, partition: str, offset: str) -> dict[str, tuple[int, int]]:
    grouped = rows.group_by(partition).agg(pl.col(offset).min().alias("first"), pl.col(offset).max().alias("last"))
    return {str(place): (first, last) for place, first, last in sorted(grouped.iter_rows())}


_TIME = pl.Datetime("us", "UTC")
_EVENT_TYPES = (pl.String, pl.String, pl.String, _TIME, pl.Binary, pl.Int32, pl.Int64)
_LABEL_TYPES = (pl.String, pl.String, _TIME, pl.Int32, pl.Binary, pl.Int32, pl.Int64)
