"""The whole of headrace on one machine: the embedded platform, its topics, and every service as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from deploy.local import ports, signing_keys
from deploy.local.platform import Endpoints, Platform
from deploy.local.service import ProcessSpec
from deploy.local.service_logs import Sink
from deploy.local.supervisor import Supervisor
from schemas.definitions import KeySpec
from schemas.topics import SERVICES
from shared.settings import (
    KafkaSettings,
    MongoSettings,
    PlatformSettings,
    SigningSettings,
    TopicSettings,
    TrustSettings,
    variable,
)
from shared.topic_admin import apply_topics

Report = Callable[[str], None]
_HOST = "127.0.0.1"
_V2 = variable("ingestion", "v2")
_KEEPS_FILES = ("training", "inference", "monitoring")  # each has a data directory of its own


@dataclass(frozen=True)
class Stack:
    """A running headrace. ``platform`` and ``supervisor`` may be used to kill and restart parts (tests do)."""

    platform: Platform
    supervisor: Supervisor
    settings: PlatformSettings
    urls: dict[str, str]  # service → its HTTP address
    data_dir: Path

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of Kafka and the Mongo-wire server."""
        return self.platform.endpoints

    def addresses(self) -> dict[str, object]:
        """What a ready file says: addresses and process ids as they are now."""
        return {
            "bootstrap_servers": self.endpoints.bootstrap_servers,
            "mongo_uri": self.endpoints.mongo_uri,
            "ingestion_url": self.urls.get("ingestion"),
            "console_url": self.urls.get("console"),
            "services": self.supervisor.pids(),
            "urls": self.urls,
            "prefix": self.settings.topics.prefix,
            "data_dir": str(self.data_dir),
            "keys_dir": str(self.settings.signing.keys),
        }


def write_whole(file: Path, text: str) -> None:
    """Write ``text`` all at once, so that a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
    draft.write_text(text)
    draft.replace(file)


@contextmanager
def running_stack(  # noqa: PLR0913 - what `headrace up` offers
    data_dir: Path,
    *,
    services: Sequence[str] = SERVICES,
    partitions: int = 4,
    prefix: str = "headrace.",
    kafka_port: int = 0,
    ingestion_port: int = 0,
    environment: dict[str, str] | None = None,
    report: Report,
    sink: Sink | None = None,
) -> Iterator[Stack]:
    """Run everything for the length of a block. ``environment`` is added to every service's.

    Raises `PlatformError` (here or of `shared.errors`) with a sentence when anything cannot start.
    """
    http = {name: _port(ingestion_port if name == "ingestion" else 0) for name in services}
    with ExitStack() as life:
        platform = life.enter_context(Platform(data_dir, kafka_port=kafka_port, report=report))
        roots = signing_keys.ensure(platform.data_dir)
        settings = _settings(platform.endpoints, prefix, partitions, platform.data_dir, roots)
        created = asyncio.run(apply_topics(settings))
        report(f"Topics are in place ({len(created)} created)")
        specs = [_spec(name, http[name], settings, platform.data_dir, environment or {}) for name in services]
        report(f"Starting {len(specs)} services")
        supervisor = life.enter_context(Supervisor(specs, platform.data_dir, leash=platform.leash, sink=sink))
        urls = {name: f"http://{_HOST}:{port}" for name, port in http.items()}
        yield Stack(platform, supervisor, settings, urls, platform.data_dir)


def _settings(
    endpoints: Endpoints, prefix: str, partitions: int, data_dir: Path, roots: tuple[KeySpec, ...]
) -> PlatformSettings:
    return PlatformSettings(
        kafka=KafkaSettings(bootstrap_servers=endpoints.bootstrap_servers),
        mongo=MongoSettings(uri=SecretStr(endpoints.mongo_uri or "")),
        topics=TopicSettings(prefix=prefix, partitions=partitions),
        signing=SigningSettings(keys=signing_keys.of_people(data_dir)),
        trust=TrustSettings(roots=roots),
    )


def _port(wanted: int) -> int:
    return ports.demand(wanted, "ingestion") if wanted else ports.pick(1)[0]


def _spec(name: str, port: int, settings: PlatformSettings, data_dir: Path, extra: dict[str, str]) -> ProcessSpec:
    env = {
        variable("kafka", "bootstrap_servers"): settings.kafka.bootstrap_servers,
        variable("mongo", "uri"): settings.mongo.uri.get_secret_value(),
        variable("topics", "prefix"): settings.topics.prefix,
        variable("topics", "partitions"): str(settings.topics.partitions),
        variable("trust", "roots"): json.dumps([root.model_dump(mode="json") for root in settings.trust.roots]),
        variable("http", "host"): _HOST,
        variable("http", "port"): str(port),
        "OMP_NUM_THREADS": "1",  # services share the machine; each is one core's worth
        "POLARS_MAX_THREADS": "1",
        **extra,
    }
    if name == "ingestion":
        env.setdefault(_V2, os.environ.get(_V2, "true"))  # on this machine alone, and asked of what runs beside it
    if name in _KEEPS_FILES:
        env[variable(name, "data_dir")] = str(data_dir / name)
    if name == "training":
        env[variable("signing", "keys")] = str(signing_keys.of_service(data_dir, name))
    return ProcessSpec(name, [sys.executable, "-m", f"services.{name}"], env, f"http://{_HOST}:{port}/health/ready")
