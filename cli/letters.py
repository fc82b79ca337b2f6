"""Dead letters as the command line handles them: which are meant, whether they were replayed, what a replay would send. Pure."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.definitions.metadata import parse_duration
from schemas.envelope import header, parse_time
from schemas.events.validation import DeadLetter
from shared.dead_letters import NOTE_HEADER, REPLAY_HEADER, read_dead_letter
from shared.errors import PermanentError, RefusedError
from shared.records import Outgoing, Record

SHOWN = 100  # characters of a message in a table


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter where it stands, and how often it was replayed."""

    record: Record
    body: DeadLetter
    replays: int

    @property
    def place(self) -> str:
        """How a person names it."""
        return f"{self.record.partition}/{self.record.offset}"

    @property
    def payload(self) -> bytes:
        """The original's body."""
        return base64.b64decode(self.body.payload_base64 or "")

    def row(self) -> dict[str, Any]:
        """A line of a table."""
        origin = self.body.origin
        return {
            "place": self.place,
            "code": self.body.code,
            "message": self.body.message[:SHOWN],
            "attempts": self.body.attempts,
            "origin": f"{origin.topic} {origin.partition}/{origin.offset}",
            "failed_at": self.body.failed_at.isoformat(timespec="seconds"),
            "replayed": self.replays,
        }

    def document(self) -> dict[str, Any]:
        """Everything there is to know."""
        body = self.body
        return {
            "place": self.place,
            "code": body.code,
            "message": body.message,
            "attempts": body.attempts,
            "failed_at": body.failed_at.isoformat(),
            "replayed": self.replays,
            "origin": body.origin.model_dump(mode="json"),
            "key": _text(base64.b64decode(body.key_base64)) if body.key_base64 is not None else None,
            "headers": [[name, _text(base64.b64decode(text or ""))] for name, text in body.headers],
            "headers_truncated": body.headers_truncated,
            "payload": self.payload.decode(errors="replace"),
            "payload_base64": body.payload_base64,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are meant. ``limit``: the newest this many."""

    place: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    def among(self, letters: Sequence[Letter]) -> list[Letter]:
        """Those of ``letters``, oldest first."""
        found = [
            letter
            for letter in letters
            if self.place in (None, letter.place)
            and self.code in (None, letter.body.code)
            and (self.since is None or letter.body.failed_at >= self.since)
            and (self.until is None or letter.body.failed_at < self.until)
        ]
        return found if self.limit is None else found[-self.limit :]


def letters(records: Iterable[Record], replayed: Iterable[Record]) -> list[Letter]:
    """The letters among ``records`` in order of time; ``replayed`` are the records of the service's retry topic."""
    counts: dict[str, int] = {}
    for record in replayed:
        of = header(record.headers, REPLAY_HEADER)
        if of is not None:
            counts[of] = counts.get(of, 0) + 1
    found = []
    for record in sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset)):
        try:
            body = read_dead_letter(record)
        except PermanentError:
            continue  # somebody else's record on the topic
        found.append(Letter(record, body, counts.get(header(record.headers, "ce_id") or "", 0)))
    return found


def sort_out(chosen: Sequence[Letter], *, again: bool) -> tuple[list[Letter], dict[str, str]]:
    """Which of ``chosen`` to send, and for the others, by place, why not."""
    kept, skipped = [], {}
    for letter in chosen:
        if letter.body.headers_truncated:
            skipped[letter.place] = "its headers were too large to be kept, so the original cannot be sent again"
        elif letter.replays and not again:
            times = "once" if letter.replays == 1 else f"{letter.replays} times"
            skipped[letter.place] = f"it was replayed {times} already; --again sends it once more"
        else:
            kept.append(letter)
    return kept, skipped


def sending(letter: Letter, outgoing: Outgoing, topic: str) -> dict[str, Any]:
    """Exactly what is sent for ``letter``; ``topic`` is the physical name."""
    return {
        "place": letter.place,
        "topic": topic,
        "partition": outgoing.partition,
        "key": None if outgoing.key is None else _text(outgoing.key),
        "headers": [[name, _text(value)] for name, value in outgoing.headers],
        "payload": None if outgoing.value is None else outgoing.value.decode(errors="replace"),
        "payload_base64": None if outgoing.value is None else base64.b64encode(outgoing.value).decode(),
        "edited": any(name == NOTE_HEADER for name, _ in outgoing.headers),
    }


def moment(text: str, now: datetime) -> datetime:
    """A time (RFC 3339), or how long ago (``90m``, ``2h``, ``1d``). Raises `RefusedError`."""
    try:
        ago = parse_duration(text)
        return now - ago if isinstance(ago, timedelta) else now
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        message = f"{text!r} is neither a time like 2024-05-01T10:00:00Z nor a duration like 2h."
        raise RefusedError(message) from None


def described(content: Mapping[str, Any]) -> str:
    """One line for people of what `sending` says."""
    edited = ", edited" if content["edited"] else ""
    return f"{content['place']} → {content['topic']} {content['partition']}, key {content['key']}{edited}: {content['payload']}"


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
