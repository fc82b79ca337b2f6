"""Monitoring and the registry, each without the other: how a challenger compares, as the one publishes it, decides in the other."""

from pathlib import Path
from typing import Any

import pytest
from monitoring_challengers import challenged, judged
from registry_play import Play, started

from schemas.events.registry import ChallengerStopped, ChampionPromoted
from services.registry.automatic import on_evidence
from services.registry.promotion import QualityWindows


def decided(directory: Path, route: Any, guesses: Any) -> Any:
    """The registry's decision on twelve hours of a challenger beside its champion, None where there is none."""
    play = started(rollout={"strategy": route, "minWindows": 3})
    play.train(b"one")
    play.train(b"two")
    windows = QualityWindows()
    for published in judged(directory, challenged(13, route, per_hour=200, guesses=guesses)).windows:
        windows.observe(published.model_copy(update={"model": "shade"}))  # one world's model in the other's
        found = _decision(play, windows, route)
        if found is not None:
            return found
    return None


def _decision(play: Play, windows: QualityWindows, route: str) -> Any:
    entries = on_evidence(play.state, "shade", windows.pairs("shade", 1, 2), windows.looks("shade", 1, 2, route))
    return entries[-1].fact if entries else None


@pytest.mark.parametrize("route", ["shadow", "canary"])
def test_a_challenger_that_is_better_becomes_champion_on_its_bounds(tmp_path: Path, route: str) -> None:
    promoted = decided(tmp_path, route, "champion")
    assert isinstance(promoted, ChampionPromoted)
    assert promoted.evidence[0].startswith("roc_auc over ")
    assert "at every look, alpha 0.05" in promoted.evidence[0]


@pytest.mark.parametrize("route", ["shadow", "canary"])
def test_a_challenger_that_is_worse_ends_on_its_bounds(tmp_path: Path, route: str) -> None:
    stopped = decided(tmp_path, route, "challenger")
    assert isinstance(stopped, ChallengerStopped)
    assert stopped.message.startswith("worse than the champion: roc_auc over ")
    assert "at every look, alpha 0.05" in stopped.message
