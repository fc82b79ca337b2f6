"""The jars of Kafka and the Mongo-wire server: pinned, fetched once, verified before every start.

``kafka.sha256`` and ``mongo.sha256`` hold one line a jar: its digest and its Maven coordinate. They are the
whole dependency graph, so nothing is resolved at run time and an upstream change cannot move a version.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.errors import PlatformError
from deploy.local.locks import exclusively
from deploy.local.progress import Progress

if TYPE_CHECKING:
    from deploy.local.fetching import Repository

Report = Callable[[str], None]

_HERE = Path(__file__).parent
_PARALLEL = 6


@dataclass(frozen=True)
class Jar:
    """One file of the platform: where Maven keeps it and what it must contain."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """File name in the cache; unique, as both lists together hold no artifact version twice."""
        return f"{self.artifact}-{self.version}.jar"

    def verified_in(self, directory: Path) -> bool:
        """Whether the directory holds this jar with exactly the pinned bytes."""
        try:
            with (directory / self.name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def pinned(component: str) -> tuple[Jar, ...]:
    """Return the committed list of a component, ``kafka`` or ``mongo``."""
    lines = (_HERE / f"{component}.sha256").read_text().splitlines()
    return tuple(_parse(line) for line in lines)


def _parse(line: str) -> Jar:
    digest, coordinate = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, digest)


def ensure(jars: tuple[Jar, ...], cache: Path, report: Report) -> tuple[Path, ...]:
    """Return the class path, fetching what is missing or altered; every jar is hashed on every call.

    Two processes may call this at once: one fetches, the other waits for it.
    Raises PlatformError when a jar cannot be fetched, differs from its pin, or the cache cannot be written.
    """
    directory = cache / "jars"
    try:
        if not all(jar.verified_in(directory) for jar in jars):
            directory.mkdir(parents=True, exist_ok=True)
            with exclusively(cache / "jars.lock"):
                _fetch([jar for jar in jars if not jar.verified_in(directory)], directory, report)
    except OSError as error:
        message = (
            f"The cache directory {cache} cannot be used ({error.strerror}): free space there, "
            "correct its permissions, or point XDG_CACHE_HOME at another directory."
        )
        raise PlatformError(message) from error
    return tuple(directory / jar.name for jar in jars)


def _fetch(missing: list[Jar], directory: Path, report: Report) -> None:
    if not missing:
        return
    from deploy.local.fetching import Repository  # noqa: PLC0415 - a warm start does without jgo and requests

    for abandoned in directory.parent.glob("fetching-*"):  # of a killed process: we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix="fetching-", dir=directory.parent))
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        repository = Repository(staging)
        report(f"Fetching Kafka and its parts: {len(missing)} files, once")
        fetches = [pool.submit(_fetch_one, repository, jar, directory) for jar in missing]
        progress = Progress(len(missing), report)
        for fetch in as_completed(fetches):
            progress.arrived(fetch.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(repository: "Repository", jar: Jar, directory: Path) -> int:
    """Fetch one jar and move it in place when it holds the pinned bytes; returns its size in bytes."""
    file = repository.fetch(jar.group, jar.artifact, jar.version)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != jar.sha256:
        message = (
            f"The downloaded {jar.name} is not the pinned file (sha256 {digest[:12]}…, expected {jar.sha256[:12]}…): "
            "it was refused; check what stands between this machine and the Maven repository."
        )
        raise PlatformError(message)
    size = file.stat().st_size
    file.replace(directory / jar.name)  # same file system: a reader sees the whole jar or none
    return size
