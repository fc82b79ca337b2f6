"""The only bus code of validation: raw records in, outcomes out, batch by batch and partition by partition."""

from faststream.kafka import KafkaBroker

from services.validation.adapters.measures import report
from services.validation.adapters.published import JUDGED, STAGE, resumption
from services.validation.adapters.window_tails import rebuild
from services.validation.definitions import Definitions
from services.validation.processing import SERVICE, Processor
from services.validation.settings import Settings
from shared.clock import Clock
from shared.health import Health
from shared.partition_slot import CatchUp
from shared.records import TopicNames
from shared.settings import Delivery
from shared.transactions import transactional_subscriber


def subscribe(
    broker: KafkaBroker,
    settings: Settings,
    *,
    definitions: Definitions,
    catch_up: CatchUp,
    health: Health,
    clock: Clock,
) -> None:
    """Judge everything that arrives on the raw topics, and replayed dead letters. ``catch_up``: the definitions'."""
    own = settings.validation

    async def open_partition(number: int) -> Processor:
        found = None
        if own.delivery is Delivery.AT_LEAST_ONCE:
            found = await resumption(settings, number, max_records=own.max_records)
        return Processor(
            names=TopicNames(settings.topics.prefix),
            partitions=settings.topics.partitions,
            definitions=definitions,
            windows=await rebuild(settings, own, number, found),
            clock=clock,
            report=report,
            catch_up=catch_up,
            resumption=found,
        )

    transactional_subscriber(
        broker,
        settings,
        service=SERVICE,
        stage=STAGE,
        topics=JUDGED,
        open_partition=open_partition,
        health=health,
        max_records=own.max_records,
        delivery=own.delivery,
    )
