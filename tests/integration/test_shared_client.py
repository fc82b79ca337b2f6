"""The client against a real Kafka."""

import asyncio
from datetime import UTC, datetime

import pytest

from schemas.events.ingestion import Event, Label, Tick
from schemas.events.registry import Approve, RegistryCommand, RegistryReply
from schemas.topics import EVENTS_RAW, LABELS_RAW, REGISTRY_COMMANDS, REGISTRY_REPLIES
from shared.client import Client
from shared.errors import RefusedError, TransientError
from shared.publishing import Publisher
from shared.records import message, read
from shared.settings import PlatformSettings
from shared.tables import follow, read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = Event(feature_set="s@1", entity_id="e1", occurred_at=AT, features={"x": 1})
COMMAND = RegistryCommand(command_id="c1", model="m", action=Approve(version=1), actor="tester", issued_at=AT)


async def test_events_are_sent_under_their_own_ids_or_new_ones(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    async with Client(settings) as client:
        ids = await client.send_events(
            [("mine", EVENT), EVENT, {"id": "also-mine", **EVENT.model_dump(mode="json")}], source="shop"
        )
    found = [read(Event, record) for record in await read_to_end(settings, EVENTS_RAW)]
    assert [ids[0], ids[2]] == ["mine", "also-mine"]
    assert [(envelope.id, envelope.source, event) for envelope, event in found] == [(i, "shop", EVENT) for i in ids]


async def test_what_is_no_event_is_refused_before_it_is_sent(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    async with Client(settings) as client:
        with pytest.raises(RefusedError, match="entity_id"):
            await client.send_events([EVENT, {"feature_set": "s@1"}])
    assert await read_to_end(settings, EVENTS_RAW) == []


async def test_a_tick_reaches_every_partition(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, LABELS_RAW])
    async with Client(settings) as client:
        await client.tick(Tick(feature_set="s@1", time=AT))
    for topic in (EVENTS_RAW, LABELS_RAW):
        assert {r.partition for r in await read_to_end(settings, topic)} == {0, 1}


async def test_labels_are_keyed_by_entity(settings: PlatformSettings) -> None:
    await apply_topics(settings, [LABELS_RAW])
    label = Label(model="m", event_id="1", event_source="s", entity_id="e1", observed_at=AT, value=True)
    async with Client(settings) as client:
        await client.send_labels([label])
    assert [r.key for r in await read_to_end(settings, LABELS_RAW)] == [b"e1"]


async def test_a_command_gets_its_answer(settings: PlatformSettings) -> None:
    await apply_topics(settings, [REGISTRY_COMMANDS, REGISTRY_REPLIES])

    async def registry() -> None:
        async with Publisher(settings) as publisher:
            async for records in follow(settings, REGISTRY_COMMANDS):
                for record in records:
                    _, command = read(RegistryCommand, record)
                    reply = RegistryReply(command_id=command.command_id, status="accepted", message="done", model="m")
                    await publisher.publish(message(REGISTRY_REPLIES, reply, key=command.command_id, source="r"))

    playing = asyncio.create_task(registry())
    async with Client(settings) as client:
        reply = await client.command(COMMAND)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    assert (reply.command_id, reply.status) == ("c1", "accepted")


async def test_a_registry_that_does_not_answer_is_a_transient_error(settings: PlatformSettings) -> None:
    await apply_topics(settings, [REGISTRY_COMMANDS, REGISTRY_REPLIES])
    async with Client(settings) as client:
        with pytest.raises(TransientError, match="did not answer"):
            await client.command(COMMAND, seconds=1)
