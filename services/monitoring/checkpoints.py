"""State that lives on the compacted topic `monitoring.state`: entries by key, written in the transaction of their offsets."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from schemas.envelope import Envelope, encode_headers
from schemas.events.monitoring import MonitoringState
from schemas.identities import derived_id
from schemas.topics import MONITORING_STATE
from shared.records import Outgoing, Record, tombstone

SOURCE: Final = "headrace/monitoring"
VERDICTS: Final = "verdicts"  # the second stage's keys begin with it, the first stage's with the partition's number
# Delivered at least once, a crash may leave any beginning of a batch's records. What says how far event time and topics are
# comes after what it speaks of, parts before their page, and deletions at the very end: then what is missing is made up
# when the batch is met again.
LAST: Final = ("page", "watermarks", "progress", "positions")

Content = dict[str, Any]


class Checkpoint:
    """Which entries changed since the last `changes`. Contents are made when they are written, once a batch."""

    def __init__(self, partition: int, scope: str) -> None:
        """Every key begins with ``scope/``; entries go to ``partition``."""
        self._partition = partition
        self._scope = scope
        self._changed: dict[str, Callable[[], Content] | None] = {}
        self._written: set[str] = set()

    def restored(self, key: str) -> None:
        """``key`` stands on the topic already."""
        self._written.add(key)

    def put(self, key: str, content: Callable[[], Content]) -> None:
        """``key`` is to hold what ``content`` gives at the end of the batch."""
        self._changed[key] = content

    def delete(self, key: str) -> None:
        """``key`` is over."""
        self._changed[key] = None

    def changes(self) -> list[Outgoing]:
        """The records that bring the topic up to date, those of `LAST` and deletions at the end, else in order of key."""
        records = []
        for key in sorted(self._changed, key=lambda key: (self._changed[key] is None, *_order(key))):
            content = self._changed[key]
            full = f"{self._scope}/{key}"
            if content is not None:
                self._written.add(key)
                records.append(_record(full, content(), self._partition))
            elif key in self._written:
                self._written.discard(key)
                records.append(tombstone(MONITORING_STATE, full, partition=self._partition))
        self._changed.clear()
        return records


class StateReader:
    """Folds the records of one partition of monitoring.state into the entries of one scope."""

    def __init__(self, scope: str) -> None:
        """Keeps what begins with ``scope/``."""
        self._prefix = f"{scope}/"
        self.entries: dict[str, Content] = {}

    def apply(self, record: Record) -> None:
        """One record; those of other scopes are passed over."""
        key = (record.key or b"").decode(errors="replace")
        if not key.startswith(self._prefix):
            return
        name = key[len(self._prefix) :]
        if record.value is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = msgspec.json.decode(record.value)["content"]


def under(entries: Mapping[str, Content], prefix: str) -> dict[str, Content]:
    """Entries whose key begins with ``prefix/``, without it."""
    return {key[len(prefix) + 1 :]: content for key, content in entries.items() if key.startswith(f"{prefix}/")}


def _order(key: str) -> tuple[int, str]:
    kind = key.partition("/")[0]
    return LAST.index(kind) if kind in LAST else -1, key


def _record(key: str, content: Content, partition: int) -> Outgoing:
    body = msgspec.json.encode({"content": content})
    envelope = Envelope(id=derived_id("state", key), source=SOURCE, type=MonitoringState.ce_type)
    return Outgoing(MONITORING_STATE, key.encode(), body, encode_headers(envelope), partition)
