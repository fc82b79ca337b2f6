"""Fetches single Maven artifacts through jgo: pure Python, no Maven program and no Java needed."""

import time
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from deploy.local.errors import PlatformError

_ATTEMPTS = 3
_TIMEOUT_S = 20


class Repository:
    """The Maven repositories of the user's jgo configuration, or jgo's default one."""

    def __init__(self, staging: Path) -> None:
        """``staging`` receives the files; nothing is read from or written to the user's own Maven cache."""
        mirrors = GlobalSettings.load().repositories
        self._maven = MavenContext(repo_cache=staging, remote_repos=mirrors or None, timeout=_TIMEOUT_S)

    def fetch(self, group: str, artifact: str, version: str) -> Path:
        """Download the jar of a coordinate; a failed download is tried three times.

        Raises PlatformError without network, with a refused certificate, or for an unknown artifact.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            wanted = self._maven.project(group, artifact).at_version(version).artifact()
            try:
                return wanted.resolve()
            except requests.exceptions.SSLError as error:
                raise PlatformError(_certificate(wanted.filename)) from error
            except (requests.RequestException, RuntimeError) as error:  # RuntimeError: no repository has it
                if wanted.cached_path:
                    wanted.cached_path.unlink(missing_ok=True)  # a torn file would pass for a finished one
                if attempt == _ATTEMPTS:
                    raise PlatformError(_unreachable(wanted.filename)) from error
                time.sleep(attempt)
        raise AssertionError


def _certificate(filename: str) -> str:
    return (
        f"Fetching {filename} failed because the Maven repository's certificate is not trusted here: "
        "point REQUESTS_CA_BUNDLE at your organisation's certificate bundle and try again."
    )


def _unreachable(filename: str) -> str:
    return (
        f"Fetching {filename} failed: the embedded Kafka is downloaded once (50 MB) and needs network access for "
        "that; connect and try again, or name a mirror under [repositories] in jgo.conf."
    )
