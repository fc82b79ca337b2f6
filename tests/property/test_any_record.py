"""Whatever stands on its topics, no service fails over it: each record has one outcome, and every output keeps its contract."""

import json
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import inference_models
import pytest
import registry_models as samples
from any_records import VALUES, batches, damaged_bodies, filled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monitoring_stream import Partition, Rows, hours, knowledge
from monitoring_stream import records as monitored
from rides import FEATURE_SET, MODEL, PREFIX, event_body, label_body
from validation_scene import Scene, definitions, label, raw

from schemas.contracts import contracts
from schemas.definitions import DefinitionError, parse_definitions, validate_documents
from schemas.envelope import header
from schemas.events.contract import decode
from schemas.events.open_inference import InferenceRequest, Tensor
from schemas.events.registry import ApplyDefinitions, Approve, Promote, RegistryCommand, RegistryNudge
from schemas.reasons import MAX_REASONS, Reason, RefusedRecordError
from schemas.records import read_record
from schemas.topics import (
    EVENTS_RAW,
    EVENTS_REJECTED,
    INFERENCE_REQUESTS,
    KIB,
    LABELS_RAW,
    LABELS_REJECTED,
    LABELS_VALIDATED,
    MODELS_CANDIDATES,
    PREDICTIONS,
    REGISTRY_COMMANDS,
    retry,
)
from services.inference.answering import RequestAnswering
from services.inference.decoding import decode as decode_event_to_score
from services.inference.requests import Request
from services.inference.scoring import Scorer, ScoringLimits
from services.inference.serving_plan import CurrentPlan
from services.registry.answers import Answers
from services.registry.audit import Head, verify
from services.registry.authority import Authority
from services.registry.candidates import ProbeResult
from services.registry.probing import ProbeRequest
from services.registry.processor import RegistryProcessor
from services.registry.promotion import QualityWindows
from services.registry.state import State
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames, message

CALM = settings(max_examples=40, suppress_health_check=list(HealthCheck))
NOTES = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": "notes", "owner": "tests", "description": "Texts that grow."},
    "spec": {
        "version": "1.0.0",
        "entity": "ride",
        "features": [
            {"name": "note", "dtype": "string"},
            {"name": "louder", "dtype": "string", "expression": "concat(note, note, note)"},
            {"name": "loudest", "dtype": "string", "expression": "concat(louder, louder, louder)"},
        ],
    },
}
KNOWN = definitions(NOTES)
TICK = b'{"feature_set":"rides@1","time":"2024-05-01T11:00:00Z"}'
NOTE = raw(event_body(feature_set="notes", features={"note": "so"}))
RAW = [raw(event_body()), NOTE, label(label_body()), raw(TICK, kind="headrace.tick.v1", key=b"rides@1")]
RAW_TOPICS = [PREFIX + topic.name for topic in (EVENTS_RAW, LABELS_RAW, retry("validation"))]


def told(error: RefusedRecordError | DefinitionError) -> None:
    """A refusal says why, and not without end."""
    found = error.reasons if isinstance(error, RefusedRecordError) else error.problems
    assert 0 < len(found) <= MAX_REASONS
    assert all(each.model_dump_json() if isinstance(each, Reason) else each.path and each.message for each in found)


def keeps_its_contract(out: Outgoing) -> None:
    """The output is one that its topic takes and every reader of it accepts."""
    assert out.value is not None
    around = sum(len(name) + len(value) for name, value in out.headers) + len(out.key or b"") + KIB
    assert len(out.value) + around <= out.topic.max_message_bytes
    read_record(out.topic, headers=out.headers, key=out.key, value=out.value)


@CALM
@given(batches(RAW, RAW_TOPICS))
def test_validation_gives_every_record_one_outcome(records: list[StoredRecord]) -> None:
    scene = Scene(known=KNOWN)
    outputs = scene.processor.process(records)
    assert len(outputs) == len(records) == sum(scene.tally.values())
    for record, out in zip(records, outputs, strict=True):
        if out.topic.name.endswith(("rejected", "dead-letters")):
            body = json.loads(out.value or b"")
            assert body["origin"]["offset"] == record.offset
            assert body.get("code") != "unexpected", body
        if out.topic.name in ("events.validated", "labels.validated", "events.rejected", "validation.dead-letters"):
            keeps_its_contract(Outgoing(out.topic, out.key or b"k", out.value, out.headers))


def test_validation_writes_nothing_that_its_topic_does_not_take() -> None:
    for record in (each for good in RAW for each in filled(good)):
        (out,) = Scene(known=KNOWN).processor.process([record])
        keeps_its_contract(Outgoing(out.topic, out.key or b"k", out.value, out.headers))


class _Probes:
    def __init__(self) -> None:
        self._results: list[ProbeResult] = []

    def request(self, request: ProbeRequest) -> None:
        self._results.append(ProbeResult(request.model, request.version, passed=True, latency_ms=1.0))

    def arrived(self, digest: str) -> None:
        pass

    def finished(self) -> Sequence[ProbeResult]:
        found, self._results = self._results, []
        return found

    def close(self) -> None:
        pass


def _registry() -> RegistryProcessor:
    return RegistryProcessor(
        State(),
        answers=Answers(),
        windows=QualityWindows(),
        probes=_Probes(),
        names=TopicNames("t."),
        clock=FixedClock(samples.NOW),
        authority=Authority(),
    )


def _asked(action: ApplyDefinitions | Approve | Promote, number: int, model: str | None = "shade") -> StoredRecord:
    body = RegistryCommand(command_id=f"c-{number}", model=model, action=action, actor="ann", issued_at=samples.NOW)
    return _stored(message(REGISTRY_COMMANDS, body, key="shade", source="test"))


