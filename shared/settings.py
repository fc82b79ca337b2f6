"""Settings of the platform, frozen: environment ``HEADRACE_…`` (nested with ``__``), a ``.env``, or a YAML file.

A service adds its own section: ``class Settings(PlatformSettings): validation: ValidationSettings = ValidationSettings()``.
Unknown keys and unknown sections are refused; the sections of other services are ignored.
"""

import os
import re
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from schemas.definitions.key import KeySpec
from schemas.topics import SERVICES
from shared.config_file import read_config_file
from shared.errors import ConfigurationError

ENV_PREFIX: Final = "HEADRACE_"
CONFIG_VARIABLE: Final = "HEADRACE_CONFIG"
OTHERS_SECTIONS: Final = frozenset((*SERVICES, "console", "bridges"))  # one environment may serve every process

S = TypeVar("S", bound="PlatformSettings")


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _addresses(value: str) -> str:
    for address in value.split(","):
        host, colon, port = address.strip().rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536):  # noqa: PLR2004 - the highest port
            problem = f"expected host:port, comma-separated, not {address!r}"
            raise ValueError(problem)
    return value


class KafkaSettings(Section):
    """How to reach Kafka. Delivery guarantees are not settings: they cannot be configured away. Times in seconds."""

    bootstrap_servers: Annotated[str, AfterValidator(_addresses)] = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None
    startup_timeout: float = Field(60.0, gt=0)
    request_timeout: float = Field(40.0, gt=0)
    session_timeout: float = Field(10.0, ge=6.0, le=300.0)
    transaction_timeout: float = Field(15.0, ge=1.0, le=300.0)
    publish_timeout: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            problem = f"security_protocol {self.security_protocol} needs sasl_username and sasl_password"
            raise ValueError(problem)
        return self


class MongoSettings(Section):
    """Where projections are kept. ``database`` is put before the service's name: every service has its own."""

    uri: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    database: str = Field("headrace", pattern=r"^[a-z][a-z0-9_]{0,30}$")


class TopicSettings(Section):
    """How topics are named and created. ``partitions`` counts for entity topics and is fixed at creation."""

    prefix: str = Field("headrace.", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    partitions: int = Field(4, ge=1, le=10_000)
    replication_factor: int = Field(1, ge=1, le=10)
    min_insync_replicas: int = Field(1, ge=1, le=10)

    @model_validator(mode="after")
    def _reachable(self) -> "TopicSettings":
        if self.min_insync_replicas > self.replication_factor:
            problem = "min_insync_replicas is above replication_factor: nothing could ever be written"
            raise ValueError(problem)
        return self


class HttpSettings(Section):
    """Where health, metrics and the service's own routes are served. Port 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)


class LogSettings(Section):
    """What is logged, and whether for people or for machines."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["console", "json"] = "console"


class Delivery(StrEnum):
    """How a transactional stage delivers; both keep order and lose nothing."""

    EXACTLY_ONCE = "exactly_once"  # outputs and offsets in one transaction, behind a fenced producer
    AT_LEAST_ONCE = (
        "at_least_once"  # outputs acknowledged, then offsets: faster; a crash may repeat a batch, with the same ids
    )


class DeadLetterSettings(Section):
    """When a service stops instead of draining a topic into its dead letters."""

    in_a_row: int = Field(100, ge=1)
    share: float = Field(0.05, gt=0, le=1)
    attempts: int = Field(
        5, ge=1, le=100
    )  # of what may pass: records in `consume`, whole batches in transactional stages


class SigningSettings(Section):
    """What this process signs with: a directory of private keys, each ``<principal>.pem`` (Ed25519, PKCS 8)."""

    keys: Path | None = None


class TrustSettings(Section):
    """Whose signatures on commands and candidates count without a Key definition. Without a root, none is asked for."""

    roots: tuple[KeySpec, ...] = ()


def _instance() -> str:
    host = "".join(c if c.isalnum() or c in "._-" else "-" for c in socket.gethostname()) or "host"
    return f"{host[:60]}-{os.getpid()}"


class PlatformSettings(BaseSettings):
    """What every service needs to know. ``data_dir`` is where services keep files, each in a directory of its own."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    mongo: MongoSettings = MongoSettings()
    topics: TopicSettings = TopicSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    signing: SigningSettings = SigningSettings()
    trust: TrustSettings = TrustSettings()
    data_dir: Path | None = None
    instance: str = Field(default_factory=_instance, pattern=r"^[A-Za-z0-9._-]{1,80}$")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then environment, ``.env``, and the file that HEADRACE_CONFIG names."""
        del file_secret_settings
        return init_settings, env_settings, dotenv_settings, _ConfigFile(settings_cls), _Sections(settings_cls)


class _ConfigFile(PydanticBaseSettingsSource):
    """The YAML file named by HEADRACE_CONFIG, if there is one."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the file is read as a whole."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            return {}
        content = read_config_file(Path(path), self.settings_cls)
        unknown = sorted(str(key) for key in content if key not in _sections(self.settings_cls))
        if unknown:
            message = (
                f"The configuration file {path} holds {', '.join(unknown)}, which is no section; check the spelling."
            )
            raise ConfigurationError(message)
        return content


class _Sections(PydanticBaseSettingsSource):
    """No source of values: refuses nested variables of a section that nobody has, which would be ignored in silence."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        known = _sections(self.settings_cls)
        nested = [name for name in os.environ if name.upper().startswith(ENV_PREFIX) and "__" in name]
        unknown = sorted(n for n in nested if n[len(ENV_PREFIX) :].partition("__")[0].lower() not in known)
        if unknown:
            message = f"The settings cannot be used: {', '.join(unknown)} is not a setting; check its spelling."
            raise ConfigurationError(message)
        return {}


def _sections(cls: type[BaseSettings]) -> frozenset[str]:
    return frozenset(cls.model_fields) | OTHERS_SECTIONS


def load(cls: type[S]) -> S:
    """The settings of a service. Raises `ConfigurationError` whose message is one line that names each variable at fault."""
    try:
        return cls()
    except ValidationError as error:
        faults = "; ".join(_fault(item) for item in error.errors(include_url=False, include_input=False))
        message = f"The settings cannot be used: {faults}."
        raise ConfigurationError(message) from None
    except SettingsError as error:
        message = f"The settings cannot be read: {_unread(str(error))}."
        raise ConfigurationError(message) from None


def variable(*path: str | int) -> str:
    """The environment variable of a setting: ``variable("kafka", "bootstrap_servers")``."""
    return ENV_PREFIX + "__".join(str(part).upper() for part in path)


def _unread(text: str) -> str:
    """pydantic-settings' sentence with the variable's own name."""
    found = re.search(r'field "([a-z_]+)"', text)
    return text if found is None else f"{variable(found[1])} is neither JSON nor a value of that setting"


def _fault(item: Any) -> str:
    name = variable(*item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{name} is not a setting; check its spelling"
    return f"{name}: {item['msg'].removeprefix('Value error, ')}"
