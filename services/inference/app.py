"""The composition root: fetch → decode → score → encode → commit, and the models that score."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.events.inference import ModelStatus
from services.inference.adapters.artifact_cache import ArtifactCache
from services.inference.adapters.artifact_feed import ArtifactFeed
from services.inference.adapters.metrics import ServingMetrics, refusals
from services.inference.adapters.onnxruntime import OnnxSession, SessionOptions, execution_providers, open_session
from services.inference.credentials import Credentials
from services.inference.execution import Tuning
from services.inference.loading import Loader
from services.inference.model_keeper import KeeperSettings, ModelKeeper
from services.inference.partition_scoring import SERVICE, PartitionScoring
from services.inference.roster import Roster
from services.inference.scoring import Scorer
from services.inference.serving_plan import CurrentPlan, ServingPlan
from services.inference.settings import InferenceSettings, Settings
from services.inference.subscribers import opening, publish_status, subscribe, tables
from services.inference.tuning import Tuner
from shared.broker import kafka_broker
from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError
from shared.garbage_collection import calm_collector
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.publishing import Publisher
from shared.service import App


def build(settings: Settings) -> App:
    """The service, not started. Raises `ConfigurationError` where the data directory or CUDA cannot be used."""
    own = settings.inference
    clock, health, plan = SystemClock(), Health(), CurrentPlan()
    roster = Roster(Credentials(settings.trust.roots))
    publisher, observer = Publisher(settings), ServingMetrics()
    cache = _cache(own)
    wake = _Wake()

    def artifact_arrived(digest: str) -> None:
        roster.artifact_arrived(digest)
        wake()

    feed = ArtifactFeed(
        settings, cache, arrived=artifact_arrived, health=health, max_artifact_bytes=own.max_artifact_bytes
    )
    keeper = ModelKeeper(
        roster,
        _loader(own, cache, clock),
        plan,
        refetch=feed.refetch,
        announcer=_Announcer(publisher, observer),
        health=health,
        clock=clock,
        settings=KeeperSettings(settings.instance, own.missing_grace, own.retry_longest),
    )
    wake.call = keeper.changed
    scorer = Scorer(own.limits, clock.monotonic)

    def scoring(partition: int, started: set[str]) -> PartitionScoring:
        return PartitionScoring(partition, started, plan=plan, scorer=scorer, observer=observer, clock=clock)

    broker = kafka_broker(settings, service=SERVICE)
    open_partition = opening(settings, roster, keeper, scoring, health)
    subscribe(broker, settings, open_partition, health=health)
    heartbeats = Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock)
    followed = tables(settings, roster, wake, health)
    return App(health, broker, components=[publisher, *followed, feed, keeper, heartbeats], after_start=calm_collector)


@dataclass(slots=True)
class _Wake:
    """Wakes the keeper, which is made after the tables that wake it."""

    call: Callable[[], None] | None = None

    def __call__(self) -> None:
        if self.call is not None:
            self.call()


@dataclass(frozen=True, slots=True)
class _Announcer:
    """Tells inference.status and the metrics; implements `services.inference.model_keeper.Announcer`."""

    publisher: Publisher
    metrics: ServingMetrics

    async def status(self, status: ModelStatus) -> None:
        await publish_status(self.publisher, status)
        if status.state == "refused":
            refusals.labels(status.model, str(status.code)).inc()

    def in_force(self, plan: ServingPlan) -> None:
        self.metrics.in_force(plan)


def _cache(own: InferenceSettings) -> ArtifactCache:
    try:
        return ArtifactCache(own.data_dir / "artifacts")
    except OSError as error:
        message = f"The directory {own.data_dir} (HEADRACE_INFERENCE__DATA_DIR) cannot be used: {error.strerror}."
        raise ConfigurationError(message) from None


def _loader(own: InferenceSettings, cache: ArtifactCache, clock: Clock) -> Loader:
    """What is fixed is not measured; neither is what runs on a GPU, whose options these are not."""
    providers = execution_providers(own.execution)
    default = own.session.tuning if own.session is not None else Tuning(own.threads)
    measured = own.session is None and own.tune_seconds > 0 and len(providers) == 1

    def opened(artifact: bytes, tuning: Tuning) -> OnnxSession:
        return open_session(artifact, SessionOptions(tuning, own.load_deadline, providers))

    tuner = Tuner(default, opened, seconds=own.tune_seconds, monotonic=clock.monotonic) if measured else None
    return Loader(cache.read, lambda artifact: opened(artifact, default), deadline=own.run_deadline, tuner=tuner)
