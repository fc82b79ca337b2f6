"""Real rows in a random order: flights of 2013 dealt to windows, so that every marginal and every correlation is real and nothing changes."""

from datetime import date
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl

from bench.drift.ours import SEVERITIES, Monitor, candidate_of
from examples.flights.source import WEATHER, season
from schemas.definitions import Dtype, Feature
from schemas.normal_scores import products
from schemas.reference import Reference, bins_of, count, describe, describe_numbers
from services.monitoring.artifacts import artifact_of
from services.monitoring.channels import PRODUCTS
from services.monitoring.tallies import Tally

ROWS: Final = 900  # about what a day has
NUMBERS: Final = ("distance", "dep_hour", "weekday", *WEATHER)
CATEGORIES: Final = ("carrier", "origin")


@cache
def _year() -> pl.DataFrame:
    return season(date(2013, 1, 1), 365).events.select(*CATEGORIES, *NUMBERS)


def shuffled_alarms(seed: int, windows: int, learnt: int) -> dict[str, int]:
    """Alarms by severity over ``windows`` windows, after ``learnt`` windows of training data."""
    order = np.random.default_rng(seed).permutation(_year().height)[: (windows + learnt) * ROWS]
    taken = _year()[order.tolist()]
    numbers = {name: taken[name].cast(pl.Float64).to_numpy() for name in NUMBERS}
    words = {name: taken[name].to_list() for name in CATEGORIES}
    trained = slice(0, learnt * ROWS)
    described: dict[str, Reference] = {name: describe_numbers(numbers[name][trained]) for name in NUMBERS}
    for name in CATEGORIES:
        known = tuple(sorted(set(words[name])))
        described[name] = describe(Feature(name=name, dtype=Dtype.CATEGORY, categories=known), words[name][trained])
    columns: dict[str, Any] = {**numbers, **words}
    parts = [{name: columns[name][place * ROWS : (place + 1) * ROWS] for name in columns} for place in range(learnt)]
    known_of = artifact_of(candidate_of(described, parts))
    monitor = Monitor(known_of, f"bench-{seed}")
    found = dict.fromkeys(SEVERITIES, 0)
    for place in range(learnt, learnt + windows):
        rows = slice(place * ROWS, (place + 1) * ROWS)
        tally = Tally()
        tally.add("rows", ROWS)
        for name, reference in described.items():
            tally.count(f"feature:{name}", count(reference, columns[name][rows]))
        bins = [bins_of(described[name], numbers[name][rows]) for name in NUMBERS]  # type: ignore[arg-type]
        tally.count(PRODUCTS, products(list(known_of.correlated.values()), bins))
        for severity in monitor.judge(tally):
            found[severity] += 1
    return found
