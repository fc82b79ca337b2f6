"""Where the outputs of a transaction go, and what we rely on inside aiokafka."""

import inspect

from aiokafka.producer import sender

from schemas.topics import EDGE_RECORD_BYTES, EVENTS_RAW, EVENTS_VALIDATED, REGISTRY_EVENTS
from shared import transaction_producer
from shared.kafka_clients import MAX_BATCH_BYTES, MAX_REQUEST_BYTES
from shared.records import Outgoing, TopicNames
from shared.transaction_producer import group

NAMES = TopicNames("p.")


def test_an_output_on_an_entity_topic_stays_in_its_inputs_partition() -> None:
    item = Outgoing(EVENTS_VALIDATED, b"k", b"v")
    assert group([item], 3, NAMES) == {("p.events.validated", 3): [item]}


def test_an_output_on_a_single_topic_goes_to_its_only_partition() -> None:
    item = Outgoing(REGISTRY_EVENTS, b"k", b"v")
    assert group([item], 3, NAMES) == {("p.registry.events", 0): [item]}


def test_an_explicit_partition_is_honoured() -> None:
    item = Outgoing(EVENTS_RAW, b"k", b"v", partition=1)
    assert group([item], 3, NAMES) == {("p.events.raw", 1): [item]}


def test_outputs_keep_their_order() -> None:
    items = [Outgoing(EVENTS_VALIDATED, b"k", str(n).encode()) for n in range(5)]
    assert group(items, 0, NAMES)["p.events.validated", 0] == items


def test_aiokafka_still_waits_between_transactions_where_we_shorten_it() -> None:
    assert isinstance(sender.BACKOFF_OVERRIDE, float)
    assert "return BACKOFF_OVERRIDE" in inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert 0.001 <= transaction_producer.BACKOFF_SECONDS <= 0.005


def test_a_batch_fits_the_smallest_topic_and_a_request_the_largest_record() -> None:
    assert MAX_BATCH_BYTES <= EDGE_RECORD_BYTES
    assert EVENTS_RAW.max_message_bytes > MAX_BATCH_BYTES
    assert EVENTS_VALIDATED.max_message_bytes < MAX_REQUEST_BYTES


def test_outputs_of_several_places_are_told_apart_however_they_alternate() -> None:
    places = [(EVENTS_VALIDATED, None), (EVENTS_RAW, 1), (EVENTS_VALIDATED, None), (EVENTS_RAW, 2), (EVENTS_RAW, 1)]
    items = [Outgoing(topic, b"k", str(n).encode(), partition=to) for n, (topic, to) in enumerate(places)]
    assert group(items, 1, NAMES) == {
        ("p.events.validated", 1): [items[0], items[2]],
        ("p.events.raw", 1): [items[1], items[4]],
        ("p.events.raw", 2): [items[3]],
    }
