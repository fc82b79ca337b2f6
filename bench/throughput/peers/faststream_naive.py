"""FastStream as a first user would write it: one typed message in, one model out."""

import asyncio
from typing import Any

from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from job import BOOTSTRAP, GROUP, INPUT, OUTPUT, scores
from pydantic import BaseModel


class Event(BaseModel):
    """An event."""

    feature_set: str
    definition_version: str
    entity_id: str
    occurred_at: str
    features: dict[str, Any]


class Prediction(BaseModel):
    """A prediction."""

    entity_id: str
    score: float
    features: dict[str, Any]


broker = KafkaBroker(BOOTSTRAP)


@broker.subscriber(INPUT, group_id=GROUP, auto_offset_reset="earliest")
async def predict(event: Event, message: KafkaMessage) -> None:
    """One event, one prediction."""
    [score] = scores([event.features])
    answer = Prediction(entity_id=event.entity_id, score=score, features=event.features)
    await broker.publish(answer, OUTPUT, key=message.raw_message.key)


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
