"""The worker as a child process: started, listened to, and killed when its time is over or the service goes."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from services.training.job import Completed, Failed, Job, Report, decode_report

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
LINE_BYTES: Final = 4 * 1024 * 1024
MODULE: Final = "services.training.worker"


@asynccontextmanager
async def started(job: Job, directory: Path, *, threads: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker on ``job``; killed on leaving if it still runs. ``directory`` takes the job's file."""
    path = await asyncio.to_thread(_written, job, directory)
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "PYTHONHASHSEED": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULE,
        str(path),
        stdin=asyncio.subprocess.PIPE,  # never written to: its end is how the worker learns that we are gone
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        limit=LINE_BYTES,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _written(job: Job, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "job.json"
    path.write_bytes(msgspec.json.encode(job))
    return path


async def reports(process: asyncio.subprocess.Process) -> AsyncIterator[Report]:
    """What the worker says, ending with `Completed` or `Failed`: its own, or one that says how the process ended."""
    if process.stdout is None:
        problem = "the worker was started without a pipe"
        raise RuntimeError(problem)
    async for line in process.stdout:
        report = decode_report(line)
        yield report
        if isinstance(report, Completed | Failed):
            return
    yield died(await process.wait())


def died(code: int) -> Failed:
    """The outcome of a worker that ended without one."""
    if code == -signal.SIGKILL:
        return Failed(
            "worker_killed",
            "The worker was killed from outside, most likely because memory ran out; narrow spec.dataset.window or the recipe.",
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return Failed(
        "worker_died", f"The worker ended with {how} before it had a result; its log has the reason. Train again."
    )
