"""Settings of the registry: environment ``HEADRACE_REGISTRY__…``."""

from pathlib import Path

from pydantic import Field

from shared.settings import PlatformSettings, Section


class RegistrySettings(Section):
    """The bounds of a probe. Nothing about decisions is a setting: that stands in the Model definitions."""

    probe_memory_bytes: int = Field(768 * 1024**2, ge=64 * 1024**2)  # what a model may take besides four times its size
    probe_seconds: float = Field(10.0, gt=0, le=600)  # for scoring the golden rows
    artifact_seconds: float = Field(600.0, gt=0)  # how long a candidate may wait for its artifact
    scratch_dir: Path | None = (
        None  # where a model file lies while it is probed; default: <HEADRACE_DATA_DIR>/registry, else the system's
    )
    max_records: int = Field(200, ge=1, le=2000)


class Settings(PlatformSettings):
    """Everything the registry needs to know."""

    data_dir: Path | None = None
    registry: RegistrySettings = RegistrySettings()

    @property
    def scratch(self) -> Path | None:
        """The directory for files that live as long as a probe; None for the system's."""
        if self.registry.scratch_dir is not None:
            return self.registry.scratch_dir.absolute()
        return (self.data_dir / "registry").absolute() if self.data_dir is not None else None
