"""A service that is asked to stop while it starts. No Kafka: it stops before it would need one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
STUBBORN = """
import asyncio
from shared.health import Health
from shared.service import App, main
from shared.settings import PlatformSettings

class Stubborn:
    name = "stubborn"

    async def __aenter__(self):
        print("entered", flush=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    async def __aexit__(self, *_):
        pass

main("example", PlatformSettings, lambda _: App(health=Health(), components=[Stubborn()], topics=()))
"""


def test_a_part_that_does_not_let_itself_be_cancelled_keeps_no_starting_service_alive() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "entered\n"
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "stopped while starting" in said
        assert time.monotonic() - asked < 20  # a loaded machine; the service gives itself 2 s
    finally:
        process.kill()
        process.wait()
