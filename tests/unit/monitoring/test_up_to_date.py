"""Tables that lag behind what the records of a batch take for granted: nothing is counted before they are caught up with."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from monitoring_stream import (
    START,
    Partition,
    Rows,
    Verdicts,
    candidate,
    definition_records,
    deployment,
    hours,
    knowledge,
    records,
    tick,
)

from schemas.topics import PREDICTIONS
from services.monitoring.knowledge import Knowledge
from services.monitoring.tallies import Tally
from services.monitoring.up_to_date import UpToDate, predictions_up_to_date, profiles_up_to_date
from shared.partition_slot import OutdatedError
from shared.records import Record, StoredRecord

FEATURES = "feature:distance"


def defined(known: Knowledge) -> None:
    for body in definition_records():
        known.apply_definition(body)


def deployed(known: Knowledge) -> None:
    known.apply_deployment(deployment())


def offered(known: Knowledge) -> None:
    known.apply_candidate(candidate())


def everything(known: Knowledge) -> None:
    defined(known)
    deployed(known)
    offered(known)


def predictions(*, version: int = 1, first: int = 0) -> list[StoredRecord]:
    """An hour's predictions with the headers that inference gives them, and the tick that closes it."""
    bodies, _ = hours(1, Rows(), version=version)
    found = records(PREDICTIONS, [*bodies, tick(START + timedelta(hours=2))], first=first)
    names = [("model", b"trip-late"), ("version", b"%d" % version)]
    return [
        StoredRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, [*r.headers, *names])
        if b"prediction_id" in (r.value or b"")
        else r
        for r in found
    ]


class Tables:
    """Tables that know ``late`` from the first catch-up on; `process` does what a transaction does around a batch."""

    def __init__(self, known: Knowledge, late: Callable[[Knowledge], None]) -> None:
        self.known, self.late, self.catch_ups = known, late, 0

    async def catch_up(self) -> None:
        self.catch_ups += 1
        self.late(self.known)

    async def process(self, stage: UpToDate, batch: Sequence[Record]) -> None:
        try:
            stage.process(batch)
        except OutdatedError as outdated:
            await outdated.catch_up()
            stage.process(batch)


@pytest.mark.parametrize("late", [defined, deployed, offered, everything])
async def test_the_first_predictions_of_a_model_are_counted_in_every_channel(
    tmp_path: Path, late: Callable[[Knowledge], None]
) -> None:
    known = Knowledge()
    for step in (defined, deployed, offered):
        if late not in (step, everything):
            step(known)
    partition, tables = Partition(tmp_path, known), Tables(known, late)
    stage = predictions_up_to_date(partition, tables.known, tables.catch_up)  # type: ignore[arg-type]
    await tables.process(stage, predictions())
    assert tables.catch_ups == 1
    assert partition.unwatched == 0
    [profile] = partition.profiles
    assert Tally.from_content(profile.content["tally"]).counts[FEATURES].sum() == 60


async def test_what_is_known_is_not_asked_for(tmp_path: Path) -> None:
    partition, tables = Partition(tmp_path), Tables(knowledge(), everything)
    stage = predictions_up_to_date(partition, tables.known, tables.catch_up)  # type: ignore[arg-type]
    await tables.process(stage, predictions())
    assert tables.catch_ups == 0


async def test_what_is_on_no_table_is_asked_for_once(tmp_path: Path) -> None:
    partition = Partition(tmp_path)
    tables = Tables(partition.known, lambda _: None)
    stage = predictions_up_to_date(partition, tables.known, tables.catch_up)  # type: ignore[arg-type]
    for batch in range(3):
        await tables.process(stage, predictions(version=9, first=100 * batch))
    assert tables.catch_ups == 1
    assert Tally.from_content(partition.profiles[0].content["tally"]).total("rows") == 60


async def test_the_second_stage_judges_no_window_of_a_model_that_it_does_not_know_yet(tmp_path: Path) -> None:
    partition, verdicts = Partition(tmp_path), Verdicts(Knowledge())
    partition.process(predictions())
    tables = Tables(verdicts.known, everything)
    verdicts.judging = profiles_up_to_date(verdicts.judging, tables.known, tables.catch_up)  # type: ignore[assignment]
    with pytest.raises(OutdatedError) as outdated:
        verdicts.process(partition.published)
    await outdated.value.catch_up()
    verdicts.process(partition.published)
    [window] = verdicts.windows
    assert FEATURES in {channel.channel for channel in window.channels}
