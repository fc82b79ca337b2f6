"""The typed topic catalogue: every topic, who owns it, who reads it, and how it is kept.

This module is the one place where a topic is declared. Creation (`headrace topics apply`), AsyncAPI, the reference page
and access rules are all generated from it, so a topic that is missing from a service's row cannot be used by it.
Names here are logical; the configured prefix (default ``headrace.``) is put before them by `shared`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final


class Partitioning(StrEnum):
    """How many partitions a topic gets."""

    ENTITY = "entity"  # the platform-wide count, the same for every entity topic, fixed at creation
    SINGLE = "single"  # exactly one: total order


class Cleanup(StrEnum):
    """Kafka's ``cleanup.policy``."""

    DELETE = "delete"
    COMPACT = "compact"
    COMPACT_AND_DELETE = "compact,delete"


SERVICES: Final = (
    "ingestion",
    "validation",
    "training",
    "registry",
    "inference",
    "monitoring",
    "notifier",
)
RETRYING: Final = tuple(service for service in SERVICES if service != "ingestion")  # read replays of their dead letters
_ONE_PARTITION: Final = frozenset(
    ("training", "registry", "notifier")
)  # services whose own stage is single, so is its retry
PRODUCERS: Final = "producers"  # everyone outside the platform who publishes events
CLIENTS: Final = "clients"  # the command line, the console and applications

KIB: Final = 1024
EDGE_RECORD_BYTES: Final = 256 * KIB  # the largest record a producer may send
DERIVED_RECORD_BYTES: Final = 1024 * KIB
# Kafka's cap counts a producer's whole batch, and librdkafka fills one up to 1,000,000 bytes: a lower cap would refuse small
# records for standing beside others. So validation judges a record's size, and the broker only bounds what it is given.
RAW_BATCH_BYTES: Final = 1024 * KIB + 16 * KIB
HEADERS_BYTES: Final = 32 * KIB  # names and values; more are refused, since a record passes some of them on
FRAMING_BYTES: Final = HEADERS_BYTES + 16 * KIB  # what stands around a body: headers, key, Kafka's own
_TOMBSTONES: Final = timedelta(
    days=1
)  # how long whoever reads a compacted topic may stand still and yet learn of a deletion
EVIDENCE_RECORD_BYTES: Final = 2048 * KIB  # such a record in base64, with every reason


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the catalogue.

    ``retention`` None keeps records for ever. ``messages`` are the ``ce_type`` values that may stand on it.
    """

    name: str
    key: str
    summary: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    messages: tuple[str, ...]
    partitioning: Partitioning = Partitioning.SINGLE
    cleanup: Cleanup = Cleanup.DELETE
    retention: timedelta | None = None
    max_message_bytes: int = DERIVED_RECORD_BYTES
    uncompressed: bool = False  # raw topics: a compressed record could inflate far beyond the cap

    @property
    def max_body_bytes(self) -> int:
        """The longest body that surely fits: what Kafka counts has headers, a key and framing besides."""
        return self.max_message_bytes - FRAMING_BYTES

    @property
    def config(self) -> dict[str, str]:
        """Kafka's topic configuration, without replication."""
        retention_ms = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        config = {
            "cleanup.policy": self.cleanup.value,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(retention_ms),
        }
        if self.cleanup is not Cleanup.DELETE:
            config["delete.retention.ms"] = str(int(_TOMBSTONES.total_seconds() * 1000))
        if self.uncompressed:
            config["compression.type"] = "uncompressed"
        return config


def _days(count: int) -> timedelta:
    return timedelta(days=count)


TICK: Final = "headrace.tick.v1"

