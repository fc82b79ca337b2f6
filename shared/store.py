"""Mongo, the only module that speaks to it. What stands there is a projection of topics: drop it, replay, it comes back."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError

from shared.errors import PermanentError, TransientError
from shared.settings import MongoSettings

APPLIED: Final = "applied_offset"
OFFSETS: Final = "projection_offsets"
CONNECT_MILLISECONDS: Final = 10_000

Document = dict[str, Any]


class Store:
    """One service's database. Vendor errors leave it as `TransientError` or `PermanentError`."""

    name = "store"

    def __init__(self, settings: MongoSettings, service: str) -> None:
        """Nothing is opened before `start`."""
        self._settings = settings
        self._database_name = f"{settings.database}_{service}"
        self._client: AsyncIOMotorClient[Document] | None = None

    async def start(self) -> None:
        """Connect. Raises `TransientError` where no server answers within 10 s."""
        self._client = AsyncIOMotorClient(
            self._settings.uri.get_secret_value(), serverSelectionTimeoutMS=CONNECT_MILLISECONDS, tz_aware=True
        )
        try:
            await self._client.admin.command("ping")
        except PyMongoError as error:
            raise _translated(error) from error

    async def stop(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def get(self, collection: str, key: str) -> Document | None:
        """One document, or None."""
        try:
            found: Document | None = await self._collection(collection).find_one({"_id": key})
        except PyMongoError as error:
            raise _translated(error) from error
        return found

    async def find(
        self,
        collection: str,
        query: Mapping[str, Any] | None = None,
        *,
        sort: Sequence[tuple[str, int]] = (("_id", 1),),
        limit: int = 0,
    ) -> AsyncIterator[Document]:
        """Documents that match ``query``, sorted; ``limit`` 0 is all."""
        try:
            async for document in self._collection(collection).find(dict(query or {})).sort(list(sort)).limit(limit):
                yield document
        except PyMongoError as error:
            raise _translated(error) from error

    async def put(self, collection: str, key: str, document: Mapping[str, Any]) -> None:
        """Write one document, whatever stood there."""
        try:
            await self._collection(collection).replace_one({"_id": key}, {**document, "_id": key}, upsert=True)
        except PyMongoError as error:
            raise _translated(error) from error

    async def put_if_newer(self, collection: str, key: str, document: Mapping[str, Any], offset: int) -> bool:
        """Write one document unless it already holds the effect of ``offset`` or a later one; whether it was written."""
        wanted = {**document, "_id": key, APPLIED: offset}
        try:
            await self._collection(collection).replace_one({"_id": key, APPLIED: {"$lt": offset}}, wanted, upsert=True)
        except DuplicateKeyError:
            return False  # it stands there with a newer offset, so the filter missed it and the insert met it
        except PyMongoError as error:
            raise _translated(error) from error
        return True

    async def drop(self) -> None:
        """Delete everything; a replay brings it back."""
        try:
            await self._connected().drop_database(self._database_name)
        except PyMongoError as error:
            raise _translated(error) from error

    def _connected(self) -> "AsyncIOMotorClient[Document]":
        if self._client is None:
            problem = "the store is not started"
            raise RuntimeError(problem)
        return self._client

    def _collection(self, name: str) -> "AsyncIOMotorCollection[Document]":
        database: AsyncIOMotorDatabase[Document] = self._connected()[self._database_name]
        return database[name]


class Projection:
    """A fold of one topic partition into documents that survives a crash between any two writes.

    Each document carries the offset it holds the effect of; the projection's own offset is written last, so after a crash
    some records are applied again, and the guard makes that harmless.
    """

    def __init__(self, store: Store, name: str) -> None:
        """``name`` tells the projections of one service apart."""
        self._store = store
        self._name = name

    async def resume_at(self, topic: str, partition: int = 0) -> int:
        """The first offset that may not have been applied in full; 0 for a new projection."""
        found = await self._store.get(OFFSETS, self._key(topic, partition))
        return 0 if found is None else int(found[APPLIED]) + 1

    async def put(self, collection: str, key: str, document: Mapping[str, Any], *, offset: int) -> bool:
        """Write a document as the effect of the record at ``offset``; False where it already held it."""
        return await self._store.put_if_newer(collection, key, document, offset)

    async def applied(self, topic: str, offset: int, partition: int = 0) -> None:
        """All documents of the record at ``offset`` are written. Call last."""
        await self._store.put_if_newer(OFFSETS, self._key(topic, partition), {}, offset)

    def _key(self, topic: str, partition: int) -> str:
        return f"{self._name}/{topic}/{partition}"


def _translated(error: PyMongoError) -> TransientError | PermanentError:
    if isinstance(error, ConnectionFailure):
        return TransientError(f"The store does not answer: {error}")
    if isinstance(error, OperationFailure) and error.has_error_label("RetryableWriteError"):
        return TransientError(f"The store is busy: {error}")
    return PermanentError(f"The store refused the operation: {error}")
