"""Every record that may stand on a topic has room on the topics where it may end."""

import base64

import pytest

from schemas.topics import (
    CATALOGUE,
    EDGE_RECORD_BYTES,
    EVENTS_RAW,
    EVENTS_REJECTED,
    KIB,
    LABELS_RAW,
    LABELS_REJECTED,
    SERVICES,
    Topic,
    dead_letters,
)

LIBRDKAFKA_BATCH = 1_000_000  # bytes, its default batch.size; the broker's cap counts whole batches


@pytest.mark.parametrize("topic", [EVENTS_RAW, LABELS_RAW], ids=lambda topic: topic.name)
def test_a_producers_full_batch_of_small_records_is_taken(topic: Topic) -> None:
    assert topic.max_message_bytes > LIBRDKAFKA_BATCH
    assert topic.max_message_bytes > EDGE_RECORD_BYTES


@pytest.mark.parametrize("topic", [EVENTS_REJECTED, LABELS_REJECTED], ids=lambda topic: topic.name)
def test_a_rejection_has_room_for_the_largest_raw_record_as_evidence(topic: Topic) -> None:
    evidence = len(base64.b64encode(bytes(EVENTS_RAW.max_message_bytes)))
    assert topic.max_message_bytes > evidence + 256 * KIB


@pytest.mark.parametrize("service", SERVICES)
def test_a_dead_letter_has_room_for_the_largest_record_that_its_service_reads(service: str) -> None:
    largest = max(
        topic.max_message_bytes
        for topic in CATALOGUE
        if service in topic.readers and not topic.name.endswith((".dead-letters", ".rejected"))
    )
    assert dead_letters(service).max_message_bytes > len(base64.b64encode(bytes(largest))) + 256 * KIB
