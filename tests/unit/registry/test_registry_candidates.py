"""How candidates become versions, and what follows by itself."""

import registry_models as samples
from registry_play import Play, look, started

from schemas.events.registry import (
    Approve,
    CandidateRefused,
    ChallengerStopped,
    ChampionPromoted,
    GatesEvaluated,
    Promote,
    Reject,
    StartChallenger,
    VersionRejected,
)
from schemas.events.training import ModelInput, ModelOutputs
from services.registry.candidates import unprobed


def test_versions_count_from_one_and_the_first_goes_live_at_once_even_in_a_shadow_rollout() -> None:
    play = started(rollout={"strategy": "shadow"})
    assert play.train(b"one") == 1
    assert play.facts()[-4:] == ["version-probed", "gates-evaluated", "version-approved", "champion-promoted"]
    assert play.train(b"two") == 2
    assert (play.champion, play.facts()[-1]) == (1, "challenger-started")


def test_the_same_candidate_or_the_same_bytes_are_one_version() -> None:
    play = started()
    play.train(b"one")
    count = len(play.events)
    play.offer(b"one")
    assert len(play.events) == count
    play.offer(b"one", candidate_id="another-id")
    assert list(play.shade.versions) == [1]


def test_bytes_that_are_a_version_already_are_answered_once_with_that_version_and_where_it_stands() -> None:
    play = started()
    play.train(b"one")
    for _ in range(2):
        play.offer(b"one", candidate_id="another-id")
    assert play.facts().count("candidate-refused") == 1
    fact = play.events[-1].fact
    assert isinstance(fact, CandidateRefused)
    assert (fact.candidate_id, fact.code, fact.version) == ("another-id", "known", 1)
    assert fact.message == "version 1 of shade, which is champion, has the same bytes; no new version was made."


def test_bytes_of_a_version_that_was_refused_for_good_name_it_and_lead_to_none() -> None:
    play = started(approval={"mode": "manual"})
    play.train(b"one")
    play.command(Reject(version=1))
    play.offer(b"two")
    play.probe(2, code="crash")
    answers = []
    for content in (b"one", b"two"):
        play.offer(content, candidate_id=f"again-{content.decode()}")
        fact = play.events[-1].fact
        assert isinstance(fact, CandidateRefused)
        answers.append((fact.code, fact.version, fact.message.partition(", has")[0]))
    assert answers == [
        ("known", None, "version 1 of shade, which was rejected (manual)"),
        ("known", None, "version 2 of shade, which is in quarantine (crash)"),
    ]


def test_a_version_that_failed_its_gates_is_judged_by_the_gates_in_force_when_it_is_offered_again() -> None:
    play = started(gates=[{"metric": "roc_auc", "min": 0.9}])
    play.train(b"one")
    play.offer(b"one", candidate_id="too-early")
    assert play.facts()[-3:] == ["candidate-refused", "gates-evaluated", "version-rejected"]
    play.apply(samples.model_definition(gates=[{"metric": "roc_auc", "min": 0.7}]))
    assert play.champion is None
    play.offer(b"one", candidate_id="again")
    assert play.facts()[-4:] == ["candidate-refused", "gates-evaluated", "version-approved", "champion-promoted"]
    assert list(play.shade.versions) == [1]
    count = len(play.events)
    play.offer(b"one", candidate_id="again")
    assert len(play.events) == count


def test_a_version_that_failed_its_gates_is_not_judged_again_against_the_definition_it_contradicts() -> None:
    play = started(gates=[{"metric": "roc_auc", "min": 0.9}])
    play.train(b"one")
    play.apply(samples.model_definition(features=["color"]))
    play.offer(b"one", candidate_id="again")
    assert (code(play), play.shade.versions[1].rejected) == ("inputs", "gates")


def test_an_old_candidate_id_with_new_bytes_is_refused_once() -> None:
    play = started()
    play.offer(b"one", candidate_id="same")
    play.offer(b"two", candidate_id="same")
    play.offer(b"two", candidate_id="same")
    assert play.facts()[-2:] == ["candidate-registered", "candidate-refused"]


