"""Kafka's ahead-of-time cache (JDK 25): loaded and linked classes from an earlier run, 6 s of start-up become 2 s.

The first broker records and writes the file when it ends; later ones use it. The file belongs to exact jars, runtime
and flags, so their digest is in its name. It is a help, never a need: whatever is wrong with it, the broker starts.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import java
from deploy.local.locks import try_lock

_UNUSED_S = 30 * 24 * 3600


def key(flags: Iterable[str], files: Iterable[Path]) -> str:
    """Return the name of one combination of flags and files: 16 hexadecimal digits.

    The JVM compares size and modification time of each file with the recorded ones; so does this name. Were it to
    name the contents alone, a reinstalled runtime would find a cache that it refuses, at every start.
    """
    facts = [*flags, java.release()]
    for file in (java.modules(), *files):
        state = file.stat()
        facts.append(f"{file} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


@dataclass
class AotCache:
    """One run's relation to the cache file: it uses it, records it, or does without."""

    file: Path
    _recording: int | None = None

    @property
    def recording(self) -> bool:
        """Whether the running broker writes the file when it ends; that takes it some seconds more."""
        return self._recording is not None

    @property
    def _draft(self) -> Path:
        return self.file.with_suffix(".draft")

    def flags(self) -> list[str]:
        """Return the JVM flags for the next start; at most one process on the machine records at a time."""
        try:
            return self._flags()
        except OSError:  # the directory cannot be written, or the file was removed this very moment
            return []

    def _flags(self) -> list[str]:
        if self.file.exists():
            os.utime(self.file)  # says that it is in use
            return [f"-XX:AOTCache={self.file}", "-XX:AOTMode=auto"]
        if self._recording is None:
            self._recording = try_lock(self.file.with_suffix(".lock"))
        if self._recording is None:
            return []
        for leftover in self.file.parent.glob(f"{self._draft.name}*"):  # of a killed recorder
            leftover.unlink(missing_ok=True)
        return [f"-XX:AOTCacheOutput={self._draft}"]

    def settle(self, *, ended_well: bool) -> None:
        """Keep what the ended broker recorded, or throw it away when it was killed."""
        if self._recording is None:
            return
        if ended_well and self._draft.exists():
            self._draft.replace(self.file)
            self._forget_unused()
        else:
            self._draft.unlink(missing_ok=True)
        os.close(self._recording)
        self._recording = None

    def _forget_unused(self) -> None:
        """Remove caches of 70 MB that no start has used for a month: of other versions, or other environments."""
        for other in self.file.parent.glob(f"*{self.file.suffix}"):
            if time.time() - other.stat().st_mtime > _UNUSED_S:
                other.unlink(missing_ok=True)

    def distrust(self) -> bool:
        """Remove the cache file after a failed start; True when there was one, so that a second try makes sense."""
        existed = self.file.exists()
        self.file.unlink(missing_ok=True)
        return existed
