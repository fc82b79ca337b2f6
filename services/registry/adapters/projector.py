"""Follows ``registry.events`` into Mongo. Its own follower, outside of the transactions: Mongo may be away, decisions go on."""

import asyncio
from types import TracebackType
from typing import Final, Self

from schemas.events.registry import RegistryEvent
from schemas.topics import REGISTRY_EVENTS
from services.registry.evolution import evolve
from services.registry.projection import documents
from services.registry.state import State
from shared.errors import HeadraceError, TransientError
from shared.logs import get_logger
from shared.records import Record, read, topic_name
from shared.settings import PlatformSettings
from shared.store import Projection, Store
from shared.tables import Table

RETRY_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 3.0  # a database that crashed may come back without its last writes, and no error tells

log = get_logger(__name__)


class Projector:
    """A component. It folds the whole log, and writes what the projection does not hold yet, in the log's order.

    Several instances may project at the same time: each document is guarded by the offset whose effect it holds.
    """

    name = "projection"

    def __init__(self, settings: PlatformSettings, store: Store) -> None:
        """Nothing is opened before the component is entered; the store is opened by the task and may fail for long."""
        self._settings = settings
        self._topic = topic_name(settings, REGISTRY_EVENTS)
        self._store = store
        self._records: asyncio.Queue[Record] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._store.stop()

    async def _run(self) -> None:
        while True:
            self._records = asyncio.Queue()
            try:
                async with Table(self._settings, REGISTRY_EVENTS, apply=self._records.put_nowait, name="projection"):
                    await self._store.start()
                    await self._project()
            except HeadraceError as error:
                log.warning(f"the projection waits: {error}")
            except Exception as error:
                log.error(f"the projection starts again: {error}", exc_info=error)
            await self._store.stop()
            await asyncio.sleep(RETRY_SECONDS)

    async def _project(self) -> None:
        projection = Projection(self._store, "models")
        resume_at = await projection.resume_at(self._topic)
        state, expected = State(), resume_at
        while True:
            record = await self._next()
            if record is not None:
                _, event = read(RegistryEvent, record)
                state = evolve(state, event)
                if record.offset < resume_at:
                    continue
            if await projection.resume_at(self._topic) < expected:
                problem = (
                    "the database was dropped, or lost its last writes in a crash; what is missing is written again"
                )
                raise TransientError(problem)
            if record is None:
                continue
            for document in documents(state, event):
                await projection.put(document.collection, document.key, document.content, offset=record.offset)
            await projection.applied(self._topic, record.offset)
            expected = record.offset + 1

    async def _next(self) -> Record | None:
        """The next record; None after a quiet while, so that a loss is noticed without one."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._records.get()
        except TimeoutError:
            return None
