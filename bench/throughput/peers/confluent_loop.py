"""A transactional loop as the client's documentation shows it, in batches: consume, orjson, score, orjson, produce, commit."""

import orjson
from confluent_kafka import Consumer, Producer
from job import BOOTSTRAP, CONSUMER, GROUP, INPUT, OUTPUT, scores

BATCH = 2000


def main() -> None:
    """Loop for ever."""
    consumer = Consumer(CONSUMER)
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": GROUP})
    producer.init_transactions()
    consumer.subscribe([INPUT])
    while True:
        messages = [each for each in consumer.consume(BATCH, 0.1) if each.error() is None]
        if not messages:
            continue
        events = [orjson.loads(each.value()) for each in messages]
        found = scores([event["features"] for event in events])
        producer.begin_transaction()
        for message, event, score in zip(messages, events, found, strict=True):
            answer = {"entity_id": event["entity_id"], "score": score, "features": event["features"]}
            producer.produce(OUTPUT, orjson.dumps(answer), message.key(), message.partition())
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()


if __name__ == "__main__":
    main()
