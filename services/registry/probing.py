"""The probe as the decisions see it: asked for a version, it answers later, beside everything else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.definitions import FeatureSet
from schemas.events.training import Candidate
from services.registry.candidates import ProbeResult


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A version to probe, with everything that is needed for it."""

    model: str
    version: int
    candidate: Candidate
    feature_set: FeatureSet


class Probes(Protocol):
    """Probes in the background. No method blocks; all belong to the event loop's thread."""

    def request(self, request: ProbeRequest) -> None:
        """Probe a version as soon as its artifact is complete."""
        ...

    def arrived(self, digest: str) -> None:
        """The manifest of this artifact was seen, so all its chunks stand on the topic."""
        ...

    def finished(self) -> Sequence[ProbeResult]:
        """Results since the last call."""
        ...

    def close(self) -> None:
        """Give up everything that runs; kill the probe's process."""
        ...
