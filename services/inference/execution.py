"""Where and how models run, as the settings say it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Execution(StrEnum):
    """Where models run."""

    CPU = "cpu"
    CUDA = "cuda"  # must be there
    AUTO = "auto"  # CUDA where it is there, else the CPU


class Optimisation(StrEnum):
    """How far ONNX Runtime rewrites a graph before it runs: its levels."""

    ALL = "all"
    EXTENDED = "extended"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Tuning:
    """Session options that change how fast a model answers, not what. ``threads`` of one run; ``parallel``: over the branches of
    the graph instead of within an operator; ``spinning``: idle threads burn their core to be there sooner.
    """

    threads: int = 1
    optimisation: Optimisation = Optimisation.ALL
    parallel: bool = False
    spinning: bool = False

    def __str__(self) -> str:
        named = [f"{self.threads} thread{'s' if self.threads > 1 else ''}", f"optimisation {self.optimisation.value}"]
        named += [name for name, on in (("parallel", self.parallel), ("spinning", self.spinning)) if on]
        return ", ".join(named)


DEFAULT: Final = Tuning()


def variants(default: Tuning) -> list[Tuning]:
    """What is worth a measurement beside ``default``, whose threads are the most that may be used; likely gains first.

    Spinning is not among them: what it takes from the rest of the machine, no stopwatch here would see.
    """
    levels = [Tuning(default.threads, level) for level in (Optimisation.EXTENDED, Optimisation.BASIC)]
    if default.threads == 1:
        return levels
    return [Tuning(1), Tuning(default.threads, parallel=True), *levels]
