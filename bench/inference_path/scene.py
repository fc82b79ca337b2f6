"""What the path is measured on: a FeatureSet of any width, its events as record batches, and models trained for it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.decoding import SentEvent
from schemas.definitions import FeatureSet, TargetType
from schemas.envelope import Envelope, encode_headers
from schemas.events.training import ModelInput
from schemas.identities import payload_hash
from schemas.topics import EVENTS_VALIDATED
from services.inference.adapters.onnxruntime import SessionOptions, open_session
from services.inference.columns import BatchColumns, FeatureColumns
from services.inference.outputs import OutputReader
from services.inference.serving_plan import CurrentPlan, LoadedVersion, ServedModel, Slot, build_plan
from services.training.fitting import fit
from services.training.graph import outputs_of, to_onnx
from services.training.recipes import WHITELIST
from services.validation.outcomes import validated_event
from shared.fetched_records import LightRecords
from shared.header_names import TolerantRecords
from shared.records import Outgoing, StoredRecord

START: Final = datetime(2024, 5, 1, 12, tzinfo=UTC)
TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_FIRST_CATEGORY: Final = 11
CATEGORIES: Final = ("AA", "B6", "DL", "UA", "WN")
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "LogisticRegression": {},
    "HistGradientBoostingClassifier": {"max_iter": 100, "max_leaf_nodes": 15},
    "MLPClassifier": {"hidden_layer_sizes": (32, 16), "max_iter": 30},
}


@dataclass(frozen=True, slots=True)
class Stream:
    """``count`` events of a FeatureSet with ``width`` features: three in four numbers, the others integers, bools, categories."""

    width: int = 12
    count: int = 4000
    seed: int = 7
    entities: int = 997

    @property
    def places(self) -> list[int]:
        """The features by number; where they are too few to have a category among them, the last one is."""
        places = list(range(self.width))
        if all(_kind(place) != "category" for place in places):
            places[-1] = _FIRST_CATEGORY
        return places

    @property
    def feature_set(self) -> FeatureSet:
        """The definition."""
        metadata = {"name": "departures", "owner": "bench", "description": f"{self.width} features"}
        spec = {"version": "1.0.0", "entity": "carrier", "features": [_feature(place) for place in self.places]}
        return FeatureSet.model_validate({"metadata": metadata, "spec": spec})

    @property
    def inputs(self) -> tuple[ModelInput, ModelInput]:
        """What models take, as training maps it."""
        numbers = tuple(_name(place) for place in self.places if _kind(place) != "category")
        names = tuple(_name(place) for place in self.places if _kind(place) == "category")
        return (
            ModelInput(name="numeric", kind="numeric", features=numbers),
            ModelInput(name="categorical", kind="categorical", features=names),
        )

    def rows(self) -> list[dict[str, Any]]:
        """The features of the events."""
        chance = random.Random(self.seed)
        places = self.places
        return [{_name(place): _value(place, chance) for place in places} for _ in range(self.count)]

    def sent(self) -> list[dict[str, Any]]:
        """The events as producers send them."""
        return [
            {
                "feature_set": "departures@1",
                "entity_id": f"carrier-{number % self.entities}",
                "occurred_at": (START + timedelta(seconds=number)).isoformat(),
                "features": features,
            }
            for number, features in enumerate(self.rows())
        ]

    def validated(self) -> Iterator[Outgoing]:
        """The events as validation writes them."""
        for number, event in enumerate(self.sent()):
            key, sent = event["entity_id"].encode(), START + timedelta(seconds=number)
            envelope = Envelope(f"departure-{number:08d}", "airport/LGA", "headrace.event.v1", sent, traceparent=TRACE)
            stored = StoredRecord("events.raw", 0, number, 0, key, b"")
            decoded = SentEvent("departures", event["entity_id"], sent, event["features"])
            yield validated_event(
                stored, envelope, payload_hash(key), decoded, "departures@1", "1.0.0", event["features"]
            )

    def records(self) -> bytes:
        """The record batches that a broker would send."""
        builder = BatchBuilder(1 << 30, 0, is_transactional=1)
        for made in self.validated():
            builder.append(timestamp=None, key=made.key, value=made.value, headers=list(made.headers))
        return bytes(builder._build())  # noqa: SLF001 - the accumulator's own call


def fetched(batches: bytes, partition: int = 0) -> list[Any]:
    """The records as aiokafka's consumer hands them over in this process."""
    place = TopicPartition(EVENTS_VALIDATED.name, partition)
    return list(LightRecords(place, TolerantRecords(batches), None, 0, None, None, True, "read_uncommitted"))  # noqa: FBT003


