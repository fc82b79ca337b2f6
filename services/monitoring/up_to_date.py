"""Nothing is counted by tables that lag: what a record says stands on them already, so they are caught up with first.

A deployment, its candidate and its definition were published before the first prediction that follows from them, but the
tables are read apart from the stages: without this the first predictions of a new version would count as unwatched, or
without the bins of its reference.
"""

from collections.abc import Callable, Hashable, Sequence

import msgspec

from schemas.envelope import header
from schemas.events.monitoring import Profile
from services.monitoring.knowledge import Knowledge
from shared.partition_slot import CatchUp, OutdatedError, PartitionProcessor
from shared.records import Outgoing, Record

Need = Hashable  # what a record takes for granted
Needs = Callable[[Record], Need | None]
Knows = Callable[[Need], bool]


class UpToDate:
    """A stage that asks for one catch-up before it meets what its tables do not know. A `PartitionProcessor`."""

    def __init__(self, stage: PartitionProcessor, needs: Needs, knows: Knows, catch_up: CatchUp) -> None:
        """``needs``: what of the tables a record takes for granted, None where nothing; ``knows``: whether it is there.

        What is not there after a catch-up will not come either (a compacted topic has lost it), so it is not asked for again.
        """
        self._stage = stage
        self._needs = needs
        self._knows = knows
        self._tables_catch_up = catch_up
        self._settled: set[Need] = set()

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """As the stage's. Raises `OutdatedError` before the stage has seen any of ``records``."""
        needed = {need for record in records if (need := self._needs(record)) is not None} - self._settled
        unknown = {need for need in needed if not self._knows(need)}
        self._settled |= needed - unknown
        if unknown:

            async def catch_up() -> None:
                await self._tables_catch_up()
                self._settled.update(unknown)

            raise OutdatedError(catch_up)
        return self._stage.process(records)

    def close(self) -> None:
        """As the stage's."""
        self._stage.close()


def predictions_up_to_date(stage: PartitionProcessor, knowledge: Knowledge, catch_up: CatchUp) -> UpToDate:
    """Stage 1: predictions take their model and version for granted, which their headers name."""

    def knows(need: Need) -> bool:
        assert isinstance(need, tuple)  # noqa: S101 - what `_version` gives
        model, version = need
        watched = knowledge.watched(model)
        return watched is not None and (
            not watched.policy.every or knowledge.artifact(knowledge.digest(model, version)) is not None
        )

    return UpToDate(stage, _version, knows, catch_up)


def profiles_up_to_date(stage: PartitionProcessor, knowledge: Knowledge, catch_up: CatchUp) -> UpToDate:
    """Stage 2: profiles take their model and its artifact for granted; the process of stage 1 may be another one."""

    def knows(need: Need) -> bool:
        assert isinstance(need, _ProfileBody)  # noqa: S101 - what `_profile` gives
        digest = need.content.digest
        return knowledge.watched(need.model) is not None and (digest is None or knowledge.artifact(digest) is not None)

    return UpToDate(stage, _profile, knows, catch_up)


class _Content(msgspec.Struct, frozen=True):
    digest: str | None = None


class _ProfileBody(msgspec.Struct, frozen=True):
    model: str
    content: _Content


_PROFILE = msgspec.json.Decoder(_ProfileBody)


def _version(record: Record) -> tuple[str, int] | None:
    model = version = None
    for name, value in record.headers:
        if name == "model":
            model = value
        elif name == "version":
            version = value
    if model is None or version is None or not version.isdigit():
        return None
    return model.decode(errors="replace"), int(version)


def _profile(record: Record) -> _ProfileBody | None:
    if record.value is None or header(record.headers, "ce_type") != Profile.ce_type:
        return None
    try:
        return _PROFILE.decode(record.value)
    except msgspec.MsgspecError:
        return None  # the stage will say what is wrong with it
