"""The result of a run has one winner, whoever publishes it and however often."""

from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from schemas.envelope import header
from schemas.events.training import RunFailed
from schemas.identities import derived_id, run_id
from schemas.topics import TRAINING_EVENTS, TRAINING_REQUESTS
from services.training.adapters.result_producer import ResultProducer
from services.training.results import run_message
from shared.kafka_clients import reader
from shared.records import Outgoing, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def result(request_id: str, by: str) -> Outgoing:
    run = run_id(request_id)
    body = RunFailed(run_id=run, request_id=request_id, model="m", at=NOW, code="few_rows", message=by)
    return run_message(body, model="m", identity=derived_id("completed", run), at=NOW)


async def test_of_processes_that_finish_the_same_run_the_first_wins(settings: PlatformSettings) -> None:
    await apply_topics(settings)
    run = run_id("r1")

    assert await ResultProducer(settings)(run, 4, [result("r1", "first")])
    assert not await ResultProducer(settings)(run, 4, [result("r1", "second")])
    assert not await ResultProducer(settings)(run, 5, [result("r1", "asked again")])
    records = await read_to_end(settings, TRAINING_EVENTS)
    assert [header(r.headers, "ce_id") for r in records] == [derived_id("completed", run)]
    consumer = reader(settings.kafka, group_id=f"{settings.topics.prefix}training.runs")
    await consumer.start()
    try:
        place = TopicPartition(topic_name(settings, TRAINING_REQUESTS), 0)
        consumer.assign([place])
        assert await consumer.committed(place) == 6
    finally:
        await consumer.stop()
