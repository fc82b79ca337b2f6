"""The bus side: topics that are folded into the roster, and the partitions that are scored.

Events, requests and replays of a partition share a transaction.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from faststream.kafka import KafkaBroker

from schemas.definitions import FeatureSet, Key
from schemas.events.inference import ModelStatus, ServingStarted
from schemas.events.registry import DefinitionRecord, Deployment
from schemas.events.training import Candidate
from schemas.topics import (
    DEFINITIONS,
    DEPLOYMENTS,
    EVENTS_VALIDATED,
    INFERENCE_REQUESTS,
    INFERENCE_STATUS,
    MODELS_CANDIDATES,
    Topic,
    retry,
)
from services.inference.model_keeper import ModelKeeper
from services.inference.partition_scoring import SERVICE, PartitionScoring, serving_key
from services.inference.predictions import SOURCE
from services.inference.roster import Roster
from services.inference.settings import Settings
from shared.health import Health
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import Record, message, read, topic_name
from shared.settings import PlatformSettings
from shared.signing import arrived
from shared.tables import Table, read_to_end
from shared.transactions import OpenPartition, transactional_subscriber

STAGE: Final = "scoring"
PIPELINE_FROM: Final = 1000  # records in a batch: there is a backlog, and throughput counts
SCORED: Final[tuple[Topic, ...]] = (EVENTS_VALIDATED, INFERENCE_REQUESTS, retry(SERVICE))

log = get_logger(__name__)


def tables(settings: PlatformSettings, roster: Roster, changed: Callable[[], None], health: Health) -> list[Table]:
    """The topics that say what is to be served. Deployments first: what they refer to was published before them."""

    def follow(topic: Topic, apply: Callable[[Roster, Record], None]) -> Table:
        def take(record: Record) -> None:
            apply(roster, record)
            changed()

        return Table(settings, topic, apply=take, name=topic.name, health=health)

    return [
        follow(DEPLOYMENTS, apply_deployment),
        follow(DEFINITIONS, apply_definition),
        follow(MODELS_CANDIDATES, partial(apply_candidate, physical=topic_name(settings, MODELS_CANDIDATES))),
    ]


def apply_deployment(roster: Roster, record: Record) -> None:
    """A deployment, or the tombstone that withdraws one. Raises `RefusedRecordError`."""
    if record.value is None:
        roster.withdraw((record.key or b"").decode())
    else:
        roster.deploy(read(Deployment, record)[1])


def apply_definition(roster: Roster, record: Record) -> None:
    """A FeatureSet or a Key; Model definitions say nothing that serving needs. Raises `RefusedRecordError`, ValidationError."""
    if record.value is None:
        return
    definition = read(DefinitionRecord, record)[1]
    if definition.kind == "FeatureSet":
        for problem in roster.define(FeatureSet.model_validate(definition.definition)):
            log.error("a definition was not taken over: a served model cannot be filled from it", problem=problem)
    elif definition.kind == "Key":
        roster.trust(definition.name, Key.model_validate(definition.definition).spec)


def apply_candidate(roster: Roster, record: Record, physical: str = MODELS_CANDIDATES.name) -> None:
    """A candidate on the topic of that ``physical`` name. Raises `RefusedRecordError`."""
    envelope, candidate = read(Candidate, record)
    roster.offer(candidate, arrived(physical, record, envelope))


async def publish_status(publisher: Publisher, status: ModelStatus) -> None:
    """Say what became of a version. Raises `HeadraceError`."""
    key = f"{status.model}/{status.instance}"
    await publisher.publish(message(INFERENCE_STATUS, status, key=key, source=SOURCE, time=status.at))


async def models_started(settings: PlatformSettings, partition: int) -> set[str]:
    """Models that have begun to serve this partition, ever: those whose `ServingStarted` stands on inference.status."""
    started = set()
    for record in await read_to_end(settings, INFERENCE_STATUS):
        model = (record.key or b"").decode(errors="replace").partition("/")[0]
        if record.value is not None and record.key == serving_key(model, partition).encode():
            started.add(read(ServingStarted, record)[1].model)
    return started


def opening(
    settings: PlatformSettings,
    roster: Roster,
    keeper: ModelKeeper,
    scoring: Callable[[int, set[str]], PartitionScoring],
    health: Health,
) -> OpenPartition:
    """How a partition is opened: nothing is scored before every model that is owed to it can be served."""

    async def open_partition(partition: int) -> PartitionScoring:
        started = await models_started(settings, partition)
        # The table may lag; the partition's previous owner may have served what was deployed a moment ago.
        for record in await read_to_end(settings, DEPLOYMENTS):
            apply_deployment(roster, record)
        keeper.changed()

        def still_waiting() -> None:
            # Waiting for a champion is no stall: a restart would wait for the same.
            for topic in SCORED:
                health.forget(topic_name(settings, topic), partition)

        await keeper.until_served(started, still_waiting)
        return scoring(partition, started)

    return open_partition


def subscribe(broker: KafkaBroker, settings: Settings, open_partition: OpenPartition, *, health: Health) -> None:
    """Score events.validated, answer inference.requests, and take replayed dead letters."""
    transactional_subscriber(
        broker,
        settings,
        service=SERVICE,
        stage=STAGE,
        topics=SCORED,
        open_partition=open_partition,
        health=health,
        max_records=settings.inference.max_records,
        delivery=settings.inference.delivery,
        pipeline_from=PIPELINE_FROM,
    )
