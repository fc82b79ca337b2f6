"""Fetching through jgo from a real Maven repository over HTTP: a mirror on this machine, named in jgo.conf."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import artifacts
from deploy.local.artifacts import Jar
from deploy.local.errors import PlatformError

CONTENT = b"a jar" * 10_000
WHOLE = tuple(Jar("example.group", f"part{n}", "1.0", hashlib.sha256(CONTENT).hexdigest()) for n in range(8))
ALTERED = Jar("example.group", "altered", "1.0", "0" * 64)
TORN = Jar("example.group", "torn", "1.0", hashlib.sha256(CONTENT).hexdigest())
ABSENT = Jar("example.group", "absent", "1.0", "0" * 64)

FETCH = """
import sys
from pathlib import Path
from deploy.local.artifacts import Jar, ensure
ensure(tuple(Jar(*line.split()) for line in sys.argv[2:]), Path(sys.argv[1]), print)
"""


@dataclass
class Mirror:
    asked: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                again = name in asked
                asked.append(name)
                if not name.endswith(".jar") or "absent" in name:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT[:1000] if "torn" in name and not again else CONTENT)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    mirror = Mirror()
    server = ThreadingHTTPServer(("127.0.0.1", 0), mirror.handler())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "jgo.conf").write_text(f"[repositories]\nnear = http://127.0.0.1:{server.server_port}/maven\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "jgo.conf"))
    yield mirror
    server.shutdown()
    server.server_close()


def test_jars_come_from_the_mirror_that_jgo_is_told_and_only_once(mirror: Mirror, tmp_path: Path) -> None:
    told: list[str] = []
    paths = artifacts.ensure(WHOLE, tmp_path / "cache", told.append)
    assert all(path.read_bytes() == CONTENT for path in paths)
    assert told[-1] == "Fetched 8 of 8 files (0 MB)"
    asked = len(mirror.asked)
    assert artifacts.ensure(WHOLE, tmp_path / "cache", told.append) == paths
    assert len(mirror.asked) == asked


def test_an_altered_jar_in_the_cache_is_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    first, *_ = artifacts.ensure(WHOLE, tmp_path / "cache", print)
    first.write_bytes(b"altered")
    artifacts.ensure(WHOLE, tmp_path / "cache", print)
    assert first.read_bytes() == CONTENT
    assert mirror.asked.count(WHOLE[1].name) == 1


def test_a_download_that_is_not_the_pinned_file_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="is not the pinned file"):
        artifacts.ensure((*WHOLE, ALTERED), tmp_path / "cache", print)
    assert not (tmp_path / "cache" / "jars" / ALTERED.name).exists()


def test_a_torn_download_is_tried_again(mirror: Mirror, tmp_path: Path) -> None:
    (path,) = artifacts.ensure((TORN,), tmp_path / "cache", print)
    assert path.read_bytes() == CONTENT


def test_an_artifact_that_no_repository_has_is_named(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"Fetching absent-1\.0\.jar failed"):
        artifacts.ensure((ABSENT,), tmp_path / "cache", print)


def test_two_first_starts_at_once_fetch_each_jar_once(mirror: Mirror, tmp_path: Path) -> None:
    jars = [f"{jar.group} {jar.artifact} {jar.version} {jar.sha256}" for jar in WHOLE]
    argv = [sys.executable, "-c", FETCH, str(tmp_path / "cache"), *jars]
    both = [subprocess.Popen(argv) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(name for name in mirror.asked if name.endswith(".jar")) == [jar.name for jar in WHOLE]