def code(play: Play) -> str:
    fact = play.events[-1].fact
    assert isinstance(fact, CandidateRefused)
    return fact.code


def test_a_candidate_that_contradicts_its_definition_is_refused() -> None:
    play = started(features=["x", "y"])
    play.offer(b"1", feature_set="points@2")
    assert code(play) == "feature_set"
    play.offer(b"2", target_type="regression", outputs=ModelOutputs(value="v"))
    assert code(play) == "target_type"
    play.offer(b"3", inputs=(ModelInput(name="i", kind="numeric", features=("z",)),))
    assert code(play) == "inputs"
    play.offer(b"4", inputs=(ModelInput(name="i", kind="categorical", features=("color",)),))
    assert code(play) == "inputs"
    play.offer(b"5", size=513 * 1024 * 1024)
    assert code(play) == "too_large"
    play.offer(b"6", outputs=ModelOutputs())
    assert code(play) == "outputs"
    play.offer(b"7", classes=(0, 1, 2))
    assert code(play) == "outputs"
    assert play.shade.versions == {}


def test_a_candidate_of_an_unknown_model_may_be_offered_again_once_the_model_is_known() -> None:
    play = Play()
    play.offer(b"one")
    play.offer(b"one")
    assert play.facts() == ["candidate-refused"]
    play.apply(samples.FEATURE_SET, samples.model_definition())
    play.offer(b"one")
    assert play.facts()[-1] == "candidate-registered"


def test_a_version_whose_file_never_came_may_be_offered_again() -> None:
    play = started()
    play.offer(b"one")
    play.probe(1, code="artifact_missing")
    play.offer(b"one", candidate_id="again")
    assert play.facts()[-1] == "candidate-registered"
    assert [(name, version.number) for name, version in unprobed(play.state)] == [("shade", 2)]


def test_a_second_probe_result_changes_nothing() -> None:
    play = started()
    play.train(b"one")
    count = len(play.events)
    play.probe(1, code="crash")
    assert len(play.events) == count


def test_failed_gates_reject_a_version_with_a_sentence() -> None:
    play = started(
        gates=[
            {"metric": "roc_auc", "min": 0.9},
            {"metric": "brier", "max": 0.2},
            {"metric": "accuracy_gap", "group": "color", "max": 0.1},
            {"metric": "latency_ms", "max": 5},
        ]
    )
    play.train(b"one", group_metrics={"color": {"accuracy_gap": 0.05}})
    evaluated, rejected = play.events[-2].fact, play.events[-1].fact
    assert isinstance(evaluated, GatesEvaluated)
    assert [result.passed for result in evaluated.results] == [False, False, True, True]
    assert isinstance(rejected, VersionRejected)
    assert rejected.message.startswith("roc_auc must be >= 0.9 and is 0.8; brier must be <= 0.2 and was not measured.")
    assert play.champion is None


def test_a_gate_against_the_champion_passes_while_there_is_none_and_knows_which_way_is_better() -> None:
    gates = [
        {"metric": "roc_auc", "against": "champion", "minDelta": -0.01},
        {"metric": "log_loss", "against": "champion", "minDelta": 0},
    ]
    play = started(gates=gates)
    play.train(b"one", metrics={"roc_auc": 0.8, "log_loss": 0.5})
    assert play.champion == 1
    play.train(b"two", metrics={"roc_auc": 0.795, "log_loss": 0.4})
    assert play.champion == 2
    play.train(b"three", metrics={"roc_auc": 0.9, "log_loss": 0.41})
    assert (play.champion, play.shade.versions[3].rejected) == (2, "gates")
    fact = play.events[-1].fact
    assert isinstance(fact, VersionRejected)
    assert fact.message.startswith("log_loss must be no worse than champion 2 (0.4) and is 0.41")
    evaluated = [event.fact for event in play.events if isinstance(event.fact, GatesEvaluated)]
    assert [results.results[0].bound for results in evaluated] == [
        "at most 0.01 worse than the champion (there is no champion)",
        "at most 0.01 worse than champion 1 (0.8)",
        "at most 0.01 worse than champion 2 (0.795)",
    ]


