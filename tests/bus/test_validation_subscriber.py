"""How validation hangs on the bus."""

from validation_scene import Scene, event_body, raw

from schemas.topics import CATALOGUE, DEFINITIONS, EVENTS_RAW, LABELS_RAW, retry
from services.validation.definitions import Definitions
from services.validation.processing import SERVICE
from services.validation.settings import Settings
from services.validation.subscribers import subscribe
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.health import Health
from shared.settings import TopicSettings

SETTINGS = Settings(topics=TopicSettings(prefix="t."))


async def nothing() -> None:
    """Definitions that are up to date."""


def test_raw_topics_and_replays_are_joined_in_one_subscriber_that_sees_committed_records_only() -> None:
    broker = kafka_broker(SETTINGS, service=SERVICE)
    subscribe(broker, SETTINGS, definitions=Definitions(), catch_up=nothing, health=Health(), clock=SystemClock())
    (subscriber,) = broker.subscribers
    options = subscriber._connection_args  # type: ignore[attr-defined]
    assert subscriber.topic_names == ["t.events.raw", "t.labels.raw", "t.validation.retry"]  # type: ignore[attr-defined]
    assert subscriber.group_id == "t.validation.judge"  # type: ignore[attr-defined]
    assert (options["isolation_level"], options["enable_auto_commit"]) == ("read_committed", False)


def test_it_is_not_ready_before_its_partitions_are_open() -> None:
    health = Health()
    subscribe(
        kafka_broker(SETTINGS, service=SERVICE),
        SETTINGS,
        definitions=Definitions(),
        catch_up=nothing,
        health=health,
        clock=SystemClock(),
    )
    assert health.missing == ["partitions of validation.judge"]


def test_the_catalogue_lets_it_read_and_write_what_it_does() -> None:
    for topic in (EVENTS_RAW, LABELS_RAW, DEFINITIONS, retry(SERVICE)):
        assert SERVICE in topic.readers
    written = Scene(partitions=2).processor.process(
        [raw(event_body(), "a"), raw(None), raw(b"{"), raw(event_body(), "a")]
    )
    assert all(SERVICE in out.topic.writers and out.topic in CATALOGUE for out in written)
