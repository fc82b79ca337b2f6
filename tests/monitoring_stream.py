"""A small world for monitoring's tests: one model on two features, its predictions, labels and ticks, as records."""

import base64
import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from schemas.definitions import Dtype, Feature, Model, TargetType
from schemas.envelope import Envelope, encode_headers, format_time
from schemas.events.contract import Contract, decode, encode
from schemas.events.inference import Prediction, Timing
from schemas.events.ingestion import Tick
from schemas.events.monitoring import Alert, ClosedWindow, Profile, Progress
from schemas.events.registry import DefinitionRecord, DeployedVersion, Deployment
from schemas.events.training import Candidate, Lineage, ModelInput, ModelOutputs, ReferenceProfile, ReferenceWindow
from schemas.events.validation import Origin, Rejection, ValidatedLabel
from schemas.reasons import Reason
from schemas.reference import count, describe, describe_numbers
from schemas.topics import (
    ALERTS,
    METRICS_WINDOWS,
    MONITORING_PROFILES,
    MONITORING_STATE,
    Topic,
)
from services.monitoring.checkpoints import StateReader
from services.monitoring.joins import JoinStore
from services.monitoring.judging import Judging
from services.monitoring.knowledge import Knowledge
from services.monitoring.profiling import PROFILED, Profiling
from services.monitoring.restoring import Stretch, open_windows, restoration
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames

C = TypeVar("C", bound=Contract)

START = datetime(2024, 3, 1, tzinfo=UTC)
SET = "trips@1"
MODEL = "trip-late"
DIGEST = "ab" * 32
NAMES = TopicNames("t.")

FEATURE_SET: dict[str, Any] = {
    "apiVersion": "headrace/v1",
    "kind": "FeatureSet",
    "metadata": {"name": "trips", "owner": "data-team", "description": "Trips."},
    "spec": {
        "version": "1.0.0",
        "entity": "trip",
        "clock": "replay",
        "features": [
            {"name": "distance", "dtype": "float32", "nullable": True},
            {"name": "carrier", "dtype": "category", "categories": ["A", "B"], "unseen": "allow"},
        ],
    },
}


def model_definition(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "headrace/v1",
        "kind": "Model",
        "metadata": {"name": MODEL, "owner": "ml-team", "description": "Whether a trip is late."},
        "spec": {
            "featureSet": SET,
            "target": {"name": "late", "type": "binary", "label": {"expected": "1h", "timeout": "6h"}},
            "monitoring": {"window": {"every": "1h", "lateness": "10m"}},
            "kpis": [{"name": "warned_share", "expression": "avg(cast(score > 0.5 as int))", "max": 0.99}],
            **spec,
        },
    }


def _trained_on(random_rows: np.random.Generator, rows: int) -> dict[str, list[Any]]:
    distance = random_rows.normal(0, 1, rows)
    carrier = random_rows.choice(["A", "B"], rows)
    known = [None if random_rows.random() < 0.02 else float(value) for value in distance]
    return {"distance": known, "carrier": carrier.tolist(), "score": (1 / (1 + np.exp(-distance))).tolist()}


def _distributions() -> tuple[dict[str, Any], Any]:
    trained = _trained_on(np.random.default_rng(1), 5000)
    features = {
        "distance": describe(Feature(name="distance", dtype=Dtype.FLOAT32, nullable=True), trained["distance"]),
        "carrier": describe(Feature(name="carrier", dtype=Dtype.CATEGORY, categories=("A", "B")), trained["carrier"]),
    }
    return features, describe_numbers(np.array(trained["score"]))


@cache
def reference_windows(count_: int, rows: int = 100) -> tuple[ReferenceWindow, ...]:
    """The last ``count_`` hours before `START`."""
    random_rows, (features, prediction), found = np.random.default_rng(2), _distributions(), []
    for hour in range(-count_, 0):
        trained = _trained_on(random_rows, rows)
        counts = {name: tuple(count(item, trained[name]).tolist()) for name, item in features.items()}
        scores = tuple(count(prediction, trained["score"]).tolist())
        found.append(
            ReferenceWindow(start=START + timedelta(hours=hour), rows=rows, features=counts, prediction=scores)
        )
    return tuple(found)


