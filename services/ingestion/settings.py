"""Settings of ingestion: environment ``HEADRACE_INGESTION__…``."""

from typing import Annotated

from pydantic import Field

from schemas.events.contract import Identifier
from shared.settings import PlatformSettings, Section

TokenHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class IngestionSettings(Section):
    """Bounds of the edge. Times in seconds, sizes in bytes; ``tokens``: SHA-256 of a bearer token → sources it may use."""

    source: Identifier = "headrace/http"  # of records that name none
    in_flight_bytes: int = Field(64 * 1024 * 1024, ge=1024 * 1024)
    in_flight_requests: int = Field(256, ge=1)
    body_seconds: float = Field(30.0, gt=0)  # for a client to send its body
    tick_seconds: float = Field(1.0, gt=0)
    definition_seconds: float = Field(0.3, ge=0)  # how long an unknown name is waited for, right after `apply`
    tokens: dict[TokenHash, tuple[Identifier, ...]] = {}
    v2: bool = False  # whether the Open Inference Protocol is spoken
    v2_requests: int = Field(64, ge=1)  # inference requests that wait for their answer
    v2_seconds: float = Field(5.0, gt=0, le=60.0)  # how long, where a request does not say it


class Settings(PlatformSettings):
    """Everything ingestion needs to know."""

    ingestion: IngestionSettings = IngestionSettings()
