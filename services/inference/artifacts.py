"""Artifacts travel in chunks; here they become whole again, and are believed only if their digest says so."""

from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.events.training import ArtifactManifest
from schemas.identities import artifact_digest
from services.inference.errors import Refusal, VersionRefusedError


@dataclass(slots=True)
class _Parts:
    chunks: dict[int, bytes] = field(default_factory=dict)
    manifest: ArtifactManifest | None = None

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks.values()))


@dataclass(frozen=True, slots=True)
class Complete:
    """All bytes of an artifact; whether they have the digest that it is called by is for `verify` to say."""

    digest: str
    content: bytes


@dataclass(frozen=True, slots=True)
class TooLarge:
    """An artifact beyond the limit: its bytes were dropped."""

    digest: str
    message: str


class ArtifactAssembler:
    """Chunks and manifests in, complete artifacts out. Holds only artifacts that are not complete yet.

    Chunks may come again and after the manifest (a compacted topic keeps the last copy of each). ``known`` says whether
    an artifact is already kept elsewhere, so that its chunks need not be held.
    """

    def __init__(self, *, max_artifact_bytes: int, known: Callable[[str], bool]) -> None:
        """``max_artifact_bytes`` bounds one artifact; what is held in all is at most twice that."""
        self._limit = max_artifact_bytes
        self._known = known
        self._open: dict[str, _Parts] = {}

    def chunk(self, digest: str, index: int, content: bytes) -> Complete | TooLarge | None:
        """One chunk; what became complete by it."""
        if self._known(digest):
            return None
        parts = self._open.setdefault(digest, _Parts())
        parts.chunks[index] = content
        if parts.size > self._limit:
            return self._too_large(digest, parts.size)
        self._make_room(digest)
        return self._complete(digest, parts)

    def manifest(self, manifest: ArtifactManifest) -> Complete | TooLarge | None:
        """A manifest; what became complete by it."""
        if self._known(manifest.digest):
            return None
        if manifest.size > self._limit:
            return self._too_large(manifest.digest, manifest.size)
        parts = self._open.setdefault(manifest.digest, _Parts())
        parts.manifest = manifest
        return self._complete(manifest.digest, parts)

    def forget(self, digest: str) -> None:
        """The artifact was retired."""
        self._open.pop(digest, None)

    def _complete(self, digest: str, parts: _Parts) -> Complete | TooLarge | None:
        manifest = parts.manifest
        if manifest is None or any(index not in parts.chunks for index in range(manifest.chunks)):
            return None
        content = b"".join(parts.chunks[index] for index in range(manifest.chunks))
        del self._open[digest]
        return Complete(digest, content)

    def _too_large(self, digest: str, size: int) -> TooLarge:
        self._open.pop(digest, None)
        return TooLarge(digest, f"The artifact has {size} bytes or more; at most {self._limit} are loaded.")

    def _make_room(self, keep: str) -> None:
        """Give up the artifacts that have waited longest for their rest: an abandoned upload must not fill the memory."""
        while sum(parts.size for parts in self._open.values()) > 2 * self._limit:
            oldest = next(digest for digest in self._open if digest != keep)
            del self._open[oldest]


def verify(digest: str, content: bytes) -> None:
    """Raises `VersionRefusedError` unless ``content`` has this SHA-256."""
    found = artifact_digest(content)
    if found != digest:
        message = f"The artifact's bytes have the digest {found[:12]}…, not {digest[:12]}…; publish it again."
        raise VersionRefusedError(Refusal.DIGEST_MISMATCH, message)


def parse_key(key: str) -> tuple[str, int | None]:
    """``digest/i`` as ``(digest, i)`` and ``digest/manifest`` as ``(digest, None)``. Raises ValueError for any other key."""
    digest, _, part = key.partition("/")
    if len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):  # noqa: PLR2004 - SHA-256 in hexadecimal
        message = f"not an artifact's key: {key!r}"
        raise ValueError(message)
    return digest, None if part == "manifest" else int(part)
