"""Where models run, as the settings say it."""

from enum import StrEnum


class Execution(StrEnum):
    """Where models run."""

    CPU = "cpu"
    CUDA = "cuda"  # must be there
    AUTO = "auto"  # CUDA where it is there, else the CPU
