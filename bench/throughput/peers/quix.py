"""Quix Streams, exactly once, as its documentation shows it."""

from typing import Any

from job import BOOTSTRAP, GROUP, INPUT, OUTPUT, scores
from quixstreams import Application


def answer(event: dict[str, Any]) -> dict[str, Any]:
    """The prediction of one event."""
    [score] = scores([event["features"]])
    return {"entity_id": event["entity_id"], "score": score, "features": event["features"]}


def main() -> None:
    """Run for ever."""
    application = Application(
        broker_address=BOOTSTRAP,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.1,
        auto_create_topics=False,
    )
    stream = application.dataframe(application.topic(INPUT, value_deserializer="json"))
    stream.apply(answer).to_topic(application.topic(OUTPUT, value_serializer="json"))
    application.run()


if __name__ == "__main__":
    main()
