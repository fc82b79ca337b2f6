"""When a service stops instead of draining a topic into its dead letters: too many in a row, or too large a share.

What is counted belongs to a lane (a partition) and outlives the process: the last letter of each batch carries the tally.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from schemas.envelope import header
from shared.records import Outgoing, Record
from shared.settings import DeadLetterSettings

WINDOW: Final = 2000  # records of a lane over which the share is taken
TALLY_HEADER: Final = "headrace-tally"  # on a dead letter: row/dead/total after its batch
_NUMBERS: Final = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """``row`` records in a row became dead letters at last, and ``dead`` of the last ``total``."""

    row: int = 0
    dead: int = 0
    total: int = 0


@dataclass(slots=True)
class _Lane:
    row: int = 0
    dead: int = 0
    total: int = 0
    batches: deque[tuple[int, int]] = field(default_factory=deque)  # dead, total

    def add(self, dead: int, total: int) -> None:
        self.batches.append((dead, total))
        self.dead += dead
        self.total += total
        while self.total - self.batches[0][1] >= WINDOW:
            old_dead, old_total = self.batches.popleft()
            self.dead -= old_dead
            self.total -= old_total


class DeadLetterLimit:
    """Ask before a batch is published: the one that breaks the limit must not be committed.

    Then the next process, which inherits the tally, meets the same records and stops at them too.
    """

    def __init__(self, settings: DeadLetterSettings) -> None:
        """The share counts over the last `WINDOW` records of a lane; fewer count as if good ones had come before."""
        self._settings = settings
        self._lanes: dict[Hashable, _Lane] = {}

    def resume(self, tally: Tally, lane: Hashable = None) -> None:
        """What is known of ``lane``, from this process or one before it, replaces what was counted here."""
        fresh = self._lanes[lane] = _Lane(row=tally.row)
        fresh.add(tally.dead, tally.total)

    def tally(self, lane: Hashable = None) -> Tally:
        """What is known of ``lane`` up to now."""
        known = self._lanes.get(lane)
        return Tally() if known is None else Tally(known.row, known.dead, known.total)

    def observe(self, letters: Sequence[int], total: int, lane: Hashable = None) -> str | None:
        """Count a batch of ``total`` records; the reason to stop, or None.

        ``letters``: the places in the batch (from 0, rising) of the records that become dead letters.
        """
        known = self._lanes.setdefault(lane, _Lane())
        row, longest, previous = known.row, 0, -1
        for place in letters:
            row = row + 1 if place == previous + 1 else 1
            longest, previous = max(longest, row), place
        known.row = row if letters and letters[-1] == total - 1 else 0
        known.add(len(letters), total)
        if longest >= self._settings.in_a_row:
            return _stop(f"{longest} records in a row", "IN_A_ROW", self._settings.in_a_row)
        if letters and known.dead > self._settings.share * max(known.total, WINDOW):
            return _stop(f"{known.dead} of the last {known.total} records", "SHARE", self._settings.share)
        return None


def _stop(what: str, setting: str, limit: float) -> str:
    return (
        f"{what} would become dead letters, so nothing more is taken: they wait where they stand. Mend what is wrong with "
        f"them or with this version; to let them pass, raise HEADRACE_DEAD_LETTERS__{setting} (now {limit:g})"
    )


def noted(letters: Sequence[Outgoing], tally: Tally) -> list[Outgoing]:
    """``letters`` of a batch, the last of them with what is known of their lane after the batch."""
    if not letters:
        return []
    note = f"{tally.row}/{tally.dead}/{tally.total}".encode()
    return [*letters[:-1], replace(letters[-1], headers=[*letters[-1].headers, (TALLY_HEADER, note)])]


def tally_of(record: Record) -> Tally | None:
    """What `noted` put on a letter; None where it noted nothing."""
    numbers = (header(record.headers, TALLY_HEADER) or "").split("/")
    if len(numbers) != _NUMBERS or not all(number.isdecimal() for number in numbers):
        return None
    return Tally(*map(int, numbers))