def raw_records(stream: Stream, topic: str, partition: int = 0) -> list[StoredRecord]:
    """The events as they stand on events.raw."""
    found = []
    for number, event in enumerate(stream.sent()):
        sent = START + timedelta(seconds=number)
        envelope = Envelope(f"departure-{number:08d}", "airport/LGA", "headrace.event.v1", sent, traceparent=TRACE)
        key, at = event["entity_id"].encode(), int((sent + timedelta(seconds=1)).timestamp() * 1000)
        found.append(
            StoredRecord(topic, partition, number, at, key, msgspec.json.encode(event), tuple(encode_headers(envelope)))
        )
    return found


def serving(stream: Stream, estimators: Sequence[str] = ("LogisticRegression",)) -> CurrentPlan:
    """A plan with one model, its champion the first of ``estimators``, shadows the others."""
    slots = [
        Slot("delay", number, "shadow" if number > 1 else "champion", loaded(stream, name))
        for number, name in enumerate(estimators, start=1)
    ]
    model = ServedModel("delay", "departures@1", slots[0], shadows=tuple(slots[1:]))
    current = CurrentPlan()
    current.swap(build_plan([model], {"departures@1": stream.feature_set}))
    return current


def artifact(stream: Stream, estimator: str) -> bytes:
    """An ONNX graph trained on the stream's own rows by the recipes of training."""
    columns = FeatureColumns(stream.feature_set, stream.inputs)
    rows = Stream(stream.width, 2000, seed=11).rows()
    arrays = BatchColumns(columns, _as_rows(columns, rows)).arrays(stream.inputs, None)
    noise = np.random.default_rng(7).normal(0, 80, len(rows))  # probabilities with all their digits, as in real life
    truth = (np.nan_to_num(arrays["numeric"][:, :2]).sum(axis=1) + noise > 0).astype(np.int64)
    made = fit(WHITELIST[estimator], PARAMETERS[estimator], arrays, truth, seed=7)
    return to_onnx(made.estimator, made.preparation, stream.inputs, TargetType.BINARY)


def loaded(stream: Stream, estimator: str) -> LoadedVersion:
    """The model of `artifact`, opened as the service opens it."""
    session = open_session(artifact(stream, estimator), SessionOptions())
    reader = OutputReader(TargetType.BINARY, outputs_of(TargetType.BINARY), (False, True))
    return LoadedVersion("0" * 64, stream.inputs, reader, session)


def _as_rows(columns: FeatureColumns, rows: Sequence[dict[str, Any]]) -> Any:
    return columns.decode([msgspec.Raw(msgspec.json.encode(row)) for row in rows])


def _kind(place: int) -> str:
    return {3: "int64", 7: "bool", _FIRST_CATEGORY: "category"}.get(place % 12, "float32")


def _name(place: int) -> str:
    return f"{_kind(place)[:5]}_{place}"


def _feature(place: int) -> dict[str, Any]:
    kind = _kind(place)
    own: dict[str, Any] = {
        "float32": {"range": [-100, 100], "nullable": True},
        "int64": {"range": [0, 10_000]},
        "bool": {},
        "category": {"categories": list(CATEGORIES)},
    }[kind]
    return {"name": _name(place), "dtype": kind, **own}


def _value(place: int, chance: random.Random) -> Any:
    kind = _kind(place)
    if kind == "float32":
        return None if chance.random() < 0.02 else round(chance.uniform(-90, 90), 3)
    if kind == "int64":
        return chance.randrange(10_000)
    return chance.random() < 0.5 if kind == "bool" else chance.choice(CATEGORIES)
