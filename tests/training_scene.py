"""A made-up feature set, models over it, and records of it, for the training tests."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from schemas.definitions import FeatureSet, Model
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.ingestion import Tick
from schemas.events.validation import ValidatedEvent, ValidatedLabel
from services.training.store import RecordStore
from shared.records import Record, StoredRecord

START = datetime(2024, 1, 1, tzinfo=UTC)
SET = "meters@1"
CITIES = ["ulm", "bern", "graz"]
PARTITIONS = {"events.validated": 2, "labels.validated": 2}


def feature_set() -> FeatureSet:
    """Numbers, a nullable one, a bool, a category and a free text."""
    return FeatureSet.model_validate(
        {
            "kind": "FeatureSet",
            "metadata": {"name": "meters", "owner": "tests", "description": "Made-up meters."},
            "spec": {
                "version": "1.2.0",
                "entity": "meter",
                "clock": "replay",
                "features": [
                    {"name": "load", "dtype": "float32"},
                    {"name": "heat", "dtype": "float64", "nullable": True},
                    {"name": "hour", "dtype": "int64", "range": [0, 23]},
                    {"name": "night", "dtype": "bool"},
                    {"name": "city", "dtype": "category", "categories": CITIES, "unseen": "allow", "nullable": True},
                    {"name": "note", "dtype": "string", "nullable": True},
                ],
            },
        }
    )


def model(kind: str = "binary", estimator: str = "HistGradientBoostingClassifier", **spec: Any) -> Model:
    """A model of ``kind``; ``spec`` overrides parts of the definition."""
    recipe = spec.pop("recipe", {"estimator": estimator, "parameters": spec.pop("parameters", {})})
    return Model.model_validate(
        {
            "kind": "Model",
            "metadata": {"name": f"meters-{kind}", "owner": "tests", "description": "Made up."},
            "spec": {
                "featureSet": SET,
                "target": {"name": "outcome", "type": kind},
                "recipe": recipe,
                "dataset": {"window": "60d", "minimumRows": 50, **spec.pop("dataset", {})},
                **spec,
            },
        }
    )


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Feature rows with missing and unseen values."""
    rng = np.random.default_rng(seed)
    return [
        {
            "load": float(np.float32(rng.normal(5, 2))),
            "heat": None if rng.random() < 0.1 else float(rng.normal()),
            "hour": int(rng.integers(24)),
            "night": bool(rng.random() < 0.3),
            "city": [*CITIES, None, "rome"][rng.choice(5, p=[0.4, 0.3, 0.2, 0.06, 0.04])],
            "note": "x",
        }
        for _ in range(count)
    ]


def label(kind: str, row: dict[str, Any], rng: np.random.Generator) -> Any:
    """What happened: depends on load, heat and city."""
    value = (
        row["load"]
        - 5
        + (row["heat"] or 0.5) * (2 if row["night"] else -1)
        + (row["city"] == "bern")
        + rng.normal() * 0.5
    )
    if kind == "binary":
        return bool(value > 0)
    if kind == "multiclass":
        return ["low", "middle", "high"][int(np.digitize(value, [-1.0, 1.0]))]
    return round(100 * value, 3)


def record(topic: str, partition: int, offset: int, body: Any, ce_id: str, source: str = "plant") -> StoredRecord:
    """``body`` as it would stand on ``topic``."""
    headers = encode_headers(Envelope(id=ce_id, source=source, type=body.ce_type))
    return StoredRecord(topic, partition, offset, 0, b"key", encode(body), headers)


def event_body(row: dict[str, Any], at: datetime, entity: str = "m1") -> ValidatedEvent:
    """A validated event of the set."""
    return ValidatedEvent(feature_set=SET, definition_version="1.2.0", entity_id=entity, occurred_at=at, features=row)


def label_body(kind: str, event_id: str, value: Any, at: datetime, version: int = 1) -> ValidatedLabel:
    """A validated label of the model of ``kind``."""
    return ValidatedLabel(
        model=f"meters-{kind}",
        event_id=event_id,
        event_source="plant",
        entity_id="m1",
        observed_at=at,
        value=value,
        label_version=version,
    )


def stream(
    kind: str, count: int = 400, *, hours: float = 1.0, delay: timedelta = timedelta(hours=2)
) -> Iterator[tuple[str, Record]]:
    """Events an hour apart, their labels later, over two partitions, with a tick at the end of everything."""
    rng = np.random.default_rng(1)
    offsets = dict.fromkeys([(topic, p) for topic in PARTITIONS for p in (0, 1)], 0)

    def stand(topic: str, partition: int, body: Any, ce_id: str) -> tuple[str, Record]:
        offset = offsets[topic, partition]
        offsets[topic, partition] += 1
        return topic, record(topic, partition, offset, body, ce_id)

    for number, row in enumerate(rows(count)):
        at = START + timedelta(hours=hours * number)
        yield stand("events.validated", number % 2, event_body(row, at, f"m{number % 7}"), f"e{number}")
        value = label(kind, row, rng)
        yield stand("labels.validated", number % 2, label_body(kind, f"e{number}", value, at + delay), f"l{number}")
    for topic in PARTITIONS:
        for partition in (0, 1):
            yield stand(topic, partition, Tick(feature_set=SET, time=end(count, hours)), f"t-{topic}-{partition}")


def end(count: int = 400, hours: float = 1.0) -> datetime:
    """A time after all events and labels of `stream`."""
    return START + timedelta(hours=hours * count + 3)


def filled(root: Path, records: Sequence[tuple[str, Record]], *, flush_every: int = 10_000) -> RecordStore:
    """A store that took ``records`` in this order, flushed after every ``flush_every``."""
    store = RecordStore(root, "test", PARTITIONS, segment_rows=50)
    for number, (topic, entry) in enumerate(records, start=1):
        store.append(topic, entry)
        if number % flush_every == 0:
            store.flush()
    store.flush()
    return store


def job(root: Path, store: RecordStore, definition: Model, as_of: datetime, **changes: Any) -> Any:
    """A worker's job over the whole store."""
    from services.training.job import Job

    content: dict[str, Any] = {
        "run_id": "run1",
        "request_id": "request1",
        "model": definition.model_dump(mode="json"),
        "feature_set": feature_set().model_dump(mode="json"),
        "as_of": as_of,
        "overrides": {},
        "events": [str(path) for path in store.select("events", SET, None, as_of)],
        "labels": [str(path) for path in store.select("labels", definition.metadata.name, None, as_of)],
        "data_dir": str(root),
        "output_dir": str(root / "runs" / "run1"),
        **changes,
    }
    return Job(**content)


def as_json(value: Any) -> Any:
    """What JSON makes of ``value``."""
    return json.loads(json.dumps(value))
