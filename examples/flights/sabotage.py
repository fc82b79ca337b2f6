"""What a careless second producer sends straight to Kafka: the demo shows that none of it gets through unseen.

It repeats real events, breaks features, forgets the CloudEvents headers, and chooses partitions by CRC32 as librdkafka's
default does, so that validation has to move records to where their entity belongs.
"""

import zlib
from typing import Any, Final

import msgspec

from examples.flights.replay import SOURCE, Step
from schemas.envelope import Envelope, encode_headers
from schemas.topics import EVENTS_RAW
from shared.records import Outgoing

REPEATED_EVERY: Final = 50
BROKEN_EVERY: Final = 200
NAKED_EVERY: Final = 1000
ELSEWHERE: Final = "careless-producer"


def sabotage(step: Step, partitions: int, seen: int) -> list[Outgoing]:
    """Records to publish after ``step``, of which ``seen`` events came before it."""
    found: list[Outgoing] = []
    for number, line in enumerate(step.events, start=seen + 1):
        if number % REPEATED_EVERY == 0:
            found.append(_record(line, partitions))
        if number % BROKEN_EVERY == 0:
            found.append(_broken(line, number, partitions))
        if number % NAKED_EVERY == 0:
            found.append(_naked(line, partitions))
    return found


def _record(
    line: bytes, partitions: int, *, headers: bool = True, event_id: str | None = None, source: str = SOURCE
) -> Outgoing:
    event = msgspec.json.decode(line, type=dict[str, Any])
    # the body byte for byte as it stands inside the structured event, as a second send of the same record has it
    body = bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["data"])
    key = event["data"]["entity_id"].encode()
    envelope = Envelope(event_id or event["id"], source, event["type"])
    return Outgoing(EVENTS_RAW, key, body, encode_headers(envelope) if headers else (), zlib.crc32(key) % partitions)


def _broken(line: bytes, number: int, partitions: int) -> Outgoing:
    event = msgspec.json.decode(line, type=dict[str, Any])
    features = event["data"]["features"]
    if number % (2 * BROKEN_EVERY):
        features["distance"] = -4
    else:
        features["dest"] = features["origin"]
        features["dep_hour"] = "early"
    return _record(msgspec.json.encode(event), partitions, event_id=f"{event['id']}:broken", source=ELSEWHERE)


def _naked(line: bytes, partitions: int) -> Outgoing:
    return _record(line, partitions, headers=False)
