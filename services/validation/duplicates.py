"""Which ids were validated lately, and with which body: a bounded window per partition.

The window is a fold of the validated outputs (their headers carry id, source and payload hash), so a process that takes
a partition over rebuilds what its predecessor knew. Entries leave in the order in which they came: by count, or once
they are older than the window's age in append time.
"""

import hashlib
from collections import deque
from datetime import timedelta
from enum import Enum


class Sighting(Enum):
    """What the window says of a source, an id and a payload hash."""

    NEW = "new"
    REPEATED = "repeated"  # same id, same payload
    CONFLICTING = "conflicting"  # same id, another payload


class DuplicateWindow:
    """At most ``limit`` validated ids, none older than ``age`` behind the newest. About 250 bytes an id."""

    def __init__(self, *, limit: int, age: timedelta) -> None:
        self._limit = limit
        self._age_ms = int(age.total_seconds() * 1000)
        self._hashes: dict[bytes, bytes] = {}  # in order of arrival
        self._arrivals: deque[tuple[int, int]] = deque()  # (append time in ms, how many ids), oldest first

    def __len__(self) -> int:
        return len(self._hashes)

    def batch(self) -> "WindowBatch":
        """A view that remembers the ids of one batch too, and is forgotten unless it is kept."""
        return WindowBatch(self)

    def known(self, key: bytes) -> bytes | None:
        """The payload hash under `identity_key`, if the window holds it."""
        return self._hashes.get(key)

    def remember(self, entries: dict[bytes, bytes], at_ms: int) -> None:
        """Add `identity_key` → payload hash (16 bytes), appended at ``at_ms``; forget what is too old or too many."""
        if entries:
            before = len(self._hashes)
            self._hashes.update(entries)
            self._arrive(at_ms, len(self._hashes) - before)
        self._forget(at_ms - self._age_ms)

    def _arrive(self, at_ms: int, count: int) -> None:
        if self._arrivals and self._arrivals[-1][0] == at_ms:
            count += self._arrivals.pop()[1]
        self._arrivals.append((at_ms, count))

    def _forget(self, horizon_ms: int) -> None:
        while self._arrivals and self._arrivals[0][0] < horizon_ms:
            self._drop(self._arrivals.popleft()[1])
        surplus = len(self._hashes) - self._limit
        while surplus > 0:
            at_ms, count = self._arrivals.popleft()
            dropped = min(count, surplus)
            self._drop(dropped)
            surplus -= dropped
            if dropped < count:
                self._arrivals.appendleft((at_ms, count - dropped))

    def _drop(self, count: int) -> None:
        oldest = iter(self._hashes)
        for key in [next(oldest) for _ in range(count)]:
            del self._hashes[key]


class WindowBatch:
    """The window as one batch sees it. Until `keep` the window is untouched, so a failed batch leaves no trace."""

    def __init__(self, window: DuplicateWindow) -> None:
        self._window = window
        self._added: dict[bytes, bytes] = {}

    def sight(self, key: bytes, payload: bytes) -> Sighting:
        """Whether the id was validated before, in the window or earlier in this batch."""
        found = self._added.get(key) or self._window.known(key)
        if found is None:
            return Sighting.NEW
        return Sighting.REPEATED if found == payload else Sighting.CONFLICTING

    def add(self, key: bytes, payload: bytes) -> None:
        """The id was validated with this payload hash."""
        self._added[key] = payload

    def keep(self, at_ms: int) -> None:
        """Make the batch's ids part of the window."""
        self._window.remember(self._added, at_ms)
        self._added = {}


def identity_key(source: str, id: str) -> bytes:  # noqa: A002 - the CloudEvents name
    """16 bytes that stand for (source, id), whatever their lengths. Neither can hold a NUL."""
    return hashlib.blake2b(f"{source}\0{id}".encode(), digest_size=16).digest()
