"""What every process says of itself."""

from typing import ClassVar

from schemas.events.contract import Contract, Time


class Heartbeat(Contract):
    """Progress and resources of one process. ``lag`` is the sum over its partitions, records; memory in bytes; cpu in cores."""

    ce_type: ClassVar[str] = "headrace.heartbeat.v1"

    service: str
    instance: str
    version: str
    at: Time
    started_at: Time
    ready: bool
    lag: int | None
    processed: int
    cpu: float
    memory_bytes: int
