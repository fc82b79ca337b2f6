"""Every way of breaking a feature, on many days of the flights: told in the day's own window, even if the training data hold the same break?

Without models: a version is its reference, made as training makes it every `RETRAINED` days, and only inputs are judged. That is a hundred times
faster than `year`, so that every break can be tried on every few days, and false alarms be counted over the whole year.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from random import Random
from typing import Any, Final

import numpy as np
import polars as pl

from bench.drift.flights import FIRST_DAY, MIDNIGHT
from bench.drift.injected import KINDS, LONG_HAUL
from bench.drift.ours import Monitor, candidate_of
from examples.flights.source import WEATHER, season
from schemas.definitions import Dtype, Feature
from schemas.normal_scores import products
from schemas.reference import Reference, bins_of, count, describe, describe_numbers
from services.monitoring.artifacts import Artifact, artifact_of
from services.monitoring.channels import PRODUCTS
from services.monitoring.tallies import Tally

RETRAINED: Final = 21  # days; as the definition's schedule
TRAINED_ON: Final = 60  # days; as the definition's dataset
FITTED: Final = 0.7  # of them, from the first on: what the reference is described by
NUMBERS: Final = ("distance", "dep_hour", "weekday", *WEATHER)
CATEGORIES: Final = ("carrier", "origin")
WAYS: Final = tuple((kind, feature) for kind, each in KINDS.items() for feature in each.features)

Day = Mapping[str, Any]  # a column of values by feature


@dataclass
class Found:
    """``told``: by way, for each day tried, whether a page named the broken feature first, or one was raised at all.

    ``false``: days that paged though nothing was broken, with the channel in front.
    """

    told: dict[str, list[tuple[bool, bool]]] = field(default_factory=dict)
    false: list[tuple[int, str]] = field(default_factory=list)


def days_of_year(shuffle: int | None = None) -> list[Day]:
    """The flights of each day of 2013, UTC. ``shuffle``: a seed to deal those from 1 March on anew, so that nothing changes any more."""
    events = season(date(2013, 1, 1), 365).events.with_columns(
        day=(pl.col("occurred_at") - MIDNIGHT).dt.total_days().clip(0, 364)
    )
    if shuffle is not None:
        before, after = events.filter(pl.col("day") < FIRST_DAY), events.filter(pl.col("day") >= FIRST_DAY)
        dealt = after.drop("day").sample(fraction=1.0, shuffle=True, seed=shuffle)
        events = pl.concat([before, dealt.with_columns(after["day"])])
    return [_columns(part) for part in events.partition_by("day", maintain_order=True)]


def _columns(part: pl.DataFrame) -> Day:
    numbers = {name: part[name].cast(pl.Float64).to_numpy() for name in NUMBERS}
    return _derived({**numbers, **{name: part[name].to_list() for name in CATEGORIES}})


def _derived(day: Day) -> Day:
    return {**day, "long_haul": [bool(value > LONG_HAUL) for value in day["distance"]]}


def broken(day: Day, way: tuple[str, str]) -> Day:
    """``day`` with a feature broken in one of the `WAYS`."""
    kind, feature = way
    held = day[feature].tolist() if isinstance(day[feature], np.ndarray) else day[feature]
    values = [KINDS[kind].value(None if value != value else value) for value in held]
    changed = np.array(values, dtype=np.float64) if feature in NUMBERS else values
    return _derived({**day, feature: changed})


@dataclass(frozen=True, slots=True)
class Version:
    """What was learnt, and how days are counted against it."""

    described: Mapping[str, Reference]
    known: Artifact

    @classmethod
    def trained(cls, days: Sequence[Day]) -> "Version":
        """From ``days``, as training describes them."""
        fitted = days[: round(len(days) * FITTED)]
        described: dict[str, Reference] = {}
        for name in NUMBERS:
            described[name] = describe_numbers(np.concatenate([day[name] for day in fitted]))
        for name in (*CATEGORIES, "long_haul"):
            values = [value for day in fitted for value in day[name]]
            known = tuple(sorted(set(values))) if name in CATEGORIES else None
            dtype = Dtype.CATEGORY if name in CATEGORIES else Dtype.BOOL
            described[name] = describe(Feature(name=name, dtype=dtype, categories=known), values)
        return cls(described, artifact_of(candidate_of(described, days)))

    def tally(self, day: Day) -> Tally:
        """What stage 1 counts of a day."""
        tally = Tally()
        tally.add("rows", len(day["distance"]))
        for name, reference in self.described.items():
            tally.count(f"feature:{name}", count(reference, day[name]))
        bins = [bins_of(self.described[name], day[name]) for name in NUMBERS]  # type: ignore[arg-type]
        tally.count(PRODUCTS, products(list(self.known.correlated.values()), bins))
        return tally


def _versions(days: Sequence[Day]) -> Iterator[tuple[int, Sequence[Day]]]:
    """The first day of each version, and what it is trained on: labels of the last day are not there yet."""
    for first in range(FIRST_DAY, len(days), RETRAINED):
        yield first, days[max(first - TRAINED_ON, 0) : first - 1]


def tried(every: int, way: tuple[str, str] | None, shuffle: int | None = None) -> Found:
    """A year, with a what-if break every few days. ``way``: the only one, and the training data of each version hold it once; None: all, in clean data."""
    days, chance, found = days_of_year(shuffle), Random(str(way)), Found()
    ways = WAYS if way is None else (way,)
    for first, learnt in _versions(days):
        taught = list(learnt)
        if way is not None:
            place = chance.randrange(len(taught))
            taught[place] = broken(taught[place], way)
        version = Version.trained(taught)
        monitor = Monitor(version.known)
        for at in range(first, min(first + RETRAINED, len(days))):
            if at % every == 0:
                for each in ways:
                    said = monitor.would_say(version.tally(broken(days[at], each))).get("page", [])
                    right = bool(said) and _is_of(said[0], each[1])
                    found.told.setdefault(f"{each[1]}: {each[0]}", []).append((right, bool(said)))
            pages = monitor.judge(version.tally(days[at])).get("page", [])
            if pages:
                found.false.append((at, pages[0]))
    return found


def _is_of(channel: str, feature: str) -> bool:
    named = channel.partition(":")[2].partition("=")[0]
    return named == feature or (feature == "distance" and named == "long_haul")


def measure(every: int, workers: int) -> dict[str, Any]:
    """Shares of days told by way, with clean training data and with the same break in them, and pages of days on which nothing was broken."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:  # other parts have started threads
        clean = pool.submit(tried, every, None)
        repeated = [pool.submit(tried, every, way) for way in WAYS]
        dealt = [pool.submit(tried, 1000, None, seed) for seed in range(1, 4)]
        again = {name: days for job in repeated for name, days in job.result().told.items()}
        return {
            "told": {
                name: {"clean": _shares(days), "repeated": _shares(again[name]), "days": len(days)}
                for name, days in clean.result().told.items()
            },
            "false": clean.result().false,
            "shuffled": [job.result().false for job in dealt],
        }


def _shares(days: Sequence[tuple[bool, bool]]) -> list[float]:
    return [round(sum(day[place] for day in days) / len(days), 3) for place in (0, 1)]