def candidate(
    digest: str = DIGEST,
    quality: dict[str, float | None] | None = None,
    windows: tuple[ReferenceWindow, ...] = (),
) -> Candidate:
    features, prediction = _distributions()
    reference = ReferenceProfile(
        rows=5000,
        features=features,
        prediction=prediction,
        quality=quality if quality is not None else {"roc_auc": 0.75},
        windows=windows,
    )
    return Candidate(
        candidate_id="c1",
        model=MODEL,
        digest=digest,
        size=10,
        feature_set=SET,
        definition_version="1.0.0",
        target_type=TargetType.BINARY,
        inputs=(ModelInput(name="numeric", kind="numeric", features=("distance",)),),
        outputs=ModelOutputs(label="label", probabilities="probabilities"),
        classes=(False, True),
        reference=reference,
        lineage=Lineage(source="trained"),
        created_at=START,
    )


def deployment(version: int = 1, digest: str = DIGEST) -> Deployment:
    return Deployment(
        model=MODEL,
        feature_set=SET,
        champion=DeployedVersion(version=version, digest=digest),
        revision=version,
        at=START,
    )


def definition_records(**spec: Any) -> list[DefinitionRecord]:
    definition = model_definition(**spec)
    return [
        DefinitionRecord(kind="FeatureSet", name="trips", major=1, revision=1, definition=FEATURE_SET),
        DefinitionRecord(kind="Model", name=MODEL, major=1, revision=1, definition=definition),
    ]


def knowledge(**spec: Any) -> Knowledge:
    known = Knowledge()
    for record in definition_records(**spec):
        known.apply_definition(record)
    known.apply_deployment(deployment())
    known.apply_candidate(candidate(windows=reference_windows(30)))
    return known


def watched_model(**spec: Any) -> Model:
    return Model.model_validate(model_definition(**spec))


def rejection(at: datetime, *rules: str, body: bytes | None = None, appended: datetime | None = None) -> Rejection:
    """A rejected event of `SET` that occurred ``at``, or with a ``body`` of its own."""
    event = {"feature_set": "trips", "entity_id": "x", "occurred_at": format_time(at), "features": {}}
    return _quarantined(at, rules, json.dumps(event).encode() if body is None else body, appended)


def refused_label(
    at: datetime, *rules: str, model: str = MODEL, body: bytes | None = None, appended: datetime | None = None
) -> Rejection:
    """A rejected label of ``model`` that was observed ``at``, or with a ``body`` of its own."""
    label = {"model": model, "event_id": "e", "entity_id": "x", "observed_at": format_time(at), "value": "perhaps"}
    return _quarantined(at, rules, json.dumps(label).encode() if body is None else body, appended)


def _quarantined(at: datetime, rules: Sequence[str], body: bytes, appended: datetime | None) -> Rejection:
    return Rejection(
        event_id="e",
        event_source="tests",
        reasons=tuple(Reason(field="f", rule=rule, expected="a", observed="b") for rule in rules),
        origin=Origin(
            topic="t",
            partition=0,
            offset=0,
            timestamp_ms=int((appended or at + timedelta(seconds=1)).timestamp() * 1000),
        ),
        payload_base64=base64.b64encode(body).decode(),
    )


