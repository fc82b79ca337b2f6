"""A service whose wall clock is wrong does its work all the same. Found by the harness: a notifier whose clock ran ahead took
every alert for history and told nobody."""

import uuid
from pathlib import Path

import pytest
from notifier_scene import alert

from schemas.topics import ALERTS
from shared.publishing import Publisher
from shared.records import message
from shared.settings import KafkaSettings, PlatformSettings, TopicSettings, variable
from shared.topic_admin import apply_topics
from tests.faults.broker import Ground
from tests.faults.drawing import DECADE
from tests.faults.members import Member
from tests.faults.scenes import until
from tests.faults.slack import FakeSlack

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]


@pytest.mark.parametrize("skew", [DECADE], ids=["ten years fast"])
async def test_a_notifier_whose_clock_runs_ahead_tells_of_an_alert(
    fault_ground: Ground, tmp_path: Path, skew: float
) -> None:
    settings = PlatformSettings(
        kafka=KafkaSettings(bootstrap_servers=fault_ground.kafka.bootstrap_servers),
        topics=TopicSettings(prefix=f"n{uuid.uuid4().hex[:8]}.", partitions=1),
    )
    await apply_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(message(ALERTS, alert("firing"), key="fp1", source="tests"))
    with FakeSlack() as slack:
        environment = {
            variable("kafka", "bootstrap_servers"): settings.kafka.bootstrap_servers,
            variable("topics", "prefix"): settings.topics.prefix,
            variable("topics", "partitions"): "1",
            variable("notifier", "slack", "webhook_url"): slack.url,
            variable("notifier", "allowed_hosts"): '["127.0.0.1"]',
        }
        notifier = Member("notifier", environment, leash=fault_ground.leash, home=tmp_path)
        notifier.wear_wrong_clock(skew)
        notifier.start()
        try:
            until(lambda: slack.messages, "a message")
        finally:
            notifier.leave()
    assert len(slack.messages) == 1
