"""``uv run python -m bench.rivals``: how often each rule is wrong about a challenger that is watched window by window, and how fast.

Three tables in Markdown: streams whose mean is known, real days of flights (two models of different months, days drawn with
replacement, so that their mean is known too), and windows until a difference is shown. Seeded; a few minutes of one core.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from scipy import stats

from services.monitoring.lanes.confidence import ALPHA, bounds, persistence
from services.monitoring.tallies import Floats

STREAMS: Final = 1000
WINDOWS: Final = 40
FIRST: Final = 3  # windows: what minWindows is at least
MONTHS: Final = (
    ((1, 60), (22, 81), (82, 142)),
    ((60, 120), (100, 160), (161, 221)),
    ((200, 260), (240, 300), (301, 361)),
)

Rule = Callable[[Floats, float], bool]  # values of windows, the true mean: whether any look misses it


def looks(values: Floats) -> Iterator[tuple[int, float, float]]:
    """Number of windows, lower and upper bound, as monitoring says them."""
    for count in range(FIRST, len(values) + 1):
        seen = values[:count]
        found = bounds(count, float(seen.mean()), float(seen.var(ddof=1)) * persistence(seen.tolist()))
        if found is not None:
            yield count, *found


def ours(values: Floats, mean: float) -> bool:
    """The confidence sequence."""
    return any(not lower <= mean <= upper for _, lower, upper in looks(values))


def two_errors(values: Floats, mean: float) -> bool:
    """Two standard errors at every look: the rule of means."""
    return _peeking(values, mean, lambda _: 2.0)


def student(values: Floats, mean: float) -> bool:
    """A t interval at every look, made for one."""
    return _peeking(values, mean, lambda count: float(stats.t.ppf(1 - ALPHA / 2, count - 1)))


def _peeking(values: Floats, mean: float, times: Callable[[int], float]) -> bool:
    return any(
        abs(values[:count].mean() - mean) > times(count) * values[:count].std(ddof=1) / math.sqrt(count)
        for count in range(FIRST, len(values) + 1)
    )


RULES: Final[dict[str, Rule]] = {
    "headrace": ours,
    "t interval, every look": student,
    "2 standard errors, every look": two_errors,
}


def quiet(name: str, random: np.random.Generator) -> Floats:
    """Streams [streams, windows] with mean 0."""
    shape = (STREAMS, WINDOWS)
    match name:
        case "heavy tails (t, 3 degrees)":
            return random.standard_t(3, size=shape)
        case "skewed (gamma, shape 4)":
            return random.gamma(4, size=shape) - 4
        case "a tenth of the rows in every other window":
            return random.normal(size=shape) / np.sqrt(random.choice([1, 0.1], size=shape))
        case "three times as wild at weekends":
            return random.normal(size=shape) * np.where(np.arange(WINDOWS) % 7 < 5, 1, 3)
        case "persistent, 0.2" | "persistent, 0.4":
            noise = random.normal(size=(STREAMS, WINDOWS + 50))
            for window in range(1, WINDOWS + 50):
                noise[:, window] += float(name[-3:]) * noise[:, window - 1]
            return noise[:, 50:]
        case _:
            return random.normal(size=shape)


KINDS: Final = (
    "normal",
    "heavy tails (t, 3 degrees)",
    "skewed (gamma, shape 4)",
    "a tenth of the rows in every other window",
    "three times as wild at weekends",
    "persistent, 0.2",
    "persistent, 0.4",
)


def flights() -> Iterator[tuple[str, Floats, float]]:
    """A name, days' mean differences of squared errors of two models, and how much more they scatter than their events explain."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    from examples.flights.source import season

    year = season(date(2013, 1, 1), 365)
    rows = year.events.join(year.labels.select("event_id", "late"), on="event_id")
    day = rows["occurred_at"].dt.ordinal_day().to_numpy()
    late = rows["late"].to_numpy()
    columns = [rows[name].to_numpy() for name in ("dep_hour", "distance", "weekday")]
    coded = [np.unique(rows[name].to_numpy(), return_inverse=True)[1] for name in ("carrier", "origin")]
    inputs = np.column_stack([*columns, *coded]).astype(np.float64)

    def loss(first: int, last: int) -> Any:
        chosen = (day >= first) & (day < last)
        model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.08, max_leaf_nodes=15, random_state=0)
        return (model.fit(inputs[chosen], late[chosen]).predict_proba(inputs)[:, 1] - late) ** 2

    for old, new, (first, last) in MONTHS:
        difference = loss(*old) - loss(*new)
        days = [difference[day == each] for each in range(first, last)]
        means = np.array([each.mean() for each in days])
        chance = np.mean([each.var() / len(each) for each in days])
        yield f"flights, days {first} to {last - 1}", means, float(means.var(ddof=1) / chance)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print it."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main() -> None:
    """Measure and print."""
    random = np.random.default_rng(7)
    missed = [
        [name, *(f"{np.mean([rule(stream, 0.0) for stream in streams]):.1%}" for rule in RULES.values())]
        for name in KINDS
        for streams in [quiet(name, random)]
    ]
    table([f"mean missed at any of {WINDOWS} looks", *RULES], missed)
    real = []
    for name, means, effect in flights():
        streams = means[random.integers(0, len(means), (STREAMS, WINDOWS))]
        shares = [np.mean([rule(stream, float(means.mean())) for stream in streams]) for rule in RULES.values()]
        real.append([name, f"{effect:.0f} ×", *(f"{share:.1%}" for share in shares)])
    table(["mean missed", "variance of a day against its events'", *RULES], real)
    delays = []
    for effect in (0.75, 1.0, 1.5, 2.0, 3.0):
        streams = random.normal(effect, 1, (400, 150))
        first = [next((count for count, lower, _ in looks(stream) if lower > 0), 999) for stream in streams]
        fixed = [_fixed(effect, power) for power in (0.5, 0.9)]
        delays.append(
            [f"{effect:g}", f"{np.median(first):.0f} ({np.quantile(first, 0.9):.0f})", f"{fixed[0]} ({fixed[1]})"]
        )
    table(
        [
            "difference in standard deviations of windows",
            "median (90 %) windows",
            "t test of a fixed size: 50 % (90 %) power",
        ],
        delays,
    )


def _fixed(effect: float, power: float) -> int:
    """The fixed number of windows at which a one-sided t test at α/2 shows ``effect`` with that probability."""
    for count in range(2, 1000):
        least = stats.t.ppf(1 - ALPHA / 2, count - 1)
        if 1 - stats.nct.cdf(least, count - 1, effect * math.sqrt(count)) >= power:
            return count
    raise ValueError(effect)


if __name__ == "__main__":
    main()
