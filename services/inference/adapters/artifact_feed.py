"""models.artifacts as files: chunks are joined as they come, verified and written in a thread."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from schemas.envelope import header
from schemas.events.training import ArtifactManifest
from schemas.reasons import RefusedRecordError, Rule, reason
from schemas.topics import MODELS_ARTIFACTS
from services.inference.adapters.artifact_cache import ArtifactCache
from services.inference.artifacts import ArtifactAssembler, Complete, TooLarge, parse_key
from shared.health import Health
from shared.records import Record, read
from shared.settings import PlatformSettings
from shared.tables import Table, scan

CHUNK_TYPE: Final = "headrace.artifact-chunk.v1"


class ArtifactFeed:
    """A component: follows models.artifacts while it is entered."""

    name = "artifacts"

    def __init__(
        self,
        settings: PlatformSettings,
        cache: ArtifactCache,
        *,
        arrived: Callable[[str], None],
        health: Health,
        max_artifact_bytes: int,
    ) -> None:
        """``arrived(digest)`` is called on the event loop once an artifact is kept, or known to be damaged."""
        self._settings = settings
        self._cache = cache
        self._arrived = arrived
        self._max_artifact_bytes = max_artifact_bytes
        self._assembler = self._new_assembler()
        self._admissions: set[asyncio.Task[None]] = set()
        self._table = Table(settings, MODELS_ARTIFACTS, apply=self._apply, name="models.artifacts", health=health)

    async def __aenter__(self) -> Self:
        await self._table.start()
        await self._admitted()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._table.stop()
        await self._admitted()

    async def refetch(self) -> None:
        """Read the topic again from its beginning: the disk has lost something. Returns once all of it was admitted."""
        assembler = self._new_assembler()
        async for records in scan(self._settings, MODELS_ARTIFACTS):
            for record in records:
                self._take(assembler, record)
        await self._admitted()

    def _new_assembler(self) -> ArtifactAssembler:
        return ArtifactAssembler(max_artifact_bytes=self._max_artifact_bytes, known=self._cache.has)

    def _apply(self, record: Record) -> None:
        self._take(self._assembler, record)

    def _take(self, assembler: ArtifactAssembler, record: Record) -> None:
        """One record; raises `RefusedRecordError` or ValueError for what is neither chunk nor manifest."""
        digest, index = parse_key((record.key or b"").decode())
        if record.value is None:
            assembler.forget(digest)
            self._cache.remove(digest)
            return
        complete: Complete | TooLarge | None
        if index is None:
            _, manifest = read(ArtifactManifest, record)
            if manifest.digest != digest:
                raise RefusedRecordError((reason("digest", Rule.KEY_MISMATCH, digest, manifest.digest),))
            complete = assembler.manifest(manifest)
        else:
            found = header(record.headers, "ce_type")
            if found != CHUNK_TYPE:
                raise RefusedRecordError((reason("headers.ce_type", Rule.UNKNOWN_TYPE, CHUNK_TYPE, str(found)),))
            complete = assembler.chunk(digest, index, record.value)
        if complete is not None:
            task = asyncio.get_running_loop().create_task(self._admit(complete))
            self._admissions.add(task)
            task.add_done_callback(self._admissions.discard)

    async def _admit(self, artifact: Complete | TooLarge) -> None:
        await asyncio.to_thread(self._cache.admit, artifact)
        self._arrived(artifact.digest)

    async def _admitted(self) -> None:
        while self._admissions:
            await asyncio.gather(*self._admissions)
