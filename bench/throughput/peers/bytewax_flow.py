"""Bytewax with its Kafka connectors, batches of what one poll gives; at least once."""

from datetime import timedelta

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from job import BOOTSTRAP, INPUT, OUTPUT, scores


def answers(messages: list[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
    """The predictions of a batch."""
    events = [orjson.loads(each.value) for each in messages]
    found = scores([event["features"] for event in events])
    return [
        KafkaSinkMessage(
            message.key,
            orjson.dumps({"entity_id": event["entity_id"], "score": score, "features": event["features"]}),
        )
        for message, event, score in zip(messages, events, found, strict=True)
    ]


def main() -> None:
    """Run for ever."""
    flow = Dataflow("bench")
    source = kop.input("in", flow, brokers=[BOOTSTRAP], topics=[INPUT], batch_size=2000)
    keyed = op.key_on("key", source.oks, lambda message: str(message.partition))
    batched = op.collect("batch", keyed, timeout=timedelta(milliseconds=5), max_size=2000)
    scored = op.flat_map("score", batched, lambda item: answers(item[1]))
    kop.output("out", scored, brokers=[BOOTSTRAP], topic=OUTPUT)
    run_main(flow)


if __name__ == "__main__":
    main()