def _stored(out: Outgoing) -> StoredRecord:
    return StoredRecord("t." + out.topic.name, 0, 0, 0, out.key, out.value, tuple(out.headers))


APPLY = _asked(ApplyDefinitions(definitions=(samples.FEATURE_SET, samples.model_definition())), 0, None)
ASKED_ALL = _asked(
    ApplyDefinitions(definitions=(samples.FEATURE_SET, samples.model_definition(features=["x"], gates=[]))), 3, None
)
ASKED = [
    APPLY,
    _asked(Approve(version=1), 1),
    _asked(Promote(version=1), 2),
    _stored(message(MODELS_CANDIDATES, samples.candidate(), key="shade", source="test")),
    _stored(message(REGISTRY_COMMANDS, RegistryNudge(), key="registry", source="test")),
]
ASKED_TOPICS = [f"t.{topic.name}" for topic in (REGISTRY_COMMANDS, MODELS_CANDIDATES)]


@CALM
@given(batches(ASKED, ASKED_TOPICS))
def test_the_registry_never_fails_and_its_log_hangs_together(records: list[StoredRecord]) -> None:
    processor = _registry()
    outputs = [*processor.process([APPLY]), *processor.process(records)]
    for out in outputs:
        keeps_its_contract(Outgoing(out.topic, out.key or b"k", out.value, out.headers))
    events = [
        decode(contracts()["headrace.registry-event.v1"], out.value or b"")
        for out in outputs
        if out.topic.name == "registry.events"
    ]
    assert verify(events, Head(processor.state.sequence, processor.state.head)) is None  # type: ignore[arg-type]


def test_the_registry_writes_nothing_that_its_topic_does_not_take() -> None:
    for record in islice(filled(ASKED_ALL, 460_000), 0, None, 2):
        for out in _registry().process([record]):
            keeps_its_contract(Outgoing(out.topic, out.key or b"k", out.value, out.headers))


PREDICTED, LABELLED = hours(1, Rows(), per_hour=2)
SEEN = [*monitored(PREDICTIONS, PREDICTED[:2]), *monitored(LABELS_VALIDATED, LABELLED[:2])]
REJECTED_TOPICS = [
    SEEN[0].topic.removesuffix(PREDICTIONS.name) + each.name for each in (EVENTS_REJECTED, LABELS_REJECTED)
]
SEEN_TOPICS = [SEEN[0].topic, SEEN[-1].topic, *REJECTED_TOPICS]


@settings(CALM, max_examples=20)
@given(batches(SEEN, SEEN_TOPICS))
def test_monitoring_never_fails_over_a_record(records: list[StoredRecord]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        partition = Partition(Path(directory), knowledge())
        try:
            partition.process(records)
            for out in partition.published:
                if out.topic.name == "monitoring.dead-letters":
                    keeps_its_contract(Outgoing(out.topic, out.key or b"k", out.value, out.headers))
        finally:
            partition.profiling.close()


REQUEST = message(
    INFERENCE_REQUESTS,
    InferenceRequest(inputs=(Tensor(name="hour", shape=(1,), datatype="INT64", data=(9,)),)),
    key="parcel-1",
    source="test",
    extensions={"model": "late", "deadline": "2024-05-01T10:00:00Z"},
)
VALIDATED = inference_models.stored([inference_models.event_message(1), inference_models.tick_message(), REQUEST])
(REQUEST_RECORD,) = inference_models.stored([REQUEST])
NOBODY = CurrentPlan()
SCORER = Scorer(ScoringLimits(), lambda: 0.0)


@CALM
@given(batches(VALIDATED, [VALIDATED[0].topic]))
def test_inference_reads_or_refuses_any_record(records: list[StoredRecord]) -> None:
    for place, record in enumerate(records):
        try:
            found = decode_event_to_score(record, place)
        except RefusedRecordError as error:
            told(error)
            continue
        if isinstance(found, Request):
            (out,), _ = RequestAnswering(SCORER).answer([found], NOBODY(), samples.NOW)
            assert header(out.headers, "ce_status") in ("refused", "expired")
            keeps_its_contract(out)


def test_inference_writes_no_response_that_its_topic_does_not_take() -> None:
    for record in filled(REQUEST_RECORD):
        try:
            found = decode_event_to_score(record, 0)
        except RefusedRecordError as error:
            told(error)
            continue
        assert isinstance(found, Request)
        (out,), _ = RequestAnswering(SCORER).answer([found], NOBODY(), samples.NOW)
        keeps_its_contract(out)


@CALM
@given(st.sampled_from(sorted(contracts())), VALUES | st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_a_contract_reads_or_refuses_any_json(ce_type: str, value: object) -> None:
    try:
        decode(contracts()[ce_type], json.dumps(value).encode())
    except RefusedRecordError as error:
        told(error)


@CALM
@given(st.sampled_from([FEATURE_SET, MODEL, samples.FEATURE_SET, samples.model_definition()]), st.data())
def test_a_damaged_definition_is_read_or_refused_with_its_problems(definition: object, data: st.DataObject) -> None:
    text = (data.draw(damaged_bodies(json.dumps(definition).encode())) or b"").decode(errors="replace")
    try:
        parse_definitions(text)
    except DefinitionError as error:
        told(error)


@CALM
@given(st.text(st.characters(), max_size=40) | st.text(st.sampled_from("{}[]:,&*!|>-?'\"# \n\tab1.~%@`"), max_size=40))
def test_any_text_is_definitions_or_refused(text: str) -> None:
    with pytest.raises(DefinitionError):
        parse_definitions(text)


@CALM
@given(st.lists(VALUES, max_size=3))
def test_any_documents_are_definitions_or_refused(documents: list[object]) -> None:
    try:
        assert validate_documents(documents) == []
    except DefinitionError as error:
        told(error)
