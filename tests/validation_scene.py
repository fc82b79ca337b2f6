"""What the tests of validation share: one FeatureSet, one model, and records by hand."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from rides import FEATURE_SET, FEATURES, MODEL, NOW, PREFIX, event_body, label_body, stored

from schemas.envelope import Envelope, encode_headers
from schemas.events.registry import DefinitionRecord
from schemas.identities import partition_of
from schemas.topics import DEFINITIONS, EVENTS_RAW, LABELS_RAW, Topic
from services.validation.definitions import Definitions
from services.validation.duplicates import DuplicateWindow
from services.validation.processing import Processor, Tally, Windows
from shared.clock import FixedClock
from shared.partition_slot import OutdatedError
from shared.records import Outgoing, Record, StoredRecord, TopicNames, message

__all__ = [
    "FEATURES",
    "FEATURE_SET",
    "MODEL",
    "NOW",
    "PREFIX",
    "Scene",
    "definition_record",
    "definitions",
    "entity_in",
    "event_body",
    "label",
    "label_body",
    "raw",
    "stored",
    "windows",
]


def definitions(*extra: dict[str, Any]) -> Definitions:
    """Definitions with `FEATURE_SET`, `MODEL` and ``extra`` in force."""
    found = Definitions()
    for place, each in enumerate((FEATURE_SET, MODEL, *extra)):
        found.apply(definition_record(each, offset=place))
    return found


def definition_record(definition: dict[str, Any], *, offset: int = 0) -> StoredRecord:
    """What the registry writes on the definitions topic."""
    body = DefinitionRecord(
        kind=definition["kind"],
        name=definition["metadata"]["name"],
        major=int(definition["spec"].get("version", "1").split(".")[0]),
        revision=1,
        definition=definition,
    )
    return stored(message(DEFINITIONS, body, key="k", source="headrace/registry"), offset=offset)


def raw(
    body: bytes | None,
    id: str = "id-1",
    *,
    key: bytes | None = b"e1",
    kind: str = "headrace.event.v1",
    topic: Topic = EVENTS_RAW,
    offset: int = 0,
    partition: int = 0,
    at: datetime = NOW,
    headers: Sequence[tuple[str, bytes]] | None = None,
) -> StoredRecord:
    """A record of a raw topic."""
    envelope = Envelope(id=id, source="tests", type=kind, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    found = encode_headers(envelope) if headers is None else headers
    return StoredRecord(PREFIX + topic.name, partition, offset, int(at.timestamp() * 1000), key, body, tuple(found))


def label(body: bytes, id: str = "label-1", **options: Any) -> StoredRecord:
    """A record of labels.raw."""
    return raw(body, id, kind="headrace.label.v1", topic=LABELS_RAW, **options)


def windows(*, limit: int = 1000, age: timedelta = timedelta(hours=24)) -> Windows:
    """Empty windows."""
    return Windows(DuplicateWindow(limit=limit, age=age), DuplicateWindow(limit=limit, age=age))


class Staged:
    """A processor as its stage calls it: once more with definitions brought up to date, where it asks for that."""

    def __init__(self, processor: Processor) -> None:
        self.inner = processor

    def process(self, records: Sequence[StoredRecord]) -> Sequence[Outgoing]:
        """See `Processor.process`."""
        try:
            return self.inner.process(records)
        except OutdatedError as outdated:
            with suppress(StopIteration):  # nothing in it waits, and a test may have a loop of its own running
                outdated.catch_up().__await__().__next__()
            return self.inner.process(records)


class Scene:
    """A processor of one partition and what it reported. ``late`` is applied when definitions are brought up to date."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        known: Definitions | None = None,
        memory: Windows | None = None,
        late: Sequence[Record] = (),
    ) -> None:
        self.tally: Counter[tuple[str, str]] = Counter()
        self.catch_ups = 0
        self._definitions = known or definitions()
        self._late = list(late)
        self.processor = Staged(
            Processor(
                names=TopicNames(PREFIX),
                partitions=partitions,
                definitions=self._definitions,
                windows=memory or windows(),
                clock=FixedClock(NOW),
                report=self._report,
                catch_up=self._catch_up,
            )
        )

    async def _catch_up(self) -> None:
        self.catch_ups += 1
        while self._late:
            self._definitions.apply(self._late.pop(0))

    def _report(self, tally: Tally) -> None:
        self.tally.update(tally.outcomes)

    def outcomes(self, *records: StoredRecord) -> list[tuple[str, dict[str, Any]]]:
        """(topic, body) of every output of one batch."""
        return [(out.topic.name, json.loads(out.value or b"null")) for out in self.processor.process(records)]

    def codes(self, *records: StoredRecord) -> list[list[str]]:
        """The codes of every output: the rules of a rejection, the code of a dead letter, else the topic."""
        found = []
        for topic, body in self.outcomes(*records):
            if "reasons" in body:
                found.append([each["rule"] for each in body["reasons"]])
            else:
                found.append([body["code"]] if "code" in body else [topic])
        return found


def entity_in(partition: int, partitions: int) -> str:
    """An entity whose key belongs to ``partition``."""
    return next(f"x{n}" for n in range(1000) if partition_of(f"x{n}".encode(), partitions) == partition)
