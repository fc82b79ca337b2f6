"""The same loop with everything that is known to help: msgspec Structs, raw features, large batches, a frozen collector."""

import gc
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer
from job import CODES, GROUP, INPUT, NUMERIC, OUTPUT, TUNED_CONSUMER, TUNED_PRODUCER, session

BATCH = 4000
WIDTH = len(NUMERIC)


class Event(msgspec.Struct, gc=False):
    """An event."""

    entity_id: str
    features: msgspec.Raw


class Answer(msgspec.Struct, gc=False):
    """A prediction."""

    entity_id: str
    score: float
    features: msgspec.Raw


def main() -> None:
    """Loop for ever."""
    names = [*NUMERIC, *(name for name, _ in CODES)]
    fields = [(f"f{place}", float | bool | None if place < WIDTH else str) for place in range(len(names))]
    row = msgspec.defstruct("Row", fields, rename={f"f{p}": name for p, name in enumerate(names)}, gc=False)
    decode_event, decode_row = msgspec.json.Decoder(Event).decode, msgspec.json.Decoder(row).decode
    encode, model, astuple = msgspec.json.Encoder().encode, session(), msgspec.structs.astuple
    consumer = Consumer(TUNED_CONSUMER)
    producer = Producer({**TUNED_PRODUCER, "transactional.id": GROUP})
    producer.init_transactions()
    consumer.subscribe([INPUT])
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    while True:
        messages = [each for each in consumer.consume(BATCH, 0.02) if each.error() is None]
        if not messages:
            continue
        events = [decode_event(each.value()) for each in messages]
        rows: list[Any] = [astuple(decode_row(event.features)) for event in events]
        numeric = np.fromiter(chain.from_iterable(each[:WIDTH] for each in rows), np.float32, len(rows) * WIDTH)
        coded = np.array(
            [[codes.get(v, -2) for v, (_, codes) in zip(each[WIDTH:], CODES, strict=True)] for each in rows]
        )
        found = model.run(None, {"numeric": numeric.reshape(-1, WIDTH), "categorical": coded})[0][:, 1].tolist()
        producer.begin_transaction()
        for message, event, score in zip(messages, events, found, strict=True):
            answer = encode(Answer(event.entity_id, score, event.features))
            producer.produce(OUTPUT, answer, message.key(), message.partition())
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()


if __name__ == "__main__":
    main()
