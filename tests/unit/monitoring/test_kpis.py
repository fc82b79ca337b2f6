"""KPIs: taken apart into sums and counts that merge, everything else refused."""

import polars as pl
import pytest
from monitoring_stream import knowledge

from services.monitoring.kpis import KpiError, plan, tally_parts, value
from services.monitoring.tallies import Tally

FRAME = pl.DataFrame({"score": [0.2, 0.6, 0.9, None], "price": [10.0, 20.0, 30.5, 40.0], "zone": ["a", "b", "a", "b"]})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("avg(cast(score > 0.5 as int))", 2 / 3),
        ("sum(price)", 100.5),
        ("count(*)", 4.0),
        ("count(score)", 3.0),
        ("sum(case when zone = 'a' then price else 0 end) / sum(price)", 40.5 / 100.5),
        ("100 * (1 - count(score) / count(*))", 25.0),
        ("avg(coalesce(score, (0.5)))", (0.2 + 0.6 + 0.9 + 0.5) / 4),
        ("-sum(price) + 0.5", -100.0),
    ],
)
def test_a_kpi_over_two_halves_is_the_kpi_over_all(expression: str, expected: float) -> None:
    item, tally = plan("k", expression), Tally()
    tally_parts([item], FRAME[:1], tally)
    tally_parts([item], FRAME[1:], tally)
    assert value(item, tally) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "expression",
    [
        "score > 0.5",
        "max(price)",
        "count(distinct zone)",
        "sum(price) + price",
        "sum(price",
        "avg()",
        "sum(price) ** 2",
        "__import__('os')",
    ],
)
def test_what_does_not_merge_is_refused(expression: str) -> None:
    with pytest.raises(KpiError):
        plan("k", expression)


def test_division_by_zero_is_no_value() -> None:
    assert value(plan("k", "sum(price) / count(*)"), Tally()) is None


@pytest.mark.parametrize(
    "expression",
    [
        "sum(cast(zone as int))",
        "sum(cast(price as decimal(60, 2)))",  # polars panics, which is no Exception
    ],
)
def test_a_kpi_that_polars_cannot_compute_is_unknown_and_harms_no_other(expression: str) -> None:
    broken, fine, tally = plan("b", expression), plan("f", "sum(price)"), Tally()
    tally_parts([broken, fine], FRAME, tally)
    assert value(broken, tally) is None
    assert value(fine, tally) == 100.5


def test_a_kpi_over_an_unknown_column_is_a_problem_of_the_model_not_of_the_stream() -> None:
    known = knowledge(
        kpis=[{"name": "odd", "expression": "sum(nothing)"}, {"name": "fine", "expression": "sum(distance)"}]
    )
    watched = known.watched("trip-late")
    assert watched is not None
    assert [kpi.name for kpi in watched.kpis] == ["fine"]
    assert "nothing" in known.problems["trip-late/odd"]
