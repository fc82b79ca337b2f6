"""What follows from what inference and monitoring say."""

from datetime import timedelta

import registry_models as samples
from registry_play import Play, started, window

from schemas.events.monitoring import Alert, WindowBounds
from schemas.events.registry import Promote, Rollback, StartChallenger
from services.registry.automatic import on_alert
from services.registry.promotion import QualityWindows


def two() -> Play:
    play = started()
    play.train(b"one")
    play.report(1, "loaded")
    play.train(b"two")
    return play


def test_serving_is_confirmed_once_a_version() -> None:
    play = two()
    play.report(2, "loaded")
    play.report(2, "loaded", instance="i-2")
    assert play.facts().count("serving-confirmed") == 2
    assert play.facts()[-1] == "serving-confirmed"


def test_a_champion_that_comes_back_by_rollback_is_confirmed_again() -> None:
    play = two()
    play.report(2, "loaded")
    play.command(Rollback())
    play.report(1, "loaded")
    assert play.facts()[-2:] == ["champion-rolled-back", "serving-confirmed"]
    play.report(1, "loaded", instance="i-2")
    assert play.facts()[-1] == "serving-confirmed"
    assert play.facts().count("serving-confirmed") == 3


def test_a_champion_that_was_refused_is_confirmed_once_it_loads_after_all() -> None:
    play = started()
    play.train(b"one")
    play.report(1, "refused")
    play.report(1, "loaded")
    assert play.facts()[-2:] == ["serving-refused", "serving-confirmed"]


def test_a_champion_that_inference_refuses_gives_way_to_the_one_before() -> None:
    play = two()
    play.report(2, "refused")
    assert play.facts()[-2:] == ["serving-refused", "champion-rolled-back"]
    assert play.champion == 1
    count = len(play.events)
    play.report(2, "refused", instance="i-2")
    assert len(play.events) == count


def test_a_champion_that_one_process_serves_stays_when_another_refuses_it() -> None:
    play = two()
    play.report(2, "loaded")
    play.report(2, "refused", instance="i-2")
    assert (play.champion, play.facts()[-1]) == (2, "serving-refused")


def test_the_only_champion_stays_even_if_refused() -> None:
    play = started()
    play.train(b"one")
    play.report(1, "refused")
    assert (play.champion, play.facts()[-1]) == (1, "serving-refused")


def test_reports_about_an_earlier_role_do_not_count() -> None:
    play = two()
    early = play.shade.revision
    play.report(2, "refused")
    play.command(Promote(version=2))
    play.report(2, "refused", revision=early)
    assert play.champion == 2


def test_a_challenger_that_inference_refuses_ends() -> None:
    play = two()
    play.command(StartChallenger(version=1, route="shadow"))
    play.report(1, "refused")
    assert play.facts()[-2:] == ["serving-refused", "challenger-stopped"]


def page(version: int, severity: str = "page", state: str = "firing", kind: str = "errors") -> Alert:
    bounds = WindowBounds(start=samples.NOW, end=samples.NOW + timedelta(days=1))
    return Alert(
        fingerprint="f",
        model="shade",
        version=version,
        kind=kind,  # type: ignore[arg-type]
        severity=severity,  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        episode="e",
        summary="errors rise",
        evidence=(),
        window=bounds,
        started_at=samples.NOW,
        updated_at=samples.NOW,
    )


def test_an_alert_about_the_challenger_ends_it_if_its_kind_pages_and_nothing_else_does() -> None:
    play = two()
    play.command(StartChallenger(version=1, route="canary", share=0.5))
    assert on_alert(play.state, page(2)) == ()
    assert on_alert(play.state, page(1, kind="prediction_drift", severity="warn")) == ()
    assert [entry.fact.type for entry in on_alert(play.state, page(1, severity="warn"))] == ["challenger-stopped"]
    assert on_alert(play.state, page(1, state="resolved")) == ()
    assert [entry.fact.type for entry in on_alert(play.state, page(1))] == ["challenger-stopped"]


def test_quality_windows_pair_by_bounds_and_the_latest_revision_counts() -> None:
    windows = QualityWindows()
    day = timedelta(days=1)
    assert windows.observe(window(1, samples.NOW, roc_auc=0.7))
    assert windows.observe(window(2, samples.NOW, roc_auc=0.8))
    assert windows.observe(window(1, samples.NOW + day, roc_auc=0.7))
    assert windows.observe(window(1, samples.NOW, revision=2, roc_auc=0.6))
    assert not windows.observe(window(1, samples.NOW, revision=1, roc_auc=0.5))
    assert not windows.observe(window(1, samples.NOW, lane="performance", roc_auc=0.5))
    assert windows.pairs("shade", 1, 2) == [({"roc_auc": 0.6}, {"roc_auc": 0.8})]
    windows.keep("shade", [2])
    assert windows.pairs("shade", 1, 2) == []
