"""Records as services see them: `Record` came from a topic, `Outgoing` is to go to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import msgspec
from pydantic import BaseModel

from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.events.contract import Contract, decode, encode
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import CATALOGUE, Topic
from shared.settings import PlatformSettings

M = TypeVar("M", bound=Contract)


class Record(Protocol):
    """One record as it stands on a topic; aiokafka's ConsumerRecord is one. ``topic`` is the physical name."""

    @property
    def topic(self) -> str:
        """The topic's physical name, with prefix."""
        ...

    @property
    def partition(self) -> int:
        """The partition it stands in."""
        ...

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """When the broker appended it, epoch milliseconds."""
        ...

    @property
    def key(self) -> bytes | None:
        """The key's bytes."""
        ...

    @property
    def value(self) -> bytes | None:
        """The body's bytes; None is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The headers, in order, names may repeat."""
        ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A `Record` made by hand: for replays and tests."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to be published.

    ``partition`` None: in a transaction the input's partition for entity topics and 0 for single ones; outside of one,
    murmur2 of the key. A msgspec Struct: one is made per record, and a frozen dataclass takes seven times as long.
    """

    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


class TopicNames:
    """Logical names to physical ones and back, for one prefix."""

    def __init__(self, prefix: str, topics: Sequence[Topic] = CATALOGUE) -> None:
        """``topics`` are those that `logical` can find."""
        self.prefix: Final = prefix
        self._logical: Final = {prefix + topic.name: topic for topic in topics}

    def name(self, topic: Topic) -> str:
        """The physical name of ``topic``."""
        return self.prefix + topic.name

    def logical(self, name: str) -> Topic | None:
        """The topic of the catalogue that has this physical name."""
        return self._logical.get(name)


def topic_name(settings: PlatformSettings, topic: Topic) -> str:
    """The physical name of ``topic`` under these settings."""
    return settings.topics.prefix + topic.name


def message(  # noqa: PLR0913 - the parts of an event
    topic: Topic,
    body: BaseModel,
    *,
    key: str,
    source: str,
    id: str | None = None,  # noqa: A002 - the CloudEvents name
    time: datetime | None = None,
    traceparent: str | None = None,
    extensions: Mapping[str, str] | None = None,
    partition: int | None = None,
) -> Outgoing:
    """``body`` as a CloudEvent on ``topic``. ``id`` defaults to a random one: pass a derived id where repeats must be seen."""
    envelope = Envelope(
        id=id or str(uuid4()),
        source=source,
        type=type_of(type(body)),
        time=time,
        traceparent=traceparent,
        extensions=extensions or {},
    )
    return Outgoing(topic, key.encode(), encode(body), encode_headers(envelope), partition)


def tombstone(topic: Topic, key: str, *, partition: int | None = None) -> Outgoing:
    """What deletes ``key`` from a compacted topic."""
    return Outgoing(topic, key.encode(), None, (), partition)


def read(cls: type[M], record: Record) -> tuple[Envelope, M]:
    """Envelope and body of ``record``. Raises `RefusedRecordError` for anything but a well-formed ``cls``."""
    envelope = decode_headers(record.headers)
    if envelope.type != cls.ce_type:
        raise RefusedRecordError((reason("headers.ce_type", Rule.UNKNOWN_TYPE, cls.ce_type, envelope.type),))
    if record.value is None:
        raise RefusedRecordError((reason("(record)", Rule.TOMBSTONE, "a body", "a tombstone"),))
    return envelope, decode(cls, record.value)


def type_of(cls: type[BaseModel]) -> str:
    """The ``ce_type`` a contract model declares. Raises TypeError for a model without one."""
    found = getattr(cls, "ce_type", None)
    if not isinstance(found, str):
        problem = f"{cls.__name__} is no contract: it declares no ce_type"
        raise TypeError(problem)
    return found
