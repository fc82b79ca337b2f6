"""The worker as a process: what it says, and what is made of it when it says nothing."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from training_scene import end, filled, job, model, stream

from services.training.adapters.worker_process import died, reports, started
from services.training.job import Completed, Failed, Job, Report


@pytest.fixture
def ready(tmp_path: Path) -> Job:
    store = filled(tmp_path, list(stream("binary", 120)))
    found: Job = job(tmp_path, store, model(estimator="LogisticRegression"), end(120))
    return found


async def said(run: Job) -> list[Report]:
    async with started(run, Path(run.output_dir), threads=1) as process:
        return [report async for report in reports(process)]


async def test_a_worker_reports_until_its_candidate_is_on_disk(ready: Job) -> None:
    found = await said(ready)
    assert isinstance(found[-1], Completed)
    assert ready.artifact_path.exists()
    assert ready.candidate_path.exists()


async def test_a_worker_that_is_killed_has_failed(ready: Job) -> None:
    async with started(ready, Path(ready.output_dir), threads=1) as process:
        process.send_signal(signal.SIGKILL)
        found = [report async for report in reports(process)]
    assert isinstance(found[-1], Failed)
    assert found[-1].code == "worker_killed"
    assert not ready.candidate_path.exists()


async def test_a_worker_whose_parent_is_gone_ends_by_itself(ready: Job) -> None:
    async with started(ready, Path(ready.output_dir), threads=1) as process:
        assert process.stdin is not None
        process.stdin.close()
        code = await asyncio.wait_for(process.wait(), 60)
    assert code in (0, 3)  # 0 only if it was done before


async def test_a_worker_is_gone_when_its_run_is_cancelled(ready: Job) -> None:
    async with started(ready, Path(ready.output_dir), threads=1) as process:
        pass
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_the_way_a_worker_died_is_said() -> None:
    assert "memory" in died(-signal.SIGKILL).message
    assert "signal 11" in died(-11).message
    assert "exit code 1" in died(1).message