def test_a_metric_that_is_not_a_number_fails_its_gate() -> None:
    play = started(gates=[{"metric": "roc_auc", "min": 0.1}])
    play.train(b"one", metrics={"roc_auc": float("nan")})
    assert play.shade.versions[1].rejected == "gates"


EVEN = ({"roc_auc": 0.80}, {"roc_auc": 0.80})
WORSE = ({"roc_auc": 0.80}, {"roc_auc": 0.70})
SLIGHTLY = [({"roc_auc": 0.80}, {"roc_auc": 0.70 + 0.199 * (i % 2)}) for i in range(20)]


def shadowed(**spec: object) -> Play:
    play = started(rollout={"strategy": "shadow", "minWindows": 3}, **spec)
    play.train(b"one")
    play.train(b"two")
    return play


def test_a_challenger_that_is_not_worse_over_enough_windows_becomes_champion() -> None:
    play = shadowed()
    play.compare([EVEN] * 2)
    assert play.champion == 1
    play.compare([EVEN] * 3)
    promoted = play.events[-1].fact
    assert isinstance(promoted, ChampionPromoted)
    assert (promoted.version, promoted.previous, promoted.automatic) == (2, 1, True)
    assert promoted.evidence[0] == "roc_auc over 3 windows: champion 0.8, challenger 0.8"


def test_a_challenger_that_is_clearly_worse_ends() -> None:
    play = shadowed()
    play.compare([WORSE] * 3)
    assert (play.champion, play.facts()[-1], play.shade.challenger) == (1, "challenger-stopped", None)


def test_a_challenger_that_is_worse_but_not_clearly_gets_four_times_the_windows() -> None:
    play = shadowed()
    play.compare(SLIGHTLY[:4])
    assert play.shade.challenger is not None
    play.compare(SLIGHTLY[:12])
    assert play.shade.challenger is None


def test_the_gate_against_the_champion_says_how_much_worse_is_tolerated() -> None:
    play = shadowed(gates=[{"metric": "roc_auc", "against": "champion", "minDelta": -0.15}])
    play.compare([WORSE] * 3)
    assert play.champion == 2


def test_a_new_challenger_replaces_the_old_one() -> None:
    play = shadowed()
    play.train(b"three")
    assert play.facts()[-2:] == ["challenger-stopped", "challenger-started"]
    assert play.shade.challenger is not None
    assert play.shade.challenger.version == 3


def test_a_version_on_another_feature_set_waits_for_a_person() -> None:
    play = shadowed()
    second = {**samples.FEATURE_SET, "spec": {**samples.FEATURE_SET["spec"], "version": "2.0.0"}}
    play.apply(second, samples.model_definition(featureSet="points@2", rollout={"strategy": "shadow", "minWindows": 3}))
    play.train(b"three", feature_set="points@2")
    assert (play.champion, play.facts()[-1]) == (1, "version-approved")
    assert "cannot run side by side" in play.command(StartChallenger(version=3, route="shadow")).message
    play.command(Promote(version=3))
    assert play.facts()[-2:] == ["challenger-stopped", "champion-promoted"]
    assert play.deployment is not None
    assert play.deployment.feature_set == "points@2"


def test_changing_the_definition_to_automatic_approves_what_is_newer_than_the_champion_only() -> None:
    play = started(approval={"mode": "manual"})
    for content in (b"one", b"two", b"three"):
        play.train(content)
    play.command(Approve(version=2))
    play.apply(samples.model_definition())
    assert play.champion == 3
    assert not play.shade.versions[1].approved


