"""The only bus code of monitoring: tables in, and the three transactional stages."""

from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from faststream.kafka import KafkaBroker

from schemas.events.registry import DefinitionRecord, Deployment
from schemas.events.training import Candidate
from schemas.topics import (
    ALERTS_COMMANDS,
    DEFINITIONS,
    DEPLOYMENTS,
    MODELS_CANDIDATES,
    MONITORING_PROFILES,
    MONITORING_STATE,
    PLATFORM_HEARTBEATS,
)
from services.monitoring.checkpoints import VERDICTS, StateReader
from services.monitoring.joins import JoinStore, StoreFault
from services.monitoring.judging import PARTITION, Judging
from services.monitoring.knowledge import Knowledge
from services.monitoring.profiling import PROFILED, Profiling
from services.monitoring.restoring import Stretch, open_windows, restoration
from services.monitoring.service_alerts import SERVICES, Resources, ServiceWatch
from services.monitoring.service_limits import presence_limits, resource_limits
from services.monitoring.settings import Settings
from services.monitoring.up_to_date import predictions_up_to_date, profiles_up_to_date
from shared.clock import Clock
from shared.health import Health
from shared.logs import get_logger
from shared.partition_slot import CatchUp, PartitionProcessor
from shared.records import Record, TopicNames, read
from shared.tables import Table, last_records, scan
from shared.transactions import transactional_subscriber

log = get_logger(__name__)


def knowledge_tables(settings: Settings, knowledge: Knowledge, health: Health) -> list[Table]:
    """Definitions, deployments and candidates, folded into ``knowledge``."""

    def definition(record: Record) -> None:
        if record.value is not None:
            knowledge.apply_definition(read(DefinitionRecord, record)[1])
            for part, problem in knowledge.problems.items():
                log.warning(f"not monitored: {problem}", part=part)

    def deployment(record: Record) -> None:
        if record.value is not None:
            knowledge.apply_deployment(read(Deployment, record)[1])

    def candidate(record: Record) -> None:
        if record.value is not None:
            knowledge.apply_candidate(read(Candidate, record)[1])

    return [
        Table(settings, DEFINITIONS, apply=definition, name="monitoring definitions", health=health),
        Table(settings, DEPLOYMENTS, apply=deployment, name="monitoring deployments", health=health),
        Table(settings, MODELS_CANDIDATES, apply=candidate, name="monitoring candidates", health=health),
    ]


def subscribe(
    broker: KafkaBroker,
    settings: Settings,
    *,
    knowledge: Knowledge,
    catch_up: CatchUp,
    resources: Resources,
    health: Health,
    clock: Clock,
    unwatched: Callable[[int], None],
) -> None:
    """Declare the stages on ``broker``. ``catch_up``: that of the tables behind ``knowledge``. ``unwatched`` is told how
    many predictions are not counted.
    """
    names = TopicNames(settings.topics.prefix)

    async def open_profiling(partition: int) -> PartitionProcessor:
        state = await _state(settings, partition, str(partition))
        store = JoinStore(_join_file(settings.join_dir, partition))
        profiling = Profiling(partition, names, knowledge, store, clock, unwatched)
        profiling.restore(state.entries)
        try:
            await _bring_up_to_date(settings, partition, state, store, profiling)
        except StoreFault as error:
            trouble = store.trouble(error)
            store.close()
            raise trouble from error
        except BaseException:
            store.close()
            raise
        return predictions_up_to_date(profiling, knowledge, catch_up)

    async def open_judging(partition: int) -> PartitionProcessor:
        del partition  # there is one
        state = await _state(settings, PARTITION, VERDICTS)
        judging = Judging(settings.topics.partitions, knowledge, clock, settings.monitoring.latency_p99_ms)
        judging.restore(state.entries)
        return profiles_up_to_date(judging, knowledge, catch_up)

    async def open_watch(partition: int) -> PartitionProcessor:
        state = await _state(settings, partition, SERVICES)
        last = await last_records(settings, PLATFORM_HEARTBEATS, partition, 1)
        watch = ServiceWatch(
            clock,
            presence_limits(settings.monitoring),
            last[-1].offset + 1 if last else 0,
            resources,
            resource_limits(settings.monitoring),
        )
        watch.restore(state.entries)
        return watch

    stages = (
        ("profiles", PROFILED, open_profiling),
        ("verdicts", (MONITORING_PROFILES, ALERTS_COMMANDS), open_judging),
        ("services", (PLATFORM_HEARTBEATS, ALERTS_COMMANDS), open_watch),
    )
    for stage, topics, open_partition in stages:
        transactional_subscriber(
            broker,
            settings,
            service="monitoring",
            stage=stage,
            topics=topics,
            open_partition=open_partition,
            health=health,
            max_records=settings.monitoring.max_records,
            delivery=settings.monitoring.delivery,
        )


async def _state(settings: Settings, partition: int, scope: str) -> StateReader:
    state = StateReader(scope)
    async for records in scan(settings, MONITORING_STATE, partition):
        for record in records:
            state.apply(record)
    return state


def _join_file(directory: Path, partition: int) -> Path:
    return directory / f"labels-{partition}.sqlite"


async def _bring_up_to_date(
    settings: Settings, partition: int, state: StateReader, store: JoinStore, profiling: Profiling
) -> None:
    """Have the label join hold exactly what was committed in Kafka: replay what it misses, or all that is still needed."""
    positions = state.entries.get("positions", {"next": {}, "floor": None})
    plan = restoration(store.positions(), positions["next"], positions["floor"])
    if plan is None:
        return
    log.info(
        "restoring the label join",
        partition=partition,
        anew=plan.anew,
        since=str(plan.since),
        records={stretch.topic.name: stretch.end - stretch.first for stretch in plan.stretches},
    )
    if plan.anew:
        store.reset()
    for stretch in plan.stretches:
        await _replay(settings, partition, stretch, plan.since, profiling)
    store.keep_windows(open_windows(state.entries))
    store.move_to(positions["next"])
    store.commit()


async def _replay(
    settings: Settings, partition: int, stretch: Stretch, since: datetime | None, profiling: Profiling
) -> None:
    """Feed the records of ``stretch`` that were appended from ``since`` on to the label join."""
    first, end = stretch.first, stretch.end
    async with aclosing(scan(settings, stretch.topic, partition, first={partition: first}, since=since)) as batches:
        async for records in batches:
            profiling.replay([record for record in records if first <= record.offset < end])
            if records and records[-1].offset >= end - 1:
                return
