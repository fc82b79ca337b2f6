"""The projection after a kill -9 of the Mongo-wire server, which may lose its last writes: equal to the fold of the log."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from registry_play import Play, started
from service_process import eventually

from deploy.local import artifacts, places
from deploy.local.leash import Leash
from deploy.local.mongo import MongoProcess
from schemas.events.registry import RegistryEvent
from schemas.topics import REGISTRY_EVENTS
from services.registry.adapters.projector import Projector
from services.registry.evolution import evolve
from services.registry.projection import documents
from services.registry.state import State
from shared.publishing import Publisher
from shared.records import Outgoing, message
from shared.settings import MongoSettings, PlatformSettings
from shared.store import Store
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[MongoProcess]:
    """A server of this test's own."""
    jars = artifacts.ensure(artifacts.pinned("mongo"), places.cache_dir(), print)
    with Leash() as leash:
        process = MongoProcess(tmp_path, jars, leash=leash)
        process.start()
        yield process
        process.stop()


def log(play: Play) -> list[Outgoing]:
    return [message(REGISTRY_EVENTS, event, key=event.model, source="test") for event in play.events]


def expected(events: list[RegistryEvent]) -> dict[str, Any]:
    """What stands in the end, by collection and key."""
    found, state = {}, State()
    for event in events:
        state = evolve(state, event)
        found.update({f"{d.collection}/{d.key}": d.content for d in documents(state, event)})
    return found


async def standing(store: Store) -> dict[str, Any]:
    found = {}
    for collection in ("models", "definitions", "history"):
        async for document in store.find(collection):
            content = {name: value for name, value in document.items() if name not in ("_id", "applied_offset")}
            found[f"{collection}/{document['_id']}"] = content
    return found


async def test_what_a_killed_mongo_has_lost_is_written_again(settings: PlatformSettings, mongo: MongoProcess) -> None:
    await apply_topics(settings, [REGISTRY_EVENTS])
    play = started()
    for number in range(25):
        play.train(b"model %d" % number)
    records = log(play)
    own = settings.model_copy(
        update={"mongo": MongoSettings(uri=SecretStr(mongo.uri), database=settings.mongo.database)}
    )
    third = len(records) // 3

    async def applied() -> int:
        async with Store(own.mongo, "registry") as store:
            return sum([1 async for _ in store.find("history")])

    async with Publisher(settings) as publisher, Projector(own, Store(own.mongo, "registry")):
        await publisher.publish(*records[:third])
        await eventually(applied, lambda count: count > third // 2, "half of the first part")
        mongo.kill()  # in full work
        await publisher.publish(*records[third : 2 * third])
        await asyncio.to_thread(mongo.start)
        await eventually(applied, lambda count: count == 2 * third, "the second part")
        await publisher.publish(*records[2 * third :])
        await eventually(applied, lambda count: count == len(records), "all of it")
        mongo.kill()  # right after the last write, and nothing more comes
        await asyncio.to_thread(mongo.start)

        async def look() -> dict[str, Any]:
            async with Store(own.mongo, "registry") as store:
                return await standing(store)

        wanted = expected(play.events)
        assert await eventually(look, lambda found: found == wanted, "the projection equals the log's fold") == wanted
