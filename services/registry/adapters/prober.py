"""Probes in the background: fetch the artifact, run the probe's process, and wake the decisions with the result."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from services.registry.adapters.artifacts import fetch
from services.registry.adapters.probe_process import ProbeLimits, probe
from services.registry.candidates import ARTIFACT_MISSING, ProbeResult
from services.registry.model_file import ModelRefusedError
from services.registry.probe import ProbeAnswer
from services.registry.probing import ProbeRequest
from shared.logs import get_logger
from shared.settings import PlatformSettings

RETRY_SECONDS: Final = 2.0

log = get_logger(__name__)


class Prober:
    """`services.registry.probing.Probes` on a running event loop. One probe runs at a time: it takes a core."""

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        limits: ProbeLimits,
        artifact_seconds: float,
        scratch: Path | None,
        wake: Callable[[], Awaitable[None]],
    ) -> None:
        """``artifact_seconds``: how long to wait for a missing artifact. ``wake`` is awaited after each result."""
        self._settings = settings
        self._limits = limits
        self._artifact_seconds = artifact_seconds
        self._scratch = scratch
        self._wake = wake
        self._one_at_a_time = asyncio.Lock()
        self._waiting: set[tuple[str, asyncio.Event]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: list[ProbeResult] = []

    def request(self, request: ProbeRequest) -> None:
        """Start a probe in the background."""
        name = f"probe {request.model}/{request.version}"
        task = asyncio.get_running_loop().create_task(self._run(request), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def arrived(self, digest: str) -> None:
        """Wake who waits for this artifact."""
        for wanted, event in self._waiting:
            if wanted == digest:
                event.set()

    def finished(self) -> Sequence[ProbeResult]:
        """Results since the last call."""
        results, self._results = self._results, []
        return results

    def close(self) -> None:
        """Cancel everything; a running child is killed by its own task."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, request: ProbeRequest) -> None:
        answer = await self._answer(request)
        log.info(
            f"probed: {answer.code or 'passed'}", model=request.model, version=request.version, detail=answer.message
        )
        self._results.append(
            ProbeResult(
                model=request.model,
                version=request.version,
                passed=answer.code is None,
                code=answer.code,
                message=answer.message,
                latency_ms=answer.latency_ms,
            )
        )
        await self._wake()

    async def _answer(self, request: ProbeRequest) -> ProbeAnswer:
        arrived = asyncio.Event()
        waiting = (request.candidate.digest, arrived)
        self._waiting.add(waiting)
        deadline = asyncio.get_running_loop().time() + self._artifact_seconds
        try:
            while True:
                arrived.clear()
                answer = await self._attempt(request)
                if answer is not None:
                    return answer
                async with asyncio.timeout_at(deadline):
                    await arrived.wait()
        except TimeoutError:
            message = f"its artifact did not arrive within {self._artifact_seconds:g} s; publish it and offer the candidate again."
            return ProbeAnswer(ARTIFACT_MISSING, message)
        finally:
            self._waiting.discard(waiting)

    async def _attempt(self, request: ProbeRequest) -> ProbeAnswer | None:
        """The answer; None while the artifact is not complete. Trouble of our own is retried: it says nothing of the model."""
        while True:
            try:
                async with self._one_at_a_time:
                    return await self._probe(request)
            except ModelRefusedError as error:
                return ProbeAnswer(error.code, str(error))
            except Exception as error:
                log.warning(
                    f"a probe could not be run: {error}; trying again", model=request.model, version=request.version
                )
            await asyncio.sleep(RETRY_SECONDS)

    async def _probe(self, request: ProbeRequest) -> ProbeAnswer | None:
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="probe-", dir=self._scratch) as directory:
            path = Path(directory) / "model.onnx"
            if not await fetch(self._settings, request.candidate.digest, request.candidate.size, path):
                return None
            return await probe(path, request.candidate, request.feature_set, self._limits)
