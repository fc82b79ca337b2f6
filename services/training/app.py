"""Composition root: topics → store and state → requests → worker → candidate."""

from collections.abc import Sequence

from services.training import subscribers
from services.training.adapters.result_producer import ResultProducer
from services.training.adapters.validated_topics import ValidatedTopics
from services.training.runner import Runner
from services.training.settings import Settings
from services.training.state import State
from services.training.watchman import Watchman
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
from shared.records import Outgoing
from shared.service import App
from shared.signing import signed

SERVICE = "training"


def build(settings: Settings) -> App:
    """The service, put together; nothing is opened yet."""
    clock, health, state = SystemClock(), Health(), State()
    publisher = Publisher(settings)
    directory = settings.training_dir

    async def publish(outputs: Sequence[Outgoing]) -> None:
        await publisher.publish(*outputs)

    topics = ValidatedTopics(
        settings,
        directory=directory,
        segment_rows=settings.training.segment_rows,
        flush_seconds=settings.training.flush_seconds,
        publisher=publisher,
        health=health,
        clock=clock,
        ticked=lambda: watchman.look(),  # noqa: PLW0108 - the watchman needs the topics first
    )
    watchman = Watchman(
        state,
        watermark=topics.watermark,
        caught_up=lambda: topics.caught_up,
        publish=publish,
        clock=clock,
        health=health,
    )
    runner = Runner(
        settings.training,
        directory,
        ledger=state.ledger,
        catalog=lambda: state.catalog,
        topics=topics,
        publish=publish,
        commit=ResultProducer(settings),
        sign=lambda offered: signed(settings, SERVICE, offered),
        clock=clock,
        health=health,
    )

    def changed() -> None:
        watchman.look()
        runner.wake()

    broker = kafka_broker(settings, service=SERVICE)
    subscribers.subscribe(broker, settings, state=state, publisher=publisher, health=health, asked=runner.wake)
    return App(
        health=health,
        broker=broker,
        components=(
            publisher,
            *subscribers.tables(settings, state, health, changed),
            topics,
            watchman,
            runner,
            Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock),
        ),
    )