DEFINITIONS = Topic(
    "definitions",
    "kind/name/major",
    "FeatureSet and Model definitions in force, written by the registry alone.",
    ("registry",),
    ("ingestion", "validation", "training", "registry", "inference", "monitoring", "notifier", CLIENTS),
    ("headrace.definition.v1",),
    cleanup=Cleanup.COMPACT,
)
EVENTS_RAW = Topic(
    "events.raw",
    "entity_id",
    "Events as producers sent them, byte for byte, and ticks.",
    ("ingestion", "validation", PRODUCERS, CLIENTS),
    ("validation",),
    ("headrace.event.v1", TICK),
    Partitioning.ENTITY,
    retention=_days(7),
    max_message_bytes=RAW_BATCH_BYTES,
    uncompressed=True,
)
LABELS_RAW = Topic(
    "labels.raw",
    "entity_id",
    "Labels (what really happened) as producers sent them, and ticks.",
    ("ingestion", "validation", PRODUCERS, CLIENTS),
    ("validation",),
    ("headrace.label.v1", TICK),
    Partitioning.ENTITY,
    retention=_days(7),
    max_message_bytes=RAW_BATCH_BYTES,
    uncompressed=True,
)
EVENTS_VALIDATED = Topic(
    "events.validated",
    "entity_id",
    "Typed, deduplicated events with derived features, and ticks.",
    ("validation",),
    ("validation", "training", "inference", CLIENTS),
    ("headrace.validated-event.v1", TICK),
    Partitioning.ENTITY,
    retention=_days(90),
)
LABELS_VALIDATED = Topic(
    "labels.validated",
    "entity_id",
    "Checked, deduplicated labels, and ticks.",
    ("validation",),
    ("validation", "training", "monitoring", CLIENTS),
    ("headrace.validated-label.v1", TICK),
    Partitioning.ENTITY,
    retention=_days(90),
)
EVENTS_REJECTED = Topic(
    "events.rejected",
    "entity_id",
    "Quarantined events: the original bytes and every reason.",
    ("validation",),
    ("validation", "monitoring", CLIENTS),
    ("headrace.rejection.v1",),
    Partitioning.ENTITY,
    retention=_days(30),
    max_message_bytes=EVIDENCE_RECORD_BYTES,
)
LABELS_REJECTED = Topic(
    "labels.rejected",
    "entity_id",
    "Quarantined labels: the original bytes and every reason.",
    ("validation",),
    ("validation", "monitoring", CLIENTS),
    ("headrace.rejection.v1",),
    Partitioning.ENTITY,
    retention=_days(30),
    max_message_bytes=EVIDENCE_RECORD_BYTES,
)
EVENTS_DUPLICATES = Topic(
    "events.duplicates",
    "entity_id",
    "Events and labels that were sent again, without their payload.",
    ("validation",),
    ("validation", CLIENTS),
    ("headrace.duplicate.v1",),
    Partitioning.ENTITY,
    retention=_days(30),
)
TRAINING_REQUESTS = Topic(
    "training.requests",
    "model",
    "Why, on which window and with which overrides a model is to be trained.",
    ("training", CLIENTS),
    ("training",),
    ("headrace.training-request.v1",),
    retention=_days(30),
)
TRAINING_EVENTS = Topic(
    "training.events",
    "model",
    "What training runs did.",
    ("training",),
    ("training", CLIENTS),
    (
        "headrace.training.run-started.v1",
        "headrace.training.dataset-materialized.v1",
        "headrace.training.progress.v1",
        "headrace.training.run-completed.v1",
        "headrace.training.run-failed.v1",
    ),
)
MODELS_ARTIFACTS = Topic(
    "models.artifacts",
    "sha256/chunk",
    "ONNX bytes in chunks of at most 512 KiB; the manifest comes last.",
    ("training", CLIENTS),
    ("registry", "inference", CLIENTS),
    ("headrace.artifact-chunk.v1", "headrace.artifact-manifest.v1"),
    cleanup=Cleanup.COMPACT,
)
MODELS_CANDIDATES = Topic(
    "models.candidates",
    "model",
    "Models that ask to be registered: digest, signature, metrics, reference bins, lineage.",
    ("training", CLIENTS),
    ("ingestion", "registry", "inference", "monitoring", CLIENTS),
    ("headrace.candidate.v1",),
)
REGISTRY_COMMANDS = Topic(
    "registry.commands",
    "model",
    "What people and programs ask of the registry.",
    ("notifier", "registry", CLIENTS),
    ("registry",),
    ("headrace.registry-command.v1", "headrace.registry-nudge.v1"),
    retention=_days(30),
)
REGISTRY_REPLIES = Topic(
    "registry.replies",
    "command id",
    "The registry's answer to each command.",
    ("registry",),
    (CLIENTS,),
    ("headrace.registry-reply.v1",),
    retention=_days(30),
)
REGISTRY_EVENTS = Topic(
    "registry.events",
    "model",
    "What happened to models and definitions: the hash-chained audit log.",
    ("registry",),
    ("registry", "notifier", CLIENTS),
    ("headrace.registry-event.v1",),
)
DEPLOYMENTS = Topic(
    "deployments",
    "model",
    "Champion, canary and shadows of each model: all that inference needs to know.",
    ("registry",),
    ("ingestion", "inference", "monitoring", CLIENTS),
    ("headrace.deployment.v1",),
    cleanup=Cleanup.COMPACT,
)
INFERENCE_STATUS = Topic(
    "inference.status",
    "model/slot/partition or model/instance",
    "What inference has loaded or refused, and the first served offset per partition.",
    ("inference",),
    ("inference", "registry", "monitoring", CLIENTS),
    ("headrace.serving-started.v1", "headrace.model-status.v1"),
    cleanup=Cleanup.COMPACT,
)
PREDICTIONS = Topic(
    "predictions",
    "entity_id",
    "One prediction per validated event, model and slot, and ticks.",
    ("inference",),
    ("monitoring", CLIENTS),
    ("headrace.prediction.v1", TICK),
    Partitioning.ENTITY,
    retention=_days(30),
)
INFERENCE_REQUESTS = Topic(
    "inference.requests",
    "request key (the entity, or whatever groups a client's requests)",
    "Requests of the Open Inference Protocol V2, answered on inference.responses in the same partition.",
    ("ingestion", CLIENTS),
    ("inference",),
    ("headrace.inference-request.v1",),
    Partitioning.ENTITY,
    retention=_days(1),
)
INFERENCE_RESPONSES = Topic(
    "inference.responses",
    "request key",
    "One response per request: outputs, or why there are none.",
    ("inference",),
    ("ingestion", CLIENTS),
    ("headrace.inference-response.v1",),
    Partitioning.ENTITY,
    retention=_days(1),
)
MONITORING_PROFILES = Topic(
    "monitoring.profiles",
    "model",
    "Cumulative, revisioned window profiles per partition.",
    ("monitoring",),
    ("monitoring",),
    ("headrace.profile.v1", "headrace.monitoring-progress.v1"),
    retention=_days(7),
)
MONITORING_STATE = Topic(
    "monitoring.state",
    "partition/model/window",
    "Checkpoints of open windows; a tombstone once the window is closed.",
    ("monitoring",),
    ("monitoring",),
    ("headrace.monitoring-state.v1",),
    Partitioning.ENTITY,
    cleanup=Cleanup.COMPACT,
)
METRICS_WINDOWS = Topic(
    "metrics.windows",
    "model",
    "Closed windows: every statistic, threshold and verdict; corrections carry a revision.",
    ("monitoring",),
    ("registry", "monitoring", CLIENTS),
    ("headrace.window.v1",),
    retention=_days(90),
)
ALERTS = Topic(
    "alerts",
    "fingerprint",
    "The life of each alert: pending, firing, acknowledged, resolved.",
    ("monitoring",),
    ("training", "registry", "notifier", "monitoring", CLIENTS),
    ("headrace.alert.v1",),
    cleanup=Cleanup.COMPACT_AND_DELETE,
    retention=_days(90),
)
ALERTS_COMMANDS = Topic(
    "alerts.commands",
    "fingerprint",
    "Acknowledge or silence an alert.",
    ("notifier", "monitoring", CLIENTS),
    ("monitoring",),
    ("headrace.alert-command.v1",),
    retention=_days(30),
)
NOTIFICATIONS = Topic(
    "notifications",
    "fingerprint",
    "The ledger of what was sent where: pending, then delivered or failed.",
    ("notifier",),
    ("notifier", CLIENTS),
    ("headrace.notification.v1",),
    retention=_days(90),
)
PLATFORM_HEARTBEATS = Topic(
    "platform.heartbeats",
    "service/instance",
    "Version, progress, lag and resources of every running process.",
    SERVICES,
    ("ingestion", "monitoring", CLIENTS),
    ("headrace.heartbeat.v1",),
    retention=_days(7),
)


