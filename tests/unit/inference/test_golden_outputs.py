"""What inference writes for a batch of every kind of record, byte for byte as it was written before the path was made fast.

`python tests/unit/inference/test_golden_outputs.py` writes the file anew, for changes that are meant.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import inference_models as models
from inference_models import AT, CATEGORICAL, REF, SOURCE, TEXT, candidate, event_message, parcels, stored

from schemas.definitions import TargetType
from schemas.envelope import Envelope, encode_headers
from schemas.events.inference import Prediction
from schemas.events.training import ModelOutputs
from schemas.records import read_record
from schemas.topics import PREDICTIONS
from services.inference.adapters.onnxruntime import SessionOptions, open_session
from services.inference.partition_scoring import PartitionScoring
from services.inference.scoring import Scored, Scorer, ScoringLimits
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServedModel, Slot, build_plan
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord

GOLDEN = Path(__file__).parent / "golden_outputs.json"
REGRESSION = {"target": TargetType.REGRESSION}


class _Nobody:
    def scored(self, scored: Scored) -> None:
        pass


def loaded(artifact: bytes, **about: Any) -> LoadedVersion:
    return LoadedVersion.of(candidate(artifact, **about), open_session(artifact, SessionOptions()))


def plan() -> CurrentPlan:
    """Every target type, a canary, a shadow that fails on a zone, a model that reads text, and a sum of numbers."""
    binary = loaded(models.binary())
    picky = loaded(models.picky(), inputs=(CATEGORICAL,), **REGRESSION)
    spelling = loaded(
        models.spelling(), target=TargetType.MULTICLASS, inputs=(TEXT,), classes=("yes", "no", "maybe"),
        outputs=ModelOutputs(probabilities="probabilities"),
    )  # fmt: skip
    late = ServedModel(
        "late", REF, Slot("late", 3, "champion", binary), Slot("late", 4, "canary", loaded(models.binary(0.25))), 0.4,
        (Slot("late", 5, "shadow", picky),),
    )  # fmt: skip
    served = [
        late,
        ServedModel("sum", REF, Slot("sum", 1, "champion", loaded(models.regression(), **REGRESSION))),
        ServedModel("spelling", REF, Slot("spelling", 1, "champion", spelling)),
    ]
    current = CurrentPlan()
    current.swap(build_plan(served, {REF: parcels()}))
    return current


def with_body(record: StoredRecord, **changes: Any) -> StoredRecord:
    return replace(
        record, value=json.dumps({**json.loads(record.value or b""), **changes}, ensure_ascii=False).encode()
    )


def with_headers(record: StoredRecord, **changes: bytes | None) -> StoredRecord:
    kept = [(name, changes.pop(name, value)) for name, value in record.headers]
    found = [(name, value) for name, value in [*kept, *changes.items()] if value is not None]
    return replace(record, headers=tuple(found))


def batch() -> list[StoredRecord]:
    good = stored([event_message(number, entity=f"parcel-{number}") for number in range(12)])
    rows: Sequence[dict[str, Any]] = [
        {"weight": None}, {"zone": "poison"}, {"zone": "nowhere"}, {"zone": None}, {"note": "no"}, {"note": 'é "\\ \u2028'},
        {"weight": 0.1, "hour": 2**53 + 1}, {"hour": 10**400}, {"hour": None}, {"express": 1}, {"weight": "heavy"},
        {"more": [1, {"a": None}]},
    ]  # fmt: skip
    special = stored([event_message(100 + place, **row) for place, row in enumerate(rows)], first=100)
    first, *_ = good
    envelope = Envelope("other", SOURCE, "headrace.else.v1", AT)
    wrong = [
        replace(first, value=None),
        replace(first, value=b"{"),
        replace(first, value=b"\xff"),
        replace(first, key=None),
        replace(first, key=b"another"),
        replace(first, headers=()),
        replace(first, headers=tuple(encode_headers(envelope))),
        with_body(first, features=[1]),
        with_body(first, features=None),
        with_body(first, extra=1),
        with_body(first, occurred_at="2024-05-01T12:00:00"),
        with_body(first, occurred_at="yesterday"),
        with_body(first, entity_id=7),
        with_body(first, feature_set="elsewhere@1"),
        with_headers(first, ce_id=None),
        with_headers(first, ce_id=b"\xff"),
        with_headers(first, ce_source=b""),
    ]
    odd = [
        with_body(good[1], occurred_at="2024-05-01T14:00:00.250+02:00"),
        with_headers(good[2], traceparent=None),
        with_headers(good[3], traceparent=b"00-short-01"),
        with_headers(good[4], unknown=b"x"),
        with_headers(good[5], ce_time=b"2024-05-01T11:59:00.5Z"),
        replace(good[6], value=b" " + (good[6].value or b"").replace(b'":', b'" : ')),
        replace(good[7], timestamp=int(AT.timestamp() * 1000) - 1500),
    ]
    replayed = with_headers(
        good[8], **{"headrace-replay-of": b"letter", "headrace-replay-origin": b"events.validated/0@8"}
    )
    ticks = [with_headers(stored([models.tick_message()])[0], ce_id=b"tick-1")]
    records = [
        *ticks,
        replayed,
        *wrong,
        *good,
        *ticks,
        *special,
        *odd,
        with_headers(ticks[0], ce_type=b"headrace.tick.v2"),
    ]
    return [replace(record, offset=1000 + place) for place, record in enumerate(records)]


def outputs() -> list[Outgoing]:
    clock = FixedClock(AT)
    scorer = Scorer(ScoringLimits(), clock.monotonic)
    scoring = PartitionScoring(0, {"sum"}, plan=plan(), scorer=scorer, observer=_Nobody(), clock=clock)
    records = batch()
    return [*scoring.process(records), *scoring.process(records[:3]), *scoring.process([])]


def written(out: Outgoing) -> dict[str, Any]:
    return {
        "topic": out.topic.name,
        "partition": out.partition,
        "key": None if out.key is None else out.key.decode(),
        "headers": [[name, value.decode("latin-1")] for name, value in out.headers],
        "value": None if out.value is None else out.value.decode(),
    }


def test_every_kind_of_record_is_answered_byte_for_byte_as_before() -> None:
    expected = json.loads(GOLDEN.read_text())
    found = [written(out) for out in outputs()]
    assert [each["topic"] for each in found] == [each["topic"] for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == other


def test_every_prediction_of_that_batch_keeps_its_contract() -> None:
    endless = b"0" * 400  # no contract takes this number, and validation lets it pass nowhere
    predictions = [out for out in outputs() if out.topic == PREDICTIONS and endless not in (out.value or b"")]
    kinds = {type(read_record(out.topic, headers=out.headers, key=out.key, value=out.value)[1]) for out in predictions}
    assert Prediction in kinds


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps([written(out) for out in outputs()], indent=1, ensure_ascii=False) + "\n")
