"""Requests on the stream: each gets one response, whatever it asks for."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import inference_models as models
import pytest
from inference_models import AT, CATEGORICAL, REF, TEXT, candidate, event_message, parcels, stored

from schemas.definitions import TargetType
from schemas.envelope import Envelope, encode_headers, format_time, header
from schemas.events.inference import Prediction
from schemas.events.open_inference import InferenceRequest, InferenceResponse
from schemas.events.training import ModelOutputs
from schemas.records import read_record
from schemas.topics import EVENTS_VALIDATED, INFERENCE_REQUESTS, INFERENCE_RESPONSES
from services.inference.adapters.onnxruntime import SessionOptions, open_session
from services.inference.decoding import EventToScore, decode
from services.inference.outputs import ClassOutputs
from services.inference.partition_scoring import PartitionScoring
from services.inference.predictions import PredictionWriter
from services.inference.request_rows import MAX_ROWS
from services.inference.responses import REASONS_LIMIT
from services.inference.routing import side_of
from services.inference.scoring import Scored, Scorer, ScoringLimits
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServedModel, Slot, build_plan
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord

SHARE = 0.5
GOOD: dict[str, tuple[str, Any]] = {
    "weight": ("FP32", 2.5),
    "value": ("FP64", 10),
    "hour": ("INT64", 9),
    "express": ("BOOL", True),
    "zone": ("BYTES", "a"),
    "note": ("BYTES", None),
    "class": ("INT32", None),
}


def loaded(artifact: bytes, **about: Any) -> LoadedVersion:
    return LoadedVersion.of(candidate(artifact, **about), open_session(artifact, SessionOptions()))


def plan() -> CurrentPlan:
    zones = loaded(models.picky(), inputs=(CATEGORICAL,), target=TargetType.REGRESSION)
    late = ServedModel(
        "late", REF, Slot("late", 1, "champion", loaded(models.binary())),
        Slot("late", 2, "canary", loaded(models.binary(0.25))), SHARE, (Slot("late", 3, "shadow", zones),),
    )  # fmt: skip
    current = CurrentPlan()
    served = [late, ServedModel("zones", REF, Slot("zones", 1, "champion", zones))]
    current.swap(build_plan(served, {REF: parcels()}))
    return current


class _Seen:
    def __init__(self) -> None:
        self.routes: list[str] = []

    def scored(self, scored: Scored) -> None:
        self.routes.append(scored.slot.route)


SEEN = _Seen()


def process(records: Sequence[StoredRecord], now: datetime = AT) -> list[Outgoing]:
    clock = FixedClock(now)
    SEEN.routes.clear()
    scorer = Scorer(ScoringLimits(), clock.monotonic)
    scoring = PartitionScoring(0, {"late", "zones"}, plan=plan(), scorer=scorer, observer=SEEN, clock=clock)
    return list(scoring.process(records))


def body(*rows: dict[str, Any], without: str | None = None, outputs: Sequence[str] = ()) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": datatype, "data": [row.get(name, value) for row in rows]}
        for name, (datatype, value) in GOOD.items()
        if name != without
    ]
    return {"id": "mine", "inputs": inputs, "outputs": [{"name": name} for name in outputs]}


def request(
    content: dict[str, Any] | bytes | None,
    *,
    model: str = "late",
    key: bytes | None = b"parcel-1",
    deadline: str | None = None,
    kind: str = InferenceRequest.ce_type,
    number: int = 0,
) -> StoredRecord:
    extensions = {"model": model} | ({} if deadline is None else {"deadline": deadline})
    headers = encode_headers(Envelope(f"r-{number}", "front", kind, AT, extensions=extensions))
    value = json.dumps(content).encode() if isinstance(content, dict) else content
    return StoredRecord("p." + INFERENCE_REQUESTS.name, 0, number, 0, key, value, tuple(headers))


def answer(record: StoredRecord, now: datetime = AT) -> tuple[str, InferenceResponse]:
    (out,) = process([record], now)
    assert (out.topic, out.key) == (INFERENCE_RESPONSES, record.key)
    assert header(out.headers, "ce_correlationid") == header(record.headers, "ce_id")
    _, found = read_record(out.topic, headers=out.headers, key=out.key, value=out.value)
    assert isinstance(found, InferenceResponse)
    return header(out.headers, "ce_status") or "", found


def test_every_row_of_a_request_is_answered_with_all_outputs_by_the_version_that_serves_its_key() -> None:
    status, found = answer(request(body({}, {"weight": 1}, {"zone": "elsewhere"})))
    version, score = ("2", 0.25) if side_of("late", "parcel-1", SHARE) == "canary" else ("1", 0.75)
    assert (status, found.id, found.model_name, found.model_version) == ("ok", "mine", "late", version)
    tensors = {tensor.name: tensor for tensor in found.outputs}
    assert tensors["score"].data == (score,) * 3
    assert tensors["probabilities"].shape == (3, 2)
    assert tensors["label"].datatype == "BOOL"


def test_only_the_outputs_that_are_asked_for_come_back() -> None:
    _, found = answer(request(body({}, outputs=["score"])))
    assert [tensor.name for tensor in found.outputs] == ["score"]


def test_a_feature_without_any_value_may_have_any_datatype() -> None:
    content = body({})
    content["inputs"][-1]["datatype"] = "BYTES"
    assert answer(request(content))[0] == "ok"


def test_shadows_are_not_asked() -> None:
    answer(request(body({})))
    assert SEEN.routes in (["champion"], ["canary"])


def test_a_request_is_answered_until_its_deadline_and_told_so_after_it() -> None:
    deadline = format_time(AT + timedelta(seconds=1))
    assert answer(request(body({}), deadline=deadline), AT + timedelta(seconds=1))[0] == "ok"
    status, found = answer(request(body({}), deadline=deadline), AT + timedelta(seconds=1.25))
    assert (status, found.outputs) == ("expired", ())
    assert "0.250 s ago" in (found.error or "")
    assert not SEEN.routes


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request(body({}), model="nobody"), "served: late, zones"),
        (request(body({}), deadline="soon"), "ce_deadline"),
        (request(b"{"), "no inference request"),
        (request(None), "no body"),
        (request({"inputs": []}), "no inputs"),
        (request(body({}, without="hour")), "missing_feature"),
        (request(body({"hour": "nine"})), "row 0, features.hour: type"),
        (request(body({}, {"express": None})), "row 1, features.express: null"),
        (request(body({}, outputs=["luck"])), "no output luck; this model gives label, score, probabilities"),
        (request(body(*[{}] * (MAX_ROWS + 1))), f"1 to {MAX_ROWS}"),
        (request(body()), "0 rows"),
        (request({"inputs": [{"name": "hour", "shape": [1], "datatype": "FP32", "data": [1]}]}), "int64 takes"),
        (request({"inputs": [{"name": "hour", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}]}), "shape [1, 2]"),
        (request({"inputs": [{"name": "hour", "shape": [2], "datatype": "INT64", "data": [1]}]}), "1 values"),
        (request({"inputs": [{"name": "hours", "shape": [1], "datatype": "INT64", "data": [1]}]}), "no feature"),
        (request({"inputs": body({})["inputs"] + body({})["inputs"][:1]}), "stands there twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_request_that_cannot_be_answered_is_told_why(asked: StoredRecord, says: str) -> None:
    status, found = answer(asked)
    assert status == "refused"
    assert says in (found.error or "")
    assert found.reasons
    assert found.reasons[0].observed


def test_a_refusal_says_to_programs_which_value_of_which_row_breaks_which_rule() -> None:
    _, found = answer(request(body({}, {"hour": "nine"}, {"express": None})))
    assert [(each.field, each.rule) for each in found.reasons] == [
        ("rows.1.features.hour", "type"),
        ("rows.2.features.express", "null"),
    ]
    assert answer(request(body({}), model="nobody"))[1].reasons[0].rule == "unknown_model"
    _, many = answer(request(body(*[{"hour": "nine"}] * 200)))
    assert len(many.reasons) == REASONS_LIMIT


def test_a_row_that_breaks_the_model_fails_its_own_request_alone() -> None:
    records = [
        request(body({"zone": zone}), model="zones", number=number) for number, zone in enumerate(["a", "poison", "b"])
    ]
    statuses = [header(out.headers, "ce_status") for out in process(records)]
    assert statuses == ["ok", "failed", "ok"]


def test_requests_events_and_what_cannot_be_read_are_answered_in_their_order() -> None:
    (event,) = stored([event_message(1)])
    records = [event, request(body({}), number=1), request(body({}), number=2, key=None), request(b"", number=3)]
    answered = ["inference.responses", "inference.dead-letters", "inference.responses"]
    assert [out.topic.name for out in process(records)] == [*["predictions"] * 3, *answered]  # late, its shadow, zones


def test_a_validated_event_that_a_client_writes_among_the_requests_is_not_scored() -> None:
    (event,) = stored([event_message(1)])
    assert event.topic == EVENTS_VALIDATED.name
    forged = StoredRecord("p." + INFERENCE_REQUESTS.name, 0, 0, 0, event.key, event.value, event.headers)
    (out,) = process([forged])
    assert header(out.headers, "ce_code") == "unknown_type"


def test_the_same_request_again_gets_the_same_response_id() -> None:
    first, again = (process([request(body({}))])[0] for _ in range(2))
    assert header(first.headers, "ce_id") == header(again.headers, "ce_id")


def test_an_answer_that_outgrows_its_topic_is_refused_and_one_for_fewer_rows_is_not() -> None:
    classes = ("x" * 1200, "y" * 1200, "z" * 1200)
    wordy = loaded(
        models.spelling(), target=TargetType.MULTICLASS, inputs=(TEXT,), classes=classes,
        outputs=ModelOutputs(probabilities="probabilities"),
    )  # fmt: skip
    current = CurrentPlan()
    current.swap(build_plan([ServedModel("wordy", REF, Slot("wordy", 1, "champion", wordy))], {REF: parcels()}))
    scoring = PartitionScoring(
        0, {"wordy"}, plan=current, scorer=Scorer(ScoringLimits(), FixedClock(AT).monotonic), observer=SEEN,
        clock=FixedClock(AT),
    )  # fmt: skip
    records = [request(body(*[{}] * rows), model="wordy", number=rows) for rows in (900, 100)]
    refused, answered = scoring.process(records)
    assert [header(out.headers, "ce_status") for out in (refused, answered)] == ["refused", "ok"]
    assert b"ask for fewer rows" in (refused.value or b"")


def test_a_prediction_that_outgrows_its_topic_fails_without_its_outputs_and_the_next_does_not() -> None:
    events = [decode(record, place) for place, record in enumerate(stored([event_message(1), event_message(2)]))]
    found = [event for event in events if isinstance(event, EventToScore)]
    answers = [ClassOutputs("a", 0.5, [0.123456789012345] * 60_000), ClassOutputs("a", 0.5, [0.5, 0.5])]
    writer = PredictionWriter(Slot("late", 1, "champion", loaded(models.binary())))
    long, short = (
        read_record(out.topic, headers=out.headers, key=out.key, value=out.value)[1]
        for out in writer.write(found, answers, AT, 0, 0.0)
    )
    assert isinstance(long, Prediction)
    assert isinstance(short, Prediction)
    assert (long.status, long.outputs, short.status) == ("failed", None, "ok")
    assert "fewer classes" in (long.error or "")


def test_what_a_request_says_of_itself_cannot_make_its_answer_outgrow_its_topic() -> None:
    long = {**body({}), "id": "x" * 900_000}
    assert "send at most 1000" in (answer(request(long))[1].error or "")
    names = {**body({}), "outputs": [{"name": "\x01" * 150_000}]}
    (out,) = process([request(names)])
    assert len(out.value or b"") < 30_000
    (letter,) = process([request(body({}), key=b"k" * 100_000)])
    assert header(letter.headers, "ce_code") == "too_large"
