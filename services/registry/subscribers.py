"""The only bus code of the registry: six topics in, decided one by one by the single active instance."""

from faststream.kafka import KafkaBroker

from schemas.events.registry import RegistryNudge
from schemas.topics import REGISTRY_COMMANDS
from services.registry.adapters import log
from services.registry.adapters.probe_process import ProbeLimits
from services.registry.adapters.prober import Prober
from services.registry.authority import Authority
from services.registry.processor import SERVICE, TOPICS, RegistryProcessor
from services.registry.publications import SOURCE
from services.registry.settings import Settings
from shared.clock import Clock
from shared.errors import HeadraceError
from shared.health import Health
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import TopicNames, message
from shared.transactions import transactional_subscriber

logger = get_logger(__name__)


def subscribe(broker: KafkaBroker, settings: Settings, *, publisher: Publisher, health: Health, clock: Clock) -> None:
    """Decide on everything that arrives. All topics have one partition, so one instance has them all; others stand by."""
    if not settings.trust.roots:
        logger.warning(
            "commands and candidates are taken unsigned: HEADRACE_TRUST__ROOTS names nobody whose signature counts"
        )

    async def wake() -> None:
        try:
            await publisher.publish(
                message(REGISTRY_COMMANDS, RegistryNudge(), key=SERVICE, source=SOURCE, time=clock.now())
            )
        except HeadraceError as error:
            logger.warning(f"the result of a probe waits for the next record: {error}")

    async def open_partition(_: int) -> RegistryProcessor:
        state = await log.folded(settings)
        prober = Prober(
            settings,
            limits=ProbeLimits(settings.registry.probe_memory_bytes, settings.registry.probe_seconds),
            artifact_seconds=settings.registry.artifact_seconds,
            scratch=settings.scratch,
            wake=wake,
        )
        processor = RegistryProcessor(
            state,
            answers=await log.answered(settings),
            windows=await log.quality_windows(settings, state),
            probes=prober,
            names=TopicNames(settings.topics.prefix),
            clock=clock,
            authority=Authority(settings.trust.roots),
        )
        for request in await log.probe_requests(settings, state):
            prober.request(request)
        logger.info("active", events=state.sequence, models=len(state.models))
        return processor

    transactional_subscriber(
        broker,
        settings,
        service=SERVICE,
        stage="decide",
        topics=TOPICS,
        open_partition=open_partition,
        health=health,
        max_records=settings.registry.max_records,
    )
