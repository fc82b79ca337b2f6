"""What a window says to the alerts: which subject, in which words."""

from datetime import UTC, datetime, timedelta

from schemas.events.monitoring import ChannelResult, ClosedWindow, WindowBounds
from services.monitoring.observations import Observation, observations

START = datetime(2026, 1, 2, tzinfo=UTC)


def said(*rows: ChannelResult) -> list[Observation]:
    closed = ClosedWindow(
        model="shade",
        version=1,
        route="champion",
        lane="performance",
        window=WindowBounds(start=START, end=START + timedelta(days=1)),
        revision=1,
        rows=100,
        channels=rows,
        closed_at=START,
    )
    return observations(closed)


def test_a_kpi_may_be_called_broken_without_being_taken_for_broken_inputs() -> None:
    rows = (
        ChannelResult(channel="kpi:broken", statistic="kpi", value=9.0, threshold=1.0, alarming=True),
        ChannelResult(channel="kpi:other", statistic="kpi", value=9.0, threshold=1.0, alarming=True),
    )
    first, second = sorted((each for each in said(*rows) if each.channels), key=lambda each: each.subject)
    assert (first.broken, second.broken) == (False, False)
    assert (first.causes, second.causes) == ((), ())  # neither explains the other
    assert "a business figure is out of bounds" in first.summary
