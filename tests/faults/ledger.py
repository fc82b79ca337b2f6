"""What the generator knows: before a record leaves, that it is about to; afterwards, what was answered. Every line is fsynced.

The file outlives everything: kill -9 of the harness loses no line that was acted on. The oracle reads the file, not memory.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

Outcome = Literal["ok", "fail", "unknown"]
Kind = Literal["event", "label", "poison"]
# valid: one validation, the rest duplicates; invalid: rejected wherever it gets through; dead: a dead letter
Expectation = Literal["valid", "invalid", "dead"]

UNANSWERED: Final[Outcome] = "unknown"


@dataclass(frozen=True, slots=True)
class Sending:
    """One attempt to send one record. ``digest``: BLAKE2b-128 of the body (of key and body for poison)."""

    seq: int
    kind: Kind
    id: str
    digest: str
    expectation: Expectation
    path: str  # batch, single or kafka


@dataclass(frozen=True, slots=True)
class Entry:
    """An attempt and what came of it; never answered is unknown."""

    sending: Sending
    outcome: Outcome


class Ledger:
    """An append-only file of JSON lines. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._lock = threading.Lock()
        self._next = 0

    def intend(self, records: Sequence[tuple[Kind, str, str, Expectation, str]]) -> list[int]:
        """Note that these are about to be sent: (kind, id, digest, expectation, path); their sequence numbers, once durable."""
        with self._lock:
            first, self._next = self._next, self._next + len(records)
            numbered = list(enumerate(records, first))
            self._append([seq, *record] for seq, record in numbered)
        return [seq for seq, _ in numbered]

    def settle(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Note what was answered."""
        with self._lock:
            self._append([seq, outcome] for seq, outcome in outcomes)

    def _append(self, lines: Iterable[Sequence[object]]) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Entry]:
    """Every attempt in the file, in order of sequence; a torn last line was never acted on."""
    sendings: dict[int, Sending] = {}
    outcomes: dict[int, Outcome] = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        seq, *rest = json.loads(line)
        if len(rest) == 1:
            outcomes[seq] = rest[0]
        else:
            sendings[seq] = Sending(seq, *rest)
    for seq in sorted(sendings):
        yield Entry(sendings[seq], outcomes.get(seq, UNANSWERED))
