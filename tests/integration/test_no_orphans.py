"""Nothing survives its owner, whatever happened to the owner."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from deploy.local import kafka_probe
from deploy.local.platform import Platform

pytestmark = pytest.mark.kafka

OWNER = """
import json, os, sys, threading
from pathlib import Path
from deploy.local.platform import Platform
from deploy.local.service import ProcessSpec
from deploy.local.supervisor import Supervisor
data = Path(sys.argv[1])
nap = ProcessSpec("nap", ["/bin/sh", "-c", "sleep 600 & sleep 600"])
with Platform(data, report=print) as platform, Supervisor([nap], data, leash=platform.leash) as supervisor:
    draft = data / "draft"
    kafka = platform.kafka
    draft.write_text(json.dumps({"nap": supervisor.pids()["nap"], "kafka": kafka.pid, "port": kafka.port}))
    draft.replace(data / "ready.json")
    threading.Event().wait()
"""


def eventually(fact: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def started(argv: list[str], ready: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """Yield a process once its ready file is there, with all its descendants."""
    owner = subprocess.Popen(argv)
    try:
        assert eventually(lambda: ready.exists() or owner.poll() is not None, 90)
        assert owner.poll() is None
        descendants = psutil.Process(owner.pid).children(recursive=True)
        yield owner, descendants
    finally:
        owner.kill()
        owner.wait()


def command(directory: Path, ready: Path) -> list[str]:
    """The developers' command, Kafka alone."""
    places = ["--data-dir", str(directory / "data"), "--ready-file", str(ready)]
    return [sys.executable, "-m", "deploy.local", *places, "--no-mongo"]


def test_kill_9_of_the_owner_leaves_nothing_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with started([sys.executable, "-c", OWNER, str(tmp_path)], ready) as (owner, descendants):
        told = json.loads(ready.read_text())
        assert {told["nap"], told["kafka"]} < {process.pid for process in descendants}
        assert len(descendants) == 6  # watchdog, Kafka, Mongo, the shell and its two sleeps
        before = kafka_probe.view(told["port"])
        assert before is not None
        owner.kill()
        owner.wait()
        with Platform(tmp_path, report=print, with_mongo=False) as platform:  # at once: it waits for the lock
            after = kafka_probe.view(platform.kafka.port)
        assert eventually(lambda: not any(map(alive, descendants)), 10)
    assert after is not None
    assert after.cluster_id == before.cluster_id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_in_order_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready.json"
    with started(command(tmp_path, ready), ready) as (owner, descendants):
        told = json.loads(ready.read_text())
        assert told["mongo_uri"] is None
        assert psutil.pid_exists(told["pids"]["kafka"])
        owner.send_signal(number)
        assert owner.wait(60) == 0
        assert not any(map(alive, descendants))
    assert not ready.exists()


def test_the_command_starts_its_broker_again_when_it_is_gone(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with started(command(tmp_path, ready), ready) as (owner, _):
        told = json.loads(ready.read_text())
        port = int(told["bootstrap_servers"].rpartition(":")[2])
        victim = psutil.Process(told["pids"]["kafka"])
        victim.kill()
        assert eventually(lambda: not alive(victim), 10)
        assert eventually(lambda: kafka_probe.view(port) is not None, 60)
        descendants = psutil.Process(owner.pid).children(recursive=True)
        owner.send_signal(signal.SIGINT)
        assert owner.wait(60) == 0
        assert not any(map(alive, descendants))
