"""`headrace up`: one command, everything ready, and nothing left when it ends, however it ends."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from example_models import pumps
from headrace_command import ARGV, ROOT, Headrace, alive, eventually, left

from schemas.topics import SERVICES

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@contextmanager
def up(
    headrace: Headrace, directory: Path, *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any], Path]]:
    """A running `headrace up`, what its ready file says, and the file itself."""
    ready, log = directory / "ready.json", directory / "up.log"
    argv = [*ARGV, "up", "--data-dir", str(directory / "data"), "--ready-file", str(ready), *arguments]
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, cwd=ROOT, env=headrace.environment(), stdout=sink, stderr=sink)
    try:
        eventually(lambda: ready.exists() or process.poll() is not None, within=150, what="readiness")
        assert process.poll() is None, log.read_text()
        yield process, json.loads(ready.read_text()), ready
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def user(tmp_path: Path) -> Headrace:
    """A user whose state directory is his own."""
    return Headrace({"XDG_STATE_HOME": str(tmp_path / "state")})


def test_up_serves_the_other_commands_and_ctrl_c_ends_it_in_order(user: Headrace, tmp_path: Path) -> None:
    with up(user, tmp_path) as (process, told, ready):
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert set(told["services"]) == set(SERVICES)
        assert {"bootstrap_servers", "mongo_uri", "ingestion_url", "console_url"} < told.keys()
        assert set(told["services"].values()) < {child.pid for child in descendants}

        (tmp_path / "definitions.yaml").write_text(pumps(windows=0).definitions)
        assert "Everything looks well" in user.say("doctor")
        user.say("apply", "-f", tmp_path / "definitions.yaml")
        configured = Headrace(
            {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": told["bootstrap_servers"], "XDG_STATE_HOME": str(tmp_path / "none")}
        )
        assert [each["kind"] for each in configured.json("get", "models")] == ["Model"]
        second = user.refusal("up", "--data-dir", tmp_path / "data")
        assert "is in use by process" in second

        for program in ("kafka.Kafka", "mongo_server"):
            (victim,) = [child for child in descendants if alive(child) and program in " ".join(child.cmdline())]
            victim.kill()
        eventually(lambda: user("doctor").returncode == 0, within=90, what="everything well after Kafka and Mongo died")
        assert [each["kind"] for each in user.json("get", "models")] == ["Model"]
        descendants = psutil.Process(process.pid).children(recursive=True)

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert left(descendants) == []
        assert not ready.exists()
    assert "start `headrace up`" in user.refusal("get", "models")


def test_kill_9_of_up_leaves_no_process_behind(user: Headrace, tmp_path: Path) -> None:
    with up(user, tmp_path, "ingestion", "registry") as (process, told, _):
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert set(told["services"]) == {"ingestion", "registry"}
        process.kill()
        process.wait()
        eventually(lambda: not left(descendants), within=20, what="the end of everything that up had started")
    assert "start `headrace up`" in user.refusal("get", "models")


def test_ctrl_c_while_it_starts_ends_up_too(user: Headrace, tmp_path: Path) -> None:
    argv = [*ARGV, "up", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=user.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: len(psutil.Process(process.pid).children(recursive=True)) > 2, within=60, what="starting")
        descendants = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert b"Traceback" not in said
        eventually(lambda: not left(descendants), within=20, what="the end of what had been started")
    finally:
        process.kill()
        process.wait()