def dead_letters(service: str) -> Topic:
    """The topic on which ``service`` keeps what it could not process, byte for byte."""
    return Topic(
        f"{service}.dead-letters",
        "original key",
        f"Records that {service} could not process, with origin and error.",
        (service,),
        (CLIENTS, service),
        ("headrace.dead-letter.v1",),
        Partitioning.ENTITY,
        retention=_days(30),
        max_message_bytes=EVIDENCE_RECORD_BYTES,
    )


def retry(service: str) -> Topic:
    """The topic to which dead letters of ``service`` are replayed, so that no other consumer sees them twice.

    Ingestion has none: it answers its producers at once, and they send again.
    """
    return Topic(
        f"{service}.retry",
        "original key",
        f"Replayed dead letters, for {service} alone.",
        (CLIENTS,),
        (service,),
        ("*",),  # the original record's own type
        Partitioning.SINGLE if service in _ONE_PARTITION else Partitioning.ENTITY,
        retention=_days(30),
        max_message_bytes=RAW_BATCH_BYTES,
    )


DOMAIN_TOPICS: Final[tuple[Topic, ...]] = (
    DEFINITIONS,
    EVENTS_RAW,
    LABELS_RAW,
    EVENTS_VALIDATED,
    LABELS_VALIDATED,
    EVENTS_REJECTED,
    LABELS_REJECTED,
    EVENTS_DUPLICATES,
    TRAINING_REQUESTS,
    TRAINING_EVENTS,
    MODELS_ARTIFACTS,
    MODELS_CANDIDATES,
    REGISTRY_COMMANDS,
    REGISTRY_REPLIES,
    REGISTRY_EVENTS,
    DEPLOYMENTS,
    INFERENCE_STATUS,
    PREDICTIONS,
    INFERENCE_REQUESTS,
    INFERENCE_RESPONSES,
    MONITORING_PROFILES,
    MONITORING_STATE,
    METRICS_WINDOWS,
    ALERTS,
    ALERTS_COMMANDS,
    NOTIFICATIONS,
    PLATFORM_HEARTBEATS,
)
CATALOGUE: Final[tuple[Topic, ...]] = (
    *DOMAIN_TOPICS,
    *(dead_letters(service) for service in SERVICES),
    *(retry(service) for service in RETRYING),
)
