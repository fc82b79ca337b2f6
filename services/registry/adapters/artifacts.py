"""Model artifacts, put together again from ``models.artifacts`` and checked against their digest."""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.envelope import header
from schemas.events.training import ArtifactManifest
from schemas.reasons import RefusedRecordError
from schemas.topics import MODELS_ARTIFACTS
from services.registry.candidates import MAX_ARTIFACT_BYTES
from services.registry.model_file import ModelRefusedError
from shared.records import Record, read
from shared.settings import PlatformSettings
from shared.tables import scan

CHUNK_TYPE: Final = "headrace.artifact-chunk.v1"
DIGITS: Final = 6  # of a chunk's number
SPOOL_LIMIT: Final = 2 * MAX_ARTIFACT_BYTES  # repeated chunks may take room twice


async def fetch(settings: PlatformSettings, digest: str, size: int, into: Path) -> bool:
    """Write the artifact to ``into``; False if it is not complete on the topic yet. The topic is read once, to its present end.

    Raises `ModelRefusedError` (too_large, size_mismatch, digest_mismatch) for an artifact that is complete and wrong.
    """
    assembly = Assembly(digest, size, into.with_suffix(".chunks"))
    async for records in scan(settings, MODELS_ARTIFACTS):
        assembly.take(records)
    return await asyncio.to_thread(assembly.finish, into)


class Assembly:
    """One artifact while it is put together on disk: never more than a chunk of it in memory."""

    def __init__(self, digest: str, size: int, spool: Path) -> None:
        """``size``: the bytes that the candidate announced. ``spool``: the file that holds the chunks as they come."""
        self._digest = digest
        self._size = size
        self._spool = spool
        self._prefix = f"{digest}/".encode()
        self._chunks: dict[int, tuple[int, int]] = {}  # number → place in the spool, bytes
        self._end = 0
        self._manifest: ArtifactManifest | None = None
        spool.write_bytes(b"")

    def take(self, records: Sequence[Record]) -> None:
        """Keep what belongs to this artifact; of a repeated chunk the last one counts. Raises `ModelRefusedError`: too_large."""
        for record in records:
            if record.key is not None and record.key.startswith(self._prefix):
                self._one(record.key.removeprefix(self._prefix), record)

    def finish(self, into: Path) -> bool:
        """Write it to ``into``; False if it is not complete. Raises `ModelRefusedError` if it is complete and wrong."""
        manifest = self._manifest
        if manifest is None or any(number not in self._chunks for number in range(manifest.chunks)):
            return False
        size = sum(self._chunks[number][1] for number in range(manifest.chunks))
        if not size == manifest.size == self._size:
            message = f"the candidate says {self._size} bytes, the manifest {manifest.size}, the chunks have {size}."
            raise ModelRefusedError("size_mismatch", message)
        found = self._write(into, manifest.chunks)
        if found != self._digest:
            message = (
                f"the bytes have digest {found[:12]}…, announced was {self._digest[:12]}…; publish the artifact again."
            )
            raise ModelRefusedError("digest_mismatch", message)
        return True

    def _write(self, into: Path, chunks: int) -> str:
        hasher = hashlib.sha256()
        with self._spool.open("rb") as spool, into.open("wb") as target:
            for place, length in (self._chunks[number] for number in range(chunks)):
                spool.seek(place)
                chunk = spool.read(length)
                hasher.update(chunk)
                target.write(chunk)
        return hasher.hexdigest()

    def _one(self, name: bytes, record: Record) -> None:
        if name == b"manifest":
            self._take_manifest(record)
        elif name.isdigit() and len(name) <= DIGITS:
            self._take_chunk(int(name), record)

    def _take_manifest(self, record: Record) -> None:
        self._manifest = None
        if record.value is not None:
            with contextlib.suppress(RefusedRecordError):  # the transaction that met it has made it a dead letter
                _, self._manifest = read(ArtifactManifest, record)

    def _take_chunk(self, number: int, record: Record) -> None:
        value = record.value
        if value is None or header(record.headers, "ce_type") != CHUNK_TYPE:
            self._chunks.pop(number, None)
            return
        place, length = self._chunks.get(number, (self._end, 0))
        if len(value) > length:
            place, self._end = self._end, self._end + len(value)
        if self._end > SPOOL_LIMIT:
            raise ModelRefusedError("too_large", f"its chunks have more than {MAX_ARTIFACT_BYTES} bytes.")
        with self._spool.open("r+b") as file:
            file.seek(place)
            file.write(value)
        self._chunks[number] = (place, len(value))
