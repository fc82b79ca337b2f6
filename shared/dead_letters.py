"""What a service could not process: kept byte for byte with its origin, and sent again to that service alone."""

import base64
import hashlib
from typing import Final

from schemas.envelope import JSON, Envelope, encode_headers, header
from schemas.events.contract import decode, encode
from schemas.events.validation import DeadLetter, Origin
from schemas.identities import derived_id
from schemas.reasons import RefusedRecordError
from schemas.topics import Partitioning, dead_letters, retry
from shared.clock import Clock
from shared.errors import PermanentError
from shared.records import Outgoing, Record

MESSAGE_LIMIT: Final = 4000  # characters of the error's text
KEY_LIMIT: Final = 1024  # bytes of a letter's own key
HEADERS_LIMIT: Final = 64 * 1024  # bytes of the original's headers that are kept: a thousand must not defeat the letter
REPLAY_HEADER: Final = "headrace-replay-of"  # on a replay: the id of the dead letter
ORIGIN_HEADER: Final = "headrace-replay-origin"  # on a replay: topic/partition@offset of the original
NOTE_HEADER: Final = "headrace-replay-edited"  # on an edited replay: SHA-256 of the original body
REPLAY_HEADERS: Final = frozenset((REPLAY_HEADER, ORIGIN_HEADER, NOTE_HEADER))


def dead_letter(record: Record, *, service: str, code: str, message: str, clock: Clock, attempts: int = 1) -> Outgoing:
    """``record`` as a dead letter of ``service``, in the partition it came from. Its id follows from its origin."""
    headers, truncated = _headers(record)
    body = DeadLetter(
        service=service,
        code=code,
        message=message[:MESSAGE_LIMIT],
        attempts=attempts,
        failed_at=clock.now(),
        origin=Origin(
            topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
        ),
        key_base64=_encode(record.key),
        payload_base64=_encode(record.value),
        headers=tuple(headers),
        headers_truncated=truncated,
    )
    envelope = Envelope(
        id=derived_id("dead-letter", service, record.topic, str(record.partition), str(record.offset)),
        source=f"headrace/{service}",
        type=DeadLetter.ce_type,
        time=clock.now(),
        content_type=JSON,
        extensions={"code": code},
    )
    return Outgoing(dead_letters(service), _key(record.key), encode(body), encode_headers(envelope))


def _key(key: bytes | None) -> bytes | None:
    """The letter's own key: the original's, or its hash where that is long. The body has it whole, and the letter must fit."""
    return key if key is None or len(key) <= KEY_LIMIT else f"sha256:{hashlib.sha256(key).hexdigest()}".encode()


def read_dead_letter(record: Record) -> DeadLetter:
    """The letter that ``record`` is. Raises `PermanentError` for anything else."""
    try:
        return decode(DeadLetter, record.value or b"")
    except RefusedRecordError as error:
        message = f"The record {record.topic}/{record.partition}@{record.offset} is no dead letter: {error}"
        raise PermanentError(message) from None


def replay(record: Record, *, payload: bytes | None = None) -> Outgoing:
    """The original of a dead letter, byte for byte, for ``<service>.retry``; headers say which letter and where it stood.

    With a ``payload`` the body is that one, and a header keeps the SHA-256 of the original's. Raises `PermanentError`.
    """
    letter = read_dead_letter(record)
    target = retry(letter.service)
    key, value = _decode(letter.key_base64), _decode(letter.payload_base64)
    headers = [(name, _decode(text) or b"") for name, text in letter.headers if name not in REPLAY_HEADERS]
    origin = letter.origin
    first = next((_decode(text) for name, text in letter.headers if name == ORIGIN_HEADER), None)
    headers += [
        (REPLAY_HEADER, (header(record.headers, "ce_id") or "").encode()),
        (ORIGIN_HEADER, first or f"{origin.topic}/{origin.partition}@{origin.offset}".encode()),
    ]
    if payload is not None:
        headers.append((NOTE_HEADER, hashlib.sha256(value or b"").hexdigest().encode()))
        value = payload
    if key is None and value is None:
        value = b""  # Kafka clients refuse a record without both
    partition = 0 if target.partitioning is Partitioning.SINGLE else origin.partition
    return Outgoing(target, key, value, headers, partition)


def replay_origin(record: Record) -> tuple[str, int, int] | None:
    """Topic (physical name), partition and offset of the original that ``record`` replays; None for anything else."""
    topic, slash, place = (header(record.headers, ORIGIN_HEADER) or "").rpartition("/")
    partition, at, offset = place.partition("@")
    if not (slash and at and partition.isdecimal() and offset.isdecimal()):
        return None
    return topic, int(partition), int(offset)


def code_of(error: BaseException) -> str:
    """The reason code of an error: the first broken rule, or the kind of the error."""
    if isinstance(error, RefusedRecordError):
        return error.reasons[0].rule
    return "permanent" if isinstance(error, PermanentError) else "unexpected"


def _headers(record: Record) -> tuple[list[tuple[str, str | None]], bool]:
    kept: list[tuple[str, str | None]] = []
    size = 0
    for name, value in record.headers:
        size += len(name) + len(value or b"")
        if size > HEADERS_LIMIT:
            return kept, True
        kept.append((name, _encode(value)))
    return kept, False


def _encode(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _decode(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)
