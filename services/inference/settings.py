"""Settings of inference: ``HEADRACE_INFERENCE__…``."""

from pathlib import Path

from pydantic import Field

from services.inference.execution import Execution, Optimisation, Tuning
from services.inference.scoring import ScoringLimits
from shared.settings import Delivery, PlatformSettings, Section

MIB = 1024 * 1024


class SessionSettings(Section):
    """Options of ONNX Runtime that are fixed; see `services.inference.execution.Tuning`."""

    threads: int = Field(1, ge=1, le=64)
    optimisation: Optimisation = Optimisation.ALL
    parallel: bool = False
    spinning: bool = False

    @property
    def tuning(self) -> Tuning:
        """The same for the domain."""
        return Tuning(self.threads, self.optimisation, self.parallel, self.spinning)


class InferenceSettings(Section):
    """How models are kept, loaded and run. Times in seconds, sizes in bytes."""

    data_dir: Path = Path("data/inference")  # verified artifacts by digest; may be deleted at any time
    max_records: int = Field(4000, ge=1, le=20_000)  # in one batch
    delivery: Delivery = Delivery.EXACTLY_ONCE
    execution: Execution = Execution.CPU
    threads: int = Field(1, ge=1, le=64)  # of ONNX Runtime within one run; scale by partitions and processes first
    tune_seconds: float = Field(
        0.3, ge=0, le=10
    )  # for measuring session options while a version is loaded; 0: no probe
    session: SessionSettings | None = None  # fixes the options instead, threads included
    max_artifact_bytes: int = Field(512 * MIB, ge=1)
    load_deadline: float = Field(60.0, gt=0)
    run_deadline: float = Field(5.0, gt=0, le=8.0)  # below Kafka's session and transaction time-outs
    shadow_deadline: float = Field(1.0, gt=0, le=8.0)
    shadow_rest: float = Field(60.0, ge=0)  # of a shadow that took longer
    missing_grace: float = Field(30.0, ge=0)  # how long an artifact or candidate may lag behind its deployment
    retry_longest: float = Field(30.0, gt=0)  # between two attempts to load a refused version

    @property
    def limits(self) -> ScoringLimits:
        """What scoring needs to know."""
        return ScoringLimits(
            deadline=self.run_deadline, shadow_deadline=self.shadow_deadline, shadow_rest=self.shadow_rest
        )


class Settings(PlatformSettings):
    """All settings of this service."""

    inference: InferenceSettings = InferenceSettings()
