"""A FeatureSet and a model of rides, and records of them by hand: shared by the tests of services that must not know each other."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.records import Outgoing, StoredRecord

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
PREFIX = "t."
FEATURE_SET: dict[str, Any] = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": "rides", "owner": "tests", "description": "Rides."},
    "spec": {
        "version": "1.2.0",
        "entity": "ride",
        "features": [
            {"name": "distance", "dtype": "float32", "range": [0, 100]},
            {"name": "hour", "dtype": "int64", "range": [0, 23]},
            {"name": "city", "dtype": "category", "categories": ["A", "B"]},
            {"name": "phone", "dtype": "string", "pattern": "[0-9]+", "nullable": True, "sensitivity": "personal"},
            {"name": "far", "dtype": "bool", "expression": "distance > 50"},
        ],
        "rules": [{"name": "no-night-trips", "expression": "hour > 4 OR distance < 90"}],
    },
}
MODEL: dict[str, Any] = {
    "apiVersion": "headrace/v1",
    "kind": "Model",
    "metadata": {"name": "ride-late", "owner": "tests", "description": "Late?"},
    "spec": {"featureSet": "rides@1", "target": {"name": "late", "type": "binary"}},
}


def stored(outgoing: Outgoing, *, offset: int = 0, partition: int = 0, at: datetime = NOW) -> StoredRecord:
    """``outgoing`` as it would stand on its topic."""
    return StoredRecord(
        PREFIX + outgoing.topic.name,
        partition,
        offset,
        int(at.timestamp() * 1000),
        outgoing.key,
        outgoing.value,
        tuple(outgoing.headers),
    )


FEATURES = {"distance": 12.5, "hour": 7, "city": "A", "phone": None}


def event_body(entity: str = "e1", **changes: Any) -> bytes:
    """The body of a valid event, with ``changes`` of its fields."""
    body = {
        "feature_set": "rides@1",
        "entity_id": entity,
        "occurred_at": "2024-05-01T10:00:00+02:00",
        "features": FEATURES,
        **changes,
    }
    return json.dumps(body).encode()


def label_body(entity: str = "e1", **changes: Any) -> bytes:
    """The body of a valid label, with ``changes`` of its fields."""
    body = {
        "model": "ride-late",
        "event_id": "id-1",
        "event_source": "tests",
        "entity_id": entity,
        "observed_at": "2024-05-01T11:00:00Z",
        "value": True,
        **changes,
    }
    return json.dumps(body).encode()
