"""Settings of the training service: environment ``HEADRACE_TRAINING__…``."""

import os
from pathlib import Path

from pydantic import Field

from shared.settings import PlatformSettings, Section


class TrainingSettings(Section):
    """Where data sets live and how long things may take. Times in seconds of wall clock."""

    data_dir: Path | None = None  # default: <HEADRACE_DATA_DIR>/training, else the user's state directory
    segment_rows: int = Field(50_000, ge=100, le=5_000_000)  # rows in memory before they become a segment
    flush_seconds: float = Field(10.0, gt=0, le=3600)  # how old unflushed rows may get
    store_wait: float = Field(300.0, gt=0)  # for the store to reach a request's as_of
    settle: float = Field(5.0, ge=0)  # as_of beyond the last tick: go on once nothing arrived for so long
    definition_wait: float = Field(10.0, ge=0)  # for the definitions a request needs
    run_deadline: float = Field(3600.0, gt=0)  # then the worker is killed and the run has failed
    threads: int = Field(1, ge=1, le=64)  # 1: the same data set and seed give the same bytes
    keep_runs: bool = False  # leave the worker's files behind


class Settings(PlatformSettings):
    """Everything the service reads from its environment."""

    data_dir: Path | None = None
    training: TrainingSettings = TrainingSettings()

    @property
    def training_dir(self) -> Path:
        """The directory that this service owns, absolute."""
        if self.training.data_dir is not None:
            return self.training.data_dir.absolute()
        if self.data_dir is not None:
            return (self.data_dir / "training").absolute()
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return Path(state).absolute() / "headrace" / "training" / self.topics.prefix.strip(".")
