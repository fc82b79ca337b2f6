"""The flights of 2013 as headrace's own parts take them: canonical features and labels, and segment files for training."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from cli.definitions import read_declared
from examples.flights.source import FEATURES, season
from schemas.definitions import FeatureSet, Model

DEFINITIONS: Final = Path(__file__).parents[2] / "examples" / "flights" / "definitions.yaml"
SOURCE: Final = "bench"
MIDNIGHT: Final = datetime(2013, 1, 1, 5, tzinfo=UTC)  # of New York's winter
FIRST_DAY: Final = 59  # 1 March

Rows = list[dict[str, Any]]


class Flights:
    """The data: canonical features, labels, and the same as segment files for training."""

    def __init__(self, directory: Path, days: int = 365, shuffle: int | None = None) -> None:
        """``shuffle``: a seed to deal the flights anew to the days from 1 March on, so that nothing changes any more."""
        declared = {type(item.definition).__name__: item.definition for item in read_declared(str(DEFINITIONS))}
        self.feature_set = FeatureSet.model_validate(declared["FeatureSet"].model_dump(by_alias=True))
        self.model = Model.model_validate(declared["Model"].model_dump(by_alias=True))
        year = season(date(2013, 1, 1), days)
        events, labels = year.events, year.labels
        if shuffle is not None:
            events, labels = dealt(events, labels, shuffle)
        self.times = events["occurred_at"].to_list()
        self.ids = events["event_id"].to_list()
        floats = [name for name in FEATURES if events.schema[name] == pl.Float64]
        canonical = events.select(FEATURES).with_columns(pl.col(floats).cast(pl.Float32).cast(pl.Float64))
        self.features: Rows = canonical.with_columns(long_haul=pl.col("distance") > 2000).to_dicts()
        self.labels = labels.rows()
        self._segments(directory)

    def _segments(self, directory: Path) -> None:
        encode = msgspec.json.encode
        pl.DataFrame(
            {
                "source": [SOURCE] * len(self.ids),
                "id": self.ids,
                "entity_id": self.ids,
                "occurred_at": self.times,
                "definition_version": ["1.0.0"] * len(self.ids),
                "features": [encode(row) for row in self.features],
                "partition": [0] * len(self.ids),
                "offset": list(range(len(self.ids))),
            },
            schema_overrides={"features": pl.Binary, "partition": pl.Int32, "occurred_at": pl.Datetime("us", "UTC")},
        ).write_parquet(directory / "events.parquet")
        ids, entities, times, values = zip(*self.labels, strict=True)
        pl.DataFrame(
            {
                "event_source": [SOURCE] * len(ids),
                "event_id": ids,
                "entity_id": entities,
                "observed_at": times,
                "label_version": [1] * len(ids),
                "value": [encode(value) for value in values],
                "partition": [0] * len(ids),
                "offset": list(range(len(ids))),
            },
            schema_overrides={
                "value": pl.Binary,
                "partition": pl.Int32,
                "label_version": pl.Int32,
                "observed_at": pl.Datetime("us", "UTC"),
            },
        ).write_parquet(directory / "labels.parquet")


def dealt(events: pl.DataFrame, labels: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Flights from 1 March on in a random order over the same departure times, each with its own label at its own delay."""
    joined = events.join(labels.select("event_id", "observed_at", "late"), on="event_id", how="left")
    joined = joined.with_columns(wait=pl.col("observed_at") - pl.col("occurred_at"))
    start = MIDNIGHT + timedelta(days=FIRST_DAY)
    before, after = joined.filter(pl.col("occurred_at") < start), joined.filter(pl.col("occurred_at") >= start)
    times = after["occurred_at"]
    after = after.sample(fraction=1.0, shuffle=True, seed=seed).with_columns(occurred_at=times)
    joined = pl.concat([before, after]).with_columns(observed_at=pl.col("occurred_at") + pl.col("wait"))
    found = joined.filter(pl.col("late").is_not_null()).select("event_id", "entity_id", "observed_at", "late")
    return joined.select(events.columns), found.sort("observed_at", "event_id")