def test_a_challenger_whose_improvement_is_certainly_above_the_tolerance_becomes_champion() -> None:
    play = shadowed(gates=[{"metric": "roc_auc", "against": "champion", "minDelta": -0.02}])
    looks = [look(1, None, None), look(2, None, None), look(3, None, None), look(4, -0.03, 0.05)]
    play.compare([EVEN] * 4, *looks)
    assert (play.champion, play.shade.challenger is None) == (1, False), "equal means are no evidence"
    play.compare([EVEN] * 5, *looks, look(5, -0.012, 0.05))
    promoted = play.events[-1].fact
    assert isinstance(promoted, ChampionPromoted)
    assert (promoted.version, promoted.automatic) == (2, True)
    assert promoted.evidence == (
        "roc_auc over 5 windows, 500 labelled events: improvement +0.019, between -0.012 and +0.05 (at every look, alpha 0.05)",
        "0.02 worse is tolerated",
    )


def test_no_bounds_decide_before_the_windows_that_the_definition_asks_for() -> None:
    play = shadowed()
    play.compare([EVEN] * 2, look(1, 0.1, 0.2), look(2, 0.1, 0.2))
    assert play.champion == 1
    play.compare([EVEN] * 3, look(1, 0.1, 0.2), look(2, 0.1, 0.2), look(3, 0.1, 0.2))
    assert play.champion == 2


def test_a_challenger_that_is_certainly_worse_than_tolerated_ends() -> None:
    play = shadowed(gates=[{"metric": "roc_auc", "against": "champion", "minDelta": -0.02}])
    play.compare([WORSE] * 4, look(4, -0.08, -0.019))
    assert play.shade.challenger is not None
    play.compare([WORSE] * 5, look(4, -0.08, -0.019), look(5, -0.08, -0.021))
    assert play.shade.challenger is None
    stopped = play.events[-1].fact
    assert isinstance(stopped, ChallengerStopped)
    assert stopped.message.startswith("worse than the champion: roc_auc over 5 windows")


def test_a_challenger_that_bounds_do_not_decide_about_ends_after_four_times_the_windows() -> None:
    play, looks = shadowed(), [look(number, -0.1, 0.1) for number in range(1, 13)]
    play.compare([EVEN] * 11, *looks[:11])
    assert play.shade.challenger is not None
    play.compare([EVEN] * 12, *looks)
    stopped = play.events[-1].fact
    assert isinstance(stopped, ChallengerStopped)
    assert stopped.message.startswith("not shown to be as good as the champion: roc_auc over 12 windows")


def test_windows_of_which_most_have_too_few_events_end_a_challenger_in_time() -> None:
    play = shadowed()
    play.compare([EVEN] * 11, look(1, None, None))
    assert play.shade.challenger is not None
    play.compare([EVEN] * 12, look(1, None, None))
    assert play.shade.challenger is None
    assert "too few of them with enough labelled events" in str(play.events[-1].fact)


def test_the_first_look_that_decides_counts_however_many_are_known() -> None:
    looks = [look(3, -0.1, 0.1), look(4, 0.01, 0.1), look(5, -0.1, -0.01), *[look(n, -0.1, 0.1) for n in range(6, 20)]]
    play = shadowed()
    play.compare([EVEN] * 19, *looks)
    promoted = play.events[-1].fact
    assert isinstance(promoted, ChampionPromoted)
    assert "over 4 windows" in promoted.evidence[0]


def test_the_metric_of_the_gate_is_looked_at_before_the_usual_ones() -> None:
    gates = [{"metric": "brier", "against": "champion", "minDelta": -0.01}]
    play = started(rollout={"strategy": "shadow", "minWindows": 3}, gates=gates)
    play.train(b"one", metrics={"brier": 0.2})
    play.train(b"two", metrics={"brier": 0.2})
    play.compare([EVEN] * 4, look(4, 0.1, 0.2), look(4, -0.02, 0.1, metric="brier"))
    assert play.champion == 1
    play.compare([EVEN] * 5, look(5, 0.1, 0.2), look(5, -0.005, 0.1, metric="brier"))
    assert play.champion == 2


def test_who_lets_two_windows_decide_is_answered_by_means() -> None:
    play = started(rollout={"strategy": "shadow", "minWindows": 2})
    play.train(b"one")
    play.train(b"two")
    play.compare([EVEN] * 2, look(1, None, None), look(2, None, None))
    assert play.champion == 2
