"""The life of a service process: refused settings, early health, readiness, draining, and giving up."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from shared.settings import PlatformSettings
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(90)]

SERVICE = Path(__file__).parent / "shared_counting_service.py"
ROOT = Path(__file__).parents[2]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(service_env: dict[str, str]) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(**env: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(SERVICE)],
            env={**os.environ, **service_env, "PYTHONPATH": str(ROOT), **env},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def answer(port: int, path: str, status: int) -> httpx.Response:
    """Poll until the service answers ``path`` with ``status``."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(40):
        while True:
            try:
                response = await client.get(path)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if response.status_code == status:
                return response
            await asyncio.sleep(0.05)


async def test_refused_settings_end_the_process_with_one_line_and_exit_code_1(start: Start) -> None:
    process = start(HEADRACE_KAFKA__BOOTSTRAP_SERVRES="x:1")
    _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert "HEADRACE_KAFKA__BOOTSTRAP_SERVRES is not a setting" in said


async def test_a_process_that_waits_for_kafka_is_alive_not_ready_and_gives_up_with_70(start: Start) -> None:
    port = free_port()
    process = start(
        HEADRACE_HTTP__PORT=str(port),
        HEADRACE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1",
        HEADRACE_KAFKA__STARTUP_TIMEOUT="3",
    )
    await answer(port, "/health/live", 200)
    response = await answer(port, "/health/ready", 503)
    assert "startup" in response.json()["missing"]
    _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 70
    assert "did not answer within 3 s" in said
    assert "Traceback" not in said


async def test_a_process_becomes_ready_serves_metrics_and_drains_on_sigterm(
    settings: PlatformSettings, start: Start
) -> None:
    port = free_port()
    process = start(HEADRACE_HTTP__PORT=str(port))
    await answer(port, "/health/ready", 503)  # the topics do not exist yet
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    await answer(port, "/health/ready", 200)
    assert "headrace_partitions_owned" in (await answer(port, "/metrics", 200)).text
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said


async def test_a_process_that_still_waits_stops_at_once_on_sigterm(start: Start) -> None:
    port = free_port()
    process = start(HEADRACE_HTTP__PORT=str(port))
    await answer(port, "/health/ready", 503)
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.communicate, timeout=15)
    assert process.returncode == 0


async def test_a_port_that_is_taken_is_said_in_one_sentence(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(HEADRACE_HTTP__PORT=str(taken.getsockname()[1]))
        _, said = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 70
    assert "cannot be served" in said
    assert "Traceback" not in said
