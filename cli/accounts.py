"""The accounts: what went in equals what came out, counted from the topics themselves by a read_committed reader.

events in = validated + rejected + duplicates + dead letters; a dead letter that was replayed came in twice. Per model, from its first served offset in each partition:
validated events of its feature set = predictions ok + failed. The same for labels up to validation.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from schemas.envelope import header
from schemas.events.inference import ServingStarted
from schemas.events.ingestion import Event, Label
from schemas.topics import (
    EVENTS_DUPLICATES,
    EVENTS_RAW,
    EVENTS_REJECTED,
    EVENTS_VALIDATED,
    INFERENCE_STATUS,
    LABELS_RAW,
    LABELS_REJECTED,
    LABELS_VALIDATED,
    PREDICTIONS,
    TICK,
    Topic,
    dead_letters,
    retry,
)
from services.validation.admission import Misplaced, admit
from shared.records import Record, read, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end, scan

_TICK: Final = ("ce_type", TICK.encode())


@dataclass(frozen=True, slots=True)
class Flow:
    """One kind of record through validation.

    ``received`` counts the raw topic and the ``replayed`` dead letters. ``rerouted`` records stood in the wrong partition,
    were moved, and count once.
    """

    received: int
    replayed: int
    rerouted: int
    validated: int
    rejected: int
    duplicates: int
    dead_letters: int

    @property
    def balanced(self) -> bool:
        """Whether everything that went in came out exactly once."""
        return self.received == self.validated + self.rejected + self.duplicates + self.dead_letters


@dataclass(frozen=True, slots=True)
class Served:
    """One model since its first served offset. ``repeated`` predictions have an id that another one has too."""

    owed: int
    ok: int
    failed: int
    shadow: int
    repeated: int
    by_version: dict[int, int]

    @property
    def balanced(self) -> bool:
        """Whether each event has exactly one serving prediction."""
        return self.owed == self.ok + self.failed and self.repeated == 0


@dataclass(frozen=True, slots=True)
class Accounts:
    """The whole balance sheet."""

    events: Flow
    labels: Flow
    models: dict[str, Served] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether every part is."""
        return self.events.balanced and self.labels.balanced and all(model.balanced for model in self.models.values())

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "balanced": self.balanced,
            "events": {**msgspec.to_builtins(self.events), "balanced": self.events.balanced},
            "labels": {**msgspec.to_builtins(self.labels), "balanced": self.labels.balanced},
            "models": {
                name: {**msgspec.to_builtins(model), "balanced": model.balanced} for name, model in self.models.items()
            },
        }


