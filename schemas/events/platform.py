"""What every process says of itself."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.events.contract import Contract, Time


class Gpu(Contract):
    """A GPU that a process uses. ``index`` is the driver's, ``memory_bytes`` what all its processes take together.

    ``own_memory_bytes`` is this process's part; None where the driver does not tell it (containers with process numbers of
    their own). ``utilisation`` is the share of time in which the device computed lately, for anybody.
    """

    index: int
    name: str
    utilisation: float | None = None
    memory_bytes: int
    memory_total_bytes: Annotated[int, Field(gt=0)]
    own_memory_bytes: int | None = None


class Heartbeat(Contract):
    """Progress and resources of one process. ``lag`` is the sum over its partitions, records; memory in bytes; cpu in cores.

    ``memory_limit_bytes`` is what it may take at most: its control group's limit, else the machine's memory. ``cores`` is how many
    it may keep busy: its control group's quota, else the processors that it may run on. None where neither is known.
    """

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
    memory_limit_bytes: Annotated[int, Field(gt=0)] | None = None
    cores: Annotated[float, Field(gt=0)] | None = None
    gpus: tuple[Gpu, ...] = ()
