"""Settings of monitoring, under ``HEADRACE_MONITORING__…``; ``HEADRACE_DATA_DIR`` is where local files go."""

from pathlib import Path

from pydantic import Field

from shared.settings import Delivery, PlatformSettings, Section


class MonitoringSettings(Section):
    """Local files and limits."""

    data_dir: Path | None = None  # the label join's disposable files; default: <data_dir>/monitoring
    latency_p99_ms: float | None = Field(None, gt=0)  # alert above it; None only reports latency
    max_records: int = Field(2000, ge=1, le=20_000)  # records of one batch
    service_silent: float = Field(90.0, ge=10, le=86_400)  # seconds without a heartbeat of a service before an alert
    service_not_ready: float = Field(300.0, ge=10, le=86_400)  # seconds in which a service is not steadily ready
    service_memory: float = Field(0.9, ge=0, le=1)  # share of a process's limit; 0 here or below switches the alert off
    service_memory_seconds: float = Field(60.0, ge=0, le=86_400)  # for how long; for GPUs too
    service_memory_growth_hours: float = Field(12.0, ge=0, le=168)  # a limit that is reached so soon
    service_cpu: float = Field(0.95, ge=0, le=1)  # share of the cores that a process may use
    service_cpu_seconds: float = Field(300.0, ge=30, le=86_400)  # for how long
    service_cpu_lag: float = Field(60.0, ge=0, le=86_400)  # seconds of its work that wait and do not get less
    service_gpu_memory: float = Field(0.95, ge=0, le=1)  # share of a GPU's memory
    delivery: Delivery = Delivery.EXACTLY_ONCE


class Settings(PlatformSettings):
    """Everything that monitoring reads."""

    monitoring: MonitoringSettings = MonitoringSettings()
    data_dir: Path = Path("data")

    @property
    def join_dir(self) -> Path:
        """Where the label join keeps its files."""
        return self.monitoring.data_dir or self.data_dir / "monitoring"
