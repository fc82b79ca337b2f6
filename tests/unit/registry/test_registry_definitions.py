"""Definitions come into force together, or not at all."""

import copy
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
import registry_models as samples
from registry_play import Play, started

from schemas.definitions.problems import MAX_PROBLEMS
from schemas.events.contract import encode
from schemas.topics import REGISTRY_REPLIES


def changed(**spec: Any) -> dict[str, Any]:
    definition = copy.deepcopy(samples.FEATURE_SET)
    definition["spec"] |= spec
    return definition


def test_feature_sets_come_into_force_before_the_models_that_need_them() -> None:
    play = Play()
    assert play.apply(samples.model_definition(), samples.FEATURE_SET).status == "accepted"
    assert [event.model for event in play.events] == ["FeatureSet/points/1", "Model/shade/1"]


def test_what_stands_in_force_is_unchanged() -> None:
    play = started()
    assert play.apply(samples.FEATURE_SET, samples.model_definition()).status == "unchanged"
    assert len(play.events) == 2


def test_one_bad_document_keeps_all_out_and_every_problem_is_told_with_its_path() -> None:
    play = Play()
    bad = samples.model_definition(features=["z"], target={"name": "late", "type": "binary", "colour": 1})
    reply = play.apply(samples.FEATURE_SET, bad, {"kind": "Pipeline"})
    assert (reply.status, reply.code) == ("refused", "invalid")
    assert list(reply.problems) == [
        "document 2, spec.target.colour: unknown key",
        "document 3, kind: expected FeatureSet, Model or Key",
    ]
    assert play.events == []


def test_a_model_is_checked_against_its_feature_set() -> None:
    play = Play()
    assert "neither in this apply nor in force" in play.apply(samples.model_definition()).problems[0]
    reply = play.apply(samples.FEATURE_SET, samples.model_definition(features=["z"]))
    assert reply.problems == ("document 2, spec.features[0]: points@1 has no feature 'z'",)


def test_expressions_are_compiled() -> None:
    reply = Play().apply(changed(rules=[{"name": "r", "expression": "nothing > 1"}]))
    assert reply.problems[0].startswith("document 1, spec.rules[0].expression: ")


def test_a_breaking_change_needs_a_new_major() -> None:
    play = started()
    features = [feature for feature in samples.FEATURE_SET["spec"]["features"] if feature["name"] != "y"]
    assert any("removed" in problem for problem in play.apply(changed(version="1.1.0", features=features)).problems)
    assert play.apply(changed(version="2.0.0", features=features)).status == "accepted"


def test_a_changed_definition_needs_a_higher_version() -> None:
    features = copy.deepcopy(samples.FEATURE_SET["spec"]["features"])
    features[0]["range"] = [-20, 20]
    play = started()
    assert "spec.version" in play.apply(changed(features=features)).problems[0]
    assert play.apply(changed(version="1.0.1", features=features)).status == "accepted"
    assert play.state.definitions["FeatureSet/points/1"].revision == 2


def test_the_same_definition_twice_in_one_apply_is_a_problem() -> None:
    reply = Play().apply(samples.FEATURE_SET, samples.FEATURE_SET)
    assert reply.problems == ("document 2, metadata.name: document 1 already defines FeatureSet/points/1",)


def test_a_dry_run_says_what_would_happen_and_does_nothing() -> None:
    play = Play()
    reply = play.apply(samples.FEATURE_SET, dry_run=True)
    assert (reply.status, reply.message) == ("accepted", "this would put in force: FeatureSet points 1.0.0.")
    assert play.events == []


def test_an_expected_revision_guards_one_definition() -> None:
    play = started()
    assert play.apply(samples.FEATURE_SET, samples.model_definition(), revision=1).code == "invalid"
    assert play.apply(samples.model_definition(kpis=[]), revision=7).code == "conflict"


def test_the_target_of_a_model_with_versions_stays() -> None:
    play = started()
    play.train(b"one")
    reply = play.apply(samples.model_definition(target={"name": "late", "type": "regression"}))
    assert reply.problems[0].startswith("document 1, spec.target.type: shade has versions that predict binary")


def test_nothing_to_apply_is_refused() -> None:
    assert Play().apply().code == "invalid"


@pytest.mark.parametrize(
    "definitions",
    [
        (samples.model_definition(features=[f"unknown_{number}" for number in range(16_000)]), samples.FEATURE_SET),
        (samples.model_definition(**{f"\x01{number}" * 20: 1 for number in range(4000)}),),
        (samples.model_definition(**{f"{number}" + "\x01" * 2000: 1 for number in range(60)}),),
        tuple({"kind": f"nothing-{number}"} for number in range(16_000)),
    ],
    ids=["unknown-features", "long-keys", "unreadable-keys", "many-documents"],
)
def test_a_refusal_fits_its_topic_whatever_was_sent_and_says_how_many_problems_it_leaves_out(
    definitions: Sequence[dict[str, Any]],
) -> None:
    reply = Play().apply(*definitions)
    assert len(encode(reply)) <= REGISTRY_REPLIES.max_body_bytes
    assert 10 < len(reply.problems) <= MAX_PROBLEMS
    number = int(reply.message.split(", ")[1].split(" ")[0])
    left_out = re.search(r" \(and (\d+) more problems\)$", reply.problems[-1])
    assert left_out is not None or number == len(reply.problems)
    assert number == len(reply.problems) + int(left_out[1] if left_out else 0)
    assert all(len(problem) < 1400 for problem in reply.problems)


def test_a_model_has_no_more_gates_than_their_results_fit_an_event() -> None:
    gates = [{"metric": "roc_auc", "min": number / 1000} for number in range(201)]
    reply = Play().apply(samples.FEATURE_SET, samples.model_definition(gates=gates))
    assert reply.problems == ("document 2, spec.gates: must have at most 200 entries, observed 201",)


def test_a_hundred_thousand_features_are_judged_within_the_time_of_a_transaction() -> None:
    names = [f"f{number}" for number in range(100_000)]
    began = time.perf_counter()
    reply = Play().apply(samples.FEATURE_SET, samples.model_definition(features=[*names, names[0]]))
    assert time.perf_counter() - began < 10
    assert reply.problems == ("document 2, spec.features[100000]: f0 stands there twice",)
