"""Which headrace a command talks to: the configured cluster, or else the one that ``headrace up`` runs on this machine."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.settings import KafkaSettings, MongoSettings, PlatformSettings, SigningSettings, load, variable

INGESTION_VARIABLE: Final = variable("ingestion", "url")


@dataclass(frozen=True, slots=True)
class Connection:
    """Settings to reach Kafka and Mongo, and ingestion's address where it is known."""

    settings: PlatformSettings
    ingestion_url: str | None
    data_dir: Path | None = None  # where services keep files, if they do so on this machine

    @property
    def ingestion(self) -> str:
        """Ingestion's address. Raises `ConfigurationError` where it is not known."""
        if self.ingestion_url is None:
            message = f"Ingestion's address is not known: set {INGESTION_VARIABLE}, or start `headrace up`."
            raise ConfigurationError(message)
        return self.ingestion_url


def state_dir() -> Path:
    """The user's state directory for headrace (XDG)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "headrace"


def current_file() -> Path:
    """Where a running ``headrace up`` says how it can be reached."""
    return state_dir() / "current.json"


def connect() -> Connection:
    """The headrace to talk to.

    Raises `ConfigurationError` where nothing is configured and nothing runs here.
    """
    settings = load(PlatformSettings)
    if "bootstrap_servers" in settings.kafka.model_fields_set:  # by whichever source; other settings name no cluster
        return Connection(settings, os.environ.get(INGESTION_VARIABLE), settings.data_dir)
    running = _running_here()
    if running is None:
        message = (
            "No headrace runs on this machine and no cluster is configured: start `headrace up` in another terminal, "
            f"or set {variable('kafka', 'bootstrap_servers')}."
        )
        raise ConfigurationError(message)
    settings = settings.model_copy(
        update={
            "kafka": KafkaSettings(bootstrap_servers=running["bootstrap_servers"]),
            "mongo": MongoSettings(uri=SecretStr(running["mongo_uri"])),
            "signing": SigningSettings(keys=Path(running["keys_dir"])),
            "topics": settings.topics.model_copy(
                update={"prefix": running["prefix"], "partitions": int(running["partitions"])}
            ),
        }
    )
    return Connection(settings, running["ingestion_url"], Path(running["data_dir"]))


def _running_here() -> dict[str, str] | None:
    try:
        content = json.loads(current_file().read_text())
    except (OSError, ValueError):
        return None
    alive = isinstance(content, dict) and psutil.pid_exists(int(content.get("pid", 0) or 0))
    return content if alive else None
