"""No record is rejected by a definition that is no longer in force: the edge may have accepted it by a newer one."""

from rides import FEATURES
from validation_scene import FEATURE_SET, MODEL, Scene, definition_record, event_body, label, label_body, raw

from services.validation.definitions import Definitions


def without_definitions() -> Definitions:
    return Definitions()


def test_an_event_of_a_set_that_was_defined_a_moment_ago_is_validated() -> None:
    scene = Scene(known=without_definitions(), late=[definition_record(FEATURE_SET)])
    assert scene.codes(raw(event_body())) == [["events.validated"]]
    assert scene.catch_ups == 1


def test_an_event_that_a_newer_definition_allows_is_validated() -> None:
    wider = {**FEATURE_SET, "spec": {**FEATURE_SET["spec"], "version": "1.1.0"}}
    wider["spec"]["features"] = [
        {**each, "range": [0, 30]} if each["name"] == "hour" else each for each in FEATURE_SET["spec"]["features"]
    ]
    body = event_body(features={**FEATURES, "hour": 29})
    assert Scene().codes(raw(body)) == [["range"]]
    assert Scene(late=[definition_record(wider, offset=9)]).codes(raw(body)) == [["events.validated"]]


def test_a_label_of_a_model_that_was_defined_a_moment_ago_is_validated() -> None:
    late = [definition_record(FEATURE_SET), definition_record(MODEL, offset=1)]
    scene = Scene(known=without_definitions(), late=late)
    assert scene.codes(label(label_body())) == [["labels.validated"]]


def test_a_set_that_nobody_defined_is_rejected_after_one_look_for_the_whole_batch() -> None:
    scene = Scene(known=without_definitions())
    assert scene.codes(raw(event_body(), "a"), raw(event_body(), "b")) == [["unknown_feature_set"]] * 2
    assert scene.catch_ups == 1


def test_each_batch_looks_again_and_counts_every_record_once() -> None:
    scene = Scene(known=without_definitions())
    for name in ("a", "b"):
        scene.codes(raw(event_body(), name))
    assert scene.catch_ups == 2
    assert scene.tally["event", "rejected"] == 2


def test_what_is_wrong_with_a_records_bytes_needs_no_look() -> None:
    scene = Scene()
    assert scene.codes(raw(b"{"), raw(None)) == [["json_syntax"], ["tombstone"]]
    assert scene.codes(raw(event_body())) == [["events.validated"]]
    assert scene.catch_ups == 0
