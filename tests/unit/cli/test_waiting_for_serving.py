"""``models promote`` and ``rollback`` end when inference serves the new champion, or say why it does not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cli.registry import intent_of
from cli.serving import Serving, serving
from schemas.envelope import Envelope, encode_headers
from schemas.events.contract import encode
from schemas.events.registry import (
    ChampionPromoted,
    ChampionRolledBack,
    Fact,
    Promote,
    RegistryEvent,
    ServingConfirmed,
    ServingRefused,
)
from shared.records import StoredRecord

INTENT = intent_of(Promote(version=2), model="shade", by="ann")
MINE = INTENT.command_id
PROMOTED = ChampionPromoted(version=2, digest="ab" * 32, previous=1)
ROLLED_BACK = ChampionRolledBack(version=1, digest="ab" * 32, previous=2)


def logged(fact: Fact, command_id: str | None = None, model: str = "shade") -> StoredRecord:
    event = RegistryEvent(
        sequence=1,
        model=model,
        revision=1,
        fact=fact,
        actor="a",
        command_id=command_id,
        at=datetime(2026, 1, 2, tzinfo=UTC),
        previous_hash="",
        hash="",
    )
    headers = encode_headers(Envelope(id="1", source="tests", type=event.ce_type))
    return StoredRecord("t", 0, 0, 0, b"shade", encode(event), headers)


def waited(*records: StoredRecord) -> Serving:
    async def following() -> AsyncIterator[StoredRecord]:
        for each in records:
            yield each
        await asyncio.sleep(60)  # nothing more comes

    async def bounded() -> Serving:
        async with asyncio.timeout(0.3):
            return await serving(following(), INTENT)

    return asyncio.run(bounded())


@pytest.mark.parametrize("crowned", [PROMOTED, ROLLED_BACK])
def test_it_ends_when_inference_serves_the_champion(crowned: ChampionPromoted | ChampionRolledBack) -> None:
    found = waited(logged(crowned, MINE), logged(ServingConfirmed(version=crowned.version)))
    assert (found.state, found.message) == ("confirmed", f"Inference serves version {crowned.version} of shade.")


def test_a_refusal_by_inference_is_told() -> None:
    found = waited(logged(PROMOTED, MINE), logged(ServingRefused(version=2, message="i-1: memory: too big.")))
    assert found.state == "refused"
    assert found.message.startswith("Inference refused version 2 of shade: i-1: memory: too big.")


def test_a_champion_that_is_replaced_before_it_served_is_not_waited_for() -> None:
    assert waited(logged(PROMOTED, MINE), logged(ROLLED_BACK, "another")).state == "replaced"


@pytest.mark.parametrize(
    "elsewhere",
    [
        (ServingConfirmed(version=2),),  # before it became champion: another role of that version
        (PROMOTED, ServingConfirmed(version=1)),
    ],
)
def test_what_was_said_of_another_version_or_role_is_not_the_answer(elsewhere: tuple[Fact, ...]) -> None:
    with pytest.raises(TimeoutError):
        waited(*(logged(fact, MINE if fact is PROMOTED else None) for fact in elsewhere))


def test_another_model_is_not_the_answer() -> None:
    with pytest.raises(TimeoutError):
        waited(logged(PROMOTED, MINE), logged(ServingConfirmed(version=2), model="other"))
