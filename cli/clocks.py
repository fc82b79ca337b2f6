"""Which clock a feature set has: whether its event time advances by itself or with a replay."""

from collections.abc import Sequence
from typing import Final

from schemas.events.registry import DefinitionRecord

LIVE: Final = "live"
REPLAY: Final = "replay"


def clock_of(records: Sequence[DefinitionRecord], feature_set: str) -> str | None:
    """The clock of ``name@major`` or of the newest major of ``name``; None if it is not among the ``records``."""
    name, _, major = feature_set.partition("@")
    found = [
        record
        for record in records
        if record.kind == "FeatureSet" and record.name == name and major in ("", str(record.major))
    ]
    return str(found[-1].definition["spec"].get("clock", LIVE)) if found else None
