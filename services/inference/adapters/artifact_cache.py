"""Verified artifacts on disk, by digest. Only a copy of models.artifacts: it may be deleted at any time."""

import os
import tempfile
from pathlib import Path
from typing import Final

from services.inference.artifacts import Complete, TooLarge, verify
from services.inference.errors import Refusal, VersionRefusedError

SUFFIX: Final = ".onnx"


class ArtifactCache:
    """A directory that several processes may share: files appear whole, under the name of their digest."""

    def __init__(self, directory: Path) -> None:
        """Makes the directory. Raises OSError where that is impossible."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._faults: dict[str, VersionRefusedError] = {}

    def has(self, digest: str) -> bool:
        """Whether there is a file; only `read` knows whether it is intact."""
        return self._path(digest).exists()

    def admit(self, artifact: Complete | TooLarge) -> None:
        """Keep ``artifact`` if it is what its digest says; else `read` will say what was wrong with it. Blocks."""
        digest = artifact.digest
        if isinstance(artifact, TooLarge):
            self._faults[digest] = VersionRefusedError(Refusal.TOO_LARGE, artifact.message)
            return
        try:
            verify(digest, artifact.content)
            self._write(digest, artifact.content)
        except VersionRefusedError as error:
            self._faults[digest] = error
        except OSError as error:
            message = (
                f"The artifact {digest[:12]}… cannot be written to {self._directory}: {error.strerror}. "
                "It is fetched again from models.artifacts until that works."
            )
            self._faults[digest] = VersionRefusedError(Refusal.STORAGE, message)
        else:
            self._faults.pop(digest, None)

    def read(self, digest: str) -> bytes:
        """The artifact's bytes, verified again. Raises `VersionRefusedError`. Blocks.

        A file that is not intact any more is deleted, so that it can be fetched again.
        """
        try:
            content = self._path(digest).read_bytes()
            verify(digest, content)
        except VersionRefusedError:
            self.remove(digest)
            message = "The artifact's copy on disk was damaged and has been deleted."
            raise VersionRefusedError(Refusal.ARTIFACT_MISSING, message) from None
        except OSError as error:
            if digest in self._faults:
                raise self._faults[digest] from None
            message = f"The artifact {digest[:12]}… does not stand complete on models.artifacts: {error.strerror}."
            raise VersionRefusedError(Refusal.ARTIFACT_MISSING, message) from None
        return content

    def remove(self, digest: str) -> None:
        """The artifact was retired, or is not intact."""
        self._path(digest).unlink(missing_ok=True)
        self._faults.pop(digest, None)

    def _write(self, digest: str, content: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)  # it may have been deleted with everything in it
        handle, name = tempfile.mkstemp(dir=self._directory, prefix=digest[:12], suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path(digest))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}{SUFFIX}"