class _Origin(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _WithOrigin(msgspec.Struct):
    origin: _Origin


class _FeatureSet(msgspec.Struct):
    feature_set: str


class _Prediction(msgspec.Struct):
    prediction_id: str
    model: str
    version: int
    route: str
    status: str
    feature_set: str


async def accounts(settings: PlatformSettings) -> Accounts:
    """Count everything that is committed now; call it once nothing is in flight any more."""
    came_in = await _Incoming.read(settings)
    duplicates = await _by_kind(settings, EVENTS_DUPLICATES, came_in)
    dead = await _by_kind(settings, dead_letters("validation"), came_in)
    validated, by_place = await _validated_events(settings)
    events = came_in.flow(Event.ce_type, validated, await _count(settings, EVENTS_REJECTED), duplicates, dead)
    labels = came_in.flow(
        Label.ce_type,
        await _count(settings, LABELS_VALIDATED),
        await _count(settings, LABELS_REJECTED),
        duplicates,
        dead,
    )
    return Accounts(events, labels, await _served(settings, by_place))


class _Incoming:
    """What validation was given, by kind; a record of the raw topics is of its topic's kind whatever it says itself."""

    def __init__(self, settings: PlatformSettings) -> None:
        self.kinds = {topic_name(settings, EVENTS_RAW): Event.ce_type, topic_name(settings, LABELS_RAW): Label.ce_type}
        self.received: Counter[str] = Counter()
        self.replayed: Counter[str] = Counter()
        self.rerouted: Counter[str] = Counter()
        self.replays: dict[tuple[int, int], str] = {}  # partition and offset → kind
        self._partitions = settings.topics.partitions

    @classmethod
    async def read(cls, settings: PlatformSettings) -> "_Incoming":
        found = cls(settings)
        for topic in (EVENTS_RAW, LABELS_RAW, retry("validation")):
            async for records in scan(settings, topic):
                for record in records:
                    if _TICK not in record.headers:
                        found.take(record, topic)
        return found

    def take(self, record: Record, topic: Topic) -> None:
        """Count one record."""
        kind = self.kinds.get(record.topic)
        if kind is None:
            kind = Label.ce_type if header(record.headers, "ce_type") == Label.ce_type else Event.ce_type
            self.replays[record.partition, record.offset] = kind
            self.replayed[kind] += 1
        if isinstance(admit(record, topic, self._partitions), Misplaced):
            self.rerouted[kind] += 1
        else:
            self.received[kind] += 1

    def kind_of(self, origin: "_Origin") -> str:
        """What kind of record stood at ``origin``."""
        return self.kinds.get(origin.topic) or self.replays[origin.partition, origin.offset]

    def flow(self, kind: str, validated: int, rejected: int, duplicates: Counter[str], dead: Counter[str]) -> Flow:
        """The balance of one kind."""
        return Flow(
            received=self.received[kind],
            replayed=self.replayed[kind],
            rerouted=self.rerouted[kind],
            validated=validated,
            rejected=rejected,
            duplicates=duplicates[kind],
            dead_letters=dead[kind],
        )


async def _count(settings: PlatformSettings, topic: Topic) -> int:
    count = 0
    async for records in scan(settings, topic):
        count += sum(_TICK not in record.headers for record in records)
    return count


async def _by_kind(settings: PlatformSettings, topic: Topic, came_in: _Incoming) -> Counter[str]:
    decoder = msgspec.json.Decoder(_WithOrigin)
    records = await read_to_end(settings, topic)
    return Counter(came_in.kind_of(decoder.decode(record.value or b"").origin) for record in records)


async def _validated_events(settings: PlatformSettings) -> tuple[int, dict[tuple[str, int], list[int]]]:
    """How many, and the offsets of each feature set and partition, ascending."""
    decoder = msgspec.json.Decoder(_FeatureSet)
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    count = 0
    async for records in scan(settings, EVENTS_VALIDATED):
        for record in records:
            if _TICK not in record.headers:
                count += 1
                offsets[decoder.decode(record.value or b"").feature_set, record.partition].append(record.offset)
    return count, offsets


async def _served(settings: PlatformSettings, offsets: dict[tuple[str, int], list[int]]) -> dict[str, Served]:
    starts = await _first_served(settings)
    ok: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    shadow: Counter[str] = Counter()
    versions: dict[str, Counter[int]] = defaultdict(Counter)
    ids: set[str] = set()
    repeated: Counter[str] = Counter()
    sets: dict[str, str] = {}
    decoder = msgspec.json.Decoder(_Prediction)
    async for records in scan(settings, PREDICTIONS):
        for record in records:
            if _TICK in record.headers:
                continue
            prediction = decoder.decode(record.value or b"")
            sets[prediction.model] = prediction.feature_set
            if prediction.prediction_id in ids:
                repeated[prediction.model] += 1
            ids.add(prediction.prediction_id)
            if prediction.route == "shadow":
                shadow[prediction.model] += 1
                continue
            versions[prediction.model][prediction.version] += 1
            (ok if prediction.status == "ok" else failed)[prediction.model] += 1
    return {
        model: Served(
            owed=_owed(places, sets.get(model, ""), offsets),
            ok=ok[model],
            failed=failed[model],
            shadow=shadow[model],
            repeated=repeated[model],
            by_version=dict(versions[model]),
        )
        for model, places in starts.items()
    }


def _owed(places: dict[int, int], feature_set: str, offsets: dict[tuple[str, int], list[int]]) -> int:
    return sum(
        sum(offset >= start for offset in offsets.get((feature_set, partition), ()))
        for partition, start in places.items()
    )


async def _first_served(settings: PlatformSettings) -> dict[str, dict[int, int]]:
    starts: dict[str, dict[int, int]] = defaultdict(dict)
    for record in await read_to_end(settings, INFERENCE_STATUS):
        if record.value is not None and header(record.headers, "ce_type") == ServingStarted.ce_type:
            started = read(ServingStarted, record)[1]
            starts[started.model].setdefault(started.partition, started.offset)
    return starts
