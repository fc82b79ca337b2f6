"""The data-set store: validated records as immutable Parquet segments, with the offsets up to which they are complete.

Segments are durable before ``store.json`` names them, and ``store.json`` carries segments, positions and watermarks together,
so after a crash nothing is missing and nothing is there twice. It is a projection: delete the directory and it is rebuilt
from the topics.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from schemas.envelope import header
from schemas.events.validation import ValidatedEvent, ValidatedLabel
from schemas.topics import EVENTS_VALIDATED, LABELS_VALIDATED, retry
from services.training import segments
from services.training.arrivals import ArrivedEvent, ArrivedLabel, ArrivedTick, arrived
from services.training.durable import write_durably
from services.training.segments import EVENTS, LABELS, Columns, Segment
from services.training.watermarks import Reached, Watermarks
from shared.dead_letters import replay_origin
from shared.records import Record, StoredRecord

FORMAT: Final = 1
SMALL_SEGMENTS: Final = 24  # of one subject; then they become one
RETRY: Final = retry("training")  # replays of what could not be filed
TOPICS: Final = (EVENTS_VALIDATED, LABELS_VALIDATED, RETRY)

Positions = dict[str, dict[int, int]]  # logical topic → partition → next offset to read


class State(msgspec.Struct, frozen=True):
    """What ``store.json`` holds. ``identity`` names the topics that the segments were read from."""

    format: int
    identity: str
    sequence: int
    positions: Positions
    reached: Reached
    segments: list[Segment]


class RecordStore:
    """Appends in memory, `flush` makes durable. Not thread-safe: one caller at a time."""

    def __init__(self, root: Path, identity: str, partitions: Mapping[str, int], *, segment_rows: int) -> None:
        """Open or create. A store of another ``identity`` or format, or an unreadable one, is put aside and begun anew."""
        self._directory = root / "segments"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = self._directory / "store.json"
        self._identity = identity
        self._segment_rows = segment_rows
        self._partitions = dict(partitions)
        self._pins = 0
        self._retired: list[str] = []
        self._columns: dict[tuple[str, str], Columns] = {}
        self.arrivals: Counter[str] = Counter()
        """Records appended by this process, by feature set or model."""
        self._begin(self._load())
        self._sweep()

    def _begin(self, state: State) -> None:
        self._sequence = state.sequence
        self._segments = list(state.segments)
        self._positions: Positions = {topic.name: dict(state.positions.get(topic.name, {})) for topic in TOPICS}
        self.watermarks = Watermarks(self._partitions, state.reached)
        self._columns.clear()
        self._dirty = False

    def _load(self) -> State:
        empty = State(FORMAT, self._identity, 0, {}, {}, [])
        try:
            state = msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError:
            return empty
        except msgspec.MsgspecError:
            return empty
        whole = all((self._directory / segment.file).exists() for segment in state.segments)
        return state if (state.format, state.identity) == (FORMAT, self._identity) and whole else empty

    def _sweep(self) -> None:
        named = {segment.file for segment in self._segments}
        for file in self._directory.glob("*.parquet"):
            if file.name not in named:
                file.unlink()

    def reset(self) -> None:
        """Forget everything: the topics are not those that the segments came from."""
        self._begin(State(FORMAT, self._identity, self._sequence, {}, {}, []))
        self.flush(force=True)
        self._sweep()

    @property
    def positions(self) -> Positions:
        """The next offset to read, per topic and partition; absent: from the beginning."""
        return self._positions

    @property
    def pending_rows(self) -> int:
        """Rows that are not durable yet."""
        return sum(columns.rows for columns in self._columns.values())

    @property
    def dirty(self) -> bool:
        """Whether a flush would change anything on disk."""
        return self._dirty

    def append(self, topic: str, record: Record) -> None:
        """Take ``record`` of logical ``topic``; one below the position is skipped.

        Raises `RefusedRecordError` for a record that cannot be filed; the position has moved past it.
        """
        positions = self._positions[topic]
        if record.offset < positions.get(record.partition, 0):
            return
        positions[record.partition] = record.offset + 1
        self._dirty = True
        if topic == RETRY.name:
            if header(record.headers, "ce_type") not in _FILED_AGAIN:
                return  # a request, or a tick: only what arrives in order moves event time
            record = _as_it_stood(record)
        body, headers = arrived(record)
        if isinstance(body, ArrivedEvent):
            self._of(EVENTS, body.feature_set).add_event(body, headers, record)
        elif isinstance(body, ArrivedLabel):
            self._of(LABELS, body.model).add_label(body, record)
        elif isinstance(body, ArrivedTick):
            self.watermarks.advance(body.feature_set, topic, record.partition, body.time)

    def skip_to(self, topic: str, partition: int, offset: int) -> None:
        """What lies below ``offset`` holds no record any more (transaction markers, or retention took it)."""
        if offset > self._positions[topic].get(partition, 0):
            self._positions[topic][partition] = offset

    def _of(self, kind: str, subject: str) -> Columns:
        self.arrivals[subject] += 1
        found = self._columns.get((kind, subject))
        if found is None:
            found = self._columns[kind, subject] = Columns(kind, subject)
        return found

    def flush(self, *, force: bool = False) -> int:
        """Make everything appended durable; the number of rows written. OSError passes, and nothing is lost by it."""
        if not (self._dirty or force):
            return 0
        first = self._sequence
        try:
            written = [
                segments.write(columns.table(), kind, subject, self._directory, self._name(kind, subject))
                for (kind, subject), columns in sorted(self._columns.items())
                if columns.rows
            ]
            merged, replaced = self._merged([*self._segments, *written])
            state = State(FORMAT, self._identity, self._sequence, self._positions, self.watermarks.reached, merged)
            content = msgspec.json.encode(state)
            write_durably(self._file, lambda place: place.write_bytes(content))
        except OSError:
            self._remove_since(first)  # or each attempt would fill a full disk further
            raise
        self._segments = merged
        self._columns.clear()
        self._dirty = False
        self._retired.extend(replaced)
        self._release()
        return sum(segment.rows for segment in written)

    def _remove_since(self, sequence: int) -> None:
        for number in range(sequence + 1, self._sequence + 1):
            for file in self._directory.glob(f"*-{number:09d}.parquet"):
                file.unlink(missing_ok=True)

    def _name(self, kind: str, subject: str) -> str:
        self._sequence += 1
        return f"{kind}-{subject}-{self._sequence:09d}.parquet"

    def _merged(self, present: Sequence[Segment]) -> tuple[list[Segment], list[str]]:
        """``present`` with the small segments of each subject made one where there are many; and the files replaced."""
        small: dict[tuple[str, str], list[Segment]] = {}
        for segment in present:
            if segment.rows < self._segment_rows:
                small.setdefault((segment.kind, segment.subject), []).append(segment)
        kept = list(present)
        replaced: list[str] = []
        for (kind, subject), parts in small.items():
            if len(parts) < SMALL_SEGMENTS:
                continue
            files = [self._directory / part.file for part in parts]
            one = segments.write(segments.read(files), kind, subject, self._directory, self._name(kind, subject))
            gone = {part.file for part in parts}
            kept = [segment for segment in kept if segment.file not in gone] + [one]
            replaced.extend(gone)
        return kept, replaced

    def select(self, kind: str, subject: str, start: datetime | None, end: datetime) -> list[Path]:
        """The durable segments of ``subject`` that may hold records in [start, end]."""
        return [
            self._directory / segment.file
            for segment in self._segments
            if (segment.kind, segment.subject) == (kind, subject)
            and segment.start <= end
            and (start is None or segment.end >= start)
        ]

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """While entered, no segment that was selected disappears."""
        self._pins += 1
        try:
            yield
        finally:
            self._pins -= 1
            self._release()

    def _release(self) -> None:
        if self._pins:
            return
        for file in self._retired:
            (self._directory / file).unlink(missing_ok=True)
        self._retired.clear()


_FILED_AGAIN: Final = frozenset((ValidatedEvent.ce_type, ValidatedLabel.ce_type))


def _as_it_stood(record: Record) -> Record:
    """A replayed record at the place of its original: that is what a data set's provenance names."""
    origin = replay_origin(record)
    if origin is None:
        return record
    topic, partition, offset = origin
    return StoredRecord(topic, partition, offset, record.timestamp, record.key, record.value, record.headers)
