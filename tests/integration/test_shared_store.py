"""The store against the Mongo-wire server: guarded documents, offsets written last."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from shared.errors import TransientError
from shared.settings import MongoSettings, PlatformSettings
from shared.store import Projection, Store

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]


@pytest.fixture
async def store(settings: PlatformSettings) -> AsyncIterator[Store]:
    async with Store(settings.mongo, "example") as opened:
        yield opened
        await opened.drop()


async def test_a_document_comes_back_as_it_was_put(store: Store) -> None:
    await store.put("things", "a", {"n": 1, "nested": {"x": [1, 2]}})
    assert await store.get("things", "a") == {"_id": "a", "n": 1, "nested": {"x": [1, 2]}}
    assert await store.get("things", "b") is None


async def test_documents_are_found_sorted_and_limited(store: Store) -> None:
    for n in (3, 1, 2):
        await store.put("things", str(n), {"n": n, "even": n % 2 == 0})
    assert [d["n"] async for d in store.find("things", sort=[("n", -1)], limit=2)] == [3, 2]
    assert [d["n"] async for d in store.find("things", {"even": True})] == [2]


async def test_the_effect_of_an_older_record_never_overwrites_a_newer_one(store: Store) -> None:
    projection = Projection(store, "p")
    assert await projection.put("things", "a", {"v": "new"}, offset=5)
    assert not await projection.put("things", "a", {"v": "same again"}, offset=5)
    assert not await projection.put("things", "a", {"v": "old"}, offset=4)
    assert await projection.put("things", "a", {"v": "newer"}, offset=6)
    found = await store.get("things", "a")
    assert found is not None
    assert found["v"] == "newer"


async def test_a_projection_resumes_after_what_it_applied_in_full(store: Store) -> None:
    projection = Projection(store, "p")
    assert await projection.resume_at("registry.events") == 0
    await projection.applied("registry.events", 41)
    await projection.applied("registry.events", 40)
    assert await projection.resume_at("registry.events") == 42
    assert await Projection(store, "other").resume_at("registry.events") == 0


async def test_dropping_the_database_starts_the_projection_over(store: Store) -> None:
    projection = Projection(store, "p")
    await projection.put("things", "a", {"v": 1}, offset=0)
    await projection.applied("t", 0)
    await store.drop()
    assert await projection.resume_at("t") == 0
    assert await store.get("things", "a") is None


async def test_a_server_that_does_not_answer_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.store.CONNECT_MILLISECONDS", 300)
    with pytest.raises(TransientError, match="does not answer"):
        await Store(MongoSettings(uri=SecretStr("mongodb://127.0.0.1:1")), "example").start()