class Rows:
    """Seeded predictions and their labels; ``shift`` moves the distance, ``skill`` 0 makes the score useless."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def prediction(self, at: datetime, *, shift: float = 0.0, version: int = 1, route: Any = "champion") -> Prediction:
        self._count += 1
        distance = self._random.gauss(shift, 1)
        score = 1 / (1 + np.exp(-distance))
        failed = self._random.random() < 0.01
        outputs = {"label": bool(score > 0.5), "score": float(score), "probabilities": [1 - float(score), float(score)]}
        return Prediction(
            prediction_id=f"p{self._count}",
            event_id=f"e{self._count}",
            event_source="tests",
            entity_id=f"trip-{self._count}",
            feature_set=SET,
            model=MODEL,
            version=version,
            route=route,
            status="failed" if failed else "ok",
            error="boom" if failed else None,
            outputs=None if failed else outputs,
            features={
                "distance": None if self._random.random() < 0.02 else distance,
                "carrier": self._random.choice(["A", "B"]),
            },
            occurred_at=at,
            predicted_at=at + timedelta(milliseconds=30),
            timing=Timing(queue_ms=self._random.uniform(1, 50), inference_ms=0.2),
        )

    def label(
        self, prediction: Prediction, after: timedelta = timedelta(minutes=50), *, skill: float = 1.0
    ) -> ValidatedLabel:
        score = prediction.outputs["score"] if prediction.outputs else 0.5
        chance = score if self._random.random() < skill else self._random.random()
        return ValidatedLabel(
            model=prediction.model,
            event_id=prediction.event_id,
            event_source=prediction.event_source,
            entity_id=prediction.entity_id,
            observed_at=prediction.occurred_at + after,
            value=self._random.random() < chance,
        )


def record(topic: Topic, body: Contract, offset: int, partition: int = 0, key: str = "k") -> StoredRecord:
    headers = encode_headers(Envelope(id=f"id-{topic.name}-{partition}-{offset}", source="tests", type=body.ce_type))
    return StoredRecord(
        NAMES.name(topic), partition, offset, 1_700_000_000_000 + offset, key.encode(), encode(body), headers
    )


def records(topic: Topic, bodies: Iterable[Contract], partition: int = 0, first: int = 0) -> list[StoredRecord]:
    return [record(topic, body, first + place, partition) for place, body in enumerate(bodies)]


def tick(at: datetime) -> Tick:
    return Tick(feature_set=SET, time=at)


def hours(
    count: int,
    rows: Rows,
    per_hour: int = 60,
    *,
    shift: float = 0.0,
    first: int = 0,
    version: int = 1,
    route: Any = "champion",
    skill: float = 1.0,
) -> tuple[list[Contract], list[Contract]]:
    """Predictions with ticks, and labels with ticks, of ``count`` hours from hour ``first`` on."""
    predictions: list[Contract] = []
    labels: list[tuple[datetime, Contract]] = []
    for hour in range(first, first + count):
        for place in range(per_hour):
            at = START + timedelta(hours=hour, minutes=60 * place / per_hour)
            prediction = rows.prediction(at, shift=shift, version=version, route=route)
            predictions.append(prediction)
            label = rows.label(prediction, skill=skill)
            labels.append((label.observed_at, label))
            if place % 15 == 14:
                predictions.append(tick(at))
        end = START + timedelta(hours=hour + 1)
        predictions.append(tick(end))
        labels.append((end, tick(end)))
    return predictions, [label for _, label in sorted(labels, key=lambda item: item[0])]


class Partition:
    """Stage 1 of one partition with what outlives a kill: the topics it wrote and the join file."""

    def __init__(self, directory: Path, known: Knowledge | None = None, number: int = 0) -> None:
        self.known = known or knowledge()
        self.number = number
        self.file = directory / f"labels-{number}.sqlite"
        self.published: list[Outgoing] = []
        self.state = StateReader(str(number))
        self.read: list[StoredRecord] = []  # what was committed
        self.replayed: list[StoredRecord] = []
        self.unwatched = 0
        self.profiling = self._open()

    def _open(self) -> Profiling:
        profiling = Profiling(self.number, NAMES, self.known, JoinStore(self.file), FixedClock(START), self._count)
        profiling.restore(self.state.entries)
        return profiling

    def _count(self, rows: int) -> None:
        self.unwatched += rows

    def process(self, batch: Sequence[StoredRecord]) -> None:
        """One committed batch."""
        order = {NAMES.name(topic): place for place, topic in enumerate(PROFILED)}
        batch = sorted(batch, key=lambda item: (order[item.topic], item.offset))
        self._commit(self.profiling.process(batch))
        self.read += batch

    def crash_during(self, batch: Sequence[StoredRecord]) -> None:
        """Process a batch whose transaction is never committed, and die."""
        self.profiling.process(batch)
        self.kill()

    def kill(self) -> None:
        """Die; a new process takes over, with the join file at most one batch behind."""
        self.profiling.close()
        self.profiling = self._open()
        store, positions = self.profiling._store, self.state.entries.get("positions", {"next": {}, "floor": None})
        plan = restoration(store.positions(), positions["next"], positions["floor"])
        if plan is None:
            return
        if plan.anew:
            store.reset()
        for stretch in plan.stretches:
            self.replayed += (missing := [item for item in self.read if _within(item, stretch, plan.since)])
            self.profiling.replay(missing)
        store.keep_windows(open_windows(self.state.entries))
        store.move_to(positions["next"])
        store.commit()

    def lose_file(self) -> None:
        """The disk is gone."""
        self.profiling.close()
        self.file.unlink()
        self.profiling = self._open()
        self.kill()

    def _commit(self, outgoing: Sequence[Outgoing]) -> None:
        for item in outgoing:
            if item.topic is MONITORING_STATE:
                self.state.apply(StoredRecord("", self.number, 0, 0, item.key, item.value))
            else:
                self.published.append(item)

    @property
    def profiles(self) -> list[Profile]:
        return bodies(self.published, MONITORING_PROFILES, Profile)

    def last(self, lane: str) -> dict[tuple[int, datetime], Profile]:
        """The last revision of each window by version and start."""
        return {(p.version, p.window.start): p for p in self.profiles if p.lane == lane}


def _within(item: StoredRecord, stretch: Stretch, since: datetime | None) -> bool:
    here = item.topic == NAMES.name(stretch.topic) and stretch.first <= item.offset < stretch.end
    return here and (since is None or item.timestamp >= since.timestamp() * 1000)


class Verdicts:
    """Stage 2 with what outlives a kill."""

    def __init__(self, known: Knowledge | None = None, partitions: int = 1) -> None:
        self.known = known or knowledge()
        self.partitions = partitions
        self.published: list[Outgoing] = []
        self.state = StateReader("verdicts")
        self.offset = 0
        self.judging = self._open()

    def _open(self) -> Judging:
        judging = Judging(self.partitions, self.known, FixedClock(START))
        judging.restore(self.state.entries)
        return judging

    def kill(self) -> None:
        self.judging = self._open()

    def process(self, outgoing: Sequence[Outgoing], topic: Topic = MONITORING_PROFILES) -> None:
        batch = []
        for item in outgoing:
            batch.append(StoredRecord(NAMES.name(topic), 0, self.offset, 0, item.key, item.value, list(item.headers)))
            self.offset += 1
        keep(self.judging.process(batch), self.state, self.published)

    @property
    def windows(self) -> list[ClosedWindow]:
        return bodies(self.published, METRICS_WINDOWS, ClosedWindow)

    @property
    def alerts(self) -> list[Alert]:
        return bodies(self.published, ALERTS, Alert)


def keep(outgoing: Iterable[Outgoing], state: StateReader, published: list[Outgoing]) -> None:
    """Entries of the checkpoint go to ``state``, as the log would hold them, everything else to ``published``."""
    for item in outgoing:
        if item.topic is MONITORING_STATE:
            state.apply(StoredRecord("", 0, 0, 0, item.key, item.value))
        else:
            published.append(item)


def told(alerts: Iterable[Alert]) -> list[tuple[str, str, str]]:
    """Model, state and first channel of each."""
    return [(alert.model, alert.state, alert.evidence[0].channel) for alert in alerts]


def bodies(outgoing: Sequence[Outgoing], topic: Topic, cls: type[C]) -> list[C]:
    kind = cls.ce_type.encode()
    return [
        decode(cls, item.value or b"")
        for item in outgoing
        if item.topic is topic and dict(item.headers).get("ce_type") == kind
    ]


def progress_of(partition: Partition) -> list[Progress]:
    return bodies(partition.published, MONITORING_PROFILES, Progress)
