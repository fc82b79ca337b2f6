"""Windows on a terminal: measured where labels are there, called estimated where they are not."""

from datetime import timedelta

from monitoring_stream import MODEL, START

from cli.windows import latest, table
from schemas.events.monitoring import ChannelResult, ClosedWindow, WindowBounds

ESTIMATES = (
    ChannelResult(channel="estimate:roc_auc", statistic="roc_auc", value=0.71234, low=0.68, high=0.74),
    ChannelResult(channel="estimate:brier", statistic="brier", value=None),
    ChannelResult(channel="estimate_interval:roc_auc", statistic="past_errors", value=20.0),
    ChannelResult(channel="estimate:calibration", statistic="labels", value=1200.0),
)
MEASURED = (
    ChannelResult(channel="quality:roc_auc", statistic="roc_auc", value=0.653),
    ChannelResult(channel="quality:calibration", statistic="mean_residual", value=0.02),
    ChannelResult(channel="estimate_error:roc_auc", statistic="roc_auc", value=0.06),
)


def _closed(hour: int, lane: str, channels: tuple[ChannelResult, ...], revision: int = 1) -> ClosedWindow:
    start = START + timedelta(hours=hour)
    return ClosedWindow(
        model=MODEL,
        version=1,
        route="champion",
        lane=lane,  # type: ignore[arg-type]
        window=WindowBounds(start=start, end=start + timedelta(hours=1)),
        revision=revision,
        rows=100 * revision,
        labelled=90 if lane == "quality" else None,
        channels=channels,
        closed_at=start,
    )


def test_metrics_are_called_estimated_until_they_are_measured() -> None:
    found = latest(
        [_closed(0, "performance", ESTIMATES), _closed(0, "quality", MEASURED), _closed(1, "performance", ESTIMATES)]
    )
    measured, estimated = table(found.values())
    assert (measured["roc_auc"], measured["labelled"], measured["calibrated_on"]) == ("0.653", 90, None)
    assert estimated["roc_auc"] == "0.712 estimated (0.68 to 0.74)"
    assert (estimated["labelled"], estimated["calibrated_on"]) == (None, "1200 labels")
    assert list(measured) == list(estimated)


def test_the_last_revision_of_a_window_is_shown() -> None:
    found = latest([_closed(0, "performance", ESTIMATES, 2), _closed(0, "performance", ESTIMATES, 1)])
    assert [row["rows"] for row in table(found.values())] == [200]


def test_scores_that_nothing_calibrated_are_said_to_be_taken_as_they_are() -> None:
    raw = (ESTIMATES[0], ChannelResult(channel="estimate:calibration", statistic="none", value=0.0))
    [row] = table(latest([_closed(0, "performance", raw)]).values())
    assert row["calibrated_on"] == "nothing, scores as they are"


def test_an_interval_that_knows_of_no_past_errors_is_said_to_be_of_chance_alone() -> None:
    alone = (ESTIMATES[0], ChannelResult(channel="estimate_interval:roc_auc", statistic="chance", value=4.0))
    [row] = table(latest([_closed(0, "performance", alone)]).values())
    assert row["roc_auc"] == "0.712 estimated (0.68 to 0.74 by chance alone)"


def test_a_window_that_never_got_labels_still_shows_what_was_estimated() -> None:
    never = (ChannelResult(channel="labels:never_labelled", statistic="share", value=1.0),)
    [row] = table(latest([_closed(0, "performance", ESTIMATES), _closed(0, "quality", never)]).values())
    assert (row["roc_auc"], row["calibrated_on"]) == ("0.712 estimated (0.68 to 0.74)", "1200 labels")
