"""An alert that fires and resolves again and again is one long episode, through checkpoints and commands."""

import json
from collections.abc import Iterable
from datetime import timedelta

import pytest
from monitoring_stream import MODEL, START

from schemas.events.monitoring import Alert, AlertCommand, AlertKind, ChannelResult, WindowBounds
from services.monitoring.alerting import RESOLVE_AFTER, Memory, command, observe
from services.monitoring.flapping import CALM, TIMES, WITHIN, Firings
from services.monitoring.observations import Observation

HOUR = timedelta(hours=1)
ROW = ChannelResult(channel="errors:failed_share", statistic="share", value=0.3, threshold=0.05, effect=0.25)


class Life:
    """Windows of one hour after another, and what was published."""

    def __init__(self, kind: AlertKind = "errors", route: str = "champion") -> None:
        self.memory = Memory()
        self.published: list[Alert] = []
        self.kind: AlertKind = kind
        self.route = route
        self.hours = 0

    def windows(self, pattern: str, *, version: int = 1) -> "Life":
        """A window a character: ``x`` alarms, ``.`` is quiet."""
        for character in pattern:
            window = WindowBounds(start=START + self.hours * HOUR, end=START + (self.hours + 1) * HOUR)
            rows = (ROW,) if character == "x" else ()
            seen = Observation(MODEL, version, self.route, self.kind, self.route, window, window.end, rows)
            self.memory, alert = observe(self.memory, seen)
            self.published += [alert] if alert else []
            self.hours += 1
        return self

    def order(self, action: str) -> None:
        order = AlertCommand(
            command_id="c1",
            fingerprint=self.published[-1].fingerprint,
            action=action,  # type: ignore[arg-type]
            actor="alex",
            issued_at=START,
        )
        self.memory, alert = command(self.memory, order)
        self.published += [alert] if alert else []

    @property
    def told(self) -> list[tuple[str, bool]]:
        """State and flapping of what the notifier tells: each state of each episode once."""
        return [(alert.state, alert.flapping) for alert in _once(self.published)]


def _once(alerts: Iterable[Alert]) -> list[Alert]:
    first: dict[tuple[str, str], Alert] = {}
    for alert in alerts:
        if alert.state == "firing" or (alert.episode, "firing") in first:  # of an end only where the beginning was told
            first.setdefault((alert.episode, alert.state), alert)
    return list(first.values())


ONCE = [("firing", False), ("resolved", False)]


def test_the_third_firing_within_the_windows_says_flapping_and_nothing_more_is_told_until_it_is_calm() -> None:
    life = Life().windows("x.." * 6)
    assert life.told == [*ONCE, *ONCE, ("firing", True)]
    life.windows("." * (CALM - RESOLVE_AFTER))
    assert life.told == [*ONCE, *ONCE, ("firing", True), ("resolved", True)]


def test_a_flapping_alert_says_why_it_does_not_end() -> None:
    [alert] = [alert for alert in Life().windows("x.." * 3).published if alert.flapping]
    assert f"flapping: fired {TIMES} times within {WITHIN} windows" in alert.summary
    assert f"until {CALM} are quiet" in alert.summary


def test_a_window_that_alarms_starts_the_calm_anew() -> None:
    life = Life().windows("x.." * 2 + "x" + "." * (CALM - 1) + "x" + "." * (CALM - 1))
    assert life.told == [*ONCE, *ONCE, ("firing", True)]
    assert life.windows(".").told[-1] == ("resolved", True)


def test_what_flaps_again_soon_after_its_calm_says_so_at_its_first_firing() -> None:
    life = Life().windows("x.." * 3 + "." * CALM + "x")
    assert [state for state, _ in life.told] == ["firing", "resolved"] * 3 + ["firing"]
    assert life.told[-1] == ("firing", True)


@pytest.mark.parametrize(("gap", "flaps"), [(8, True), (9, False)])
def test_firings_that_lie_farther_apart_are_news_each_time(gap: int, *, flaps: bool) -> None:
    life = Life().windows(("x" + "." * gap) * TIMES)
    assert any(flapping for _, flapping in life.told) == flaps


def test_an_alert_that_is_only_pending_again_and_again_does_not_flap() -> None:
    life = Life("throughput").windows("x." * 12)  # it fires after two windows in a row
    assert life.memory.firings.begun == ()
    life.windows("xx" + ".")
    assert life.told == [("firing", False)]


def test_a_firing_that_goes_on_is_one_firing_however_long_it_lasts() -> None:
    life = Life().windows("x" * 10 + "." + "x" * 10)
    assert life.memory.firings.begun == (1,)
    assert life.told == [("firing", False)]


def test_an_acknowledged_flapping_alert_stays_acknowledged_until_it_is_calm() -> None:
    life = Life().windows("x.." * 3)
    life.order("acknowledge")
    life.windows("x..x..")
    assert life.published[-1].state == "acknowledged"
    assert life.published[-1].flapping
    assert life.windows("." * CALM).published[-1].state == "resolved"


def test_what_follows_from_a_flapping_alert_is_told_again_while_that_is_quiet() -> None:
    life = Life().windows("x.." * 2 + "x.")
    assert life.memory.explains
    life.windows(".")
    assert life.memory.active
    assert not life.memory.explains


def test_the_firings_of_another_rollout_are_no_news_of_this() -> None:
    life = Life(route="canary").windows("x.." * 2).windows("x..", version=2)
    assert not any(flapping for _, flapping in life.told)


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_checkpoint_at_any_window_changes_nothing(cut: int) -> None:
    pattern = "x.." * 4 + "." * CALM + "x..x" + "." * 14
    whole, parts = Life().windows(pattern), Life().windows(pattern[:cut])
    parts.memory = Memory.restored(json.loads(json.dumps(parts.memory.content())))
    parts.windows(pattern[cut:])
    assert parts.published == whole.published
    assert parts.memory == whole.memory


def test_a_checkpoint_from_before_firings_were_counted_is_taken_over() -> None:
    content = Life().windows("x..").memory.content()
    del content["firings"]
    del content["alert"]["flapping"]
    assert Memory.restored(content).firings == Firings()
